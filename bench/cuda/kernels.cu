// Times the CUDA kernels at the sizes of networks for small images and at large sizes. Each kernel is compared with a
// lower bound (floor) measured in the same run (floors.cuh). cuBLAS is measured beside tenon's own matrix products.
//   bench_cuda_kernels [--json] [--tiny] [--only WORD]     --tiny: minimal sizes for tests; the times mean nothing
// With --json it prints a line for each floor and each kernel, else tables.
//   bytes, flops   what any implementation must read and write, and compute
//   floor          the longest of: a node of a graph, bytes at the rate of a copy, flops at the rate of the precision
//   share          floor / time
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstring>
#include <string>
#include <tenon/cuda.cuh>
#include <vector>

#include "cuda/floors.cuh"

using namespace tenon;
using namespace tenon::kernels;
using bench::Effort;
using bench::Floors;

namespace {

// --- the run ------------------------------------------------------------------------------------------------------------

struct Options {
  bool json = false, tiny = false;
  std::string only;
};

const char* name_of(CudaMath m) { return m == CudaMath::fp32 ? "fp32" : m == CudaMath::tf32 ? "tf32" : "bf16"; }

/// The work of one call.
struct Work {
  std::string name, shape;
  double bytes = 0, flops = 0;
  bool has_precision = false;
};

class Run {
 public:
  Run(Cuda& dev, const Options& options)
      : dev_(dev), options_(options), effort_(options.tiny ? Effort::min() : Effort{}) {}

  Cuda& dev() { return dev_; }
  bool tiny() const { return options_.tiny; }

  void measure_floors() {
    floors_ = bench::measure_floors(dev_, effort_, options_.tiny);
    if (!options_.json) std::printf("%s\n", dev_.state().name.c_str());
    const auto say = [&](const char* name, double value, const char* unit) {
      std::printf(options_.json ? "{\"floor\": \"%s\", \"value\": %.4g, \"unit\": \"%s\"}\n" : "  %-14s %10.4g %s\n",
                  name, value, unit);
    };
    say("copy_large", floors_.copy_large / 1e3, "GB/s");
    say("copy_small", floors_.copy_small / 1e3, "GB/s");
    say("memcpy_large", floors_.memcpy_large / 1e3, "GB/s");
    say("fma", floors_.fma / 1e6, "TFLOP/s");
    say("tf32", floors_.tf32 / 1e6, "TFLOP/s");
    say("bf16", floors_.bf16 / 1e6, "TFLOP/s");
    say("node", floors_.node, "us");
    say("graph_launch", floors_.graph_launch, "us");
    say("round_trip", floors_.round_trip, "us");
    say("launch", floors_.launch, "us");
    if (!options_.json)
      std::printf("\n%-26s %-30s %-5s %10s %9s %6s %9s %10s  %s\n", "kernel", "shape", "", "us", "floor us", "share",
                  "GB/s", "TFLOP/s", "nodes");
  }

  /// Whether --only selects this name. If not, its memory need not be allocated.
  bool wants(const char* name) const {
    return options_.only.empty() || std::strstr(name, options_.only.c_str()) != nullptr;
  }

  template <class F>
  void measure(const Work& w, const F& call) {
    const bench::Timing t = bench::time_of(dev_, effort_, call);
    // An array that fits in L2 is still there from the previous call.
    const double copy = w.bytes < static_cast<double>(floors_.cache) / 2
                            ? std::max(floors_.copy_small, floors_.copy_large)
                            : floors_.copy_large;
    const double rate = !w.has_precision || dev_.math == CudaMath::fp32 ? floors_.fma
                        : dev_.math == CudaMath::tf32                   ? floors_.tf32
                                                                        : floors_.bf16;
    const double by_memory = w.bytes / copy, by_flops = w.flops / rate;
    const double floor = std::max({floors_.node, by_memory, by_flops});
    const char* const bound = floor == floors_.node ? "node" : floor == by_memory ? "memory" : "flops";
    const char* const precision = w.has_precision ? name_of(dev_.math) : "";
    if (options_.json)
      std::printf(
          "{\"kernel\": \"%s\", \"shape\": \"%s\", \"precision\": \"%s\", \"bytes\": %.0f, \"flops\": %.0f, \"us\": "
          "%.4g, "
          "\"p10\": %.4g, \"p90\": %.4g, \"nodes\": %d, \"floor_us\": %.4g, \"bound\": \"%s\", \"share\": %.3f}\n",
          w.name.c_str(), w.shape.c_str(), precision, w.bytes, w.flops, t.us, t.p10, t.p90, t.nodes, floor, bound,
          floor / t.us);
    else
      std::printf("%-26s %-30s %-5s %10.2f %9.2f %6.2f %9.1f %10.3f  %d\n", w.name.c_str(), w.shape.c_str(), precision,
                  t.us, floor, floor / t.us, w.bytes / t.us / 1e3, w.flops / t.us / 1e6, t.nodes);
    std::fflush(stdout);
  }

  /// Calls f() once for each precision.
  template <class F>
  void each_precision(const F& f) {
    for (const CudaMath m : {CudaMath::fp32, CudaMath::tf32, CudaMath::bf16}) {
      dev_.math = m;
      f();
    }
    dev_.math = CudaMath::fp32;
  }

 private:
  Cuda& dev_;
  Options options_;
  Effort effort_;
  Floors floors_;
};

struct Noise {
  TENON_HD float operator()(std::size_t i) const {
    return static_cast<float>((i * 2654435761u >> 7) & 0xffffu) * 0x1p-16f - 0.5f;
  }
};

/// One value in device memory, in the form that kernels take.
template <class T>
class One {
 public:
  One(Cuda& dev, const T& value) : memory_(1) { upload(dev, &value, memory_.data(), 1); }
  operator CudaPointer<const T>() const { return CudaPointer<const T>(memory_.data()); }

 private:
  CudaBuffer<T> memory_;
};

StepState step_of_rate(double learning_rate) {
  StepState s;
  s.learning_rate = learning_rate;
  return s;
}

/// n values between -0.5 and 0.5 in device memory.
CudaBuffer<float> noise(Cuda& dev, std::size_t n) {
  CudaBuffer<float> b(n);
  elementwise(dev, Out<float, Batch, 1>(b.data(), static_cast<int>(n)), Noise{});
  return b;
}

std::string by(int batch, const char* rest) { return std::to_string(batch) + " x " + rest; }
std::string text_of(std::initializer_list<int> sizes) {
  std::string s;
  for (const int n : sizes) s += (s.empty() ? "" : " x ") + std::to_string(n);
  return s;
}

/// Calls f(batch) for typical training batch sizes and for `large`.
template <class F>
void each_batch(const Run& run, int large, const F& f) {
  if (run.tiny()) return f(3);
  for (const int batch : {128, 1024}) f(batch);
  if (large > 0) f(large);
}

// --- bound by memory ----------------------------------------------------------------------------------------------------

constexpr Activation relu_{Activation::relu};
constexpr Window three{3, 3, 1, 1, 1, 1, 1, 1}, two{2, 2, 2, 2, 0, 0, 1, 1};

void elementwise_kernels(Run& run) {
  constexpr int n = 14 * 14 * 32;  // per sample
  using X = In<float, Batch, n>;
  using Y = Out<float, Batch, n>;
  each_batch(run, 16384, [&](int batch) {
    Cuda& dev = run.dev();
    const double all = double(batch) * n;
    const auto a = noise(dev, static_cast<std::size_t>(batch) * n), b = noise(dev, a.size());
    CudaBuffer<float> y(a.size());
    const std::string shape = by(batch, "14 x 14 x 32");
    const X xa(a.data(), batch), xb(b.data(), batch);
    const Y out(y.data(), batch);
    if (run.wants("add_forward"))
      run.measure({"add_forward", shape, 12 * all, all}, [&] { add_forward(dev, xa, xb, out); });
    if (run.wants("activation_forward"))
      run.measure({"activation_forward relu", shape, 8 * all, all},
                  [&] { activation_forward(dev, std::integral_constant<Activation, relu_>{}, xa, out); });
    if (run.wants("activation_backward"))
      run.measure({"activation_backward relu", shape, 12 * all, all}, [&] {
        activation_backward(dev, std::integral_constant<Activation, relu_>{}, X(nullptr, batch), xa, xb,
                            Into<float, Batch, n>(y.data(), batch));
      });
    const One<StepState> step(dev, StepState{});
    if (run.wants("dropout_forward"))
      run.measure({"dropout_forward", shape, 8 * all, 25 * all}, [&] { dropout_forward(dev, step, 0, xa, 1, 4, out); });
    if (run.wants("to_channels_first"))
      run.measure({"to_channels_first", shape, 8 * all, 0}, [&] {
        to_channels_first(dev, In<float, Batch, 14, 14, 32>(a.data(), batch),
                          Into<float, Batch, 32, 14, 14>(y.data(), batch));
      });
  });
}

void pools(Run& run) {
  constexpr PoolDims d{32, 28, 28, two};
  constexpr int in = 28 * 28 * 32, out = in / 4;
  each_batch(run, 4096, [&](int batch) {
    Cuda& dev = run.dev();
    const double all = double(batch) * in;
    auto x = noise(dev, static_cast<std::size_t>(batch) * in);
    auto y = noise(dev, static_cast<std::size_t>(batch) * out);
    CudaBuffer<std::uint8_t> argmax(y.size());
    const std::string shape = by(batch, "28 x 28 x 32");
    run.measure({"max_pool2d_forward", shape, 5.25 * all, all}, [&] {
      max_pool2d_forward(dev, PoolTag<d>{}, In<float, Batch, 28, 28, 32>(x.data(), batch),
                         Out<float, Batch, 14, 14, 32>(y.data(), batch),
                         Out<std::uint8_t, Batch, 14, 14, 32>(argmax.data(), batch));
    });
    run.measure({"max_pool2d_backward", shape, 5.25 * all, all}, [&] {
      max_pool2d_backward(dev, PoolTag<d>{}, In<std::uint8_t, Batch, 14, 14, 32>(argmax.data(), batch),
                          In<float, Batch, 14, 14, 32>(y.data(), batch),
                          Into<float, Batch, 28, 28, 32>(x.data(), batch));
    });
  });
}

void norms(Run& run) {
  {
    constexpr int s = 28 * 28, c = 16;
    each_batch(run, 8192, [&](int batch) {
      if (!run.wants("batch_norm")) return;
      Cuda& dev = run.dev();
      const double all = double(batch) * s * c;
      const auto x = noise(dev, static_cast<std::size_t>(batch) * s * c), dy = noise(dev, x.size());
      const auto gamma = noise(dev, c), beta = noise(dev, c);
      CudaBuffer<float> y(x.size()), keep(6 * 32);
      const auto part = [&](int i) { return keep.data() + i * 32; };
      const One<StepState> step(dev, StepState{});
      using X = In<float, Batch, s, c>;
      const std::string shape = by(batch, "28 x 28 x 16");
      run.measure({"batch_norm_training", shape, 12 * all, 8 * all}, [&] {
        batch_norm_forward_training(dev, step, X(x.data(), batch), In<float, c>(gamma.data()),
                                    In<float, c>(beta.data()), 1e-5f, 0.1f, Out<float, c>(part(0)),
                                    Out<float, c>(part(1)), Out<float, c>(part(2)), Out<float, c>(part(3)),
                                    Out<float, Batch, s, c>(y.data(), batch), Span<float>{});
      });
      run.measure({"batch_norm_backward", shape, 20 * all, 10 * all}, [&] {
        batch_norm_backward(dev, X(x.data(), batch), In<float, c>(gamma.data()), In<float, c>(part(2)),
                            In<float, c>(part(3)), X(dy.data(), batch), Into<float, Batch, s, c>(y.data(), batch),
                            Into<float, c>(part(4)), Into<float, c>(part(5)), Span<float>{});
      });
    });
  }
  constexpr int n = 256;
  each_batch(run, 1 << 18, [&](int batch) {
    if (!run.wants("layer_norm")) return;
    Cuda& dev = run.dev();
    const double all = double(batch) * n;
    const auto x = noise(dev, static_cast<std::size_t>(batch) * n), dy = noise(dev, x.size());
    const auto gamma = noise(dev, n), beta = noise(dev, n);
    CudaBuffer<float> y(x.size()), mean(static_cast<std::size_t>(batch)), rstd(mean.size()), dgamma(n), dbeta(n);
    using X = In<float, Batch, 1, n>;
    run.measure({"layer_norm_forward", by(batch, "256"), 8 * all, 8 * all}, [&] {
      layer_norm_forward(dev, X(x.data(), batch), In<float, n>(gamma.data()), In<float, n>(beta.data()), 1e-5f,
                         Out<float, Batch, 1, n>(y.data(), batch), Out<float, Batch, 1>(mean.data(), batch),
                         Out<float, Batch, 1>(rstd.data(), batch));
    });
    run.measure({"layer_norm_backward", by(batch, "256"), 12 * all, 12 * all}, [&] {
      layer_norm_backward(dev, X(x.data(), batch), In<float, n>(gamma.data()), In<float, Batch, 1>(mean.data(), batch),
                          In<float, Batch, 1>(rstd.data(), batch), X(dy.data(), batch),
                          Into<float, Batch, 1, n>(y.data(), batch), Into<float, n>(dgamma.data()),
                          Into<float, n>(dbeta.data()), Span<float>{});
    });
  });
}

template <int C>
void cross_entropy_of(Run& run, int batch) {
  Cuda& dev = run.dev();
  const auto logits = noise(dev, static_cast<std::size_t>(batch) * C);
  CudaBuffer<float> dlogits(logits.size());
  const CudaBuffer<std::int32_t> labels(static_cast<std::size_t>(batch));  // all zeros: valid labels
  CudaBuffer<LossSums> sums(1);
  run.measure({"cross_entropy", text_of({batch, C}), 4.0 * batch * (2 * C + 1), 10.0 * batch * C}, [&] {
    cross_entropy<float, C>(dev, In<float, Batch, C>(logits.data(), batch), labels.data(), {}, Reduction::mean,
                            Out<float, Batch, C>(dlogits.data(), batch), sums.data());
  });
}

void losses(Run& run) {
  each_batch(run, 1 << 20, [&](int batch) { cross_entropy_of<10>(run, batch); });
  cross_entropy_of<1000>(run, run.tiny() ? 3 : 1 << 16);
}

void gathers(Run& run) {
  constexpr int n = 28 * 28;
  each_batch(run, 1 << 16, [&](int batch) {
    Cuda& dev = run.dev();
    const int count = run.tiny() ? 20 : 60000;
    const CudaBuffer<std::uint8_t> pixels(static_cast<std::size_t>(count) * n), labels(static_cast<std::size_t>(count));
    CudaBuffer<float> x(static_cast<std::size_t>(batch) * n);
    CudaBuffer<std::int32_t> y(static_cast<std::size_t>(batch));
    ImageSource<float> source{};
    source.images = {pixels.data(), count, 28, 28, 1, true};
    source.labels = labels.data();
    source.size = static_cast<std::uint64_t>(count);
    const double mean[4] = {0.5}, deviation[4] = {0.25, 1, 1, 1};
    source.normalisation = Normalisation<float>::from(mean, deviation, 1);
    const One<StepState> step(dev, StepState{});
    for (const bool augmented : {false, true}) {
      source.shift = source.flip = augmented;
      const One<ImageSource<float>> at(dev, source);
      run.measure(
          {augmented ? "gather_batch augmented" : "gather_batch", by(batch, "28 x 28"), 5.0 * batch * n,
           2.0 * batch * n},
          [&] { gather_batch(dev, at, step, Pass::training, Out<float, Batch, n>(x.data(), batch), y.data(), true); });
    }
  });
}

void flat_kernels(Run& run) {
  Cuda& dev = run.dev();
  for (const int n : run.tiny() ? std::vector<int>{1000} : std::vector<int>{235146, 421642, 1 << 26}) {
    const auto size = static_cast<std::size_t>(n);
    auto w = noise(dev, size), g = noise(dev, size);
    CudaBuffer<float> m(size), v(size);
    CudaBuffer<double> sum(1);
    const Span<const float> gradient{g.data(), size};
    const One<StepState> step(dev, step_of_rate(1e-3));
    const std::string shape = std::to_string(n);
    if (run.wants("adam_update"))
      run.measure({"adam_update", shape, 28.0 * n, 15.0 * n},
                  [&] { adam_update(dev, AdamOptions{}, step, w.span(), gradient, m.span(), v.span()); });
    if (run.wants("sgd_update"))
      run.measure({"sgd_update momentum", shape, 20.0 * n, 4.0 * n}, [&] {
        sgd_update(dev, SgdOptions{0.9, false, 0}, step, w.span(), gradient, m.span());
      });
    if (run.wants("sum_of_squares"))
      run.measure({"sum_of_squares", shape, 4.0 * n, 2.0 * n},
                  [&] { sum_of_squares_then(dev, gradient, kernels::cuda::ReduceStore<double>{sum.data()}); });
  }
}

// --- products -----------------------------------------------------------------------------------------------------------

/// C = A B. ByK: A and B are contiguous along k, as in a layer's forward pass. Else neither is, as in the gradient of
/// its weights.
template <bool ByK>
void product(Run& run, int m, int n, int k) {
  Cuda& dev = run.dev();
  const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
  const auto a = noise(dev, size(m, k)), b = noise(dev, size(n, k));
  CudaBuffer<float> c(size(m, n));
  cuda::Product<float> p;
  p.m = m, p.n = n, p.k = k;
  p.a = a.data(), p.a_ld = ByK ? k : m;
  p.b = b.data(), p.b_ld = ByK ? k : n;
  p.c = c.data(), p.c_ld = n;
  const Work work{ByK ? "gemm A B^T" : "gemm A^T B", text_of({m, n, k}),
                  4.0 * (double(m) * k + double(n) * k + double(m) * n), 2.0 * m * n * k, true};
  run.each_precision(
      [&] { run.measure(work, [&] { cuda::gemm<cuda::ActivationFunction<Activation{}>, ByK, ByK>(dev, p); }); });
  const cuda::Cublas* const cublas = cuda::open_cublas(dev);
  if (!cublas) return;
  Work theirs = work;
  theirs.name = ByK ? "cublas A B^T" : "cublas A^T B";
  const float one = 1, zero = 0;
  run.each_precision([&] {
    run.measure(theirs, [&] {
      if (dev.state().measuring) return;
      const cublasComputeType_t compute = dev.math == CudaMath::fp32   ? CUBLAS_COMPUTE_32F
                                          : dev.math == CudaMath::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                       : CUBLAS_COMPUTE_32F_FAST_16BF;
      const cublasStatus_t status =
          cublas->calls.gemm(cublas->handle, ByK ? CUBLAS_OP_T : CUBLAS_OP_N, ByK ? CUBLAS_OP_N : CUBLAS_OP_T, n, m, k,
                             &one, p.b, CUDA_R_32F, static_cast<int>(p.b_ld), p.a, CUDA_R_32F, static_cast<int>(p.a_ld),
                             &zero, p.c, CUDA_R_32F, n, compute, CUBLAS_GEMM_DEFAULT);
      if (status != CUBLAS_STATUS_SUCCESS)
        throw Error("bench", std::string("expected cublasGemmEx to succeed, got ") + cublas->calls.status_text(status));
    });
  });
}

void products(Run& run) {
  if (run.tiny()) {
    product<true>(run, 5, 7, 9);
    return product<false>(run, 5, 7, 9);
  }
  for (const int batch : {128, 1024}) {
    product<true>(run, batch, 256, 784);
    product<false>(run, 256, 784, batch);
    product<true>(run, batch, 128, 3136);
  }
  for (const int n : {1024, 2048, 4096}) product<true>(run, n, n, n);
}

template <int I, int O>
void linear(Run& run, int batch) {
  Cuda& dev = run.dev();
  static constexpr Epilogue f{relu_};
  const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
  const auto x = noise(dev, size(batch, I)), w = noise(dev, size(O, I)), b = noise(dev, O);
  auto dy = noise(dev, size(batch, O));
  CudaBuffer<float> y(dy.size()), dx(x.size()), dw(w.size()), db(O);
  const double values = double(batch) * I + double(O) * I + double(batch) * O, flops = 2.0 * batch * I * O;
  const std::string shape = by(batch, (std::to_string(I) + " -> " + std::to_string(O)).c_str());
  run.each_precision([&] {
    run.measure({"linear_forward relu", shape, 4 * values, flops, true}, [&] {
      linear_forward(dev, In<float, Batch, I>(x.data(), batch), In<float, O, I>(w.data()), Span<const float>{},
                     In<float, O>(b.data()), EpilogueTag<f>{}, Out<float, Batch, O>(y.data(), batch));
    });
    run.measure({"linear_backward relu", shape, 4 * (2 * values + 2.0 * batch * O), 2 * flops, true}, [&] {
      linear_backward(dev, In<float, Batch, I>(x.data(), batch), In<float, O, I>(w.data()),
                      In<float, Batch, O>(y.data(), batch), EpilogueTag<f>{}, Out<float, Batch, O>(dy.data(), batch),
                      Into<float, Batch, I>(dx.data(), batch), Into<float, O, I>(dw.data()), Into<float, O>(db.data()),
                      Span<float>{});
    });
  });
}

void linears(Run& run) {
  each_batch(run, 0, [&](int batch) {
    linear<784, 256>(run, batch);
    linear<3136, 128>(run, batch);
  });
  if (!run.tiny()) linear<4096, 4096>(run, 4096);
}

/// A convolution with ReLU and pooling, like the first layers of a network for small images.
template <ConvDims D, bool ChannelsFirst>
void convolution(Run& run, int batch) {
  Cuda& dev = run.dev();
  constexpr Epilogue f{relu_, true, two, ChannelsFirst};
  constexpr int h = D.oh() / 2, wd = D.ow() / 2, taps = D.window.kh * D.window.kw;
  const auto times = [&](int n) { return static_cast<std::size_t>(batch) * static_cast<std::size_t>(n); };
  const auto x = noise(dev, times(D.h * D.w * D.c)), w = noise(dev, static_cast<std::size_t>(D.o * D.c * taps)),
             b = noise(dev, static_cast<std::size_t>(D.o));
  auto dy = noise(dev, times(h * wd * D.o));
  CudaBuffer<float> y(dy.size()), dx(x.size()), dw(w.size()), db(static_cast<std::size_t>(D.o)),
      packed(static_cast<std::size_t>(conv2d_workspace_sizes(DeviceTag<Cuda>{}, D, Epilogue{}).packed));
  CudaBuffer<std::uint8_t> argmax(dy.size());
  using Y = Out<float, Batch, h, wd, D.o>;
  const In<float, Batch, D.h, D.w, D.c> in(x.data(), batch);
  const In<float, D.o, D.c, D.window.kh, D.window.kw> weights(w.data());
  const Out<std::uint8_t, Batch, h, wd, D.o> places(argmax.data(), batch);
  const double flops = 2.0 * batch * D.oh() * D.ow() * D.o * D.c * taps;
  const double read = 4.0 * double(x.size()) + 4.0 * double(w.size()), made = 5.0 * double(dy.size());
  const bool to_x = D.c > 1;  // the gradient of the input image is not needed
  const std::string shape = text_of({batch, D.h, D.w, D.c}) + " -> " + std::to_string(D.o);
  run.each_precision([&] {
    run.measure({"conv2d_forward relu pool", shape, read + made, flops, true}, [&] {
      conv2d_prepare(dev, ConvTag<D>{}, weights, packed.span());
      conv2d_forward(dev, ConvTag<D>{}, in, Span<const float>{packed.data(), packed.size()}, In<float, D.o>(b.data()),
                     EpilogueTag<f>{}, Y(y.data(), batch), places);
    });
    run.measure({"conv2d_backward relu pool", shape, read * (to_x ? 2 : 1) + made, flops * (to_x ? 2 : 1), true}, [&] {
      conv2d_backward(dev, ConvTag<D>{}, in, weights, Y(y.data(), batch), places, EpilogueTag<f>{}, Y(dy.data(), batch),
                      Into<float, Batch, D.h, D.w, D.c>(to_x ? dx.data() : nullptr, batch),
                      Into<float, D.o, D.c, D.window.kh, D.window.kw>(dw.data()), Into<float, D.o>(db.data()),
                      Span<float>{});
    });
  });
}

constexpr ConvDims first_conv{1, 28, 28, 32, 1, three}, second_conv{32, 14, 14, 64, 1, three};

void convolutions(Run& run) {
  each_batch(run, 8192, [&](int batch) {
    convolution<first_conv, false>(run, batch);
    convolution<second_conv, true>(run, batch);
  });
}

// --- the program --------------------------------------------------------------------------------------------------------

int run_all(const Options& options) {
  Cuda dev;
  Run run(dev, options);
  run.measure_floors();
  struct Group {
    const char* names;
    void (*measure)(Run&);
  };
  const Group groups[] = {
      {"linear_forward linear_backward", linears},
      {"conv2d_forward conv2d_backward", convolutions},
      {"adam_update sgd_update sum_of_squares", flat_kernels},
      {"gather_batch", gathers},
      {"cross_entropy", losses},
      {"add_forward activation_forward activation_backward dropout_forward to_channels_first", elementwise_kernels},
      {"max_pool2d_forward max_pool2d_backward", pools},
      {"batch_norm_training batch_norm_backward layer_norm_forward layer_norm_backward", norms},
      {"gemm cublas", products},
  };
  int failed = 0;
  for (const Group& g : groups) {
    if (!run.wants(g.names)) continue;
    try {
      g.measure(run);
    } catch (const Error& e) {  // the other groups still run, unless the device is lost
      dev.math = CudaMath::fp32;
      ++failed;
      std::fprintf(stderr, "bench_cuda_kernels: %s: %s\n", g.names, e.what());
    }
  }
  return failed > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--json")
      options.json = true;
    else if (word == "--tiny")
      options.tiny = true;
    else if (word == "--only" && i + 1 < argc)
      options.only = argv[++i];
    else
      return std::fprintf(stderr, "bench_cuda_kernels: expected [--json] [--tiny] [--only WORD], got %s\n", argv[i]), 2;
  }
  try {
    return run_all(options);
  } catch (const Error& e) {
    return std::fprintf(stderr, "bench_cuda_kernels: %s\n", e.what()), 1;
  }
}
