// A lock has one holder at a time; invalid lock files are refused before the work.
// SPDX-License-Identifier: MIT
#include "tenon/core/file_lock.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/stat.h>

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

TEST_CASE("a name may be as long as the system allows, with a lock of its own") {
  const Folder folder;
  for (const std::size_t length : {std::size_t{NAME_MAX} - 12, std::size_t{NAME_MAX} - 11, std::size_t{NAME_MAX}}) {
    const std::string name(length, 'n'), sibling = name.substr(1) + "o";
    const FileLock lock(folder / name), other(folder / sibling);
    CHECK_THAT(error_of([&] { FileLock second(folder / name); }), ContainsSubstring("is locked by another process"));
    write_file_atomically(lock, std::span<const Bytes>());
    CHECK(path_kind(folder / name) == PathKind::file);
    ::unlink((folder / name).c_str());
  }
  CHECK(folder.list().empty());
}

TEST_CASE("a write-protected file, and one that only another user can replace, are refused at the lock") {
  const Folder folder;
  put(folder / "f", "kept");
  const auto lock_as_nobody = [&] {
    return in_child([&] {
      become_nobody();
      return error_of([&] { FileLock lock(folder / "f"); });
    });
  };
  ::chmod((folder / "f").c_str(), 0444);
  CHECK_THAT(lock_as_nobody(), StartsWith("[write_file] cannot write to the file: Permission denied"));
  ::chmod((folder / "f").c_str(), 0666);
  CHECK(lock_as_nobody() == "no error");
  if (::geteuid() == 0) {  // the file and the folder belong to root
    ::chmod(folder.path().c_str(), 01777);
    CHECK(
        lock_as_nobody() ==
        "[write_file] the file belongs to another user, and in a folder with the sticky bit only its owner can replace "
        "it; write to another file (" +
            folder / "f" + ")");
  }
  CHECK(folder.list() == "f");
}

TEST_CASE("a second holder is refused") {
  const Folder folder;
  const std::string refusal =
      "[write_file] " + folder / "f" + " is locked by another process; wait until it ends, or write to another file";
  {
    const FileLock lock(folder / "f");
    CHECK(lock.path() == folder / "f");
    CHECK(error_of([&] { FileLock second(folder / "f"); }) == refusal);
    CHECK(error_of([&] { write_file_atomically(folder / "f", "x"); }) == refusal);
    CHECK(in_child([&] { return error_of([&] { FileLock second(folder / "f"); }); }) == refusal);
    write_file_atomically(lock, std::span<const Bytes>());
    FileLock other(folder / "g");  // another file is another lock
    CHECK(folder.list() == ".f.tenon-lock .g.tenon-lock f");
    other = FileLock(folder / "h");
    CHECK(folder.list() == ".f.tenon-lock .h.tenon-lock f");
  }
  CHECK(folder.list() == "f");
  FileLock again(folder / "f");
  const FileLock moved(std::move(again));
  CHECK(error_of([&] { FileLock second(folder / "f"); }) == refusal);
}

TEST_CASE("a lock ends with its process, and its file is taken over") {
  const Folder folder;
  CHECK(in_child([&]() -> std::string {
          const FileLock lock(folder / "f");
          ::raise(SIGKILL);
          return "alive";
        }) == "killed by signal 9");
  CHECK(folder.list() == ".f.tenon-lock");
  ::chmod((folder / ".f.tenon-lock").c_str(), 0444);
  CHECK(in_child([&] {
          become_nobody();
          return error_of([&] { FileLock lock(folder / "f"); });
        }) == "no error");
  CHECK(folder.list().empty());
}

TEST_CASE("of processes that lock and unlock in turn, one at a time holds the lock") {
  const Folder folder;
  std::vector<pid_t> children;
  for (int c = 0; c < 4; ++c) {
    const pid_t child = ::fork();
    if (child == 0) {
      int turns = 0;
      for (int i = 0; i < 100000 && turns < 1000; ++i) {
        try {
          const FileLock lock(folder / "f");
          if (!detail::open_fd(folder / "inside", O_CREAT | O_EXCL, 0666)) ::_exit(2);
          ::sched_yield();
          ::unlink((folder / "inside").c_str());
          ++turns;
        } catch (const Error&) {
          ::sched_yield();
        }
      }
      ::_exit(turns > 0 ? 0 : 3);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
}

TEST_CASE("files of the user with names like those of locks and temporary files are left alone") {
  const Folder folder;
  for (const char* name : {"f.lock", "f.tmp", ".f.lock", ".f.tmp"}) put(folder / name, name);
  const FileLock lock(folder / "f"), other(folder / "f.lock");
  write_file_atomically(lock, std::span<const Bytes>());
  write_file_atomically(other, std::span<const Bytes>());
  for (const char* name : {"f.tmp", ".f.lock", ".f.tmp"}) CHECK(get(folder / name) == name);
  CHECK(folder.list() == ".f.lock .f.lock.tenon-lock .f.tenon-lock .f.tmp f f.lock f.tmp");
  for (const char* name : {".f.tenon-lock", ".g.tenon-tmp"})
    CHECK(error_of([&] { FileLock refused(folder / name); }) ==
          "[write_file] this name is reserved for locks and temporary files; choose another one (" + folder / name +
              ")");
}

TEST_CASE("the lock of a file whose name ends with .probe does not touch it") {
  const Folder folder;
  const FileLock probe(folder / "f.probe");
  put(folder / ".f.probe.tenon-tmp", "the temporary file of f.probe");
  { const FileLock lock(folder / "f"); }
  CHECK(get(folder / ".f.probe.tenon-tmp") == "the temporary file of f.probe");
}

TEST_CASE("the copy of a lock in a child does not end it") {
  const Folder folder;
  FileLock lock(folder / "f");
  in_child([&] {
    const FileLock moved(std::move(lock));
    return std::string();
  });
  CHECK_THAT(error_of([&] { FileLock second(folder / "f"); }), ContainsSubstring("is locked by another process"));
}

TEST_CASE("a lock of a relative path stays with its file when the working folder changes") {
  const Folder folder;
  const std::string wrote = in_child([&] {
    if (::chdir(folder.path().c_str()) != 0 || ::mkdir("other", 0777) != 0) return std::string("no folder");
    const FileLock lock("f");
    if (::chdir("other") != 0) return std::string("no folder");
    const Bytes bytes = bytes_of(std::string_view("text"));
    write_file_atomically(lock, std::span(&bytes, 1));
    return std::string("written");
  });
  CHECK(wrote == "written");
  CHECK(get(folder / "f") == "text");
  CHECK(folder.list() == "f other");
}

TEST_CASE("a lock that another user holds is named") {
  if (::geteuid() != 0) return skip_test("only root can become another user");
  const Folder folder;
  ::chmod(folder.path().c_str(), 0777);
  const ::mode_t old = ::umask(077);
  const FileLock lock(folder / "f");
  ::umask(old);
  const std::string error = in_child([&] {
    become_nobody();
    return error_of([&] { FileLock second(folder / "f"); });
  });
  CHECK_THAT(error, ContainsSubstring("is locked by a process of another user"));
}
