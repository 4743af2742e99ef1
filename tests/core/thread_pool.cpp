// ThreadPool: every task once, whoever runs it; exceptions, waking, pools that come and go. For ThreadSanitizer, too.
// SPDX-License-Identifier: MIT
#include "tenon/core/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>

#include "catch.hpp"

using namespace tenon;

TEST_CASE("every task runs once, by a worker of the pool") {
  for (const int threads : {1, 2, 3, 8}) {
    Cpu dev = cpu_with_threads(threads);
    REQUIRE(dev.threads() == threads);
    for (const int tasks : {0, 1, 2, 3, 17, 1000}) {
      std::vector<int> runs(tasks);  // written by whoever runs the task, read after: a race here would be the pool's
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
  Cpu dev = cpu_with_threads(3);
  std::vector<int> v(64, 1);
  for (int round = 0; round < 2000; ++round)
    dev.parallel(8, [&](int task, int) {
      // Reads what other workers wrote in the round before.
      const int from = (task + 1) % 8 * 8;
      int s = 0;
      for (int i = 0; i < 4; ++i) s += v[from + i + (round % 2 ? 4 : 0)];
      v[task * 8 + (round % 2 ? 0 : 4) + round / 2 % 4] = s % 1000;
    });
  SUCCEED("no race");
}

TEST_CASE("workers use their own scratch") {
  Cpu dev = cpu_with_threads(3);
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
  Cpu dev = cpu_with_threads(3);
  for (int round = 0; round < 200; ++round) {
    const int bad = round % 16;
    std::atomic<int> ran{0};
    CHECK_THROWS_WITH(dev.parallel(16,
                                   [&](int task, int) {
                                     ++ran;
                                     if (task == bad) throw std::runtime_error("task " + std::to_string(task));
                                   }),
                      "task " + std::to_string(bad));
    CHECK(ran == 16);  // the others are not left undone
    std::atomic<int> after{0};
    dev.parallel(16, [&](int, int) { ++after; });
    CHECK(after == 16);
  }
}

TEST_CASE("if every task throws, one exception arrives") {
  Cpu dev = cpu_with_threads(3);
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS_WITH(dev.parallel(100, [](int, int) { throw std::runtime_error("all"); }), "all");
    std::atomic<int> after{0};
    dev.parallel(3, [&](int, int) { ++after; });
    CHECK(after == 3);
  }
}

TEST_CASE("sleeping workers wake up for the next job") {
  Cpu dev = cpu_with_threads(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // longer than they poll
    std::atomic<int> ran{0};
    dev.parallel(6, [&](int, int) { ++ran; });
    CHECK(ran == 6);
  }
}

TEST_CASE("short jobs in a row neither lose nor repeat a task") {
  Cpu dev = cpu_with_threads(4);
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
  Cpu dev = cpu_with_threads(2);
  std::atomic<int> by[2] = {};
  // Worker 0 or 1 is held up by the first task until all others are done: they need the other worker.
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
    Cpu dev = cpu_with_threads(1 + round % 4);
    if (round % 2) {
      std::atomic<int> ran{0};
      dev.parallel(5, [&](int, int) { ++ran; });
      CHECK(ran == 5);
    }
  }
}

TEST_CASE("a copy of a Cpu shares the threads") {
  // Two devices, one pool: used by turns.
  auto pool = std::make_shared<ThreadPool>(2);
  Cpu a{pool}, b{pool};
  std::atomic<int> ran{0};
  for (int round = 0; round < 10; ++round) {
    a.parallel(4, [&](int, int) { ++ran; });
    b.parallel(4, [&](int, int) { ++ran; });
  }
  CHECK(ran == 80);
}

TEST_CASE("impossible numbers of threads are refused") {
  CHECK_THROWS_WITH(cpu_with_threads(-1), "[cpu_with_threads] expected 0 (all allowed) or more, got -1");
  CHECK_THROWS_WITH(ThreadPool(0), "[ThreadPool] expected at least 1 thread, got 0");
  CHECK(cpu_with_threads(0).threads() >= 1);
  CHECK(cpu_with_threads(0).threads() == allowed_threads());
}
