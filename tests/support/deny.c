/* deny NUMBER ERROR [NUMBER ERROR]... -- COMMAND...: runs a command in which each system call NUMBER fails with errno
   ERROR, as under a container engine's seccomp profile. Exit status 125 if this machine has no seccomp.
   SPDX-License-Identifier: MIT */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char** argv) {
  struct sock_filter filter[100] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  unsigned short n = 1;
  int at = 1;
  while (at + 1 < argc && strcmp(argv[at], "--") != 0 && n < 97) {
    const unsigned number = (unsigned)atoi(argv[at]), error = (unsigned)atoi(argv[at + 1]);
    const struct sock_filter match = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
    const struct sock_filter fail = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
    filter[n++] = match;
    filter[n++] = fail;
    at += 2;
  }
  const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[n++] = allow;
  const struct sock_fprog program = {n, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 125;
  execvp(argv[at + 1], argv + at + 1);
  return 127;
}
