// The advice for a file that a process in a container cannot access depends on the container engine.
// SPDX-License-Identifier: MIT
#include "tenon/core/container.hpp"

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

const std::string whole = "         0          0 4294967295\n";
const std::string owner = "run the container as the owner of the mounted folder: --user \"$(id -u):$(id -g)\"";

struct Case {
  const char *uid_map, *label, *enforce;
  std::uint64_t user;
};

std::string advice(const Case& c, int code = EACCES) {
  const Folder root;
  put(root / "proc/self/uid_map", c.uid_map);
  if (*c.label) put(root / "proc/self/attr/current", c.label);
  if (*c.enforce) put(root / "sys/fs/selinux/enforce", c.enforce);
  return detail::access_advice(code, root.path(), c.user);
}

}  // namespace

TEST_CASE("a file that may not be used: the advice fits how the engine numbers users") {
  CHECK(advice({whole.c_str(), "", "", 65532}) == owner);
  CHECK(advice({"", "", "", 0}) == owner);  // no /proc
  const std::string rootless =
      "under a rootless engine run the container with --userns=keep-id (Podman) or --user 0:0, and mount a folder of "
      "the "
      "user who starts it";
  CHECK(advice({"0 1000 1\n1 100000 65536\n", "", "", 65532}) == rootless);
  CHECK(advice({"0 54321 1\n", "", "", 0}) == rootless);
  CHECK(advice({"0 1 1000\n1000 0 1\n1001 1001 64536\n", "", "", 1000}) == rootless);  // keep-id, another user's folder
  const std::string renumbered =
      "the engine renumbers users: on the host the folder must be writable for user 165532, or run the container with "
      "--userns=host";
  CHECK(advice({"0 100000 65536\n", "", "", 65532}) == renumbered);
}

TEST_CASE("a file that may not be used: SELinux is named where it confines") {
  const std::string relabel = "; SELinux is active here: mount the folder with :Z (-v FOLDER:/models:Z)";
  const char* const label = "system_u:system_r:container_t:s0:c12,c345\n";
  CHECK(advice({whole.c_str(), label, "", 1}) == owner + relabel);
  CHECK(advice({whole.c_str(), label, "1", 1}) == owner + relabel);
  CHECK(advice({whole.c_str(), label, "0", 1}) == owner);  // permissive
  CHECK_THAT(advice({"0 1000 1\n", label, "", 1}), StartsWith("under a rootless") && EndsWith(relabel));
  for (const char* other : {"docker-default (enforce)\n", "unconfined\n", "system_u:system_r:spc_t:s0\n",
                            "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023\n", ":root://profile (enforce)\n"})
    CHECK(advice({whole.c_str(), other, "", 1}) == owner);
}

TEST_CASE("other errors have other advice, or none") {
  CHECK_THAT(advice({whole.c_str(), "", "", 1}, EROFS), StartsWith("the folder is mounted read-only"));
  for (const int code : {ENOENT, EPERM, ENOSPC, EIO}) CHECK(advice({whole.c_str(), "", "", 1}, code).empty());
}

TEST_CASE("outside of a container there is no advice, and errno stays") {
  CHECK(in_child([] {
          ::setenv("container", "podman", 1);
          errno = EDOM;
          const bool some = !container_advice(EACCES).empty();
          return std::string(some && errno == EDOM ? "advice" : "none");
        }) == "advice");
  ::unsetenv("container");
  if (!in_container()) CHECK(container_advice(EACCES).empty());
}
