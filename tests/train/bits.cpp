// The bits of a short training with the AVX2 kernels. They are part of what tenon promises: the same on every processor with
// AVX2, with g++ and clang, for any number of threads. If a change of a kernel changes them on purpose, CHANGELOG.md says so
// and the hash is replaced.
// SPDX-License-Identifier: MIT
#include <tenon/io/sha256.hpp>
#include <tenon/tenon.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"

using namespace tenon;

namespace {

using Net =
    Sequential<Input<2, 12, 12>, Conv2d<8, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>,
               Residual<Conv2d<8, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, GELU>, Conv2d<16, Kernel<3>, Stride<2>>,
               LeakyReLU<>, Flatten, LayerNorm<>, Linear<37>, Tanh, Dropout<>, Linear<10>>;

template <class Optimizer>
std::string hash_of(Optimizer optimizer, int threads) {
  Cpu dev(threads);
  dev.set_isa(Isa::avx2);
  Model<Net> model(Seed{7}, 16, dev);
  std::vector<float> x(40 * static_cast<std::size_t>(Model<Net>::inputs));
  for (std::uint32_t i = 0; float& v : x) v = static_cast<float>((i++ * 2654435761u >> 8) % 256) / 255;
  std::vector<int> y(40);
  for (int i = 0; int& label : y) label = i++ % 10;
  Trainer trainer(model, optimizer);
  for (int epoch = 0; epoch < 3; ++epoch) trainer.epoch(Samples<float, int>(x, y, 40));
  const auto w = std::as_const(model).parameters();
  const auto s = std::as_const(model).states();
  return Sha256()
      .update(std::as_bytes(std::span(w.data, w.size)))
      .update(std::as_bytes(std::span(s.data, s.size)))
      .hex();
}

}  // namespace

TEST_CASE("bits: a short training has the bits that are recorded here") {
  if (detect_isa() != Isa::avx2) return skip_test("this processor has no AVX2");
  for (const int threads : {1, 2, 3}) {
    CHECK(hash_of(AdamW{.lr = 1e-3}, threads) == "47b0b32a815656403542dfa2e1975c9e4e1174cb9022d95ee8eddd444f2bf795");
    CHECK(hash_of(Sgd{.lr = 0.01, .nesterov = true, .weight_decay = 1e-3}, threads) ==
          "fba1f6bcc280a6b84a61a03151dc662509daa8eba2ce4c5e997f63544b907d6e");
  }
}
