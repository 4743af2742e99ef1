// Files are written completely or not at all.
// SPDX-License-Identifier: MIT
#include "tenon/core/write_file.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

TEST_CASE("write_file_atomically writes the pieces one after another, and nothing else stays") {
  const Folder folder;
  const Bytes pieces[] = {bytes_of("ab"), {}, bytes_of("cde")};
  write_file_atomically(folder / "f", pieces);
  CHECK(get(folder / "f") == "abcde");
  write_file_atomically(folder / "f", "shorter");
  CHECK(get(folder / "f") == "shorter");
  write_file_atomically(folder / "f", "");
  CHECK(get(folder / "f").empty());
  CHECK(folder.list() == "f");
}

TEST_CASE("write_file_atomically works in the current folder") {
  const Folder folder;
  CHECK(in_child([&] {
          if (::chdir(folder.path().c_str()) != 0) return std::string("chdir");
          write_file_atomically("f", "x");
          return get("f");
        }) == "x");
}

TEST_CASE("a written file has mode 0666 less umask, whatever an interrupted writer left") {
  const Folder folder;
  for (const mode_t mask : {0022, 0077, 0}) {
    put(folder / ".f.tenon-tmp", "left");
    ::chmod((folder / ".f.tenon-tmp").c_str(), 0400);
    const mode_t before = ::umask(mask);
    write_file_atomically(folder / "f", "x");
    ::umask(before);
    struct stat status;
    REQUIRE(::stat((folder / "f").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == (0666 & ~mask));
    CHECK(folder.list() == "f");
  }
}

TEST_CASE("a link is followed: its target is replaced, and is locked under both names") {
  const Folder folder;
  put(folder / "real/f", "old");
  REQUIRE(::symlink("real/f", (folder / "link").c_str()) == 0);
  write_file_atomically(folder / "link", "new");
  CHECK(get(folder / "real/f") == "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  const FileLock lock(folder / "link");
  CHECK_THAT(error_of([&] { FileLock second(folder / "real/f"); }), ContainsSubstring("is locked by another process"));
}

TEST_CASE("write_file_atomically refuses, and says why") {
  const Folder folder;
  const auto write = [](const std::string& path) { return error_of([&] { write_file_atomically(path, "x"); }); };
  CHECK(write(folder.path()) == "[write_file] this is a folder, not a file (" + folder.path() + ")");
  CHECK(write(folder / "f/") == "[write_file] this names a folder; name a file in it (" + folder / "f/" + ")");
  CHECK(write("") == "[write_file] the file name is empty");
  CHECK(write("/dev/null") == "[write_file] this is a device or a pipe, not a regular file (/dev/null)");
  CHECK(write(folder / "none/f") ==
        "[write_file] cannot create files in the folder: No such file or directory (" + folder / "none/f" + ")");
  put(folder / "file", "");
  CHECK_THAT(write(folder / "file/f"), ContainsSubstring(": Not a directory"));
  REQUIRE(::symlink("nowhere", (folder / "link").c_str()) == 0);
  CHECK_THAT(write(folder / "link"), StartsWith("[write_file] cannot follow the symbolic link"));
  CHECK(folder.list() == "file link");

  ::chmod(folder.path().c_str(), 0555);
  CHECK_THAT(in_child([&] {
               become_nobody();
               return write(folder / "f");
             }),
             StartsWith("[write_file] cannot create files in the folder: Permission denied"));
}

TEST_CASE("a write that fails in the middle leaves the old file and no temporary") {
  const Folder folder;
  put(folder / "f", "old");
  const std::string answer = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10000, 10000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    return error_of([&] { write_file_atomically(folder / "f", std::string(20000, 'x')); });
  });
  CHECK_THAT(answer, StartsWith("[write_file] cannot write 20000 bytes: File too large; raise "));
  CHECK(get(folder / "f") == "old");
  CHECK(folder.list() == "f");
}

TEST_CASE("a temporary file of an interrupted writer that cannot be removed is named") {
  const Folder folder;
  put(folder / ".f.tenon-tmp/x", "");
  CHECK_THAT(error_of([&] { FileLock lock(folder / "f"); }), StartsWith("[write_file] cannot remove the temporary"));
  CHECK(folder.list() == ".f.tenon-tmp");
  CHECK_THAT(error_of([&] { write_file_atomically(folder / "f", "x"); }),
             StartsWith("[write_file] cannot remove the temporary file of an interrupted writer") &&
                 EndsWith(".f.tenon-tmp)"));
}

TEST_CASE("a writer killed at any instant leaves the old or the new file, whole") {
  const Folder folder;
  const auto content = [](int i) {
    return std::string(1 + static_cast<std::size_t>(i) * 7919 % 200000, static_cast<char>('a' + i % 26));
  };
  write_file_atomically(folder / "f", content(0));
  bool interrupted = false;  // a temporary file must be left at least once
  std::size_t last = 0, changes = 0;
  for (int kill = 0; kill < 60; ++kill) {
    const pid_t child = ::fork();
    if (child == 0) {
      const FileLock lock(folder / "f");
      for (int i = kill;; ++i) {
        const std::string text = content(i);
        const Bytes pieces[] = {bytes_of(text).first(text.size() / 2), bytes_of(text).subspan(text.size() / 2)};
        write_file_atomically(lock, pieces);
      }
    }
    const timespec delay{0, 1000000L + kill * 7777777L % 20000000L};
    ::nanosleep(&delay, nullptr);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));

    interrupted = interrupted || std::filesystem::exists(folder / ".f.tenon-tmp");
    const std::string text = get(folder / "f");
    REQUIRE(!text.empty());
    REQUIRE(text.find_first_not_of(text[0]) == std::string::npos);
    bool whole = false;
    for (int i = 0; i < 5000 && !whole; ++i) whole = content(i).size() == text.size() && content(i)[0] == text[0];
    REQUIRE(whole);
    changes += text.size() != last;
    last = text.size();
  }
  CHECK(interrupted);
  CHECK(changes > 10);
  write_file_atomically(folder / "f", "done");
  CHECK(folder.list() == "f");
}
