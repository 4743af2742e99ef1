// os: threads allowed, files read whole or refused, files written whole or not at all.
// SPDX-License-Identifier: MIT
#include "tenon/core/os.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

TEST_CASE("allowed_threads is at least one and heeds the affinity mask") {
  CHECK(allowed_threads() >= 1);
  CHECK(in_child([] {
          cpu_set_t mask, one;
          ::sched_getaffinity(0, sizeof mask, &mask);
          CPU_ZERO(&one);
          for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
            if (CPU_ISSET(i, &mask)) CPU_SET(i, &one);
          ::sched_setaffinity(0, sizeof one, &one);
          return std::to_string(allowed_threads());
        }) == "1");
}

TEST_CASE("cgroup limits are found, rounded up, the least of all levels") {
  const Folder root;
  const auto threads = [&] { return detail::cgroup_threads(root.path()); };
  const auto groups = [&](const char* text) { put(root / "proc/self/cgroup", text); };
  const auto v2 = [&](const std::string& group, const char* text) {
    put(root / ("sys/fs/cgroup" + group + "/cpu.max"), text);
  };

  SECTION("nothing to read") { CHECK(threads() == INT_MAX); }
  SECTION("version 2, no limit") {
    groups("0::/user.slice/a\n");
    v2("/user.slice/a", "max 100000\n");
    CHECK(threads() == INT_MAX);
  }
  SECTION("version 2, own group") {
    groups("0::/user.slice/a\n");
    v2("/user.slice/a", "150000 100000\n");
    CHECK(threads() == 2);
  }
  SECTION("version 2, a parent's limit counts") {
    groups("0::/a/b/c\n");
    v2("/a/b/c", "800000 100000\n");
    v2("/a/b", "max 100000\n");
    v2("/a", "300000 100000\n");
    CHECK(threads() == 3);
  }
  SECTION("version 2, the path is the host's and the mount is the container's own group") {
    groups("0::/system.slice/docker-0123.scope\n");
    v2("", "200000 100000\n");
    CHECK(threads() == 2);
  }
  SECTION("less than one processor is one thread") {
    groups("0::/\n");
    v2("", "5000 100000\n");
    CHECK(threads() == 1);
  }
  SECTION("version 1") {
    groups("4:cpuset:/x\n3:cpu,cpuacct:/docker/0123\n1:name=systemd:/\n");
    put(root / "sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_quota_us", "250000\n");
    put(root / "sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_period_us", "100000\n");
    CHECK(threads() == 3);
  }
  SECTION("version 1, mounted as cpu alone, no limit inside, one at the root") {
    groups("3:cpu,cpuacct:/docker/0123\n");
    put(root / "sys/fs/cgroup/cpu/docker/0123/cpu.cfs_quota_us", "-1\n");
    put(root / "sys/fs/cgroup/cpu/docker/0123/cpu.cfs_period_us", "100000\n");
    put(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
    put(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK(threads() == 4);
  }
  SECTION("cpuset is not cpu") {
    groups("3:cpuset:/x\n");
    put(root / "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n");
    put(root / "sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
    CHECK(threads() == INT_MAX);
  }
  SECTION("garbage is no limit") {
    groups("::\nx\n0::\n7:cpu:\n0::/a b\n");
    v2("/a b", "x y\n");
    v2("", "0 0\n");
    CHECK(threads() == INT_MAX);
  }
}

TEST_CASE("same_file knows a file under any of its names, and one that is still to be made") {
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

TEST_CASE("folder_problem says what is in the way") {
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
  CHECK(as_nobody(folder / "locked") == "\"Permission denied\"");
  CHECK(as_nobody(folder / "locked/inner") == "\"Permission denied\"");
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

TEST_CASE("read_file refuses, in a sentence") {
  const Folder folder;
  put(folder / "ten", "0123456789");
  CHECK(error_of([&] { read_file(folder / "none"); }) ==
        "[read_file] expected a readable file, got \"No such file or directory\" (" + folder / "none" + ")");
  CHECK(error_of([&] { read_file(folder.path()); }) ==
        "[read_file] expected a file, got a directory (" + folder.path() + ")");
  CHECK(error_of([&] { read_file(folder / "ten", 9); }) ==
        "[read_file] expected at most 9 bytes, got 10 (" + folder / "ten" + ")");
  CHECK_THAT(error_of([&] { read_file("/dev/zero", 1 << 20); }),
             StartsWith("[read_file] expected at most 1048576 bytes, got more"));
  ::chmod((folder / "ten").c_str(), 0);
  CHECK_THAT(in_child([&] {
               become_nobody();
               return error_of([&] { read_file(folder / "ten"); });
             }),
             StartsWith("[read_file] expected a readable file, got \"Permission denied\""));
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

TEST_CASE("a link is followed: the file it names is replaced, and stays locked under either name") {
  const Folder folder;
  put(folder / "real/f", "old");
  REQUIRE(::symlink("real/f", (folder / "link").c_str()) == 0);
  write_file_atomically(folder / "link", "new");
  CHECK(get(folder / "real/f") == "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  const FileLock lock(folder / "link");
  CHECK_THAT(error_of([&] { FileLock second(folder / "real/f"); }),
             StartsWith("[write_file] expected to be the only writer"));
}

TEST_CASE("files with names like those of locks and temporaries are others'") {
  const Folder folder;
  for (const char* name : {"f.lock", "f.tmp", ".f.lock", ".f.tmp"}) put(folder / name, name);
  const FileLock lock(folder / "f"), other(folder / "f.lock");
  write_file_atomically(lock, std::span<const Bytes>());
  write_file_atomically(other, std::span<const Bytes>());
  for (const char* name : {"f.tmp", ".f.lock", ".f.tmp"}) CHECK(get(folder / name) == name);
  CHECK(folder.list() == ".f.lock .f.lock.tenon-lock .f.tenon-lock .f.tmp f f.lock f.tmp");
  for (const char* name : {".f.tenon-lock", ".g.tenon-tmp"})
    CHECK(error_of([&] { FileLock refused(folder / name); }) ==
          "[write_file] expected another name than those of locks and temporary files, got one (" + folder / name +
              ")");
}

TEST_CASE("a name may be as long as the system allows, with a lock of its own") {
  const Folder folder;
  for (const std::size_t length : {std::size_t{NAME_MAX} - 12, std::size_t{NAME_MAX} - 11, std::size_t{NAME_MAX}}) {
    const std::string name(length, 'n'), sibling = name.substr(1) + "o";
    const FileLock lock(folder / name), other(folder / sibling);
    CHECK_THAT(error_of([&] { FileLock second(folder / name); }), ContainsSubstring("only writer"));
    write_file_atomically(lock, std::span<const Bytes>());
    CHECK(path_kind(folder / name) == PathKind::file);
    ::unlink((folder / name).c_str());
  }
  CHECK(folder.list().empty());
}

TEST_CASE("a file that is protected, or that only another may replace, is refused at the lock") {
  const Folder folder;
  put(folder / "f", "kept");
  const auto lock_as_nobody = [&] {
    return in_child([&] {
      become_nobody();
      return error_of([&] { FileLock lock(folder / "f"); });
    });
  };
  ::chmod((folder / "f").c_str(), 0444);
  CHECK_THAT(lock_as_nobody(),
             StartsWith("[write_file] expected a file that may be written to, got \"Permission denied\""));
  ::chmod((folder / "f").c_str(), 0666);
  CHECK(lock_as_nobody() == "no error");
  if (::geteuid() == 0) {  // the file and the folder are root's
    ::chmod(folder.path().c_str(), 01777);
    CHECK(
        lock_as_nobody() ==
        "[write_file] expected a file of one's own, as only owners may replace theirs in a sticky folder, got another "
        "user's (" +
            folder / "f" + ")");
  }
  CHECK(folder.list() == "f");
}

TEST_CASE("write_file_atomically refuses, in a sentence") {
  const Folder folder;
  const auto write = [](const std::string& path) { return error_of([&] { write_file_atomically(path, "x"); }); };
  CHECK(write(folder.path()) == "[write_file] expected a file, got a directory (" + folder.path() + ")");
  CHECK(write(folder / "f/") == "[write_file] expected a file name, got a folder's (" + folder / "f/" + ")");
  CHECK(write("") == "[write_file] expected a file name, got a folder's");
  CHECK(write("/dev/null") == "[write_file] expected a regular file, got a device or pipe (/dev/null)");
  CHECK(write(folder / "none/f") ==
        "[write_file] expected an existing folder that can be written to, got \"No such file or directory\" (" +
            folder / "none/f" + ")");
  put(folder / "file", "");
  CHECK_THAT(write(folder / "file/f"), ContainsSubstring("got \"Not a directory\""));
  REQUIRE(::symlink("nowhere", (folder / "link").c_str()) == 0);
  CHECK_THAT(write(folder / "link"), StartsWith("[write_file] expected a link to a file"));
  CHECK(folder.list() == "file link");

  ::chmod(folder.path().c_str(), 0555);
  CHECK_THAT(in_child([&] {
               become_nobody();
               return write(folder / "f");
             }),
             StartsWith("[write_file] expected an existing folder that can be written to, got \"Permission denied\""));
}

TEST_CASE("a write that fails half-way leaves the old file and no temporary") {
  const Folder folder;
  put(folder / "f", "old");
  const std::string answer = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10000, 10000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    return error_of([&] { write_file_atomically(folder / "f", std::string(20000, 'x')); });
  });
  CHECK_THAT(answer,
             StartsWith("[write_file] expected a file of 20000 bytes to be allowed, got \"File too large\"; raise "));
  CHECK(get(folder / "f") == "old");
  CHECK(folder.list() == "f");
}

TEST_CASE("what an interrupted writer left and cannot be removed is named") {
  const Folder folder;
  put(folder / ".f.tenon-tmp/x", "");
  CHECK_THAT(
      error_of([&] { write_file_atomically(folder / "f", "x"); }),
      StartsWith("[write_file] expected to remove what an interrupted writer left") && EndsWith(".f.tenon-tmp)"));
}

TEST_CASE("a second writer is told so") {
  const Folder folder;
  const std::string refusal =
      "[write_file] expected to be the only writer, got another one at work; wait for it to end, "
      "or write to another file (" +
      folder / "f" + ")";
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

TEST_CASE("a lock ends with its process, and what that leaves is taken over") {
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

TEST_CASE("of processes that lock and let go in turn, one at a time is inside") {
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

TEST_CASE("a writer killed at any instant leaves the old or the new file, whole") {
  const Folder folder;
  const auto content = [](int i) {
    return std::string(1 + static_cast<std::size_t>(i) * 7919 % 200000, static_cast<char>('a' + i % 26));
  };
  write_file_atomically(folder / "f", content(0));
  bool interrupted = false;  // a temporary was left at least once, or the test proves nothing
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
