// Files are read completely or refused; functions about paths.
// SPDX-License-Identifier: MIT
#include "tenon/core/file.hpp"

#include <sys/stat.h>

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

TEST_CASE("same_file knows a file under any of its names, and one that does not exist yet") {
  const Folder folder;
  put(folder / "d/f", "x");
  put(folder / "g", "x");
  REQUIRE(::symlink("d/f", (folder / "link").c_str()) == 0);
  REQUIRE(::symlink("d", (folder / "dlink").c_str()) == 0);
  REQUIRE(::link((folder / "d/f").c_str(), (folder / "hard").c_str()) == 0);
  for (const char* name : {"d/f", "./d/f", "d//f", "link", "dlink/f", "hard"}) {
    CAPTURE(name);
    CHECK(same_file(folder / "d/f", folder / name));
    CHECK_FALSE(same_file(folder / "g", folder / name));
    CHECK_FALSE(same_file(folder / "new", folder / name));
  }
  CHECK(same_file(folder / "d/new", folder / "dlink/new"));
  CHECK_FALSE(same_file(folder / "d/new", folder / "new"));
  CHECK_FALSE(same_file(folder / "d/new", folder / "d/newer"));
  CHECK_FALSE(same_file(folder / "none/new", folder / "nowhere/new"));
  CHECK(in_child([&] {
          const bool moved = ::chdir(folder.path().c_str()) == 0;
          return std::string(moved && same_file("new", "./new") && same_file("g", folder / "g") ? "same" : "other");
        }) == "same");
}

TEST_CASE("folder_problem says why files cannot be opened") {
  const Folder folder;
  put(folder / "locked/inner/f", "x");
  CHECK(folder_problem(folder.path()).empty());
  CHECK(folder_problem(folder / "locked/").empty());
  CHECK(folder_problem(folder / "none") == "no such folder");
  CHECK(folder_problem("") == "no such folder");
  CHECK(folder_problem(folder / "locked/inner/f") == "a file");
  ::chmod((folder / "locked").c_str(), 0);
  const auto as_nobody = [](const std::string& path) {
    return in_child([&] {
      become_nobody();
      return folder_problem(path);
    });
  };
  CHECK_THAT(as_nobody(folder / "locked"), StartsWith("\"Permission denied\""));
  CHECK_THAT(as_nobody(folder / "locked/inner"), StartsWith("\"Permission denied\""));
  ::chmod((folder / "locked").c_str(), 0755);
}

TEST_CASE("read_file gives the bytes") {
  const Folder folder;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{65536}, std::size_t{1000003}}) {
    std::string text(size, 'x');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7);
    put(folder / "f", text);
    CHECK(text_of(read_file(folder / "f")) == text);
    CHECK(text_of(read_file(folder / "f", size)) == text);
  }
}

TEST_CASE("read_file reads what has no size: pipes, and files of /proc") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], "abc", 3) == 3);
  ::close(ends[1]);
  CHECK(text_of(read_file("/dev/fd/" + std::to_string(ends[0]))) == "abc");
  ::close(ends[0]);
  CHECK_THAT(text_of(read_file("/proc/self/status")), StartsWith("Name:"));
}

TEST_CASE("read_file refuses, and says why") {
  const Folder folder;
  put(folder / "ten", "0123456789");
  CHECK(error_of([&] { read_file(folder / "none"); }) ==
        "[read_file] cannot open the file: No such file or directory (" + folder / "none" + ")");
  CHECK(error_of([&] { read_file(folder.path()); }) ==
        "[read_file] this is a folder, not a file (" + folder.path() + ")");
  CHECK(error_of([&] { read_file(folder / "ten", 9); }) ==
        "[read_file] expected at most 9 bytes, got 10 (" + folder / "ten" + ")");
  CHECK_THAT(error_of([&] { read_file("/dev/zero", 1 << 20); }),
             StartsWith("[read_file] expected at most 1048576 bytes, got more"));
  ::chmod((folder / "ten").c_str(), 0);
  CHECK_THAT(in_child([&] {
               become_nobody();
               return error_of([&] { read_file(folder / "ten"); });
             }),
             StartsWith("[read_file] cannot open the file: Permission denied"));
}

TEST_CASE("InputFile need not wait for a pipe's writer") {
  const Folder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0666) == 0);
  CHECK(InputFile(folder / "pipe", false).size() == InputFile::unknown);
}

TEST_CASE("InputFile reads on where it stopped") {
  const Folder folder;
  put(folder / "f", "headrest");
  InputFile file(folder / "f");
  CHECK(file.size() == 8);
  std::byte head[4];
  CHECK(file.read(head) == 4);
  std::vector<std::byte> rest;
  file.read_rest(rest, 4);
  CHECK(text_of(rest) == "rest");
  CHECK(file.read(head) == 0);
}
