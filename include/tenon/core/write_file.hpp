// Writes a file atomically: if the process is killed at any time, either the complete old file or the complete new file
// remains. The new content is written to .NAME.tenon-tmp in the same folder, synced, and renamed over the target.
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

#include "tenon/core/bytes.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/file_lock.hpp"
#include "tenon/core/posix.hpp"

namespace tenon {

namespace detail {

/// 0, or the errno of fsync(2).
inline int sync(const Fd& fd) {
  int result;
  do result = ::fsync(fd.get());
  while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

}  // namespace detail

/// Replaces the content of the locked file by the concatenated pieces. On success the new file is on disk. After an Error
/// or a kill the file is the complete old or new one. The mode is 0666 minus umask. If files cannot be synced, the write
/// succeeds without it, and lock.notes() reports it.
inline void write_file_atomically(const FileLock& lock, std::span<const Bytes> pieces) {
  std::string temporary;
  const auto failed = [&](int code) {
    ::unlink(temporary.c_str());
    std::uint64_t bytes = 0;
    for (const Bytes& piece : pieces) bytes += piece.size();
    const std::string write = "cannot write " + std::to_string(bytes) + " bytes";
    if (code == EBUSY) return detail::mounted_error(lock.path());
    if (code == EFBIG)
      return detail::system_error("write_file", write, code, lock.path(), "raise the limit that ulimit -f prints");
    return detail::system_error("write_file", write, code, lock.path(), container_advice(code));
  };
  {
    detail::Fd fd = lock.create_temporary(temporary);
    for (const Bytes& piece : pieces)
      if (!detail::write_all(fd, piece)) throw failed(errno);
    // Before the rename, because after a power failure the new name might belong to an empty file.
    if (const int code = detail::sync(fd); code != 0) {
      if (!detail::is_unsupported(code) && code != EROFS) throw failed(code);
      lock.sync_error_ = code;
    }
    if (!fd.close()) throw failed(errno);
  }
  if (::rename(temporary.c_str(), lock.file().c_str()) != 0) throw failed(errno);

  // The rename is stored in the folder. Some file systems cannot sync folders, and some folders cannot be opened. The file
  // system then stores the rename at a later time.
  const detail::Fd folder = detail::open_fd(detail::folder_of(lock.file()), O_RDONLY | O_DIRECTORY);
  const int code = folder ? detail::sync(folder) : 0;
  if (code == EIO || code == ENOSPC || code == EDQUOT)
    throw detail::system_error("write_file", "cannot sync the folder", code, lock.path());
}

/// The same for a file that is not locked yet. The file is locked for the duration of the call.
inline void write_file_atomically(const std::string& path, std::span<const Bytes> pieces) {
  write_file_atomically(FileLock(path), pieces);
}
inline void write_file_atomically(const std::string& path, std::string_view text) {
  const Bytes bytes = bytes_of(text);
  write_file_atomically(path, std::span(&bytes, 1));
}

}  // namespace tenon
