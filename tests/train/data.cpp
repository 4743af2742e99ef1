// Data of a trainer: other number types train to the same bits, images of another shape are refused.
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

#include "catch.hpp"
#include "files.hpp"
#include "tenon/data/dataset.hpp"
#include "tenon/data/images.hpp"

using namespace tenon;

TEST_CASE("trainer: images of another shape are refused before the first step, and when they are evaluated") {
  using Net = Sequential<Input<1, 6, 4>, Conv2d<2, Kernel<3>>, ReLU, Flatten, Linear<3>>;
  Model<Net> model(Seed{1}, 2);
  Trainer trainer(model, Adam{1e-2});
  const std::vector<float> before(model.parameters().begin(), model.parameters().end());
  for (const auto& [c, h, w] : {std::array{6, 1, 4}, {1, 4, 6}, {1, 3, 8}, {24, 1, 1}, {1, 6, 5}}) {
    const ImageSet set{3, c, h, w, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * c * h * w)), {0, 1, 2}};
    const ImageData data(set);
    CHECK_THAT(error_of([&] { trainer.epoch(data); }),
               StartsWith("[ImageData] expected images of 1 x 6 x 4 as the network's Input, got images of "));
    CHECK_THAT(error_of([&] { return trainer.evaluate(data); }),
               StartsWith("[ImageData] expected images of 1 x 6 x 4"));
  }
  CHECK(std::equal(before.begin(), before.end(), model.parameters().begin()));
  const ImageSet set{3, 1, 6, 4, std::vector<std::uint8_t>(72), {0, 1, 2}};
  CHECK(trainer.epoch(ImageData(set)).count == 3);
  CHECK(trainer.evaluate(ImageData(set)).count == 3);
}

TEST_CASE("trainer: labels of another integer type and values in double give the same bits") {
  using Net = Sequential<Input<2>, Linear<4>, ReLU, Linear<3>>;
  const auto trained = [](const auto& data) {
    Model<Net> model(Seed{1}, 2);
    Trainer trainer(model, Adam{1e-2});
    trainer.epoch(data);
    static_cast<void>(trainer.evaluate(data));
    return std::vector<float>(model.parameters().begin(), model.parameters().end());
  };
  const std::vector<float> x = {1, 2.5f, -3, 4, 0.5f, 6};
  const std::vector<std::int32_t> y = {0, 2, 1};
  const auto expected = trained(Samples(x, y, 3));
  CHECK(trained(Samples(x, std::vector<long>{0, 2, 1}, 3)) == expected);
  CHECK(trained(Samples(x, std::vector<std::uint8_t>{0, 2, 1}, 3)) == expected);
  CHECK(trained(Samples(std::vector<double>(x.begin(), x.end()), std::vector<std::size_t>{0, 2, 1}, 3)) == expected);
}
