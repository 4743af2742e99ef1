// The number of threads and the memory that this process may use. They are the machine's, unless a cgroup (a container's
// limits) or the affinity mask allows less.
// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/sysinfo.h>
#endif

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tenon/core/error.hpp"
#include "tenon/core/posix.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

namespace detail {

#if defined(__linux__)
struct AffinityMask {  // nvcc 13 rejects a vector of cpu_set_t, because that struct is unnamed
  cpu_set_t set;
};
#endif

__attribute__((cold)) inline int affinity_threads() {
#if defined(__linux__)
  for (std::size_t sets = 1; sets <= 1024; sets *= 2) {  // 1024 processors per set; EINVAL: too few sets
    std::vector<AffinityMask> mask(sets);
    const std::size_t size = sets * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, size, &mask[0].set) == 0) return std::max(1, CPU_COUNT_S(size, &mask[0].set));
    if (errno != EINVAL) break;
  }
#endif
  return static_cast<int>(std::clamp(::sysconf(_SC_NPROCESSORS_ONLN), 1L, 1L << 20));
}

/// The number at the start of a text, or -1 if there is none ("max", which means no limit).
inline long long leading_number(std::string_view text) {
  long long value = -1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Calls f(folder, is_version_2) for the folder of this process's cgroup under that controller and for the folders of all
/// its parents. In a container without a cgroup namespace, /proc/self/cgroup has the host's path, which does not exist
/// inside the container. Its last parent does exist, because the root of the mount is the container's own group. `root`
/// replaces / in tests.
template <class F>
__attribute__((cold)) void for_each_cgroup(const std::string& root, const std::string& controller, F f) {
  const std::string groups = system_file(root + "/proc/self/cgroup");  // lines of id:controllers:path
  for (std::size_t at = 0, end; at < groups.size(); at = end + 1) {
    end = std::min(groups.find('\n', at), groups.size());
    const std::string line = groups.substr(at, end - at);
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && ("," + controllers + ",").find("," + controller + ",") == std::string::npos) continue;

    for (const std::string& mount :
         v2 ? std::vector<std::string>{"", "/unified"} : std::vector<std::string>{"/" + controllers, "/" + controller})
      for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
        f(root + "/sys/fs/cgroup" + mount + path, v2);
        if (path.rfind('/') == std::string::npos) break;
      }
  }
}

/// The smallest CPU limit of this process's cgroup and its parents, rounded up to whole threads. INT_MAX without a limit.
__attribute__((cold)) inline int cgroup_threads(const std::string& root) {
  long long threads = INT_MAX;
  for_each_cgroup(root, "cpu", [&](const std::string& group, bool v2) {
    long long quota = 0, period = 0;
    if (v2) {
      const std::string max = system_file(group + "/cpu.max");  // "150000 100000" or "max 100000"
      const std::size_t space = max.find(' ');
      if (space == std::string::npos) return;
      quota = leading_number(max), period = leading_number(std::string_view(max).substr(space + 1));
    } else {
      quota = leading_number(system_file(group + "/cpu.cfs_quota_us"));
      period = leading_number(system_file(group + "/cpu.cfs_period_us"));
    }
    if (quota > 0 && period > 0) threads = std::min(threads, std::max(1LL, quota / period + (quota % period != 0)));
  });
  return static_cast<int>(threads);
}

inline constexpr std::uint64_t no_memory_limit = std::numeric_limits<std::uint64_t>::max();

/// The smallest memory limit of this process's cgroup and its parents in bytes, without swap. no_memory_limit if none.
__attribute__((cold)) inline std::uint64_t cgroup_memory(const std::string& root) {
  std::uint64_t bytes = no_memory_limit;
  for_each_cgroup(root, "memory", [&](const std::string& group, bool v2) {
    const long long limit = leading_number(system_file(group + (v2 ? "/memory.max" : "/memory.limit_in_bytes")));
    // In version 1 "no limit" is 2^63 minus one page. A limit of 0 is possible, but no process could run with it.
    if (limit > 0 && limit < (1LL << 60)) bytes = std::min(bytes, static_cast<std::uint64_t>(limit));
  });
  return bytes;
}

/// Memory and swap of the machine in bytes.
__attribute__((cold)) inline std::uint64_t machine_memory() {
#if defined(__linux__)
  struct sysinfo info {};
  if (::sysinfo(&info) == 0 && info.totalram > 0)
    return (std::uint64_t{info.totalram} + std::uint64_t{info.totalswap}) * info.mem_unit;
#endif
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) : no_memory_limit;
}

/// Bytes of memory that this process uses now; 0 if unknown.
__attribute__((cold)) inline std::uint64_t resident_memory() {
  const std::string statm = system_file("/proc/self/statm");  // pages: size, resident, ...
  const std::size_t space = statm.find(' ');
  if (space == std::string::npos) return 0;
  const long long pages = leading_number(std::string_view(statm).substr(space + 1));
  return pages > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

/// "512.0 MiB", "3.1 GiB".
__attribute__((cold)) inline std::string memory_text(std::uint64_t bytes) {
  int unit = 0;
  double value = static_cast<double>(bytes);
  for (; value >= 1024 && unit < 6; ++unit) value /= 1024;
  const auto tenths = static_cast<std::uint64_t>(std::llround(value * 10));
  static constexpr std::string_view units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::string text = std::to_string(tenths / 10);
  if (unit > 0) text.append(".").append(std::to_string(tenths % 10));
  return text.append(" ").append(units[unit]);
}

/// Throws Error unless used + bytes <= allowed.
__attribute__((cold)) inline void check_memory(std::uint64_t bytes, std::uint64_t used, std::uint64_t allowed,
                                               std::string_view operation, std::string_view where) {
  if (used <= allowed && bytes <= allowed - used) return;
  std::string text = "expected to need at most ";
  text.append(memory_text(allowed - std::min(allowed, used))).append(" more memory, got ").append(memory_text(bytes));
  text.append("; this process may use ").append(memory_text(allowed)).append(" and uses ").append(memory_text(used));
  throw Error(operation, text, where);
}

}  // namespace detail

/// Threads that this process may use: the minimum of its affinity mask and its cgroup's CPU limit (rounded up), at least 1.
inline int allowed_threads() { return std::min(detail::affinity_threads(), detail::cgroup_threads("")); }

/// Bytes of memory that this process may use: the minimum of the machine's memory with swap and the limits of its cgroup
/// and all parents of that cgroup (versions 1 and 2). The kernel kills a process that uses more.
inline std::uint64_t allowed_memory() { return std::min(detail::machine_memory(), detail::cgroup_memory("")); }

/// Throws Error, with the numbers, if `bytes` more would exceed allowed_memory(). Call it before using that much memory,
/// because the kernel kills a process that exceeds a cgroup's limit. Sizes below 1 MiB are not checked.
inline void require_memory(std::uint64_t bytes, std::string_view operation, std::string_view where = {}) {
  if (bytes < (1u << 20)) return;
  detail::check_memory(bytes, detail::resident_memory(), allowed_memory(), operation, where);
}

}  // namespace tenon

TENON_IEEE_MATH_END
