// measure COMMAND...: runs it and prints its CPU seconds, wall seconds and the peak MB of its largest process. Children
// that it waited for count too: a compiler driver's child process uses most of the memory.
// SPDX-License-Identifier: MIT
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "measure: expected a command, got none\n");
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    execvp(argv[1], argv + 1);
    std::perror(argv[1]);
    _exit(127);
  }
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 1;

  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  rusage used{};
  getrusage(RUSAGE_CHILDREN, &used);
  const auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  std::printf("%.2f %.2f %.0f\n", seconds(used.ru_utime) + seconds(used.ru_stime), wall.count(),
              static_cast<double>(used.ru_maxrss) / 1024);
}
