// Abacus: a device outside the library, written as docs/adding-a-device.md describes. It is defined after tenon.hpp, in
// a separate namespace. It has the kernels of Linear, of elementwise layers, of Dropout, CrossEntropy, SGD and Adam,
// and of gathering images and rows, as plain loops over float or double.
//
// The host cannot access the memory of an Abacus: its pages are protected except while a kernel runs. Library code that
// reads or writes it without upload(), download() or a kernel gets SIGSEGV.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>
#include <tenon/tenon.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <new>
#include <utility>

namespace elsewhere {

using tenon::Batch;
using tenon::In;
using tenon::Into;
using tenon::Out;
using tenon::Span;
using tenon::kernels::Activation;
using tenon::kernels::Epilogue;
using tenon::kernels::EpilogueTag;

/// Memory of one Abacus, shared by all copies of its handle.
class AbacusMemory {
 public:
  void* take(std::size_t bytes) {
    if (bytes == 0) return nullptr;
    void* const p = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    pieces_[p] = bytes;
    if (open_ > 0) protect(p, bytes, PROT_READ | PROT_WRITE);
    return p;
  }
  void give(void* p) {
    ::munmap(p, pieces_.at(p));
    pieces_.erase(p);
  }
  void open() {
    ++kernels_;
    if (open_++ > 0) return;
    for (const auto& [p, bytes] : pieces_) protect(p, bytes, PROT_READ | PROT_WRITE);
  }
  void close() {
    if (--open_ > 0) return;
    for (const auto& [p, bytes] : pieces_) protect(p, bytes, PROT_NONE);
  }
  long kernels() const { return kernels_; }

 private:
  static void protect(void* p, std::size_t bytes, int how) {
    if (::mprotect(p, bytes, how) != 0) std::abort();
  }

  std::map<void*, std::size_t> pieces_;
  int open_ = 0;
  long kernels_ = 0;
};

class Abacus {
 public:
  template <class T>
  class Buffer {
   public:
    Buffer() = default;
    Buffer(std::shared_ptr<AbacusMemory> memory, std::size_t n)
        : memory_(std::move(memory)), data_(static_cast<T*>(memory_->take(n * sizeof(T)))), size_(n) {}
    Buffer(Buffer&& o) noexcept { *this = std::move(o); }
    Buffer& operator=(Buffer&& o) noexcept {
      std::swap(memory_, o.memory_);
      std::swap(data_, o.data_);
      std::swap(size_, o.size_);
      return *this;
    }
    ~Buffer() {
      if (data_) memory_->give(data_);
    }
    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t size() const { return size_; }
    Span<T> span() { return {data_, size_}; }
    Span<const T> span() const { return {data_, size_}; }

   private:
    std::shared_ptr<AbacusMemory> memory_;
    T* data_ = nullptr;
    std::size_t size_ = 0;
  };

  AbacusMemory& memory() const { return *memory_; }
  const std::shared_ptr<AbacusMemory>& shared_memory() const { return memory_; }
  long kernels() const { return memory_->kernels(); }  // number of kernels run so far, copies included

 private:
  std::shared_ptr<AbacusMemory> memory_ = std::make_shared<AbacusMemory>();
};

/// Represents a running kernel: while it exists, the memory of the device can be read and written.
class Kernel {
 public:
  explicit Kernel(const Abacus& dev) : memory_(dev.memory()) { memory_.open(); }
  Kernel(const Kernel&) = delete;
  ~Kernel() { memory_.close(); }

 private:
  AbacusMemory& memory_;
};

// --- required of every device ------------------------------------------------------------------------------------------

template <class T>
Abacus::Buffer<T> allocate(const Abacus& dev, std::size_t n) {
  return Abacus::Buffer<T>(dev.shared_memory(), n);
}
template <class T>
void copy(const Abacus& dev, const T* from, T* to, std::size_t n) {
  const Kernel kernel(dev);
  std::copy_n(from, n, to);
}
template <class T>
void upload(const Abacus& dev, const T* from, T* to, std::size_t n) {
  const Kernel kernel(dev);
  std::copy_n(from, n, to);
}
template <class T>
void download(const Abacus& dev, const T* from, T* to, std::size_t n) {
  const Kernel kernel(dev);
  std::copy_n(from, n, to);
}
template <class T>
void fill_zeros(const Abacus& dev, T* to, std::size_t n) {
  const Kernel kernel(dev);
  std::fill_n(to, n, T{});
}
inline void wait(const Abacus&) {}
/// Each Abacus has separate memory, so the address of that memory identifies the memory space.
inline int memory_space(const Abacus& dev) {
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(&dev.memory()) / alignof(AbacusMemory) % 2147483647u);
}

// --- used by Model and Trainer -----------------------------------------------------------------------------------------

template <class T>
double sum_of_squares(Abacus& dev, Span<const T> x) {
  const Kernel kernel(dev);
  double sum = 0;
  for (const T v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum;
}
template <class T>
bool all_finite(Abacus& dev, Span<const T> x) {
  const Kernel kernel(dev);
  return std::all_of(x.begin(), x.end(), [](T v) { return tenon::kernels::is_finite(v); });
}

// --- layers ------------------------------------------------------------------------------------------------------------

template <class T>
void store(Into<T, 1> to, T value) {
  if (to) *to.data = to.accumulate ? *to.data + value : value;
}

template <class T, int... D, class F>
void elementwise(Abacus& dev, Out<T, D...> y, const F& f) {
  const Kernel kernel(dev);
  for (std::size_t i = 0; i < y.size(); ++i) y.data[i] = static_cast<T>(f(i));
}
template <class T, int... D, class F>
void elementwise(Abacus& dev, Into<T, D...> dx, const F& f) {
  if (!dx) return;
  const Kernel kernel(dev);
  for (std::size_t i = 0; i < dx.size(); ++i) store(Into<T, 1>(dx.data + i, 1, dx.accumulate), static_cast<T>(f(i)));
}
template <class T, class F>
void sum_into(Abacus& dev, std::size_t n, const F& f, Into<T, 1> to) {
  const Kernel kernel(dev);
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(f(i));
  store(to, static_cast<T>(sum));
}

template <class T, int... D>
void add_forward(Abacus& dev, std::type_identity_t<In<T, D...>> a, std::type_identity_t<In<T, D...>> b,
                 Out<T, D...> y) {
  elementwise(dev, y, [&](std::size_t i) { return a.data[i] + b.data[i]; });
}
template <class T, int... D>
void accumulate(Abacus& dev, std::type_identity_t<In<T, D...>> dy, Into<T, D...> dx) {
  elementwise(dev, dx, [&](std::size_t i) { return dy.data[i]; });
}

template <class T, int... D, Activation A>
void activation_forward(Abacus& dev, std::integral_constant<Activation, A>, std::type_identity_t<In<T, D...>> x,
                        Out<T, D...> y) {
  elementwise(dev, y, [&](std::size_t i) { return tenon::kernels::ActivationFunction<A>::of(x.data[i]); });
}
template <class T, int... D, Activation A>
void activation_backward(Abacus& dev, std::integral_constant<Activation, A>, std::type_identity_t<In<T, D...>> x,
                         std::type_identity_t<In<T, D...>> y, std::type_identity_t<In<T, D...>> dy, Into<T, D...> dx) {
  elementwise(dev, dx, [&](std::size_t i) {
    return dy.data[i] * tenon::kernels::ActivationFunction<A>::derivative(x ? x.data[i] : T(0), y ? y.data[i] : T(0));
  });
}

template <class T, int I, int O>
void linear_prepare(Abacus&, In<T, O, I>, Span<T>) {}  // kernels read the weights directly

template <class T, int I, int O, Epilogue F>
void linear_forward(Abacus& dev, In<T, Batch, I> x, std::type_identity_t<In<T, O, I>> w,
                    std::type_identity_t<Span<const T>>, std::type_identity_t<In<T, O>> b, EpilogueTag<F>,
                    Out<T, Batch, O> y) {
  const Kernel kernel(dev);
  for (int n = 0; n < x.batch; ++n)
    for (int o = 0; o < O; ++o) {
      T sum = b ? b.data[o] : T(0);
      for (int i = 0; i < I; ++i) sum += x.row(n)[i] * w.data[o * I + i];
      y.row(n)[o] = tenon::kernels::ActivationFunction<F.activation>::of(sum);
    }
}

template <class T, int I, int O, Epilogue F>
void linear_backward(Abacus& dev, std::type_identity_t<In<T, Batch, I>> x, std::type_identity_t<In<T, O, I>> w,
                     std::type_identity_t<In<T, Batch, O>> y, EpilogueTag<F>, Out<T, Batch, O> dy, Into<T, Batch, I> dx,
                     std::type_identity_t<Into<T, O, I>> dw, std::type_identity_t<Into<T, O>> db, Span<T>) {
  const Kernel kernel(dev);
  if constexpr (F.activation.kind != Activation::none)
    for (std::size_t i = 0; i < dy.size(); ++i)
      dy.data[i] *= tenon::kernels::ActivationFunction<F.activation>::derivative(T(0), y.data[i]);
  for (int o = 0; o < O; ++o) {
    T sum = 0;
    for (int n = 0; n < dy.batch; ++n) sum += dy.row(n)[o];
    if (db) store(Into<T, 1>(db.data + o, 1, db.accumulate), sum);
    for (int i = 0; dw && i < I; ++i) {
      sum = 0;
      for (int n = 0; n < dy.batch; ++n) sum += dy.row(n)[o] * x.row(n)[i];
      store(Into<T, 1>(dw.data + o * I + i, 1, dw.accumulate), sum);
    }
  }
  for (int n = 0; dx && n < dy.batch; ++n)
    for (int i = 0; i < I; ++i) {
      T sum = 0;
      for (int o = 0; o < O; ++o) sum += dy.row(n)[o] * w.data[o * I + i];
      store(Into<T, 1>(dx.row(n) + i, 1, dx.accumulate), sum);
    }
}

// --- losses, optimizers and data ---------------------------------------------------------------------------------------

inline void check_labels(Abacus&, const std::int32_t*, int, int) {}  // an invalid label gives NaN, as on a GPU

template <class T, int C>
void cross_entropy(Abacus& dev, std::type_identity_t<In<T, Batch, C>> x, const std::int32_t* labels,
                   const tenon::kernels::CrossEntropyOptions& options, tenon::Reduction reduction, Out<T, Batch, C> dx,
                   tenon::LossSums* sums) {
  const Kernel kernel(dev);
  tenon::LossSums s;
  const auto weight = [&](int c) {
    return options.class_weights ? static_cast<double>(options.class_weights[c]) : 1.0;
  };
  double all_weights = 0, divisor = 0;
  for (int c = 0; c < C; ++c) all_weights += weight(c);
  for (int b = 0; b < x.batch; ++b) divisor += labels[b] >= 0 && labels[b] < C ? weight(labels[b]) : std::nan("");
  if (reduction == tenon::Reduction::sum) divisor = 1;
  const double smoothing = static_cast<double>(options.label_smoothing);
  for (int b = 0; b < x.batch; ++b) {
    const T* const row = x.row(b);
    const int label = labels[b], top = static_cast<int>(std::max_element(row, row + C) - row);
    double total = 0, loss = 0;
    for (int c = 0; c < C; ++c) total += std::exp(static_cast<double>(row[c] - row[top]));
    for (int c = 0; c < C; ++c) {
      const double log_p = static_cast<double>(row[c] - row[top]) - std::log(total);
      const double target = weight(c) * (smoothing / C + (c == label ? 1 - smoothing : 0));
      loss -= target * log_p;
    }
    if (dx) {
      const double all = smoothing / C * all_weights + (1 - smoothing) * weight(label);
      for (int c = 0; c < C; ++c) {
        const double p = std::exp(static_cast<double>(row[c] - row[top])) / total;
        const double target = weight(c) * (smoothing / C + (c == label ? 1 - smoothing : 0));
        dx.row(b)[c] = static_cast<T>((all * p - target) / divisor);
      }
    }
    s = s + tenon::LossSums{loss, weight(label), top == label, 1};
  }
  *sums = s;
}

template <class T>
void sgd_update(Abacus& dev, const tenon::kernels::SgdOptions& o, const tenon::StepState* step, Span<T> w,
                std::type_identity_t<Span<const T>> g, Span<T> u) {
  const Kernel kernel(dev);
  if (step->stopped) return;
  const tenon::kernels::SgdFactors<T> f(o, *step);
  for (std::size_t i = 0; i < w.size; ++i) {
    T d = f.grad_scale * g[i] + f.l2 * w[i];
    if (o.momentum != 0) {
      u[i] = f.momentum * u[i] + d;
      d = f.nesterov ? d + f.momentum * u[i] : u[i];
    }
    w[i] -= f.learning_rate * d;
  }
}

template <class T>
void adam_update(Abacus& dev, const tenon::kernels::AdamOptions& o, const tenon::StepState* step, Span<T> w,
                 std::type_identity_t<Span<const T>> g, Span<T> m, Span<T> v) {
  const Kernel kernel(dev);
  if (step->stopped) return;
  const tenon::kernels::AdamFactors<T> f(o, *step);
  for (std::size_t i = 0; i < w.size; ++i) {
    const T d = f.grad_scale * g[i] + f.l2 * w[i];
    m[i] += f.gain1 * (d - m[i]);
    v[i] = f.beta2 * v[i] + f.gain2 * d * d;
    w[i] = f.keep * w[i] - f.step_size * m[i] / (std::sqrt(v[i]) * f.root_scale + f.epsilon);
  }
}

template <class T>
void multiply_by(Abacus& dev, Span<T> x, T factor) {
  const Kernel kernel(dev);
  for (T& v : x) v *= factor;
}

template <class T, int... D>
void dropout_forward(Abacus& dev, const tenon::StepState* step, std::uint32_t layer,
                     std::type_identity_t<In<T, D...>> x, int num, int den, Out<T, D...> y) {
  const Kernel kernel(dev);
  tenon::Cpu here;
  tenon::kernels::dropout_forward(here, step, layer, x, num, den, y);
}
template <class T, int... D>
void dropout_backward(Abacus& dev, const tenon::StepState* step, std::uint32_t layer,
                      std::type_identity_t<In<T, D...>> dy, int num, int den, Into<T, D...> dx) {
  const Kernel kernel(dev);
  tenon::Cpu here;
  tenon::kernels::dropout_backward(here, step, layer, dy, num, den, dx);
}

template <class T, int... D>
void gather_batch(Abacus& dev, const tenon::kernels::ImageSource<T>* source, const tenon::StepState* step,
                  tenon::Pass pass, Out<T, D...> x, std::int32_t* y, bool planar = false) {
  const Kernel kernel(dev);
  const tenon::kernels::Images& from = source->images;
  const tenon::kernels::Order order = source->order(*step, pass);
  const tenon::kernels::Augmentation augmentation = source->augmentation(*step, pass);
  for (int b = 0; b < x.batch; ++b) {
    const std::uint64_t position = step->first_sample + static_cast<std::uint64_t>(b), index = order(position);
    const tenon::kernels::Augmentation::Drawn drawn = augmentation.draw(position);
    const std::uint8_t* const image = from.pixels + index * static_cast<std::uint64_t>(from.sample());
    const auto at = [&](bool channels_first, int k, int i, int j) {
      return channels_first ? (k * from.h + i) * from.w + j : (i * from.w + j) * from.c + k;
    };
    for (int k = 0; k < from.c; ++k)
      for (int i = 0; i < from.h; ++i)
        for (int j = 0; j < from.w; ++j) {
          const int si = i - drawn.down, sj = (drawn.mirrored ? from.w - 1 - j : j) - drawn.right;
          const bool inside = si >= 0 && si < from.h && sj >= 0 && sj < from.w;
          const T pixel = inside ? static_cast<T>(image[at(from.planar, k, si, sj)]) : T(0);
          x.row(b)[at(planar, k, i, j)] = pixel * source->normalisation.scale[k] + source->normalisation.offset[k];
        }
    if (y) y[b] = source->labels ? source->labels[index] : 0;
  }
}

template <class T, int... D, class Target>
void gather_rows(Abacus& dev, const tenon::kernels::RowSource<T, Target>* source, const tenon::StepState* step,
                 tenon::Pass pass, Out<T, D...> x, Target* targets, int targets_per_sample) {
  const Kernel kernel(dev);
  const tenon::kernels::Order order = source->order(*step, pass);
  for (int b = 0; b < x.batch; ++b) {
    const std::uint64_t index = order(step->first_sample + static_cast<std::uint64_t>(b));
    std::copy_n(source->x + index * Out<T, D...>::sample, Out<T, D...>::sample, x.row(b));
    for (int i = 0; i < targets_per_sample; ++i)
      targets[b * targets_per_sample + i] =
          source->targets[index * static_cast<std::uint64_t>(targets_per_sample) + static_cast<std::uint64_t>(i)];
  }
}

static_assert(tenon::kernels::Device<Abacus>);

}  // namespace elsewhere
