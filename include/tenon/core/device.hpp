// Cpu: the device whose kernels run on this machine's cores. It knows its instruction set and who runs its tasks.
//
// Work is cut into tasks by shape and batch alone, never by the number of threads, and every output has one task that
// computes it whole: so the bits do not depend on who runs a task. Alone, a Cpu runs tasks on the calling thread;
// core/thread_pool.hpp gives it more.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/core/buffer.hpp"
#include "tenon/core/isa.hpp"

namespace tenon::kernels {

/// Runs `call(context, task, worker)` for every task in [0, tasks), in any order, and returns when all are done.
class Executor {
 public:
  using Call = void (*)(void* context, int task, int worker);
  virtual ~Executor() = default;
  virtual int workers() const = 0;
  virtual void run(int tasks, Call call, void* context) = 0;
};

class Cpu {
 public:
  /// What a device says of its memory: how to own some of it, and whether the host may look into it.
  template <class T>
  using Buffer = tenon::Buffer<T>;
  static constexpr bool host_memory = true;

  /// One worker: the calling thread.
  Cpu() : Cpu(nullptr) {}
  explicit Cpu(std::shared_ptr<Executor> executor)
      : executor_(std::move(executor)), isa_(choose_isa()), scratch_(static_cast<std::size_t>(threads())) {}

  int threads() const { return executor_ ? executor_->workers() : 1; }
  Isa isa() const { return isa_; }
  void set_isa(Isa isa) {
    if (isa == Isa::avx2 && detect_isa() != Isa::avx2)
      throw Error("Cpu::set_isa", "expected a processor with AVX2 and FMA, got one without");
    isa_ = isa;
  }

  /// f(task, worker) for every task in [0, tasks); worker is in [0, threads()). Not to be nested.
  template <class F>
  void parallel(int tasks, F&& f) {
    using Body = std::remove_reference_t<F>;
    if (tasks == 1 || !executor_) {
      for (int t = 0; t < tasks; ++t) f(t, 0);
      return;
    }
    executor_->run(
        tasks, [](void* body, int task, int worker) { (*static_cast<Body*>(body))(task, worker); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

  /// f(begin, end) for consecutive pieces of [0, n) of `grain` elements, the last one shorter.
  template <class F>
  void parallel_chunks(std::size_t n, std::size_t grain, F&& f) {
    const auto body = [&](int task, int) {
      const std::size_t begin = static_cast<std::size_t>(task) * grain;
      f(begin, begin + grain < n ? begin + grain : n);
    };
    parallel(static_cast<int>((n + grain - 1) / grain), body);
  }

  /// Private memory of one worker, 64-byte aligned, for the length of a task. Reserved beforehand.
  void* scratch(int worker) { return scratch_[static_cast<std::size_t>(worker)].data(); }

  /// Makes scratch at least so large. Called where models are made, never inside a step.
  void reserve_scratch(std::size_t bytes) {
    for (auto& s : scratch_)
      if (s.size() < bytes) s = Buffer<std::byte>(bytes);
  }

 private:
  std::shared_ptr<Executor> executor_;
  Isa isa_;
  std::vector<Buffer<std::byte>> scratch_;  // one a worker
};

// Moving numbers from host to device and back: the words that every device has.
template <class T>
void copy(const Cpu&, const T* from, T* to, std::size_t n) {
  std::copy(from, from + n, to);
}
template <class T>
void upload(const Cpu&, const T* from, T* to, std::size_t n) {
  std::copy(from, from + n, to);
}
template <class T>
void download(const Cpu&, const T* from, T* to, std::size_t n) {
  std::copy(from, from + n, to);
}
template <class T>
void fill_zeros(const Cpu&, T* to, std::size_t n) {
  std::fill(to, to + n, T{});
}
/// Zeroed memory for n values, of that device where there may be several.
template <class T, class Device>
typename Device::template Buffer<T> allocate(const Device& dev, std::size_t n) {
  if constexpr (requires { dev.ordinal(); })
    return typename Device::template Buffer<T>(n, dev.ordinal());
  else
    return typename Device::template Buffer<T>(n);
}
/// Numbers of a device as the host sees them: where they lie, or in memory of the host's, if it may not look there.
template <class Device, class T>
class ForHost {
 public:
  ForHost() = default;
  explicit ForHost(std::size_t most) {
    if constexpr (!Device::host_memory) copy_ = Buffer<T>(most);
  }
  /// Valid until the next call.
  const T* operator()(Device& dev, const T* from, std::size_t n) {
    if constexpr (Device::host_memory) {
      return from;
    } else {
      download(dev, from, copy_.data(), n);
      return copy_.data();
    }
  }

 private:
  Buffer<T> copy_;
};

/// Finds out what scratch memory f() takes, where a device has to know before. Nothing is computed.
template <class F>
void measure_scratch(Cpu&, F&&) {}

}  // namespace tenon::kernels

namespace tenon {
using kernels::Cpu;
}
