// File systems and kernels that do not support locks, syncing, renaming or newer system calls.
// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "catch.hpp"
#include "files.hpp"
#include "seccomp.hpp"
#include "tenon/core/thread_pool.hpp"
#include "tenon/core/write_file.hpp"

using namespace tenon;

namespace {

bool skipped(const std::string& answer) {
  if (answer.rfind("skip: ", 0) != 0) return false;
  skip_test(answer.substr(6));
  return true;
}

#if defined(SYS_rename)
#define RENAME_FAILS(error) \
  {SYS_rename, error}, {SYS_renameat, error}, { SYS_renameat2, error }
#else
#define RENAME_FAILS(error) \
  {SYS_renameat, error}, { SYS_renameat2, error }
#endif

std::string all(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& n : notes) text += n + "\n";
  return text;
}

}  // namespace

TEST_CASE("without locks a file is written all the same, and a note says so") {
  for (const int error : {ENOSYS, ENOLCK, EOPNOTSUPP, EINVAL, EPERM}) {
    CAPTURE(error);
    const Folder folder;
    put(folder / "f", "old");
    const std::string answer = in_child([&] {
      let_fail({{SYS_flock, error}});
      const FileLock lock(folder / "f");
      if (lock.exclusive()) return std::string("exclusive");
      const Bytes text = bytes_of("new");
      write_file_atomically(lock, std::span(&text, 1));
      write_file_atomically(folder / "g", "other");
      return all(lock.notes());
    });
    if (skipped(answer)) return;
    CHECK(answer == "the file system of " + folder / "" + " has no locks (" + detail::error_text(error) +
                        "): do not let two programs write the same file there\n");
    CHECK(get(folder / "f") == "new");
    CHECK(get(folder / "g") == "other");
    CHECK(folder.list() == "f g");
  }
}

TEST_CASE("without locks two writers never write into one temporary file") {
  const Folder folder;
  const std::string answer = in_child([&]() -> std::string {
    let_fail({{SYS_flock, ENOSYS}});
    put(folder / ".f.tenon-tmp", "another writer's");
    const std::string own = ".f." + std::to_string(::getpid()) + "-0.tenon-tmp";
    put(folder / own, "another host's");
    write_file_atomically(folder / "f", "new");
    return get(folder / "f") + ", " + get(folder / ".f.tenon-tmp") + ", " + get(folder / own);
  });
  if (skipped(answer)) return;
  CHECK(answer == "new, another writer's, another host's");
}

TEST_CASE("a lock that fails for another reason is an error") {
  const Folder folder;
  const std::string answer = in_child([&] {
    let_fail({{SYS_flock, EIO}});
    return error_of([&] { FileLock lock(folder / "f"); });
  });
  if (skipped(answer)) return;
  CHECK(answer == "[write_file] cannot lock the file: Input/output error (" + folder / "f" + ")");
}

TEST_CASE("a file system that cannot sync: the write succeeds, and a note says so") {
  for (const int error : {EINVAL, EROFS, ENOSYS, EOPNOTSUPP, EPERM}) {
    CAPTURE(error);
    const Folder folder;
    const std::string answer = in_child([&] {
      let_fail({{SYS_fsync, error}});
      const FileLock lock(folder / "f");
      const std::string before = all(lock.notes());
      const Bytes text = bytes_of("new");
      write_file_atomically(lock, std::span(&text, 1));
      return before + all(lock.notes());
    });
    if (skipped(answer)) return;
    CHECK(answer == "the file system of " + folder / "" + " cannot sync files (" + detail::error_text(error) +
                        "): a power failure can lose what was written last\n");
    CHECK(get(folder / "f") == "new");
  }
}

TEST_CASE("a sync that reports lost data is an error, and the old file stays") {
  for (const int error : {EIO, ENOSPC, EDQUOT}) {
    CAPTURE(error);
    const Folder folder;
    put(folder / "f", "old");
    const std::string answer = in_child([&] {
      let_fail({{SYS_fsync, error}});
      return error_of([&] { write_file_atomically(folder / "f", "new"); });
    });
    if (skipped(answer)) return;
    CHECK(answer == "[write_file] cannot write 3 bytes: " + detail::error_text(error) + " (" + folder / "f" + ")");
    CHECK(get(folder / "f") == "old");
    CHECK(folder.list() == "f");
  }
}

TEST_CASE("a folder where files cannot be written or renamed is refused by the lock") {
  const Folder folder;
  put(folder / "f", "old");
  const auto refusal = [&](std::initializer_list<FailingCall> calls) {
    return in_child([&] {
      int answer[2];  // write(2) fails here, so another call sends the answer
      if (::pipe(answer) != 0) return std::string("no pipe");
      const pid_t child = ::fork();
      if (child == 0) {
        let_fail(calls);
        const std::string text = error_of([&] { FileLock lock(folder / "f"); });
        iovec piece{const_cast<char*>(text.data()), text.size()};
        ::_exit(::writev(answer[1], &piece, 1) > 0 ? 0 : 1);
      }
      ::close(answer[1]);
      std::string text(1000, '\0');
      text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(answer[0], text.data(), text.size()))));
      ::waitpid(child, nullptr, 0);
      return text;
    });
  };
  for (const int error : {ENOSYS, EIO, ENOSPC}) {
    CAPTURE(error);
    const std::string expected =
        "[write_file] cannot write and rename files in the folder: " + detail::error_text(error) + " (" + folder / "f" +
        ")";
    CHECK(refusal({RENAME_FAILS(error)}) == expected);
    CHECK(refusal({{SYS_write, error}}) == expected);
    CHECK(folder.list() == "f");
    CHECK(get(folder / "f") == "old");
  }
}

TEST_CASE("newer system calls that a seccomp profile forbids are gone around") {
  const Folder folder;
  put(folder / "f", "old");
  put(folder / "protected", "kept");
  ::chmod((folder / "protected").c_str(), 0444);
  ::chmod((folder / "f").c_str(), 0666);
  for (const int error : {EPERM, ENOSYS}) {
    const std::string answer = in_child([&] {
#if defined(SYS_faccessat2)
      let_fail({{SYS_faccessat2, error}, {SYS_statx, error}});
#else
      let_fail({{SYS_statx, error}});
#endif
      become_nobody();
      write_file_atomically(folder / "f", "new");
      return error_of([&] { FileLock lock(folder / "protected"); });
    });
    if (skipped(answer)) return;
    CHECK_THAT(answer, StartsWith("[write_file] cannot write to the file: Permission denied"));
    CHECK(get(folder / "f") == "new");
  }
}

TEST_CASE("a program that runs as another user than it was started by is asked for its own right to write") {
  if (::geteuid() != 0) return skip_test("not root");
  const Folder folder;
  put(folder / "f", "old");
  ::chmod((folder / "f").c_str(), 0600);
  for (const int error : {0, EPERM, ENOSYS}) {
    const std::string answer = in_child([&] {
#if defined(SYS_faccessat2)
      if (error != 0) let_fail({{SYS_faccessat2, error}});
#endif
      if (::seteuid(65534) != 0) return std::string("seteuid");
      const std::string refused = error_of([&] { FileLock lock(folder / "f"); });
      if (::seteuid(0) != 0 || ::setresuid(65534, 0, 0) != 0) return std::string("setresuid");
      return refused + error_of([&] { FileLock lock(folder / "f"); });
    });
    if (skipped(answer)) return;
    CHECK_THAT(answer, StartsWith("[write_file] cannot write to the file: Permission denied") && EndsWith("no error"));
  }
}

TEST_CASE("mount points are found without statx") {
  const Folder root;
  std::filesystem::create_directories(root / "a b");
  put(root / "a b/file", "");
  put(root / "a b/other", "");
  std::string escaped = std::filesystem::canonical(root / "a b").string() + "/file";
  escaped.replace(escaped.find(' '), 1, "\\040");
  put(root / "proc/self/mountinfo",
      "21 1 0:20 / / rw - ext4 /dev/sda1 rw\n36 35 98:0 /x " + escaped + " rw,noatime - ext3 /dev/root rw\n");
  CHECK(detail::is_in_mountinfo(root.path(), root / "a b/file"));
  CHECK_FALSE(detail::is_in_mountinfo(root.path(), root / "a b/other"));
  CHECK_FALSE(detail::is_in_mountinfo(root.path(), root / "none"));
  CHECK_FALSE(detail::is_in_mountinfo(root / "empty", root / "a b/file"));
}

#if defined(SYS_clone3)
TEST_CASE("where no thread can be started, the calling thread does the work") {
  const std::string answer = in_child([] {
    let_fail({{SYS_clone3, EPERM}});
    Cpu dev(3);
    int sum = 0;
    dev.parallel(10, [&](int task, int) { sum += task; });
    return std::to_string(dev.threads()) + " thread, " + std::to_string(sum) + ", " + std::to_string(Cpu(0).threads());
  });
  if (skipped(answer)) return;
  CHECK(answer == "1 thread, 45, 1");
}
#endif
