// FileLock: the exclusive right to write a file. One process at a time can hold it.
//
// The lock is a kernel lock (flock on .NAME.tenon-lock in the same folder), so it ends when its process ends, for any
// reason. The holder unlinks the lock file before it unlocks it. If a file system has no locks, the FileLock is created
// without one, and notes() reports it.
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/core/bytes.hpp"
#include "tenon/core/container.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/posix.hpp"

namespace tenon {

class FileLock;
void write_file_atomically(const FileLock& lock, std::span<const Bytes> pieces);

namespace detail {

inline constexpr std::string_view lock_suffix = ".tenon-lock", temporary_suffix = ".tenon-tmp",
                                  probe_suffix = ".tenon-probe";

/// The path of a hidden file in the folder of `path`. A name that would become too long is replaced by its hash (64-bit
/// FNV-1a). Two names with the same hash would count as one file, and the second writer would get an Error.
inline std::string beside(const std::string& path, std::string_view suffix) {
  const std::size_t at = path.rfind('/') + 1;  // npos + 1 is 0
  std::string name = path.substr(at);
  if (name.size() + suffix.size() + 1 > NAME_MAX) {
    std::uint64_t hash = 14695981039346656037u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    name = std::to_string(hash);
  }
  return path.substr(0, at).append(".").append(name).append(suffix);
}

/// True if a system call failed because the file system or the kernel does not support it, or because a container engine's
/// seccomp profile forbids it, and not because of the file.
inline bool is_unsupported(int code) {
  return code == ENOSYS || code == EOPNOTSUPP || code == ENOTSUP || code == EINVAL || code == EPERM || code == ENOTTY;
}

inline Error not_writable(std::string_view problem, int code, const std::string& path) {
  return system_error("write_file", problem, code, path, container_advice(code));
}

/// Throws if this process may not write to an existing file. The permissions of the effective user count.
inline void check_may_write(const std::string& path) {
  // access(2) checks the real user. faccessat with AT_EACCESS does not help: its system call, faccessat2, fails with EPERM
  // under old seccomp profiles. Where that call is missing, glibc checks the real user too.
  const bool may = ::geteuid() == ::getuid() && ::getegid() == ::getgid()
                       ? ::access(path.c_str(), W_OK) == 0
                       : static_cast<bool>(open_fd(path, O_WRONLY | O_NONBLOCK));
  if (!may) throw not_writable("cannot write to the file", errno, path);
}

/// The file that a write to `path` replaces, after links are followed. Throws if a rename cannot replace it.
inline std::string replaceable(const std::string& path) {
  struct stat status;
  if (path.empty()) throw Error("write_file", "the file name is empty");
  if (path.back() == '/') throw Error("write_file", "this names a folder; name a file in it", path);
  for (const std::string_view suffix : {lock_suffix, temporary_suffix, probe_suffix})
    if (path[path.rfind('/') + 1] == '.' && path.ends_with(suffix))
      throw Error("write_file", "this name is reserved for locks and temporary files; choose another one", path);
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return path;  // a new file or a missing folder; opening the lock file shows which
    throw not_writable("cannot use the folder", errno, path);
  }
  std::string target = path;
  if (S_ISLNK(status.st_mode)) {
    char* const real = ::realpath(path.c_str(), nullptr);
    if (!real) throw system_error("write_file", "cannot follow the symbolic link", errno, path);
    target = real;
    std::free(real);
    if (::stat(target.c_str(), &status) != 0)
      throw system_error("write_file", "cannot follow the symbolic link", errno, path);
  }
  if (S_ISDIR(status.st_mode)) throw Error("write_file", "this is a folder, not a file", path);
  if (!S_ISREG(status.st_mode)) throw Error("write_file", "this is a device or a pipe, not a regular file", path);
  // A rename needs no permission on the file itself, but a write-protected file must be kept. So the write is refused.
  check_may_write(target);
  struct stat folder;
  const uid_t me = ::geteuid();
  if (me != 0 && status.st_uid != me && ::stat(folder_of(target).c_str(), &folder) == 0 && folder.st_uid != me &&
      (folder.st_mode & S_ISVTX) != 0)
    throw Error("write_file",
                "the file belongs to another user, and in a folder with the sticky bit only its owner can replace it; "
                "write to another file",
                path);
  return target;
}

inline Error mounted_error(const std::string& path) {
  return Error("write_file", "the file is a mount point, so it cannot be replaced; mount its folder, not the file",
               path);
}

/// True if /proc/self/mountinfo lists `path` as a mount point.
inline bool is_in_mountinfo(const std::string& root, const std::string& path) {
  char* const real = ::realpath(path.c_str(), nullptr);
  if (!real) return false;
  std::string escaped;
  for (const char* c = real; *c; ++c) {
    if (*c == ' ' || *c == '\t' || *c == '\n' || *c == '\\') {
      char octal[8];
      std::snprintf(octal, sizeof octal, "\\%03o", static_cast<unsigned>(static_cast<unsigned char>(*c)));
      escaped += octal;
    } else {
      escaped += *c;
    }
  }
  std::free(real);
  const std::string mounts = system_file(root + "/proc/self/mountinfo");  // id parent device root MOUNT-POINT ...
  for (std::size_t at = 0, end; at < mounts.size(); at = end + 1) {
    end = std::min(mounts.find('\n', at), mounts.size());
    std::size_t field = at;
    for (int skip = 0; skip < 4 && field < end; ++skip) field = std::min(mounts.find(' ', field), end) + 1;
    if (field < end && mounts.compare(field, escaped.size() + 1, escaped + " ") == 0) return true;
  }
  return false;
}

/// True if a file is a mount point. A rename over it would fail with EBUSY after the work is done.
inline bool is_mount_point(const std::string& path) {
#if defined(STATX_ATTR_MOUNT_ROOT)
  struct statx status;
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_TYPE, &status) == 0) {
    if ((status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0)
      return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  } else if (errno == ENOENT) {
    return false;
  }
#endif
  return is_in_mountinfo("", path);  // a kernel before 5.8, or a seccomp profile without statx
}

/// The path that names the same file from any working folder. The path itself if that would be too long, or if the working
/// folder has no name.
inline std::string absolute(const std::string& path) {
  char folder[PATH_MAX];
  if (path.front() == '/' || !::getcwd(folder, sizeof folder)) return path;
  const std::string whole = std::string(folder).append("/").append(path);
  return whole.size() < PATH_MAX ? whole : path;
}

inline bool write_all(const Fd& fd, Bytes bytes) {  // errno has the reason if the result is false
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

/// Holds the right to write a file until it is destroyed. A child made by fork() holds nothing of its own: its copy of the
/// object removes no lock, and the lock lasts until the parent's object and the child's copy are both gone.
///
/// If the file system has locks, the constructor throws Error while another FileLock for the same file exists, in this
/// process or another one.
///
/// The constructor also throws Error for everything that would make a later write fail: no folder, no permission, a path
/// that is a folder or a mount point, a file system that cannot create, write or rename files. The next holder takes over
/// the lock file that a killed process leaves.
class FileLock {
 public:
  explicit FileLock(const std::string& path) : path_(detail::replaceable(path)), file_(detail::absolute(path_)) {
    if (detail::is_mount_point(path_)) throw detail::mounted_error(path_);
    lock();
    try {
      check_folder();
    } catch (...) {
      unlink_lock();
      throw;
    }
  }
  FileLock(FileLock&& o) noexcept { swap(o); }
  FileLock& operator=(FileLock&& o) noexcept {
    swap(o);
    return *this;
  }
  ~FileLock() {
    if (fd_ && process_ == ::getpid()) unlink_lock();
  }

  /// The file that may be written. If the constructor got a link, this is its target. If it is relative, it is relative to
  /// the working folder of that time; file() does not depend on it.
  const std::string& path() const { return path_; }
  const std::string& file() const { return file_; }

  /// True if a kernel lock excludes other holders.
  bool exclusive() const { return lock_error_ == 0; }

  /// One sentence for the user about each thing that the file system cannot do. Only the first write finds out that files
  /// cannot be synced.
  std::vector<std::string> notes() const {
    const std::string folder = "the file system of " + detail::folder_of(path_);
    std::vector<std::string> notes;
    if (lock_error_ != 0)
      notes.push_back(folder + " has no locks (" + detail::error_text(lock_error_) +
                      "): do not let two programs write the same file there");
    if (sync_error_ != 0)
      notes.push_back(folder + " cannot sync files (" + detail::error_text(sync_error_) +
                      "): a power failure can lose what was written last");
    return notes;
  }

 private:
  friend void write_file_atomically(const FileLock& lock, std::span<const Bytes> pieces);

  void lock() {
    const std::string lock = detail::beside(file_, detail::lock_suffix);
    constexpr int flags = O_NOFOLLOW | O_NONBLOCK;
    for (int attempt = 0; attempt < 1000; ++attempt) {
      fd_ = detail::open_fd(lock, O_RDWR | O_CREAT | flags, 0666);
      if (!fd_ && errno == EACCES) {  // another user's process may have left a readable lock file
        fd_ = detail::open_fd(lock, O_RDONLY | flags);
        if (!fd_ && ::access(lock.c_str(), F_OK) == 0)
          throw Error("write_file", path_ + " is locked by a process of another user, or was when that was killed: " +
                                        "wait until it ends, or remove " + lock);
        if (!fd_) errno = EACCES;
      }
      if (!fd_) throw detail::not_writable("cannot create files in the folder", errno, path_);
      while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        const int code = errno;
        if (detail::is_unsupported(code) || code == ENOLCK) {
          lock_error_ = code;
          return;
        }
        fd_ = detail::Fd();
        if (code == EWOULDBLOCK)
          throw Error("write_file",
                      path_ + " is locked by another process; wait until it ends, or write to another file");
        throw detail::system_error("write_file", "cannot lock the file", code, path_);
      }
      // The holder unlinks the file before it unlocks it, so check the inode again.
      struct stat held, named;
      if (::fstat(fd_.get(), &held) == 0 && ::stat(lock.c_str(), &named) == 0 && detail::same_file(held, named)) return;
    }
    lock_error_ = ENOLCK;  // inode numbers change on this file system, so it is unknown which file is locked
  }

  /// Creates, writes and renames a file of one byte in the folder.
  void check_folder() const {
    const std::string probe = detail::beside(file_, detail::probe_suffix);
    std::string temporary;
    const detail::Fd fd = create_temporary(temporary);
    const std::byte byte{};
    if (!detail::write_all(fd, Bytes(&byte, 1)) || ::rename(temporary.c_str(), probe.c_str()) != 0) {
      const int code = errno;
      ::unlink(temporary.c_str());
      throw detail::not_writable("cannot write and rename files in the folder", code, path_);
    }
    if (::unlink(probe.c_str()) != 0) throw detail::not_writable("cannot remove files in the folder", errno, path_);
  }

  /// Creates an empty file in the folder of the target. With a lock its name is fixed and only the holder uses it. A file
  /// that a killed writer left is removed first. It is not reused, because it may have another owner and mode. Without
  /// locks the files of other writers must stay, so an unused name is chosen.
  detail::Fd create_temporary(std::string& name) const {
    if (exclusive()) {
      name = detail::beside(file_, detail::temporary_suffix);
      if (::unlink(name.c_str()) != 0 && errno != ENOENT)
        throw detail::system_error("write_file", "cannot remove the temporary file of an interrupted writer", errno,
                                   name);
      detail::Fd fd = detail::open_fd(name, O_WRONLY | O_CREAT | O_EXCL, 0666);
      if (!fd) throw detail::not_writable("cannot create files in the folder", errno, path_);
      return fd;
    }
    for (int i = 0;; ++i) {
      const std::string number = std::to_string(::getpid()) + "-" + std::to_string(i);
      name = detail::beside(file_, std::string(".").append(number).append(detail::temporary_suffix));
      detail::Fd fd = detail::open_fd(name, O_WRONLY | O_CREAT | O_EXCL, 0666);
      if (fd) return fd;
      if (errno != EEXIST || i >= 10000) throw detail::not_writable("cannot create files in the folder", errno, path_);
    }
  }

  void unlink_lock() const { ::unlink(detail::beside(file_, detail::lock_suffix).c_str()); }

  void swap(FileLock& o) noexcept {
    std::swap(path_, o.path_);
    std::swap(file_, o.file_);
    std::swap(process_, o.process_);
    std::swap(fd_, o.fd_);
    std::swap(lock_error_, o.lock_error_);
    std::swap(sync_error_, o.sync_error_);
  }

  std::string path_, file_;
  pid_t process_ = ::getpid();
  detail::Fd fd_;
  int lock_error_ = 0;          // why there is no lock
  mutable int sync_error_ = 0;  // why files could not be synced
};

}  // namespace tenon
