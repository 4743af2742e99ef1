// Compares small networks of vectors and sequences with PyTorch: files read and written byte for byte, logits, losses,
// trained weights and statistics. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "train/golden.hpp"
//
#include "tenon/losses/binary_cross_entropy.hpp"
#include "tenon/optimizers/adam.hpp"

using namespace pytorch;

TEST_CASE("pytorch: linear layers and every activation, Adam with weight decay in the gradient") {
  Adam adam{.lr = 1e-2};
  adam.weight_decay = 0.01;
  check_network<Sequential<Input<11>, Linear<16>, ReLU, Linear<15>, LeakyReLU<>, Linear<14>, GELU, Linear<13>, GELUTanh,
                           Linear<12>, SiLU, Linear<11>, Sigmoid, Linear<9>, Tanh, Linear<5, NoBias>>>("activations",
                                                                                                       adam);
}

TEST_CASE("pytorch: BatchNorm and LayerNorm of vectors, AdamW that spares norms and biases, label smoothing") {
  AdamW adamw{.lr = 1e-2};
  adamw.weight_decay = 0.1;
  CrossEntropy loss;
  loss.label_smoothing = 0.1f;
  check_network<Sequential<Input<9>, Linear<16, NoBias>, BatchNorm<>, LeakyReLU<Slope<1, 5>>, Linear<12>, LayerNorm<>,
                           GELU, Linear<4>>>("norms", adamw, loss);
}

TEST_CASE("pytorch: sequences, binary cross-entropy, AdamW that decays everything") {
  AdamW adamw{.lr = 1e-2};
  adamw.weight_decay = 0.1;
  adamw.decay = Decay::everything;
  check_network<Sequential<Input<5, 6>, LayerNorm<>, Linear<8>, SiLU, Linear<7>, Tanh, Flatten, Linear<3>>>(
      "sequence", adamw, BinaryCrossEntropy<>{});
}
