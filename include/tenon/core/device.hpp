// What a device is, and Cpu, the device whose kernels run on the cores of this machine.
//
// A device is a copyable handle. The functions below and the kernels are overloaded for it and found by argument-dependent
// lookup. docs/adding-a-device.md lists what a device needs.
//
// On the Cpu, the split of work into tasks depends only on shape and batch, never on the number of threads, and each output
// is computed by one task. The results therefore have the same bits for any number of threads. A default Cpu runs its
// tasks on the calling thread. Cpu(threads) needs core/thread_pool.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/core/buffer.hpp"
#include "tenon/core/isa.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// Memory that an operation needs in addition to its values. Unit: values of type T, except scratch, which is in bytes.
struct WorkspaceSizes {
  long long packed = 0;                             // its weights, rearranged by prepare() after each change of them
  long long workspace = 0;                          // shared by all layers, free between two kernels
  long long scratch_float = 0, scratch_double = 0;  // private memory of a worker, where T is float or double
};

}  // namespace tenon

namespace tenon::kernels {

/// Runs `call(context, task, worker)` for every task in [0, tasks), in any order, and returns when all are done. Any
/// number of threads may call run() at the same time, and tasks may call it too.
class Executor {
 public:
  using Call = void (*)(void* context, int task, int worker);
  virtual ~Executor() = default;
  virtual int workers() const = 0;
  virtual void run(int tasks, Call call, void* context) = 0;

  /// The worker number under which the calling thread runs a task of this executor; 0 if it runs none.
  int current_worker() const {
    for (const Running* r = innermost; r; r = r->outer)
      if (r->executor == this) return r->worker;
    return 0;
  }

 protected:
  /// During its lifetime the calling thread runs tasks of executor `of` as worker `as`.
  class Running {
   public:
    Running(const Executor* of, int as) : executor(of), worker(as), outer(innermost) { innermost = this; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() { innermost = outer; }

    const Executor* const executor;
    const int worker;
    const Running* const outer;  // the enclosing task, if a task runs tasks
  };

 private:
  static constinit inline thread_local const Running* innermost = nullptr;
};

/// The argument of `Cpu(threads)`, 0 or more. thread_pool.hpp makes an executor from it.
struct ThreadCount {
  int threads;
};

/// Stands for a device where there is no object of it: memory sizes are computed at compile time.
template <class D>
struct DeviceTag {};

/// The cores of this machine. Copies share the threads, but each copy has its own scratch memory. Two threads may therefore
/// use two copies at the same time, but not one object.
class Cpu {
 public:
  template <class T>
  using Buffer = tenon::Buffer<T>;

  /// One worker: the calling thread.
  Cpu() : Cpu(nullptr) {}
  /// `threads` workers: the calling thread and threads of a pool. 0: as many as the affinity mask and the cgroup allow.
  /// Needs core/thread_pool.hpp (tenon.hpp includes it). Throws Error for a negative number, and if the system cannot
  /// start that many threads.
  template <std::integral N>
  explicit Cpu(N threads) requires(!std::same_as<N, bool>) : Cpu(pool_of(threads)) {}
  explicit Cpu(std::shared_ptr<Executor> executor)
      : executor_(std::move(executor)), isa_(choose_isa()), scratch_(static_cast<std::size_t>(threads())) {}

  /// Shares the threads. The scratch memory is new and has the same size.
  Cpu(const Cpu& o) : executor_(o.executor_), isa_(o.isa_) {
    scratch_.reserve(o.scratch_.size());
    for (const auto& s : o.scratch_) scratch_.emplace_back(s.size());
  }
  Cpu(Cpu&&) noexcept = default;
  Cpu& operator=(const Cpu& o) { return *this = Cpu(o); }
  Cpu& operator=(Cpu&&) noexcept = default;

  int threads() const { return executor_ ? executor_->workers() : 1; }
  Isa isa() const { return isa_; }
  void set_isa(Isa isa) {
    if (isa == Isa::avx2 && detect_isa() != Isa::avx2)
      throw Error("Cpu::set_isa", "expected a processor with AVX2 and FMA, got one without");
    isa_ = isa;
  }

  /// Calls f(task, worker) for every task in [0, tasks); worker is in [0, threads()). A task may call parallel() too. The
  /// inner tasks then run one after the other, as the worker of the outer task, and share its scratch memory.
  template <class F>
  void parallel(int tasks, F&& f) {
    using Body = std::remove_reference_t<F>;
    if (!executor_) {
      for (int t = 0; t < tasks; ++t) f(t, 0);
      return;
    }
    if (tasks == 1) {
      f(0, executor_->current_worker());
      return;
    }
    executor_->run(
        tasks, [](void* body, int task, int worker) { (*static_cast<Body*>(body))(task, worker); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

  /// Calls f(begin, end) for consecutive chunks of [0, n) of `grain` elements. The last chunk may be shorter.
  template <class F>
  void parallel_chunks(std::size_t n, std::size_t grain, F&& f) {
    const auto body = [&](int task, int) {
      const std::size_t begin = static_cast<std::size_t>(task) * grain;
      f(begin, begin + grain < n ? begin + grain : n);
    };
    parallel(static_cast<int>((n + grain - 1) / grain), body);
  }

  /// Private memory of one worker for the duration of a task, 64-byte aligned. reserve_scratch() allocates it beforehand.
  void* scratch(int worker) { return scratch_[static_cast<std::size_t>(worker)].data(); }

  /// Grows the scratch memory of each worker to at least `bytes`. Called when a model is constructed, never inside a step.
  void reserve_scratch(std::size_t bytes) {
    if (scratch_.empty()) scratch_.resize(static_cast<std::size_t>(threads()));  // a Cpu that was moved from
    for (auto& s : scratch_)
      if (s.size() < bytes) s = Buffer<std::byte>(bytes);
  }

 private:
  static constexpr int max_threads = 65536;
  template <class N>
  static std::shared_ptr<Executor> pool_of(N threads) {
    const auto n = static_cast<long long>(threads);
    if (n < 0 || n > max_threads)
      throw Error("Cpu", "expected 0 threads (all that are allowed) to " + std::to_string(max_threads) + ", got " +
                             std::to_string(threads));
    using Count = std::conditional_t<std::is_same_v<N, void>, N, ThreadCount>;  // dependent: looked up at the call
    constexpr bool has_pools = requires(Count count) { make_executor(count); };
    static_assert(has_pools, "tenon::Cpu(threads): include <tenon/core/thread_pool.hpp> or <tenon/tenon.hpp>");
    if constexpr (has_pools) return make_executor(Count{static_cast<int>(n)});
  }

  std::shared_ptr<Executor> executor_;
  Isa isa_;
  std::vector<Buffer<std::byte>> scratch_;  // one for each worker
};

// The functions that every device has. T is trivially copyable, n counts values, and ranges must not overlap.

/// Allocates n values of zero in memory of the device.
template <class T>
Buffer<T> allocate(const Cpu&, std::size_t n) {
  return Buffer<T>(n);
}
/// Copies n values from memory of the device to memory of the device.
template <class T>
void copy(const Cpu&, const T* from, T* to, std::size_t n) {
  if (n > 0) std::copy(from, from + n, to);
}
/// Copies n values from memory of the host to memory of the device. `from` may be changed after the call returns.
template <class T>
void upload(const Cpu&, const T* from, T* to, std::size_t n) {
  if (n > 0) std::copy(from, from + n, to);
}
/// Copies n values from memory of the device to memory of the host, after all earlier kernels have finished.
template <class T>
void download(const Cpu&, const T* from, T* to, std::size_t n) {
  if (n > 0) std::copy(from, from + n, to);
}
template <class T>
void fill_zeros(const Cpu&, T* to, std::size_t n) {
  std::fill(to, to + n, T{});
}
/// Returns when all kernels have finished. Throws the error of a kernel that failed.
inline void wait(const Cpu&) {}
/// The number of the memory in which a handle allocates. Handles of one type with equal numbers may share memory.
inline int memory_space(const Cpu&) { return 0; }

/// Grows the scratch memory of each worker to at least `bytes`.
inline void reserve_scratch(Cpu& dev, std::size_t bytes) { dev.reserve_scratch(bytes); }

// The concept Device has one part for each requirement, so that the compiler names the missing one.

template <class D>
concept device_is_a_copyable_handle = std::is_copy_constructible_v<D> && std::is_copy_assignable_v<D>;

template <class D>
concept device_has_Buffer = requires {
  typename D::template Buffer<float>;
};
template <class B>
concept buffer_is_movable_memory = std::movable<B> && std::default_initializable<B> && requires(B& b, const B& c) {
  { b.data() } -> std::same_as<float*>;
  { c.data() } -> std::same_as<const float*>;
  { c.size() } -> std::convertible_to<std::size_t>;
  { b.span() } -> std::same_as<Span<float>>;
  { c.span() } -> std::same_as<Span<const float>>;
};

template <class D>
concept device_has_allocate = requires(const D& dev, std::size_t n) {
  { allocate<float>(dev, n) } -> std::same_as<typename D::template Buffer<float>>;
};
template <class D>
concept device_has_copy = requires(const D& dev, const float* from, float* to, std::size_t n) {
  copy(dev, from, to, n);
};
template <class D>
concept device_has_upload = requires(const D& dev, const float* from, float* to, std::size_t n) {
  upload(dev, from, to, n);
};
template <class D>
concept device_has_download = requires(const D& dev, const float* from, float* to, std::size_t n) {
  download(dev, from, to, n);
};
template <class D>
concept device_has_fill_zeros = requires(const D& dev, float* to, std::size_t n) {
  fill_zeros(dev, to, n);
};
template <class D>
concept device_has_wait = requires(const D& dev) {
  wait(dev);
};
template <class D>
concept device_has_memory_space = requires(const D& dev) {
  { memory_space(dev) } -> std::convertible_to<int>;
};

/// A device on which a model can be made. The concept does not include kernels: a device needs only the kernels of the
/// layers that are used with it.
template <class D>
concept Device = device_is_a_copyable_handle<D> && device_has_Buffer<D> &&
    buffer_is_movable_memory<typename D::template Buffer<float>> && device_has_allocate<D> && device_has_copy<D> &&
    device_has_upload<D> && device_has_download<D> && device_has_fill_zeros<D> && device_has_wait<D> &&
    device_has_memory_space<D>;

/// Gives the host access to values in memory of a device, through a copy in host memory. For a Cpu there is no copy.
template <class D, class T>
class HostMirror {
 public:
  HostMirror() = default;
  explicit HostMirror(std::size_t max) : copy_(max) {}
  /// The n values at `from`, n at most the constructor's. Valid until the next call.
  const T* operator()(const D& dev, const T* from, std::size_t n) {
    download(dev, from, copy_.data(), n);
    return copy_.data();
  }

 private:
  Buffer<T> copy_;
};
template <class T>
class HostMirror<Cpu, T> {
 public:
  HostMirror() = default;
  explicit HostMirror(std::size_t) {}
  const T* operator()(const Cpu&, const T* from, std::size_t) { return from; }
};

/// The place where the host writes values for a device: host memory that send() uploads. For a Cpu it is the target itself.
template <class D, class T>
class HostStage {
 public:
  /// Returns where to write the n values for `to` before send() is called.
  T* place(const D&, T* to, std::size_t n) {
    to_ = to;
    if (copy_.size() < n) copy_ = Buffer<T>(n);
    n_ = n;
    return copy_.data();
  }
  void send(const D& dev) { upload(dev, static_cast<const T*>(copy_.data()), to_, n_); }

 private:
  Buffer<T> copy_;
  T* to_ = nullptr;
  std::size_t n_ = 0;
};
template <class T>
class HostStage<Cpu, T> {
 public:
  T* place(const Cpu&, T* to, std::size_t) { return to; }
  void send(const Cpu&) {}
};

/// Runs a function that launches kernels many times, by calling f() each time. A device that can record launches
/// specializes it (core/cuda.hpp).
template <class D>
class Replay {
 public:
  /// May call f(). Its results are not used.
  template <class F>
  void record(D&, F&&) {}
  /// Has the effect of f(), which must be the recorded function.
  template <class F>
  void run(D&, F&& f) {
    f();
  }
};

}  // namespace tenon::kernels

namespace tenon {
using kernels::Cpu;

namespace detail {
/// Accepts any device by a conversion. An overload for the device itself is therefore preferred, with any reference and
/// const.
struct AnyDevice {
  template <class D>
  AnyDevice(const D&) {}  // NOLINT: implicit
};
}  // namespace detail

/// True if each handle may use memory that was allocated for the other.
template <kernels::Device D>
bool shares_memory(const D& a, const D& b) {
  return memory_space(a) == memory_space(b);
}

// Optional functions of a device. These are the defaults for devices without them.

/// Calls f() without computing anything, to measure how much scratch memory f() needs. By default it does nothing.
template <class F>
void measure_scratch(detail::AnyDevice, F&&) {}
/// Called when a model is made, with the bytes of scratch memory that one worker needs. By default it does nothing.
inline void reserve_scratch(detail::AnyDevice, std::size_t) {}
/// Called for the device of a Predictor and affects only that handle. It can disable what takes long to start. By default
/// it does nothing.
inline void prepare_for_prediction(detail::AnyDevice) {}

}  // namespace tenon

TENON_IEEE_MATH_END
