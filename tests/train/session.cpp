// Session: the same bits as a Model and a Trainer with the same options, behind an interface; on the Cpu.
// SPDX-License-Identifier: MIT
#include "tenon/train/session_impl.hpp"

#include "catch.hpp"
#include "files.hpp"
#include "train/small_images.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

using Net =
    Sequential<Input<1, 6, 6>, Conv2d<4, Kernel<3>>, BatchNorm<>, ReLU, Flatten, Dropout<Rate<1, 4>>, Linear<10>>;

SessionOptions options() {
  return {Seed{3},
          8,
          AdamW{1e-2},
          {.label_smoothing = 0.1f, .class_weights = {}},
          {.schedule = Schedule::cosine(20), .clip_norm = 0.5, .steps_per_launch = 64}};
}

}  // namespace

// A type that contains commas, and a type that this file also instantiates implicitly.
TENON_INSTANTIATE(tenon::Sequential<tenon::Input<4>, tenon::Linear<3>>, tenon::Cpu);
TENON_INSTANTIATE(Net, tenon::Cpu);

TEST_CASE("a session takes the steps of a trainer, predicts as its model, and says where it stands") {
  const ImageSet set = random_images(27);
  const ImageData data(set, {0.5, 0.3, true, true});
  const SessionOptions o = options();
  Model<Net> model(o.seed, o.capacity, Cpu());
  Trainer trainer(model, o.optimizer, o.loss, o.trainer);
  const auto session = make_session<Net>(o, Cpu());

  std::vector<float> x(8 * Session<Net>::inputs);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) / 13;
  const std::vector<std::int32_t> labels = {1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(session->step(x.data(), labels.data(), 8).loss() == trainer.step(x.data(), labels.data(), 8).loss());

  std::vector<double> theirs, mine;
  CHECK(trainer.epoch(data, [&](const LossSums& s) { return theirs.push_back(s.loss()), true; }));
  CHECK(session->epoch(data, [&](const LossSums& s) { return mine.push_back(s.loss()), true; }));
  CHECK(mine == theirs);
  CHECK(mine.size() == 4);
  CHECK(session->epoch(data).loss() == trainer.epoch(data).loss());
  CHECK_FALSE(session->epoch(data, [](const LossSums&) { return false; }));
  CHECK_FALSE(trainer.epoch(data, [](const LossSums&) { return false; }));
  CHECK(session->progress().position == 8);
  CHECK(session->progress().step == trainer.progress().step);
  CHECK(session->parameters() == std::vector<float>(model.parameters().begin(), model.parameters().end()));
  CHECK(session->parameter_count() == 4 * 9 + 4 + 4 + 4 + 64 * 10 + 10);
  CHECK(session->optimizer().lr == 1e-2);
  CHECK(session->schedule().at(5) == o.trainer.schedule.at(5));

  int batches = 0;
  const LossSums tested = session->evaluate(data, [&](std::uint64_t first, std::span<const float> y) {
    CHECK(y.size() == (first == 24 ? 30 : 80));
    return ++batches > 0;
  });
  CHECK(batches == 4);
  CHECK(tested.loss() == trainer.evaluate(data).loss());
  CHECK(session->evaluate(data).correct == tested.correct);
  CHECK(session->evaluate(data, [](std::uint64_t, std::span<const float>) { return false; }).count == 8);

  std::copy_n(x.data(), 3 * Model<Net>::inputs, model.input(3).data);
  const auto y = model.predict(3);
  const std::span<const float> logits = session->predict(x.data(), 3);
  CHECK(std::vector<float>(logits.begin(), logits.end()) == std::vector<float>(y.data, y.data + y.size()));
}

TEST_CASE("a session is saved, and another goes on from there with the same bits") {
  const ImageSet set = random_images(27);
  const ImageData data(set, {0.5, 0.3, true, true});
  const Folder folder;
  const auto whole = make_session<Net>(options(), Cpu()), first = make_session<Net>(options(), Cpu()),
             second = make_session<Net>(options(), Cpu());
  whole->epoch(data);
  CHECK_FALSE(first->epoch(data, [&](const LossSums&) { return first->progress().step != 2; }));
  first->save_checkpoint(folder / "checkpoint", {{"who", "first"}});
  CHECK(second->load_checkpoint(folder / "checkpoint").at("who") == "first");
  CHECK(second->progress().position == 16);
  CHECK(second->epoch(data).loss() == whole->progress().sums.loss());
  CHECK(second->parameters() == whole->parameters());

  whole->save_model(folder / "model");
  CHECK(first->parameters() != whole->parameters());
  CHECK(first->load_model(folder / "model").at("tenon.format") == "1");
  CHECK(first->parameters() == whole->parameters());
  CHECK(first->progress().step == 2);
  CHECK(error_of([&] { first->load_checkpoint(folder / "model"); }).find("is it a model?") != std::string::npos);
}
