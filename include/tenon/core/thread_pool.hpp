// ThreadPool: the threads of a Cpu device. Workers claim tasks one by one, so a slow task does not delay the others.
// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tenon/core/device.hpp"
#include "tenon/core/resources.hpp"

namespace tenon {
namespace detail {

/// The number of fork() calls between the first process that had a pool and this one. A child has the memory of its parent,
/// but none of the parent's other threads.
inline constinit std::atomic<unsigned> forks{0};

inline void count_forks() {
  static const int failed = ::pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  if (failed != 0) throw Error("ThreadPool", "expected memory for a handler of fork(), got none");
}

}  // namespace detail

/// Several threads may call run() at the same time, and tasks may call it too. One caller uses the threads of the pool.
/// Until it has finished, the other callers run their tasks on their own threads. In a child of fork() every caller does
/// so, because the threads of a pool exist only in the parent. A task must not fork and continue in the child.
class ThreadPool final : public kernels::Executor {
 public:
  /// If the kernel or a container engine does not allow new threads, the pool keeps the threads that have started, at least
  /// the calling thread. If a limit on processes is reached, the pool keeps them if `or_fewer`; otherwise throws Error.
  explicit ThreadPool(int workers, bool or_fewer = false) {
    if (workers < 1) throw Error("ThreadPool", "expected at least 1 thread, got " + std::to_string(workers));
    detail::count_forks();
    threads_->list.reserve(static_cast<std::size_t>(workers - 1));
    try {
      for (int w = 1; w < workers; ++w) threads_->list.emplace_back([this, w] { serve(w); });
    } catch (const std::system_error& e) {
      // With engines before Docker 20.10.10, clone3 fails with EPERM for any number of threads.
      const int code = e.code().value();
      if (or_fewer || code == EPERM || code == ENOSYS) {
        workers_ = static_cast<int>(threads_->list.size()) + 1;
        return;
      }
      stop();
      const std::string got = std::to_string(threads_->list.size() + 1);
      throw Error("ThreadPool", "expected " + std::to_string(workers) + " threads, got " + got + " (" +
                                    e.code().message() + "); ask for fewer (--threads " + got +
                                    "), or raise the limit of ulimit -u or of the container");
    } catch (...) {
      stop();
      throw;
    }
    workers_ = workers;
  }
  ~ThreadPool() override {
    if (in_child())
      abandon();
    else
      stop();
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int workers() const override { return workers_; }

  void run(int tasks, Call call, void* context) override {
    if (tasks <= 0) return;
    if (busy_.exchange(true, std::memory_order_acquire)) return run_here(tasks, call, context);
    if (in_child()) return run_here(tasks, call, context);  // busy_ stays set, so in_child() runs once
    call_.store(call, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    tasks_.store(tasks, std::memory_order_relaxed);
    pending_.store(tasks, std::memory_order_relaxed);
    const std::uint64_t epoch = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(epoch << 32 | static_cast<std::uint32_t>(tasks), std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) ticket_.notify_all();

    work(0);
    wait_until_done();
    std::exception_ptr failure;
    if (failed_.load(std::memory_order_relaxed)) failure = take_failure();
    busy_.store(false, std::memory_order_release);
    if (failure) std::rethrow_exception(failure);
  }

 private:
  // About 30 us of polling: longer than the gap between two kernels, and too short to keep a core busy noticeably.
  static constexpr int spins = 600;

  // Like run(), but without other workers: every task runs, then the first exception is thrown.
  void run_here(int tasks, Call call, void* context) {
    const int worker = current_worker();
    const Running running(this, worker);
    std::exception_ptr failure;
    for (int task = 0; task < tasks; ++task) {
      try {
        call(context, task, worker);
      } catch (...) {
        if (!failure) failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
  }

  // ticket_ holds (epoch, tasks left). A claim is a compare-exchange on both. A worker that wakes up late can therefore
  // never claim a task of a job that it has not read: while a task of an epoch is unclaimed, call_, context_ and tasks_
  // belong to that epoch.
  void work(int worker) {
    const Running running(this, worker);
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      const int left = static_cast<int>(ticket & 0xffffffffu);
      if (left == 0) return;
      const Call call = call_.load(std::memory_order_relaxed);
      void* const context = context_.load(std::memory_order_relaxed);
      const int task = tasks_.load(std::memory_order_relaxed) - left;
      if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      try {
        call(context, task, worker);
      } catch (...) {
        const std::lock_guard lock(failure_mutex_);
        if (!failure_) failure_ = std::current_exception();
        failed_.store(true, std::memory_order_relaxed);
      }
      if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  void serve(int worker) {
    std::uint64_t seen = 0;  // the last epoch that this worker has read
    for (;;) {
      std::uint64_t now = ticket_.load(std::memory_order_acquire);
      for (int i = 0; i < spins && (now >> 32) == seen; ++i) {
        pause(i);
        now = ticket_.load(std::memory_order_acquire);
      }
      if ((now >> 32) == seen) {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        for (now = ticket_.load(std::memory_order_seq_cst); (now >> 32) == seen;
             now = ticket_.load(std::memory_order_seq_cst))
          ticket_.wait(now, std::memory_order_seq_cst);
        sleepers_.fetch_sub(1, std::memory_order_seq_cst);
      }
      if (stopping_.load(std::memory_order_acquire)) return;
      seen = now >> 32;
      work(worker);
    }
  }

  void wait_until_done() {
    int left = pending_.load(std::memory_order_acquire);
    for (int i = 0; i < spins && left > 0; ++i) {
      pause(i);
      left = pending_.load(std::memory_order_acquire);
    }
    for (; left > 0; left = pending_.load(std::memory_order_acquire)) pending_.wait(left, std::memory_order_acquire);
  }

  static void pause(int i) {
#if TENON_X86
    __builtin_ia32_pause();
#endif
    if (i % 64 == 63) std::this_thread::yield();  // if there are more threads than cores, lets a thread with work run
  }

  std::exception_ptr take_failure() {
    failed_.store(false, std::memory_order_relaxed);
    const std::lock_guard lock(failure_mutex_);
    return std::exchange(failure_, nullptr);
  }

  bool in_child() const { return detail::forks.load(std::memory_order_relaxed) != forks_; }

  struct Threads {
    std::vector<std::thread> list;
    Threads* next = nullptr;
  };
  // The threads do not exist in a child, so they can be neither joined nor detached. The list stays reachable, so that leak
  // checkers do not report it.
  void abandon() {
    static std::atomic<Threads*> abandoned{nullptr};
    Threads* const threads = threads_.release();
    threads->next = abandoned.load(std::memory_order_relaxed);
    while (!abandoned.compare_exchange_weak(threads->next, threads, std::memory_order_release)) {
    }
  }

  void stop() {
    stopping_.store(true, std::memory_order_release);
    ticket_.store(((ticket_.load(std::memory_order_relaxed) >> 32) + 1) << 32, std::memory_order_seq_cst);
    ticket_.notify_all();
    for (auto& t : threads_->list) t.join();
  }

  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<int> pending_{0};
  alignas(64) std::atomic<Call> call_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<int> tasks_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> busy_{false};  // a caller uses the threads
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
  std::unique_ptr<Threads> threads_ = std::make_unique<Threads>();
  int workers_ = 0;
  const unsigned forks_ = detail::forks.load(std::memory_order_relaxed);
};

namespace kernels {

/// The executor of `Cpu(threads)`; null: only the calling thread. For 0 threads it has all threads that are allowed, or
/// fewer if the system cannot start them all. Cpu::threads() returns their number.
inline std::shared_ptr<Executor> make_executor(ThreadCount n) {
  const bool or_fewer = n.threads == 0;
  const int threads = or_fewer ? allowed_threads() : n.threads;
  if (threads == 1) return nullptr;
  return std::make_shared<ThreadPool>(threads, or_fewer);
}

}  // namespace kernels

}  // namespace tenon
