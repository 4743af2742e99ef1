// Finds out whether this process runs in a container, and what to change there if access to a file is denied.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tenon/core/posix.hpp"

namespace tenon {

/// True if this process runs in a container, by the marks that Docker, Podman and systemd set.
inline bool in_container() {
  struct stat status;
  return std::getenv("container") != nullptr ||  // set by Podman and systemd
         ::stat("/.dockerenv", &status) == 0 || ::stat("/run/.containerenv", &status) == 0;
}

namespace detail {

/// How /proc/self/uid_map maps the user ids of this process's user namespace to those outside.
struct UserMapping {
  bool own_namespace = false;  // ids differ from those outside, or there are fewer users
  bool rootless = false;       // an ordinary user started the engine
  long long outside = -1;      // the id outside of this process's user; -1 if unknown
};

inline UserMapping user_mapping(const std::string& root, std::uint64_t user) {
  UserMapping result;
  const std::string map = system_file(root + "/proc/self/uid_map");  // lines of: first inside, first outside, count
  const char* p = map.data();
  const char* const end = p + map.size();
  const auto number = [&](std::uint64_t& value) {
    while (p < end && (*p == ' ' || *p == '\n')) ++p;
    const auto [next, error] = std::from_chars(p, end, value);
    p = next;
    return error == std::errc{};
  };
  std::uint64_t inside = 0, outside = 0, count = 0;
  while (number(inside) && number(outside) && number(count)) {
    if (inside != outside || count < 0xffffffff) result.own_namespace = true;
    // The user who started the engine has an entry of its own. It is mapped to root, or with keep-id to the same id. With
    // keep-id, "outside" is the engine's namespace, in which that user is root.
    if (count == 1 && (inside == 0) != (outside == 0)) result.rootless = true;
    if (user >= inside && user - inside < count) result.outside = static_cast<long long>(outside + (user - inside));
  }
  return result;
}

/// True if SELinux allows this process only files with a container's label.
inline bool selinux_confined(const std::string& root) {
  // "system_u:system_r:container_t:s0:c1,c2". AppArmor's labels have another form; spc_t is not confined.
  const std::string label = system_file(root + "/proc/self/attr/current");
  const std::size_t first = label.find(':'), second = label.find(':', first + 1), third = label.find(':', second + 1);
  if (first == 0 || first == std::string::npos || second == std::string::npos) return false;
  const std::string type = label.substr(second + 1, third == std::string::npos ? third : third - second - 1);
  if (type.starts_with("spc_t") || type.starts_with("unconfined")) return false;
  const std::string enforce = system_file(root + "/sys/fs/selinux/enforce");  // often not visible in a container
  return enforce.empty() || enforce[0] != '0';
}

/// Advice for a process in a container that gets the error `code` for a file. Empty if there is none.
inline std::string access_advice(int code, const std::string& root, std::uint64_t user) {
  if (code == EROFS) return "the folder is mounted read-only: mount a writable one (-v FOLDER:/models, without :ro)";
  if (code != EACCES) return {};
  std::string advice;
  const UserMapping mapping = user_mapping(root, user);
  if (mapping.rootless) {
    advice =
        "under a rootless engine run the container with --userns=keep-id (Podman) or --user 0:0, and mount a folder of "
        "the user who starts it";
  } else if (mapping.own_namespace) {
    advice = "the engine renumbers users: on the host the folder must be writable for user " +
             (mapping.outside >= 0 ? std::to_string(mapping.outside) : "that this container's user is mapped to") +
             ", or run the container with --userns=host";
  } else {
    advice = "run the container as the owner of the mounted folder: --user \"$(id -u):$(id -g)\"";
  }
  if (selinux_confined(root)) advice += "; SELinux is active here: mount the folder with :Z (-v FOLDER:/models:Z)";
  return advice;
}

}  // namespace detail

/// How to start this container differently if a file gave the error `code` (EACCES or EROFS). Empty outside of a
/// container and for any other error. Does not change errno.
inline std::string container_advice(int code) {
  const int before = errno;
  const std::string advice = in_container() ? detail::access_advice(code, "", ::geteuid()) : "";
  errno = before;
  return advice;
}

}  // namespace tenon
