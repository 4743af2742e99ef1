// Helpers for headers that call the operating system: file descriptors, error texts, small system files.
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tenon/core/error.hpp"

namespace tenon::detail {

/// An owner of a file descriptor. The destructor closes it.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  /// Closes the descriptor now. Returns false on failure: some network file systems report a failed write this way.
  bool close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0 || errno == EINTR;
  }

 private:
  int fd_ = -1;
};

/// open(2), repeated if a signal interrupts it. On failure the result is false and errno has the reason.
inline Fd open_fd(const std::string& path, int flags, mode_t mode = 0) {
  int fd;
  do fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  return Fd(fd);
}

/// The text of an errno value, such as "No such file or directory" for ENOENT.
inline std::string error_text(int code) { return std::generic_category().message(code); }

/// The Error `[operation] problem: No such file or directory; advice (where)`.
inline Error system_error(std::string_view operation, std::string_view problem, int code, std::string_view where,
                          std::string_view advice = {}) {
  std::string message(problem);
  message.append(": ").append(error_text(code));
  if (!advice.empty()) message.append("; ").append(advice);
  return Error(operation, message, where);
}

/// "a/b/" for "a/b/c", "." for "c".
inline std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

inline bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// The content of a file in /proc or /sys, about 1 MiB at most. Empty if there is no such file.
inline std::string system_file(const std::string& path) {
  std::string text;
  const Fd fd = open_fd(path, O_RDONLY);
  char part[4096];
  while (fd && text.size() < (1 << 20)) {
    const ssize_t n = ::read(fd.get(), part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(part, static_cast<std::size_t>(n));
  }
  return text;
}

}  // namespace tenon::detail
