// Threads and memory that this process may use.
// SPDX-License-Identifier: MIT
#include "tenon/core/resources.hpp"

#include <sched.h>

#include "catch.hpp"
#include "files.hpp"
#include "tenon/core/buffer.hpp"

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

TEST_CASE("cpu limits of cgroups are found, rounded up, the smallest of all levels") {
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

TEST_CASE("memory limits of cgroups are found, the smallest of all levels") {
  const Folder root;
  const auto memory = [&] { return detail::cgroup_memory(root.path()); };
  const auto groups = [&](const char* text) { put(root / "proc/self/cgroup", text); };
  const auto v2 = [&](const std::string& group, const char* text) {
    put(root / ("sys/fs/cgroup" + group + "/memory.max"), text);
  };
  const auto v1 = [&](const std::string& group, const char* text) {
    put(root / ("sys/fs/cgroup/memory" + group + "/memory.limit_in_bytes"), text);
  };

  SECTION("nothing to read") { CHECK(memory() == detail::no_memory_limit); }
  SECTION("version 2, no limit") {
    groups("0::/a\n");
    v2("/a", "max\n");
    CHECK(memory() == detail::no_memory_limit);
  }
  SECTION("version 2, a parent's limit counts") {
    groups("0::/a/b/c\n");
    v2("/a/b/c", "8589934592\n");
    v2("/a/b", "max\n");
    v2("/a", "536870912\n");
    CHECK(memory() == 536870912u);
  }
  SECTION("version 2, the path is the host's and the mount is the container's own group") {
    groups("0::/system.slice/docker-0123.scope\n");
    v2("", "1073741824\n");
    CHECK(memory() == 1073741824u);
  }
  SECTION("version 1, own group and parent") {
    groups("4:memory:/docker/0123\n3:cpu:/other\n");
    v1("/docker/0123", "9223372036854771712\n");
    CHECK(memory() == detail::no_memory_limit);
    v1("/docker", "2147483648\n");
    CHECK(memory() == 2147483648u);
    v1("/docker/0123", "1048576000\n");
    CHECK(memory() == 1048576000u);
    v1("/other", "1\n");
    CHECK(memory() == 1048576000u);
  }
  SECTION("version 1 with an empty version 2 beside it") {
    groups("4:memory:/a\n0::/\n");
    v1("/a", "300000000\n");
    CHECK(memory() == 300000000u);
  }
  SECTION("garbage is no limit") {
    groups("0::/a\n");
    v2("/a", "lots\n");
    v2("", "-5\n");
    CHECK(memory() == detail::no_memory_limit);
  }
}

TEST_CASE("memory that does not fit is refused with the numbers") {
  const std::uint64_t mib = 1 << 20;
  const auto check = [](std::uint64_t bytes, std::uint64_t used, std::uint64_t allowed) {
    return error_of([&] { detail::check_memory(bytes, used, allowed, "load", "f"); });
  };
  CHECK(check(500 * mib, 12 * mib, 512 * mib) == "no error");
  CHECK(check(501 * mib, 12 * mib, 512 * mib) ==
        "[load] expected to need at most 500.0 MiB more memory, got 501.0 MiB; this process may use 512.0 MiB and uses "
        "12.0 MiB (f)");
  CHECK_THAT(check(1, 20, 10), StartsWith("[load] expected to need at most 0 bytes more memory, got 1 bytes; "));
  CHECK_THAT(check(~std::uint64_t{0}, 10, 1000), ContainsSubstring("got 16.0 EiB"));
}

TEST_CASE("what this process may use and uses are plausible") {
  CHECK(allowed_memory() > std::uint64_t{1} << 24);
  CHECK(detail::resident_memory() > std::uint64_t{1} << 20);
  CHECK(detail::resident_memory() < allowed_memory());
  require_memory(1 << 22, "test");
  CHECK_THAT(error_of([] { require_memory(std::uint64_t{1} << 60, "test", "place"); }),
             StartsWith("[test] expected to need at most ") && EndsWith(" (place)"));
}

TEST_CASE("a buffer or a file larger than memory is an error before it is touched") {
  CHECK_THAT(error_of([] { Buffer<float> b(std::size_t{1} << 50); }), StartsWith("[memory] expected to need at most "));
  CHECK_THROWS_AS(Buffer<double>(std::size_t{1} << 62), std::bad_alloc);
  const Folder folder;
  put(folder / "huge", "");
  const std::uint64_t size = std::uint64_t{1} << 42;
  if (::truncate((folder / "huge").c_str(), static_cast<off_t>(size)) != 0) return skip_test("no file of 4 TiB here");
  if (allowed_memory() > size) return skip_test("more than 4 TiB of memory");
  CHECK_THAT(error_of([&] { read_file(folder / "huge"); }),
             StartsWith("[read_file] expected to need at most ") && ContainsSubstring("got 4.0 TiB"));
}
