// An optimizer with states names them, for its checkpoints.
// expect: error: static.assert.*an optimizer with states needs .static constexpr const char\* state_names
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

struct Momentum2 {
  static constexpr int states = 1;
#ifdef TENON_TWIN
  static constexpr const char* state_names[states] = {"momentum"};
#endif
  double lr = 0.1;
  bool operator==(const Momentum2&) const = default;
  bool decays_everything() const { return true; }
  template <class T>
  void update(auto& dev, auto, Span<T> w, Span<const T> g, Span<T>* state, bool) const {
    accumulate(dev, View<const T, Batch, 1>(g.data, 1), Into<T, Batch, 1>(w.data, 1, true));
    accumulate(dev, View<const T, Batch, 1>(g.data, 1), Into<T, Batch, 1>(state[0].data, 1, true));
  }
};

int main() {
  Model<Sequential<Input<4>, Linear<2>>> model;
  Trainer trainer(model, Momentum2{});
  trainer.update();
}
