// Winograd's convolution: its errors compared with those of the direct sum; the bits do not depend on how the work is
// split.
// SPDX-License-Identifier: MIT
#include "tenon/cpu/conv2d_winograd.hpp"

#include "kernels/exact.hpp"
#include "tenon/cpu/conv2d.hpp"
#include "tenon/ref/conv2d.hpp"

using namespace tenon;
using namespace tenon::kernels;
using namespace tenon::tests;

namespace {

constexpr Window three{3, 3, 1, 1, 1, 1, 1, 1};
// Odd numbers of rows and columns: the last tiles extend beyond the image.
constexpr ConvDims D{32, 15, 13, 64, 1, three};
constexpr int in = 32 * 15 * 13, out = 64 * 15 * 13, weights = 64 * 32 * 9;
constexpr Epilogue pooled{Activation{Activation::relu}, true, {3, 3, 3, 3}};

static_assert(kernels::conv2d_fits_winograd(D));
static_assert(!kernels::conv2d_fits_winograd({32, 15, 13, 64, 2, three}));
static_assert(!kernels::conv2d_fits_winograd({32, 15, 13, 64, 1, {3, 3, 2, 1, 1, 1, 1, 1}}));
static_assert(!kernels::conv2d_fits_winograd({1, 28, 28, 32, 1, three}));

template <Epilogue F, int H, int W>
std::vector<float> forward(Cpu& dev, const std::vector<float>& x, const std::vector<float>& w, int batch) {
  spoil_scratch(dev, kernels::conv2d_scratch<float>(D, F));
  std::vector<float> packed(kernels::conv2d_packed(D)), y(batch * H * W * 64);
  conv2d_prepare(dev, ConvTag<D>{}, In<float, 64, 32, 3, 3>(w.data()), Span<float>{packed.data(), packed.size()});
  conv2d_forward(dev, ConvTag<D>{}, In<float, Batch, 15, 13, 32>(x.data(), batch),
                 Span<const float>{packed.data(), packed.size()}, In<float, 64>(), EpilogueTag<F>{},
                 Out<float, Batch, H, W, 64>(y.data(), batch), Out<std::uint8_t, Batch, H, W, 64>(nullptr, batch));
  return y;
}

double root_mean_square(const std::vector<float>& got, const std::vector<double>& want) {
  double s = 0;
  for (std::size_t i = 0; i < want.size(); ++i) s += (got[i] - want[i]) * (got[i] - want[i]);
  return std::sqrt(s / static_cast<double>(want.size()));
}

}  // namespace

TEST_CASE("winograd's errors are at most three times those of the direct sum") {
  const auto x = numbers<float>(in, 1), w = numbers<float>(weights, 2);
  const auto dy = numbers<float>(out, 3);
  std::vector<double> y(out), dx(in), dw(weights), db(64);
  const auto xd = widen(x), wd = widen(w), dyd = widen(dy);
  kernels::ref::conv2d(D, xd.data(), wd.data(), nullptr, y.data());
  kernels::ref::conv2d_backward(D, xd.data(), wd.data(), dyd.data(), dx.data(), dw.data(), db.data());
  if (detect_isa() != Isa::avx2) return skip_test("this processor has no AVX2");
  double off[2][3];
  for (const Isa isa : {Isa::portable, Isa::avx2}) {
    Cpu dev;
    dev.set_isa(isa);
    const auto got = forward<Epilogue{}, 15, 13>(dev, x, w, 1);
    std::vector<float> g = dy, got_dx(in), got_dw(weights), got_db(64), work(kernels::conv2d_workspace(D, Epilogue{}));
    spoil_scratch(dev, kernels::conv2d_scratch<float>(D, Epilogue{}));
    conv2d_backward(dev, ConvTag<D>{}, In<float, Batch, 15, 13, 32>(x.data(), 1), In<float, 64, 32, 3, 3>(w.data()),
                    In<float, Batch, 15, 13, 64>(), In<std::uint8_t, Batch, 15, 13, 64>(), EpilogueTag<Epilogue{}>{},
                    Out<float, Batch, 15, 13, 64>(g.data(), 1), Into<float, Batch, 15, 13, 32>(got_dx.data(), 1),
                    Into<float, 64, 32, 3, 3>(got_dw.data()), Into<float, 64>(got_db.data()),
                    Span<float>{work.data(), work.size()});
    double* const o = off[isa == Isa::avx2];
    o[0] = root_mean_square(got, y);
    o[1] = root_mean_square(got_dx, dx);
    o[2] = root_mean_square(got_dw, dw);
  }
  for (int i = 0; i < 3; ++i) {
    INFO("y, dx, dw: " << i << ", direct " << off[0][i] << ", winograd " << off[1][i]);
    CHECK(off[1][i] > 0);
    CHECK(off[1][i] <= 3 * off[0][i]);
  }
}

TEST_CASE("winograd's results do not depend on the batch, though bands do") {
  static_assert(kernels::forward_bands(D, Epilogue{}, 1).count > kernels::forward_bands(D, Epilogue{}, 17).count);
  static_assert(kernels::forward_bands(D, pooled, 1).count > kernels::forward_bands(D, pooled, 17).count);
  const auto x = numbers<float>(17 * in, 1), w = numbers<float>(weights, 2);
  for_each_cpu([&](Cpu& dev) {
    if (dev.isa() != Isa::avx2) return;
    for (int n = 0; n < 17; n += 8) {
      const std::vector<float> one(x.begin() + n * in, x.begin() + (n + 1) * in);
      const auto all = forward<Epilogue{}, 15, 13>(dev, x, w, 17), alone = forward<Epilogue{}, 15, 13>(dev, one, w, 1);
      CHECK(std::equal(alone.begin(), alone.end(), all.begin() + n * out));
      const auto many = forward<pooled, 5, 4>(dev, x, w, 17), single = forward<pooled, 5, 4>(dev, one, w, 1);
      CHECK(std::equal(single.begin(), single.end(), many.begin() + n * 5 * 4 * 64));
    }
  });
}
