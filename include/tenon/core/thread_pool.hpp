// ThreadPool: the workers behind a Cpu device. Threads claim tasks one by one, so a slow one holds nobody up.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tenon/core/device.hpp"
#include "tenon/core/os.hpp"  // allowed_threads

namespace tenon {

class ThreadPool final : public kernels::Executor {
 public:
  explicit ThreadPool(int workers) {
    if (workers < 1) throw Error("ThreadPool", "expected at least 1 thread, got " + std::to_string(workers));
    threads_.reserve(static_cast<std::size_t>(workers - 1));
    try {
      for (int w = 1; w < workers; ++w) threads_.emplace_back([this, w] { serve(w); });
    } catch (const std::system_error& e) {
      stop();
      const std::string got = std::to_string(threads_.size() + 1);
      throw Error("ThreadPool", "expected " + std::to_string(workers) + " threads, got " + got +
                                    ", for the system starts no more (\"" + e.code().message() +
                                    "\"); ask for fewer (--threads " + got +
                                    "), or raise the limit that ulimit -u or the container sets");
    } catch (...) {
      stop();
      throw;
    }
  }
  ~ThreadPool() override { stop(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int workers() const override { return static_cast<int>(threads_.size()) + 1; }

  void run(int tasks, Call call, void* context) override {
    if (tasks <= 0) return;
    call_.store(call, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    tasks_.store(tasks, std::memory_order_relaxed);
    pending_.store(tasks, std::memory_order_relaxed);
    const std::uint64_t epoch = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(epoch << 32 | static_cast<std::uint32_t>(tasks), std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) ticket_.notify_all();

    work(0);
    wait_until_done();
    if (failed_.load(std::memory_order_relaxed)) rethrow();
  }

 private:
  // About 30 us of polling: longer than the gap between two kernels, shorter than anyone's patience for a busy core.
  static constexpr int spins = 600;

  // ticket_ holds (epoch, tasks left). A claim is a compare-exchange on both, so a worker that wakes up late can never
  // take a task of a job it has not read: while a task of an epoch is unclaimed, call_, context_ and tasks_ are its.
  void work(int worker) {
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
    std::uint64_t seen = 0;  // the last epoch this worker has looked at
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
    if (i % 64 == 63) std::this_thread::yield();  // more threads than cores: let the one with work have it
  }

  void rethrow() {
    failed_.store(false, std::memory_order_relaxed);
    std::exception_ptr e;
    {
      const std::lock_guard lock(failure_mutex_);
      std::swap(e, failure_);
    }
    std::rethrow_exception(e);
  }

  void stop() {
    stopping_.store(true, std::memory_order_release);
    ticket_.store(((ticket_.load(std::memory_order_relaxed) >> 32) + 1) << 32, std::memory_order_seq_cst);
    ticket_.notify_all();
    for (auto& t : threads_) t.join();
  }

  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<int> pending_{0};
  alignas(64) std::atomic<Call> call_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<int> tasks_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

/// A Cpu with so many threads; 0 means as many as the affinity mask and the cgroup allow.
inline Cpu cpu_with_threads(int threads = 0) {
  if (threads < 0) throw Error("cpu_with_threads", "expected 0 (all allowed) or more, got " + std::to_string(threads));
  if (threads == 0) threads = allowed_threads();
  return threads == 1 ? Cpu{} : Cpu{std::make_shared<ThreadPool>(threads)};
}

}  // namespace tenon
