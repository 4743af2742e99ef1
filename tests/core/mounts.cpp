// Writing on file systems made for the test: a full one, a read-only one, a file that is a mount point. Needs the right
// to mount in a separate namespace (root, or unprivileged user namespaces); skipped without it.
// SPDX-License-Identifier: MIT
#include <sched.h>
#include <sys/mount.h>

#include "catch.hpp"
#include "files.hpp"
#include "tenon/core/write_file.hpp"

using namespace tenon;

namespace {

// Mounts a small file system at `at` in a process with a separate mount namespace and runs f there.
template <class F>
std::string with_mount(const std::string& at, const char* options, F f) {
  return in_child([&]() -> std::string {
    const std::string user = std::to_string(::geteuid()) + " ", group = std::to_string(::getegid()) + " ";
    if (::unshare(CLONE_NEWNS) != 0) {
      if (::unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0) return "skip: no mount namespace";
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << user << user << "1";
      std::ofstream("/proc/self/gid_map") << group << group << "1";
    }
    ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (::mount("tenon-test", at.c_str(), "tmpfs", 0, options) != 0) return "skip: may not mount";
    return f();
  });
}

bool skipped(const std::string& answer) {
  if (answer.rfind("skip: ", 0) != 0) return false;
  skip_test(answer.substr(6));
  return true;
}

std::string write(const std::string& path, std::size_t bytes) {
  return error_of([&] { write_file_atomically(path, std::string(bytes, 'x')); });
}

}  // namespace

TEST_CASE("a full disk: the error says how much was written, the old file stays, no temporary file does") {
  const Folder folder;
  const std::string answer = with_mount(folder.path(), "size=64k", [&] {
    put(folder / "f", "old");
    const std::string refusal = write(folder / "f", 100000), kept = get(folder / "f") + " in " + folder.list();
    return refusal + "\n" + kept + "\n" + write(folder / "f", 20000);
  });
  if (skipped(answer)) return;
  CHECK(answer ==
        "[write_file] cannot write 100000 bytes: No space left on device (" + folder / "f" + ")\nold in f\nno error");
}

TEST_CASE("a full disk: the lock is refused") {
  const Folder folder;
  const std::string answer = with_mount(folder.path(), "size=64k,nr_inodes=2", [&] {
    put(folder / "f", "old");
    return write(folder / "g", 1);
  });
  if (skipped(answer)) return;
  CHECK_THAT(answer, ContainsSubstring(": No space left on device"));
}

TEST_CASE("a read-only file system is refused before anything is written") {
  const Folder folder;
  const std::string answer = with_mount(folder.path(), "ro", [&] { return write(folder / "f", 1); });
  if (skipped(answer)) return;
  CHECK_THAT(answer, StartsWith("[write_file] cannot create files in the folder: Read-only file system"));
}

TEST_CASE("a file that is a mount point: refused by the lock, and by the write if mounted later") {
  const Folder folder;
  std::filesystem::create_directory(folder / "m");
  const std::string advice =
      "[write_file] the file is a mount point, so it cannot be replaced; mount its folder, not the file (" +
      folder / "m/f" + ")";
  const std::string answer = with_mount(folder / "m", "size=64k", [&]() -> std::string {
    put(folder / "host", "host");
    put(folder / "m/f", "old");
    const FileLock lock(folder / "m/f");
    if (::mount((folder / "host").c_str(), (folder / "m/f").c_str(), nullptr, MS_BIND, nullptr) != 0)
      return "skip: no bind mount";
    const std::string late = error_of([&] { write_file_atomically(lock, std::span<const Bytes>()); });
    return late + "\n" + write(folder / "m/f", 1) + "\n" + get(folder / "m/f");
  });
  if (skipped(answer)) return;
  CHECK_THAT(answer, StartsWith(advice + "\n[write_file] ") && EndsWith("\nhost"));
#if defined(STATX_ATTR_MOUNT_ROOT)
  CHECK(answer == advice + "\n" + advice + "\nhost");
#endif
}
