// Conv2d at batch 128, compared with the FMA peak for the operations of the dense sum. Winograd's algorithm and lists
// of nonzeros do fewer operations, so their share may exceed 1. Images are smooth with noise and weights are normal, so
// ReLU and pooling leave zeros as in training. `density` is the share of nonzero results.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <cmath>

#include "kernels/share.hpp"
#include "tenon/core/buffer.hpp"
#include "tenon/core/random.hpp"
#include "tenon/core/thread_pool.hpp"
#include "tenon/cpu/conv2d.hpp"

using namespace tenon;
using namespace tenon::kernels;

namespace {

constexpr int batch = 128;
constexpr Window three{3, 3, 1, 1, 1, 1, 1, 1}, halving{3, 3, 2, 2, 1, 1, 1, 1}, two{2, 2, 2, 2, 0, 0, 1, 1};
constexpr Epilogue none{}, pooled{Activation{Activation::relu}, true, two, false},
    flattened{Activation{Activation::relu}, true, two, true};

float normal(std::uint64_t i, std::uint32_t use) {  // approximately: the sum of twelve uniforms, minus six
  float s = -6;
  for (std::uint32_t block = 0; block < 3; ++block)
    for (const std::uint32_t bits : random::Key{use, random::Use::user, 0, 0}.words(i, block).v)
      s += random::unit(bits);
  return s;
}

template <ConvDims D, Epilogue F>
struct Layer {
  static constexpr ConvSizes s{D};
  static constexpr int H = F.pooled ? F.pool.out_h(s.oh) : s.oh, W = F.pooled ? F.pool.out_w(s.ow) : s.ow, O = D.o;
  static constexpr int in = batch * D.h * D.w * D.c, out = batch * H * W * O, weights = O * s.depth;
  static constexpr double operations = 2.0 * batch * s.oh * s.ow * weights;
  using X = In<float, Batch, D.h, D.w, D.c>;
  using Y = Out<float, Batch, H, W, O>;
  using Places = Out<std::uint8_t, Batch, H, W, O>;
  using Weight = In<float, O, s.cg, D.window.kh, D.window.kw>;

  Cpu dev;
  Buffer<float> x{in}, w{weights}, b{O}, y{out}, dy{out}, dx{in}, dw{weights}, db{O}, packed{conv2d_packed(D)},
      work{conv2d_workspace(D, F)};
  Buffer<std::uint8_t> argmax{out};

  explicit Layer(std::int64_t threads) : dev(threads) {
    dev.reserve_scratch(conv2d_scratch<float>(D, F));
    for (int i = 0; i < in; ++i) {
      const float row = static_cast<float>(i / (D.w * D.c) % D.h), column = static_cast<float>(i / D.c % D.w);
      x[i] = std::max(
          0.0f, std::sin(0.3f * row + static_cast<float>(i % D.c)) * std::cos(0.25f * column) + 0.1f * normal(i, 1));
    }
    for (int i = 0; i < weights; ++i) w[i] = normal(i, 2) / std::sqrt(static_cast<float>(s.depth));
    for (int i = 0; i < O; ++i) b[i] = 0.1f * normal(i, 3);
    conv2d_prepare(dev, ConvTag<D>{}, Weight(w.data()), packed.span());
    forward();
    for (int i = 0; i < out; ++i) dy[i] = 1e-3f * normal(i, 4);
  }
  void forward() {
    conv2d_forward(dev, ConvTag<D>{}, X(x.data(), batch), Span<const float>{packed.data(), packed.size()},
                   In<float, O>(b.data()), EpilogueTag<F>{}, Y(y.data(), batch), Places(argmax.data(), batch));
  }
  void backward(bool to_x) {
    conv2d_backward(dev, ConvTag<D>{}, X(x.data(), batch), Weight(w.data()), Y(y.data(), batch),
                    Places(argmax.data(), batch), EpilogueTag<F>{}, Y(dy.data(), batch),
                    Into<float, Batch, D.h, D.w, D.c>(to_x ? dx.data() : nullptr, batch),
                    Into<float, O, s.cg, D.window.kh, D.window.kw>(dw.data()), Into<float, O>(db.data()), work.span());
  }
};

template <ConvDims D, Epilogue F>
void forward(benchmark::State& state) {
  Layer<D, F> layer(state.range(0));
  const double peak = bench::fma_peak(layer.dev.threads()) * 1e9;
  const bench::Share share;
  for (auto _ : state) layer.forward();
  share.report(state, layer.operations / peak);
}

template <ConvDims D, Epilogue F>
void backward(benchmark::State& state) {
  Layer<D, F> layer(state.range(0));
  const bool to_x = D.c > 1;  // the gradient of the input image is not needed
  int nonzero = 0;
  for (const float v : layer.y) nonzero += v != 0;
  state.counters["density"] = static_cast<double>(nonzero) / layer.out;
  const double peak = bench::fma_peak(layer.dev.threads()) * 1e9;
  const bench::Share share;
  for (auto _ : state) layer.backward(to_x);
  share.report(state, (1 + to_x) * layer.operations / peak);
}

#define CONV(...)                                                                     \
  BENCHMARK(forward<__VA_ARGS__>)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime(); \
  BENCHMARK(backward<__VA_ARGS__>)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()

constexpr ConvDims cnn_1{1, 28, 28, 32, 1, three}, cnn_2{32, 14, 14, 64, 1, three};
constexpr ConvDims resnet_1{16, 28, 28, 32, 1, three}, resnet_2{32, 14, 14, 32, 1, three},
    resnet_3{64, 7, 7, 64, 1, three}, half{16, 28, 28, 32, 1, halving};
CONV(cnn_1, pooled);
CONV(cnn_2, flattened);
CONV(resnet_1, none);
CONV(resnet_2, none);
CONV(resnet_3, none);
CONV(half, none);

}  // namespace
