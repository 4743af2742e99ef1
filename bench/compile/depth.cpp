// A network of TENON_DEPTH layers with a trainer, to measure the compile-time cost of depth. All widths differ, so no
// two layers share a template instance.
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
