// Data sets: images of another shape are refused; numbers of any type are converted to those of the model and the loss.
// SPDX-License-Identifier: MIT
#include "tenon/data/dataset.hpp"
#include "tenon/cpu/gather.hpp"

#include <numeric>

#include "catch.hpp"
#include "files.hpp"
#include "tenon/data/csv.hpp"
#include "tenon/data/images.hpp"

using namespace tenon;

namespace {

ImageSet images_of(int channels, int height, int width) {
  ImageSet set{3, channels, height, width, {}, {0, 1, 2}};
  set.pixels.resize(3 * set.image_size());
  std::iota(set.pixels.begin(), set.pixels.end(), std::uint8_t{0});
  return set;
}

std::string refusal(const ImageSet& set, Dims input) {
  return error_of([&] { ImageData(set).require_input(input); });
}

// The batch of all three samples in the order of the set.
template <int I, class V, class U, class Data>
std::pair<std::vector<V>, std::vector<U>> batch_of(const Data& data, std::size_t targets = 1) {
  std::vector<V> x(3 * I);
  std::vector<U> y(3 * targets);
  Cpu dev;
  data.require_input(dims(I));
  const auto source = data.template source<V, U>(dev);
  const StepState start;
  Data::gather(dev, &source, &start, Pass::evaluation, View<V, Batch, I>(x.data(), 3), y.data(),
               static_cast<int>(targets));
  return {x, y};
}

}  // namespace

TEST_CASE("images fit an Input of their shape, or of one dimension") {
  CHECK(refusal(images_of(1, 6, 4), dims(1, 6, 4)) == "no error");
  CHECK(refusal(images_of(1, 6, 4), dims(6, 4)) == "no error");
  CHECK(refusal(images_of(1, 6, 4), dims(24)) == "no error");
  CHECK(refusal(images_of(3, 2, 4), dims(3, 2, 4)) == "no error");
  CHECK(refusal(images_of(3, 2, 4), dims(24)) == "no error");
}

TEST_CASE("images of another shape are refused, also where they have as many pixels") {
  CHECK(refusal(images_of(6, 1, 4), dims(1, 6, 4)) ==
        "[ImageData] expected images of 1 x 6 x 4 as the network's Input, got images of 6 x 1 x 4 (channels, height, "
        "width)");
  for (const Dims& input : {dims(6, 4, 1), dims(4, 6, 1), dims(1, 4, 6), dims(1, 3, 8), dims(1, 24, 1), dims(2, 3, 4),
                            dims(4, 6), dims(3, 8), dims(1, 24), dims(23), dims(25), dims(1, 6, 5)})
    CHECK_THAT(refusal(images_of(1, 6, 4), input), StartsWith("[ImageData] expected images of "));
  CHECK_THAT(refusal(images_of(2, 3, 4), dims(6, 4)), StartsWith("[ImageData] expected images of 6 x 4"));
}

TEST_CASE("samples: labels of every integer type") {
  const auto check = [](auto one) {
    using Label = decltype(one);
    const std::vector<float> x = {1, 2, 3, 4, 5, 6};
    const Samples data(x, std::vector<Label>{one, Label(0), one}, 3);
    CHECK(batch_of<2, float, std::int32_t>(data).second == std::vector<std::int32_t>{1, 0, 1});
    CHECK(batch_of<2, float, float>(data).second == std::vector<float>{1, 0, 1});  // targets of a regression
  };
  check('\1');
  check(true);
  check(std::int8_t{1});
  check(std::uint8_t{1});
  check(std::int16_t{1});
  check(std::uint16_t{1});
  check(1);
  check(1u);
  check(1l);
  check(1ul);
  check(1ll);
  check(1ull);
}

TEST_CASE("samples: a label that does not fit is refused") {
  const auto refused = [](auto label) {
    const Samples data(std::vector<float>(6), std::vector{decltype(label){0}, label, decltype(label){0}}, 3);
    return error_of([&] { batch_of<2, float, std::int32_t>(data); });
  };
  CHECK(refused(2147483647l) == "no error");
  CHECK(refused(2147483648l) == "[Samples] expected labels that fit 32 bits, got 2147483648 for sample 1");
  CHECK(refused(-2147483649l) == "[Samples] expected labels that fit 32 bits, got -2147483649 for sample 1");
  CHECK(refused(4294967295u) == "[Samples] expected labels that fit 32 bits, got 4294967295 for sample 1");
  CHECK(refused(~0ull) == "[Samples] expected labels that fit 32 bits, got 18446744073709551615 for sample 1");
}

TEST_CASE("samples: values and targets in float, double or integers become those of the model and the loss") {
  const std::vector<double> x = {0.1, -2, 3e10, 4, 5, 6};
  const std::vector<float> as_floats = {0.1f, -2, 3e10f, 4, 5, 6};
  const Samples data(x, std::vector<double>{0.1, 0.2, 0.3, 1, 2, 3}, 3);
  CHECK(batch_of<2, float, float>(data, 2).first == as_floats);
  CHECK(batch_of<2, float, float>(data, 2).second == std::vector<float>{0.1f, 0.2f, 0.3f, 1, 2, 3});
  CHECK(batch_of<2, double, double>(data, 2).first == x);
  CHECK(batch_of<2, double, double>(Samples(as_floats, as_floats, 3), 2).first[0] == double{0.1f});
  CHECK(batch_of<1, float, float>(Samples(std::vector<int>{7, 8, -9}, std::vector<float>(3), 3)).first ==
        std::vector<float>{7, 8, -9});
  CHECK(batch_of<1, float, float>(Samples(std::vector<std::uint8_t>{7, 8, 255}, std::vector<float>(3), 3)).first ==
        std::vector<float>{7, 8, 255});
  CHECK_THROWS_WITH((batch_of<3, float, float>(data, 2)), "[Samples] expected 3 values a sample, got 2");
}

TEST_CASE("samples: from the columns of a table") {
  const CsvTable table = parse_csv("x,y,label\n1,2,0\n3,4,2\n5,6,1\n", "f");
  const Samples data(table.part(0, 2), table.part<int>(2, 3), static_cast<std::size_t>(table.rows));
  const auto [x, y] = batch_of<2, float, std::int32_t>(data);
  CHECK(x == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(y == std::vector<std::int32_t>{0, 2, 1});
  CHECK(table.part<double>(1, 2) == std::vector<double>{2, 4, 6});
  CHECK(table.part(3, 3).empty());
  for (const std::pair<int, int>& columns : {std::pair{-1, 2}, {0, 4}, {2, 1}})
    CHECK_THAT(error_of([&] { table.part(columns.first, columns.second); }),
               StartsWith("[CsvTable] expected columns from 0 to 3, got "));

  const CsvTable odd = parse_csv("1.5,-1,256,3e9\n", "f");
  CHECK(error_of([&] { odd.part<int>(0, 1); }) ==
        "[CsvTable] expected whole numbers that fit, got 1.500000 in row 0, column 0, counted from 0");
  CHECK_THAT(error_of([&] { odd.part<unsigned>(1, 2); }), ContainsSubstring("got -1.000000"));
  CHECK_THAT(error_of([&] { odd.part<std::uint8_t>(2, 3); }), ContainsSubstring("got 256.000000"));
  CHECK_THAT(error_of([&] { odd.part<int>(3, 4); }), ContainsSubstring("got 3000000000.000000"));
  CHECK(odd.part<std::int64_t>(3, 4) == std::vector<std::int64_t>{3000000000});
  CHECK(odd.part<std::int8_t>(1, 2) == std::vector<std::int8_t>{-1});
}
