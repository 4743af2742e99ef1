// A unit without warnings under -Wconversion, -Wsign-conversion and similar flags.
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

double train(const float* x, const std::int32_t* y) {
  using Net = tenon::Sequential<tenon::Input<1, 8, 8>, tenon::Conv2d<4, tenon::Kernel<3>>, tenon::BatchNorm<>,
                                tenon::ReLU, tenon::MaxPool2d<2>, tenon::Flatten, tenon::Dropout<>, tenon::Linear<3>>;
  tenon::Model<Net> model(tenon::Seed{1}, 4);
  tenon::Trainer trainer(model, tenon::Adam{1e-3});
  return trainer.step(x, y, 4).loss();
}
