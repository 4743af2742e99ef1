// Session on Cuda: the host sees the same as of a session on the Cpu, and each can continue from the files of the
// other.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>
#include <tenon/train/session_impl.hpp>

#include "cuda/support.hpp"
#include "files.hpp"
#include "train/small_images.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

using Net = Sequential<Input<1, 6, 6>, Conv2d<4, Kernel<3>>, BatchNorm<>, ReLU, Flatten, Linear<10>>;

void check_close(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double apart = 0;
  for (std::size_t i = 0; i < a.size(); ++i) apart = std::max(apart, std::abs(double(a[i]) - double(b[i])));
  CHECK(apart < 1e-4);
}

}  // namespace

TENON_INSTANTIATE(Net, tenon::Cpu);
TENON_INSTANTIATE(Net, tenon::Cuda);

TEST_CASE("cuda: a session is the Cpu's but for rounding, and their files are one another's") {
  const ImageSet set = random_images(27);
  const ImageData data(set, {0.5, 0.3, true, true});
  const Folder folder;
  // Not Adam: the gradient of a bias before BatchNorm is only rounding error, and Adam would turn it into steps.
  const SessionOptions options{.capacity = 8,
                               .optimizer = Sgd{0.05},
                               .trainer = {.schedule = Schedule::cosine(20), .clip_norm = 0.5, .steps_per_launch = 2}};
  const auto cpu = make_session<Net>(options, Cpu()), gpu = make_session<Net>(options, cuda());
  CHECK(gpu->parameters() == cpu->parameters());
  CHECK(gpu->epoch(data).loss() == Approx(cpu->epoch(data).loss()).margin(1e-4));
  CHECK(gpu->progress().step == 4);
  check_close(gpu->parameters(), cpu->parameters());

  std::vector<float> rows;
  const auto keep = [&](std::uint64_t, std::span<const float> y) {
    return rows.insert(rows.end(), y.begin(), y.end()), true;
  };
  CHECK(gpu->evaluate(data, keep).loss() == Approx(cpu->evaluate(data, keep).loss()).margin(1e-4));
  REQUIRE(rows.size() == 2 * 27 * 10);
  check_close(std::span(rows).first(270), std::span(rows).last(270));

  std::vector<float> x(5 * 36);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) / 13;
  check_close(gpu->predict(x.data(), 5), cpu->predict(x.data(), 5));

  gpu->save_checkpoint(folder / "gpu");
  cpu->save_model(folder / "cpu");
  cpu->load_checkpoint(folder / "gpu");
  CHECK(cpu->parameters() == gpu->parameters());
  CHECK(cpu->progress().epoch == 1);
  gpu->load_model(folder / "cpu");
  const auto again = make_session<Net>(options, cuda());
  again->load_checkpoint(folder / "gpu");
  const std::vector<std::int32_t> labels = {0, 1, 2, 3, 4};
  CHECK(again->step(x.data(), labels.data(), 5).loss() ==
        Approx(cpu->step(x.data(), labels.data(), 5).loss()).margin(1e-4));
}
