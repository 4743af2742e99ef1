// A network of TENON_DEPTH layers with a trainer: what depth costs to compile. All widths differ, so that no two layers
// share an instance.
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

#include <type_traits>
#include <utility>

using namespace tenon;

template <int... I>
auto deep(std::integer_sequence<int, I...>)
    -> Sequential<Input<8>, std::conditional_t<I % 2 == 0, Linear<8 + I>, ReLU>...>;

using Net = decltype(deep(std::make_integer_sequence<int, TENON_DEPTH>{}));

double train(const float* x, const int* labels) {
  Model<Net> model;
  Trainer trainer(model, Adam{});
  return trainer.step(x, labels, 32).loss();
}
