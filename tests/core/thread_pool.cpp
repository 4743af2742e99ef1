// ThreadPool: every task runs exactly once; exceptions, waking, creation and destruction of pools. Also a test for
// ThreadSanitizer.
// SPDX-License-Identifier: MIT
#include "tenon/core/thread_pool.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using namespace tenon;

TEST_CASE("every task runs once, by a worker of the pool") {
  for (const int threads : {1, 2, 3, 8}) {
    Cpu dev(threads);
    REQUIRE(dev.threads() == threads);
    for (const int tasks : {0, 1, 2, 3, 17, 1000}) {
      std::vector<int> runs(tasks);  // written by the tasks, read afterwards: a race here is an error of the pool
      std::atomic<bool> good{true};
      dev.parallel(tasks, [&](int task, int worker) {
        if (worker < 0 || worker >= threads) good = false;
        ++runs[task];
      });
      CHECK(runs == std::vector<int>(tasks, 1));
      CHECK(good);
    }
  }
}

TEST_CASE("what one job wrote, the next one reads") {
  Cpu dev(3);
  std::vector<int> v(64, 1);
  for (int round = 0; round < 2000; ++round)
    dev.parallel(8, [&](int task, int) {
      // Reads values that other workers wrote in the previous round.
      const int from = (task + 1) % 8 * 8;
      int s = 0;
      for (int i = 0; i < 4; ++i) s += v[from + i + (round % 2 ? 4 : 0)];
      v[task * 8 + (round % 2 ? 0 : 4) + round / 2 % 4] = s % 1000;
    });
  SUCCEED("no race");
}

TEST_CASE("workers use their own scratch") {
  Cpu dev(3);
  dev.reserve_scratch(256);
  std::set<void*> places;
  for (int w = 0; w < 3; ++w) places.insert(dev.scratch(w));
  CHECK(places.size() == 3);
  std::atomic<int> spoiled{0};
  dev.parallel(500, [&](int task, int worker) {
    auto* const mine = static_cast<volatile int*>(dev.scratch(worker));
    for (int i = 0; i < 64; ++i) mine[i] = task;
    for (int i = 0; i < 64; ++i) spoiled += mine[i] != task;
  });
  CHECK(spoiled == 0);
}

TEST_CASE("an exception in a task reaches the caller, and the pool goes on") {
  Cpu dev(3);
  for (int round = 0; round < 200; ++round) {
    const int bad = round % 16;
    std::atomic<int> ran{0};
    CHECK_THROWS_WITH(dev.parallel(16,
                                   [&](int task, int) {
                                     ++ran;
                                     if (task == bad) throw std::runtime_error("task " + std::to_string(task));
                                   }),
                      "task " + std::to_string(bad));
    CHECK(ran == 16);  // the other tasks still run
    std::atomic<int> after{0};
    dev.parallel(16, [&](int, int) { ++after; });
    CHECK(after == 16);
  }
}

TEST_CASE("if every task throws, one exception arrives") {
  Cpu dev(3);
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS_WITH(dev.parallel(100, [](int, int) { throw std::runtime_error("all"); }), "all");
    std::atomic<int> after{0};
    dev.parallel(3, [&](int, int) { ++after; });
    CHECK(after == 3);
  }
}

TEST_CASE("sleeping workers wake up for the next job") {
  Cpu dev(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // longer than the workers poll
    std::atomic<int> ran{0};
    dev.parallel(6, [&](int, int) { ++ran; });
    CHECK(ran == 6);
  }
}

TEST_CASE("short jobs in a row neither lose nor repeat a task") {
  Cpu dev(4);
  std::vector<int> count(7);
  const int rounds = 5000;
  for (int round = 0; round < rounds; ++round) dev.parallel(2 + round % 6, [&](int task, int) { ++count[task]; });
  for (int task = 0; task < 7; ++task) {
    int want = 0;
    for (int round = 0; round < rounds; ++round) want += task < 2 + round % 6;
    CHECK(count[task] == want);
  }
}

TEST_CASE("tasks of very different length are shared out") {
  Cpu dev(2);
  std::atomic<int> by[2] = {};
  // The first task blocks its worker until all other tasks are done, so the other worker must run them.
  std::atomic<int> done{0};
  dev.parallel(20, [&](int task, int worker) {
    ++by[worker];
    if (task == 0)
      while (done.load() < 19) std::this_thread::yield();
    else
      ++done;
  });
  CHECK(by[0] + by[1] == 20);
  CHECK(std::min(by[0].load(), by[1].load()) == 1);
}

TEST_CASE("pools come and go, used or not") {
  for (int round = 0; round < 50; ++round) {
    Cpu dev(1 + round % 4);
    if (round % 2) {
      std::atomic<int> ran{0};
      dev.parallel(5, [&](int, int) { ++ran; });
      CHECK(ran == 5);
    }
  }
}

TEST_CASE("a copy of a Cpu shares the threads") {
  const Cpu dev(2);
  Cpu a = dev, b = dev;
  CHECK(a.threads() == 2);
  std::atomic<int> ran{0};
  std::set<std::thread::id> ids;
  std::mutex mutex;
  for (int round = 0; round < 10; ++round)
    for (Cpu* const each : {&a, &b}) {
      std::atomic<int> started{0};
      each->parallel(2, [&](int, int) {
        ++ran;
        for (++started; started < 2;) std::this_thread::yield();  // until both threads have started
        const std::lock_guard lock(mutex);
        ids.insert(std::this_thread::get_id());
      });
    }
  CHECK(ran == 40);
  CHECK(ids.size() == 2);
}

TEST_CASE("several threads use one pool at the same time") {
  const Cpu dev(3);
  const int callers = 3;
  std::vector<std::string> wrong(callers);
  std::vector<std::thread> threads;
  for (int c = 0; c < callers; ++c)
    threads.emplace_back([&, c] {
      Cpu mine = dev;
      mine.reserve_scratch(64);
      std::vector<int> count(40);
      for (int round = 0; round < 500; ++round) {
        std::fill(count.begin(), count.end(), 0);
        std::atomic<int> spoiled{0};
        mine.parallel(40, [&](int task, int worker) {
          auto* const scratch = static_cast<volatile int*>(mine.scratch(worker));
          for (int i = 0; i < 16; ++i) scratch[i] = 100 * c + task;
          for (int i = 0; i < 16; ++i) spoiled += scratch[i] != 100 * c + task;
          ++count[static_cast<std::size_t>(task)];
        });
        if (spoiled != 0) wrong[static_cast<std::size_t>(c)] = "scratch memory was shared";
        if (count != std::vector<int>(40, 1)) wrong[static_cast<std::size_t>(c)] = "a task was lost or repeated";
        const std::string mark = std::to_string(100 * c + round);
        std::atomic<int> ran{0};
        std::string got;
        try {
          mine.parallel(8, [&](int task, int) {
            ++ran;
            if (task == 3) throw std::runtime_error(mark);
          });
        } catch (const std::exception& e) {
          got = e.what();
        }
        if (got != mark) wrong[static_cast<std::size_t>(c)] = "expected exception " + mark + ", got \"" + got + '"';
        if (ran != 8) wrong[static_cast<std::size_t>(c)] = "a task was left out after an exception";
      }
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == std::vector<std::string>(callers));
}

TEST_CASE("a caller does not wait for a long job of another one") {
  const Cpu dev(2);
  std::atomic<int> started{0}, finish{0}, ran{0};
  std::thread other([&] {
    Cpu mine = dev;
    mine.parallel(2, [&](int, int) {
      for (++started; finish == 0;) std::this_thread::yield();
    });
  });
  while (started < 2) std::this_thread::yield();  // all threads of the pool are busy
  Cpu mine = dev;
  mine.parallel(5, [&](int, int worker) {
    CHECK(worker == 0);
    ++ran;
  });
  CHECK(ran == 5);
  finish = 1;
  other.join();
}

TEST_CASE("a task may run tasks: they run as its worker") {
  Cpu dev(3), second(2);
  dev.reserve_scratch(64);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> started{0}, inner{0}, wrong{0}, by_second{0};
    dev.parallel(3, [&](int, int worker) {
      for (++started; started < 3;) std::this_thread::yield();  // until each worker has a task
      dev.parallel(1 + round % 3, [&](int, int as) {
        if (as != worker) ++wrong;
        ++inner;
        Cpu copy = second;  // uses another pool inside a task of this one
        copy.parallel(2, [&](int, int) {
          dev.parallel(1, [&](int, int again) { wrong += again >= 3; });
          ++by_second;
        });
      });
    });
    CHECK(wrong == 0);
    CHECK(inner == 3 * (1 + round % 3));
    CHECK(by_second == 2 * inner);
  }
  CHECK_THROWS_WITH(
      dev.parallel(2, [&](int, int) { dev.parallel(2, [](int, int) { throw std::runtime_error("inner"); }); }),
      "inner");
}

namespace {

// Runs f() in a child of fork(). Returns its result, or 1000 + the signal that ended it. f must not use Catch.
template <class F>
int in_a_child(F f) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(60);
    int code = 99;
    try {
      code = f();
    } catch (...) {
    }
    std::_Exit(code);
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int tasks_run(Cpu& dev) {
  std::atomic<int> ran{0};
  dev.parallel(7, [&](int, int) { ++ran; });
  return ran;
}

}  // namespace

TEST_CASE("a child of fork() uses and ends a pool of its parent") {
  auto dev = std::make_unique<Cpu>(3);
  CHECK(tasks_run(*dev) == 7);
  CHECK(in_a_child([&] {
          Cpu copy = *dev;
          const int ran = tasks_run(*dev) + tasks_run(copy);
          dev.reset();  // as in a child that returns from main(); the copy is destroyed later
          return ran;
        }) == 14);
#if !defined(__SANITIZE_THREAD__)  // ThreadSanitizer ends a child that starts threads
  CHECK(in_a_child([&] {
          Cpu fresh(2);
          int ran = tasks_run(fresh) + tasks_run(*dev);
          ran += in_a_child([&] { return tasks_run(fresh); });
          return ran + tasks_run(fresh);
        }) == 28);
#endif
  CHECK(tasks_run(*dev) == 7);  // the parent is not affected
}

TEST_CASE("a child of fork() uses a pool that was busy") {
  const Cpu dev(2);
  std::atomic<int> started{0}, finish{0};
  std::thread other([&] {
    Cpu mine = dev;
    mine.parallel(2, [&](int, int) {
      for (++started; finish == 0;) std::this_thread::yield();
    });
  });
  while (started < 2) std::this_thread::yield();
  CHECK(in_a_child([&] {
          Cpu mine = dev;
          return tasks_run(mine);
        }) == 7);
  finish = 1;
  other.join();
}

TEST_CASE("impossible numbers of threads are refused") {
  CHECK_THROWS_WITH(Cpu(-1), "[Cpu] expected 0 threads (all that are allowed) to 65536, got -1");
  CHECK_THROWS_WITH(Cpu(4294967295u), "[Cpu] expected 0 threads (all that are allowed) to 65536, got 4294967295");
  CHECK_THROWS_WITH(ThreadPool(0), "[ThreadPool] expected at least 1 thread, got 0");
  CHECK(Cpu(0u).threads() >= 1);
  CHECK(Cpu(0).threads() == allowed_threads());
}
