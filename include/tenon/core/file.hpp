// Functions to read files and to examine paths. core/write_file.hpp writes files.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tenon/core/bytes.hpp"
#include "tenon/core/container.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/posix.hpp"
#include "tenon/core/resources.hpp"

namespace tenon {

enum class PathKind { none, file, folder };  // file: also a device, a pipe

/// The kind of the file at a path. Follows links. Returns `none` also if access to the path is denied.
inline PathKind path_kind(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return PathKind::none;
  return S_ISDIR(status.st_mode) ? PathKind::folder : PathKind::file;
}

/// Why files in a folder cannot be opened, as text to follow "got". Empty if they can be opened.
inline std::string folder_problem(const std::string& path) {
  struct stat status;
  if (::stat(path.empty() ? "" : (path + "/.").c_str(), &status) == 0) return {};
  if (errno == ENOENT) return "no such folder";
  if (errno == ENOTDIR) return "a file";
  const std::string advice = container_advice(errno);
  return "\"" + detail::error_text(errno) + "\"" + (advice.empty() ? "" : "; " + advice);
}

/// True if two paths name the same file. Follows links. Files that do not exist yet are the same if they have the same name
/// in the same folder.
inline bool same_file(const std::string& a, const std::string& b) {
  struct stat first, second;
  const bool exists = ::stat(a.c_str(), &first) == 0;
  if ((::stat(b.c_str(), &second) == 0) != exists) return false;
  if (exists) return detail::same_file(first, second);
  const std::string folder = detail::folder_of(a), other = detail::folder_of(b);
  return a.substr(a.rfind('/') + 1) == b.substr(b.rfind('/') + 1) && ::stat(folder.c_str(), &first) == 0 &&
         ::stat(other.c_str(), &second) == 0 && detail::same_file(first, second);
}

/// Reads a file or a pipe from start to end.
class InputFile {
 public:
  static constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();

  /// Waits for a pipe's writer, unless `wait` is false.
  explicit InputFile(const std::string& path, bool wait = true)
      : path_(path), fd_(detail::open_fd(path, O_RDONLY | (wait ? 0 : O_NONBLOCK))) {
    struct stat status;
    if (!fd_ || ::fstat(fd_.get(), &status) != 0)
      throw detail::system_error("read_file", "cannot open the file", errno, path, container_advice(errno));
    if (S_ISDIR(status.st_mode)) throw Error("read_file", "this is a folder, not a file", path);
    if (S_ISREG(status.st_mode)) size_ = static_cast<std::uint64_t>(status.st_size);
  }

  const std::string& path() const { return path_; }
  /// Bytes in the file when it was opened; `unknown` for a pipe.
  std::uint64_t size() const { return size_; }

  /// Reads until `out` is full or the file ends. Returns the number of bytes read.
  std::size_t read(std::span<std::byte> out) {
    std::size_t n = 0;
    while (n < out.size()) {
      const ssize_t got = ::read(fd_.get(), out.data() + n, out.size() - n);
      if (got == 0) break;
      if (got > 0)
        n += static_cast<std::size_t>(got);
      else if (errno != EINTR)
        throw detail::system_error("read_file", "cannot read the file", errno, path_);
    }
    position_ += n;
    return n;
  }

  /// Appends the rest of the file to `to`, which may grow to `max_bytes`. If the file is larger than that, or larger than
  /// the memory that this process may use, throws Error before reading.
  void read_rest(std::vector<std::byte>& to, std::uint64_t max_bytes = unknown) {
    const auto too_large = [&](const std::string& got) {
      return Error("read_file", "expected at most " + std::to_string(max_bytes) + " bytes, got " + got, path_);
    };
    const std::uint64_t left = size_ == unknown ? 0 : size_ - std::min(size_, position_);
    if (to.size() > max_bytes || left > max_bytes - to.size()) throw too_large(std::to_string(to.size() + left));
    // Asking for one byte more than the file holds finds its end with one read. For a pipe or a growing file, each further
    // read doubles the buffer.
    std::size_t room = size_ == unknown ? 1 << 16 : static_cast<std::size_t>(left) + 1;
    for (;; room = std::max<std::size_t>(room, to.size())) {
      const std::size_t before = to.size();
      require_memory(before + room > to.capacity() ? before + room : 0, "read_file", path_);
      to.resize(before + room);
      const std::size_t got = read(std::span(to).subspan(before));
      to.resize(before + got);
      if (to.size() > max_bytes) throw too_large("more");
      if (got < room) return;
    }
  }

 private:
  std::string path_;
  detail::Fd fd_;
  std::uint64_t size_ = unknown, position_ = 0;
};

/// Reads a whole file. Throws Error if it is missing, is a folder, may not be read (permissions), or is larger than
/// `max_bytes` or the memory that this process may use.
inline std::vector<std::byte> read_file(const std::string& path, std::uint64_t max_bytes = InputFile::unknown) {
  InputFile file(path);
  std::vector<std::byte> bytes;
  file.read_rest(bytes, max_bytes);
  return bytes;
}

}  // namespace tenon
