// What the library asks of the operating system: how many threads, whether this is a container, and files read and written
// safely. The only header that speaks POSIX.
//
// A file is written beside its target and renamed over it, so that a kill at any instant leaves the old or the new one,
// whole. The temporary's name is fixed (.TARGET.tenon-tmp) and belongs to whoever holds the lock on the target
// (.TARGET.tenon-lock): what a killed writer leaves behind is replaced by the next one and never piles up.
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tenon/core/error.hpp"

namespace tenon {

using Bytes = std::span<const std::byte>;

/// The bytes of a text.
inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

namespace detail {

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

 private:
  int fd_ = -1;
};

inline Fd open_fd(const std::string& path, int flags, mode_t mode = 0) {
  int fd;
  do fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  return Fd(fd);
}

inline Error os_error(std::string_view operation, std::string_view expected, int code, std::string_view where,
                      std::string_view advice = {}) {
  std::string message("expected ");
  message.append(expected).append(", got \"").append(std::generic_category().message(code)).append("\"");
  if (!advice.empty()) message.append("; ").append(advice);
  return Error(operation, message, where);
}

inline std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

inline bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

#if defined(__linux__)
struct AffinityMask {  // nvcc 13 stumbles over a vector of cpu_set_t, a struct without a name of its own
  cpu_set_t set;
};
#endif

inline int affinity_threads() {
#if defined(__linux__)
  for (std::size_t sets = 1; sets <= 1024; sets *= 2) {  // 1024 processors a set; EINVAL asks for more
    std::vector<AffinityMask> mask(sets);
    const std::size_t size = sets * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, size, &mask[0].set) == 0) return std::max(1, CPU_COUNT_S(size, &mask[0].set));
    if (errno != EINVAL) break;
  }
#endif
  return static_cast<int>(std::clamp(::sysconf(_SC_NPROCESSORS_ONLN), 1L, 1L << 20));
}

// The start of a file of /proc or /sys, or nothing where there is no such file.
inline std::string system_file(const std::string& path) {
  std::string text(1 << 16, '\0');
  const Fd fd = open_fd(path, O_RDONLY);
  std::size_t n = 0;
  for (ssize_t got = 1; fd && got > 0 && n < text.size(); n += static_cast<std::size_t>(std::max<ssize_t>(got, 0)))
    got = ::read(fd.get(), text.data() + n, text.size() - n);
  text.resize(n);
  return text;
}

// The cpu limit of this process's cgroup and all above it, rounded up to threads; INT_MAX where there is none.
// In a container without a cgroup namespace the path is the host's and does not exist inside, but its end does: the
// root of the mount is the container's own group, so walking up finds it. `root` stands in for / in tests.
inline int cgroup_threads(const std::string& root) {
  long long least = INT_MAX;
  const auto number = [](std::string_view text) {  // -1: not a number ("max"), as v1 writes "no limit"
    long long value = -1;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  const auto limit = [&least](long long quota, long long period) {
    if (quota > 0 && period > 0) least = std::min(least, std::max(1LL, quota / period + (quota % period != 0)));
  };
  const std::string groups = system_file(root + "/proc/self/cgroup");  // lines of id:controllers:path
  for (std::size_t at = 0, end; at < groups.size(); at = end + 1) {
    end = std::min(groups.find('\n', at), groups.size());
    const std::string line = groups.substr(at, end - at);
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;

    for (const std::string& mount :
         v2 ? std::vector<std::string>{"", "/unified"} : std::vector<std::string>{"/" + controllers, "/cpu"}) {
      for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
        const std::string group = root + "/sys/fs/cgroup" + mount + path;
        if (v2) {
          const std::string max = system_file(group + "/cpu.max");  // "150000 100000" or "max 100000"
          const std::size_t space = max.find(' ');
          if (space != std::string::npos) limit(number(max), number(std::string_view(max).substr(space + 1)));
        } else {
          limit(number(system_file(group + "/cpu.cfs_quota_us")), number(system_file(group + "/cpu.cfs_period_us")));
        }
        if (path.rfind('/') == std::string::npos) break;
      }
    }
  }
  return static_cast<int>(least);
}

}  // namespace detail

/// Threads this process may use: the lesser of its affinity mask and its cgroup's cpu limit (rounded up), at least 1.
inline int allowed_threads() { return std::min(detail::affinity_threads(), detail::cgroup_threads("")); }

enum class PathKind { none, file, folder };  // file: also a device, a pipe

/// What lies at a path, links followed; none also where it may not be looked at.
inline PathKind path_kind(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return PathKind::none;
  return S_ISDIR(status.st_mode) ? PathKind::folder : PathKind::file;
}

/// Whether this process runs in a container, as Docker and Podman tell.
inline bool in_container() {
  return std::getenv("container") != nullptr ||  // as podman and systemd say it
         path_kind("/.dockerenv") != PathKind::none || path_kind("/run/.containerenv") != PathKind::none;
}

/// What is in the way of opening files in a folder, in words that follow "got"; empty: nothing.
inline std::string folder_problem(const std::string& path) {
  struct stat status;
  if (::stat(path.empty() ? "" : (path + "/.").c_str(), &status) == 0) return {};
  if (errno == ENOENT) return "no such folder";
  if (errno == ENOTDIR) return "a file";
  return "\"" + std::generic_category().message(errno) + "\"";
}

/// Whether two paths name one file, links followed; of files still to be made: one name in one folder.
inline bool same_file(const std::string& a, const std::string& b) {
  struct stat first, second;
  const bool there = ::stat(a.c_str(), &first) == 0;
  if ((::stat(b.c_str(), &second) == 0) != there) return false;
  if (there) return detail::same_file(first, second);
  const std::string folder = detail::folder_of(a), other = detail::folder_of(b);
  return a.substr(a.rfind('/') + 1) == b.substr(b.rfind('/') + 1) && ::stat(folder.c_str(), &first) == 0 &&
         ::stat(other.c_str(), &second) == 0 && detail::same_file(first, second);
}

/// A file, or a pipe, being read from start to end.
class InputFile {
 public:
  static constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();

  /// A pipe that nobody writes to yet is waited for, unless `wait` is false.
  explicit InputFile(const std::string& path, bool wait = true)
      : path_(path), fd_(detail::open_fd(path, O_RDONLY | (wait ? 0 : O_NONBLOCK))) {
    struct stat status;
    if (!fd_ || ::fstat(fd_.get(), &status) != 0) throw detail::os_error("read_file", "a readable file", errno, path);
    if (S_ISDIR(status.st_mode)) throw Error("read_file", "expected a file, got a directory", path);
    if (S_ISREG(status.st_mode)) size_ = static_cast<std::uint64_t>(status.st_size);
  }

  const std::string& path() const { return path_; }
  /// Bytes in the file when it was opened; `unknown` for a pipe.
  std::uint64_t size() const { return size_; }

  /// Fills `out` as far as the file reaches; returns how far that is.
  std::size_t read(std::span<std::byte> out) {
    std::size_t n = 0;
    while (n < out.size()) {
      const ssize_t got = ::read(fd_.get(), out.data() + n, out.size() - n);
      if (got == 0) break;
      if (got > 0)
        n += static_cast<std::size_t>(got);
      else if (errno != EINTR)
        throw detail::os_error("read_file", "a readable file", errno, path_);
    }
    position_ += n;
    return n;
  }

  /// Appends what is left to `to`, which may grow to `max_bytes`.
  void read_rest(std::vector<std::byte>& to, std::uint64_t max_bytes = unknown) {
    const auto too_large = [&](const std::string& got) {
      return Error("read_file", "expected at most " + std::to_string(max_bytes) + " bytes, got " + got, path_);
    };
    const std::uint64_t left = size_ == unknown ? 0 : size_ - std::min(size_, position_);
    if (to.size() > max_bytes || left > max_bytes - to.size()) throw too_large(std::to_string(to.size() + left));
    // One byte more than the file holds finds its end in one pass; a pipe, and a file that grows, is read in doublings.
    std::size_t room = size_ == unknown ? 1 << 16 : static_cast<std::size_t>(left) + 1;
    for (;; room = std::max<std::size_t>(room, to.size())) {
      const std::size_t before = to.size();
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

/// A whole file. Missing, a directory, without permission or larger than `max_bytes`: Error.
inline std::vector<std::byte> read_file(const std::string& path, std::uint64_t max_bytes = InputFile::unknown) {
  InputFile file(path);
  std::vector<std::byte> bytes;
  file.read_rest(bytes, max_bytes);
  return bytes;
}

namespace detail {

inline constexpr std::string_view lock_suffix = ".tenon-lock", temporary_suffix = ".tenon-tmp";

// A hidden file beside `path`, of a name that is nobody else's. A name that would become too long gives way to its hash
// (64-bit FNV-1a): two of the same hash would be taken for one file, and the second writer be refused.
inline std::string beside(const std::string& path, std::string_view suffix) {
  const std::size_t at = path.rfind('/') + 1;  // npos + 1 is 0
  std::string name = path.substr(at);
  if (name.size() + lock_suffix.size() + 1 > NAME_MAX) {
    std::uint64_t hash = 14695981039346656037u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    name = std::to_string(hash);
  }
  return path.substr(0, at).append(".").append(name).append(suffix);
}

/// That `code` is why nothing can be written there. What it looks for in a container leaves an errno of its own.
inline Error not_writable(const char* expected, int code, const std::string& path) {
  return os_error("write_file", expected, code, path,
                  code == EACCES && in_container()
                      ? "a container that writes to a mounted folder runs as its owner: --user \"$(id -u):$(id -g)\""
                      : "");
}

// The file that a write to `path` will replace: links followed, and only what a rename can replace.
inline std::string replaceable(const std::string& path) {
  struct stat status;
  if (path.empty() || path.back() == '/') throw Error("write_file", "expected a file name, got a folder's", path);
  for (const std::string_view suffix : {lock_suffix, temporary_suffix})
    if (path[path.rfind('/') + 1] == '.' && path.ends_with(suffix))
      throw Error("write_file", "expected another name than those of locks and temporary files, got one", path);
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return path;  // new, or the folder is missing: opening the lock tells
    throw os_error("write_file", "a folder that can be written to", errno, path);
  }
  std::string target = path;
  if (S_ISLNK(status.st_mode)) {
    char* const real = ::realpath(path.c_str(), nullptr);
    if (!real) throw os_error("write_file", "a link to a file", errno, path);
    target = real;
    std::free(real);
    if (::stat(target.c_str(), &status) != 0) throw os_error("write_file", "a link to a file", errno, path);
  }
  if (S_ISDIR(status.st_mode)) throw Error("write_file", "expected a file, got a directory", path);
  if (!S_ISREG(status.st_mode)) throw Error("write_file", "expected a regular file, got a device or pipe", path);
  // The rename asks for neither: who protects a file from writing wants to keep it, and who may not replace one (in a
  // folder like /tmp) would hear of it after the work.
  if (::faccessat(AT_FDCWD, target.c_str(), W_OK, AT_EACCESS) != 0)
    throw not_writable("a file that may be written to", errno, path);
  struct stat folder;
  const uid_t me = ::geteuid();
  if (me != 0 && status.st_uid != me && ::stat(folder_of(target).c_str(), &folder) == 0 && folder.st_uid != me &&
      (folder.st_mode & S_ISVTX) != 0)
    throw Error("write_file",
                "expected a file of one's own, as only owners may replace theirs in a sticky folder, "
                "got another user's",
                path);
  return target;
}

inline Error mounted_error(const std::string& path) {
  return Error("write_file",
               "expected a file that can be replaced, got one mounted by itself; mount the folder, "
               "not the file",
               path);
}

// Tells before hours of training what rename would tell after them.
inline bool is_mount_point([[maybe_unused]] const std::string& path) {
#if defined(STATX_ATTR_MOUNT_ROOT)
  struct statx status;
  return ::statx(AT_FDCWD, path.c_str(), 0, STATX_TYPE, &status) == 0 &&
         (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
#else
  return false;
#endif
}

inline bool write_all(const Fd& fd, Bytes bytes) {  // false: errno tells
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
    if (n >= 0)
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    else if (errno != EINTR)
      return false;
  }
  return true;
}

}  // namespace detail

/// Holds the right to write a file, until destroyed. A second holder, in this process or another, gets an Error.
///
/// The lock is the kernel's (flock on .NAME.tenon-lock in the same folder), so it ends with its process, however that
/// ends; the empty file that a killed process leaves is taken over by the next. Everything that would make a later write
/// fail for sure (no folder, no permission, a directory or a single mounted file in the way) fails here, early.
class FileLock {
 public:
  explicit FileLock(const std::string& path) : path_(detail::replaceable(path)) {
    if (detail::is_mount_point(path_)) throw detail::mounted_error(path_);
    const std::string lock = detail::beside(path_, detail::lock_suffix);
    constexpr int flags = O_NOFOLLOW | O_NONBLOCK;
    for (;;) {
      fd_ = detail::open_fd(lock, O_RDWR | O_CREAT | flags, 0666);
      if (!fd_ && errno == EACCES) {  // perhaps one that another user's process left, and that may be read
        fd_ = detail::open_fd(lock, O_RDONLY | flags);
        if (!fd_) errno = EACCES;
      }
      if (!fd_) throw detail::not_writable("an existing folder that can be written to", errno, path_);
      while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        const int code = std::exchange(errno, 0);
        fd_ = detail::Fd();
        if (code == EWOULDBLOCK)
          throw Error("write_file",
                      "expected to be the only writer, got another one at work; wait for it to end, or "
                      "write to another file",
                      path_);
        throw detail::os_error("write_file", "a file system with locks (flock)", code, path_);
      }
      // Who lets go removes the file first: what was opened may have lost its name before it was locked.
      struct stat held, named;
      if (::fstat(fd_.get(), &held) == 0 && ::stat(lock.c_str(), &named) == 0 && detail::same_file(held, named)) return;
    }
  }
  FileLock(FileLock&& o) noexcept : path_(std::move(o.path_)), fd_(std::move(o.fd_)) {}
  FileLock& operator=(FileLock&& o) noexcept {
    std::swap(path_, o.path_);
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~FileLock() {
    if (fd_) ::unlink(detail::beside(path_, detail::lock_suffix).c_str());
  }

  /// The file that may be written; a link given to the constructor has been followed.
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  detail::Fd fd_;
};

/// Replaces the locked file by the pieces one after another: afterwards it is the new one on disk, or, after an Error
/// or a kill, the old one. Mode is 0666 less umask.
inline void write_file_atomically(const FileLock& lock, std::span<const Bytes> pieces) {
  const std::string temporary = detail::beside(lock.path(), detail::temporary_suffix);
  const auto failed = [&](int code) {
    ::unlink(temporary.c_str());
    std::uint64_t bytes = 0;
    for (const Bytes& piece : pieces) bytes += piece.size();
    if (code == EBUSY) return detail::mounted_error(lock.path());
    if (code == EFBIG)
      return detail::os_error("write_file", "a file of " + std::to_string(bytes) + " bytes to be allowed", code,
                              lock.path(), "raise the limit that ulimit -f tells");
    if (code == ENOSPC || code == EDQUOT)
      return detail::os_error("write_file", "room for " + std::to_string(bytes) + " bytes", code, lock.path());
    return detail::os_error("write_file", "a file that can be written and replaced", code, lock.path());
  };

  // A leftover is removed, not reused: it may have another owner and mode.
  if (::unlink(temporary.c_str()) != 0 && errno != ENOENT)
    throw detail::os_error("write_file", "to remove what an interrupted writer left", errno, temporary);
  {
    const detail::Fd fd = detail::open_fd(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (!fd) throw failed(errno);
    for (const Bytes& piece : pieces)
      if (!detail::write_all(fd, piece)) throw failed(errno);
    if (::fsync(fd.get()) != 0) throw failed(errno);  // before the rename, or a power cut may leave an empty file
  }
  if (::rename(temporary.c_str(), lock.path().c_str()) != 0) throw failed(errno);

  // The rename itself lives in the folder. Some file systems cannot sync folders, and some folders cannot be opened.
  const detail::Fd folder = detail::open_fd(detail::folder_of(lock.path()), O_RDONLY | O_DIRECTORY);
  if (folder && ::fsync(folder.get()) != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT))
    throw detail::os_error("write_file", "to sync the folder", errno, lock.path());
}

/// The same for a file that nobody holds: locked for the duration of the call.
inline void write_file_atomically(const std::string& path, std::span<const Bytes> pieces) {
  write_file_atomically(FileLock(path), pieces);
}
inline void write_file_atomically(const std::string& path, std::string_view text) {
  const Bytes bytes = bytes_of(text);
  write_file_atomically(path, std::span(&bytes, 1));
}

}  // namespace tenon
