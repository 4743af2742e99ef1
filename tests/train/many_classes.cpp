// A network with a million outputs: nothing of that size is on the stack.
// SPDX-License-Identifier: MIT
#include <pthread.h>

#include <tenon/tenon.hpp>

#include "catch.hpp"
#include "files.hpp"
#include "tenon/predict.hpp"
#include "tenon/train/checkpoint.hpp"

using namespace tenon;

namespace {

constexpr int classes = 1'000'000;
using Net = Sequential<Input<1>, Linear<classes>>;

// Calls f() in a thread with a stack of 1 MiB, about a quarter of the size of a million floats.
template <class F>
void on_small_stack(F f) {
  pthread_attr_t attributes;
  pthread_t thread;
  REQUIRE(::pthread_attr_init(&attributes) == 0);
  REQUIRE(::pthread_attr_setstacksize(&attributes, std::size_t{1} << 20) == 0);
  const auto run = [](void* g) -> void* {
    (*static_cast<F*>(g))();
    return nullptr;
  };
  REQUIRE(::pthread_create(&thread, &attributes, run, &f) == 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
}

template <class Loss, class Target>
std::string trained(Loss loss, std::vector<Target> targets) {
  return in_child([&] {
    std::string answer = "not run";
    on_small_stack([&] {
      const Folder folder;
      Model<Net> model(Seed{1}, 1);
      Trainer trainer(model, Sgd{0.1}, loss);
      const Samples data(std::vector<float>{1}, targets, 1);
      trainer.epoch(data);
      static_cast<void>(trainer.evaluate(data));
      save_checkpoint(folder / "c", trainer);
      load_checkpoint(trainer, folder / "c");
      Predictor<Net> predict(Weights<Net>::load(folder / "c"));
      const float x = 1;
      answer = std::to_string(predict(&x).size());
    });
    return answer;
  });
}

}  // namespace

TEST_CASE("a million classes, with weights: nothing of that size is on the stack") {
  CHECK(trained(CrossEntropy{}, std::vector<std::int32_t>{999999}) == "1000000");
  CHECK(trained(CrossEntropy{0.1f, std::vector<float>(classes, 0.5f)}, std::vector<std::int32_t>{3}) == "1000000");
}

TEST_CASE("a million outputs under the other losses: nothing of that size is on the stack") {
  CHECK(trained(MeanSquaredError{}, std::vector<float>(classes, 1)) == "1000000");
  CHECK(trained(BinaryCrossEntropy{}, std::vector<float>(classes, 1)) == "1000000");
}
