// Checkpoints: a training that is stopped at any step and resumed gives the same file as one that never stopped.
// Loading an unsuitable file changes nothing. Runs on any device (devices.hpp).
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/train/checkpoint.hpp"

#include <limits>

#include "catch.hpp"
#include "devices.hpp"
#include "files.hpp"
#include "tenon/cpu/gather.hpp"
#include "tenon/data/dataset.hpp"
#include "tenon/data/images.hpp"
#include "tenon/layers.hpp"
#include "tenon/optimizers/any_optimizer.hpp"
#include "train/small_images.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

// A network with all the state that a resume could lose: running statistics, dropout; augmentation is in the data.
using Net =
    Sequential<Input<1, 6, 6>, Conv2d<4, Kernel<3>>, BatchNorm<>, ReLU, Flatten, Dropout<Rate<1, 4>>, Linear<10>>;

// Not CHECK(get(a) == get(b)), which would print the weights.
bool same_files(const std::string& a, const std::string& b) { return get(a) == get(b); }

constexpr std::uint32_t epochs = 2;

template <class N>
struct Made {
  Model<N, Device> model;
  Trainer<Model<N, Device>, AnyOptimizer> trainer;

  explicit Made(const AnyOptimizer& optimizer, int threads = 1, int steps_per_launch = 64)
      : model(Seed{3}, 8, device<Device>(threads)),
        trainer(model, optimizer, {}, {.schedule = Schedule::one_cycle(14), .steps_per_launch = steps_per_launch}) {}

  // Trains to the end, or until `stop` steps are done.
  void run(const ImageData& data, std::uint64_t stop = ~0ull) {
    while (trainer.progress().epoch < epochs) {
      if (trainer.progress().position == 0) trainer.progress().sums = {};
      if (!trainer.epoch(data, [&](const LossSums&) { return trainer.progress().step != stop; })) return;
    }
  }
};

template <class N>
void resumes_at_every_step(const AnyOptimizer& optimizer, int count) {
  const ImageSet set = random_images(count);
  const ImageData data(set, {0.5, 0.3, true, true});
  const Folder folder;
  Made<N> whole(optimizer);
  whole.run(data);
  save_model(folder / "whole", whole.model);
  const std::uint64_t steps = whole.trainer.progress().step;
  REQUIRE(steps == (count + 7u) / 8 * epochs - (count % 8 == 1 && whole.trainer.skipped() ? epochs : 0));

  for (std::uint64_t stop = 1; stop <= steps; ++stop) {
    CAPTURE(optimizer.name(), count, stop);
    {
      Made<N> first(optimizer, 2, 1);
      first.run(data, stop);
      REQUIRE(first.trainer.progress().step == stop);
      save_checkpoint(folder / "checkpoint", first.trainer);
    }
    const int threads = static_cast<int>(1 + stop % 3);
    Made<N> second(optimizer, threads, threads);
    load_checkpoint(second.trainer, folder / "checkpoint");
    second.run(data);
    save_model(folder / "resumed", second.model);
    REQUIRE(same_files(folder / "resumed", folder / "whole"));
    const Progress &a = second.trainer.progress(), &b = whole.trainer.progress();
    REQUIRE(a.step == b.step);
    REQUIRE(a.sums.loss_sum == b.sums.loss_sum);
    REQUIRE(a.sums.correct == b.sums.correct);
  }
}

std::string bytes_of_trainer(const Folder& folder, const Made<Net>& made) {
  save_checkpoint(folder / "state", made.trainer);
  return get(folder / "state");
}

}  // namespace

TEST_CASE("a training stopped at any step and resumed gives the bytes of one that was not") {
  resumes_at_every_step<Net>(Adam{0.01}, 53);  // the last batch has 5 samples
  resumes_at_every_step<Net>(AdamW{0.01}, 48);
  resumes_at_every_step<Net>(Sgd{0.1, 0.9, true}, 53);
}

TEST_CASE("so does one whose last batch is left out, being one sample for a BatchNorm") {
  using Coupled = Sequential<Input<1, 6, 6>, Flatten, Linear<9>, BatchNorm<>, ReLU, Linear<10>>;
  resumes_at_every_step<Coupled>(Adam{0.01}, 49);
}

TEST_CASE("a checkpoint holds every bit of progress") {
  const Folder folder;
  Made<Net> a(Adam{}), b(Adam{});
  Progress& p = a.trainer.progress();
  p = {Progress::max_steps,
       4294967295u,
       17,
       {0.1 + 0.2, std::numeric_limits<double>::denorm_min(), 9007199254740993, -1}};
  for (auto& state : a.trainer.state())
    for (std::size_t i = 0; i < state.size(); ++i)
      put(a.model.device(), state.span(), i, static_cast<float>(i) * 1e-42f);
  // Adam's mean square of the gradient may overflow.
  put(a.model.device(), a.trainer.state()[1].span(), 0, std::numeric_limits<float>::infinity());
  save_checkpoint(folder / "c", a.trainer, {{"train.lr", "0.001"}});
  CHECK(load_checkpoint(b.trainer, folder / "c").at("train.lr") == "0.001");
  const Progress& q = b.trainer.progress();
  CHECK(q.step == p.step);
  CHECK(q.epoch == p.epoch);
  CHECK(q.position == p.position);
  CHECK(q.sums.loss_sum == p.sums.loss_sum);
  CHECK(q.sums.weight_sum == p.sums.weight_sum);
  CHECK(q.sums.correct == p.sums.correct);
  CHECK(q.sums.count == p.sums.count);
  save_checkpoint(folder / "d", b.trainer, {{"train.lr", "0.001"}});
  CHECK(same_files(folder / "c", folder / "d"));
}

TEST_CASE("models and checkpoints read each other as far as makes sense") {
  const Folder folder;
  const ImageSet set = random_images(16);
  Made<Net> a(Sgd{}), b(Sgd{});
  a.run(ImageData(set));
  save_checkpoint(folder / "checkpoint", a.trainer);
  save_model(folder / "model", a.model, {{"model", "small"}});

  CHECK(load_model(b.model, folder / "model").at("model") == "small");
  save_model(folder / "again", b.model, {{"model", "small"}});
  CHECK(same_files(folder / "again", folder / "model"));

  CHECK_THAT(
      error_of([&] { load_checkpoint(b.trainer, folder / "model"); }),
      ContainsSubstring("expected a checkpoint, got a file without \"progress.step\"") && ContainsSubstring("model)"));
  Made<Net> c(Adam{});  // loads the model of a checkpoint, with any optimizer
  load_model(c.model, folder / "checkpoint");
  save_model(folder / "of_checkpoint", c.model, {{"model", "small"}});
  CHECK(same_files(folder / "of_checkpoint", folder / "model"));
}

TEST_CASE("a checkpoint that does not fit is refused and changes nothing") {
  const Folder folder;
  const ImageSet set = random_images(16);
  Made<Net> trained(Sgd{}), fresh(Adam{}), fresh_sgd(Sgd{});
  trained.run(ImageData(set));
  const std::string before = bytes_of_trainer(folder, fresh), before_sgd = bytes_of_trainer(folder, fresh_sgd);

  save_checkpoint(folder / "sgd", trained.trainer);
  CHECK_THAT(error_of([&] { load_checkpoint(fresh.trainer, folder / "sgd"); }),
             StartsWith("[load_checkpoint] expected a tensor \"optimizer.exp_avg.0.weight\", got a checkpoint without "
                        "it: is it of another"));

  using Other = Sequential<Input<1, 6, 6>, Flatten, Linear<10>>;
  Made<Other> other(Sgd{});
  save_checkpoint(folder / "other", other.trainer);
  CHECK_THAT(error_of([&] { load_checkpoint(fresh_sgd.trainer, folder / "other"); }),
             StartsWith("[load_checkpoint] expected"));

  put(trained.model.device(), trained.model.parameters(), 5, 1);
  const SafeTensors good = SafeTensors::open(folder / "sgd");
  const auto with = [&](const std::string& key, const std::string& value) {
    Metadata changed = good.metadata();
    changed[key] = value;
    save_safetensors(folder / "changed", good.tensors(), changed);
    return error_of([&] { load_checkpoint(fresh_sgd.trainer, folder / "changed"); });
  };
  CHECK_THAT(with("tenon.format", "2"), StartsWith("[load_model] expected a file of format 1, got format \"2\"") &&
                                            ContainsSubstring("newer tenon"));
  for (const std::string format : {"0", "x", "2x", ""})
    CHECK(with("tenon.format", format) ==
          "[load_model] expected a file of format 1, got format \"" + format + "\" (" + folder / "changed" + ")");
  Metadata newer = good.metadata();  // the metadata may also be elsewhere in the header
  newer["tenon.format"] = "2";
  newer.erase("progress.step");
  save_safetensors(folder / "newer", good.tensors(), newer);
  CHECK_THAT(error_of([&] { load_checkpoint(fresh_sgd.trainer, folder / "newer"); }),
             ContainsSubstring("expected a file of format 1"));
  CHECK_THAT(with("progress.step", "1.5"),
             ContainsSubstring("expected a number as \"progress.step\" in the metadata, got \"1.5\""));
  CHECK_THAT(with("progress.step", "4294967296"),
             ContainsSubstring("expected \"progress.step\" of at most 4294967295, got 4294967296"));
  CHECK_THAT(with("progress.epoch", "4294967296"), ContainsSubstring("expected a number as \"progress.epoch\""));
  CHECK_THAT(with("progress.loss_sum", ""), ContainsSubstring("expected a number as \"progress.loss_sum\""));

  std::vector<TensorInfo> tensors(good.tensors().begin(), good.tensors().end());
  const auto tensor = [&](const std::string& name) -> TensorInfo& {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const TensorInfo& t) { return t.name == name; });
  };
  std::vector<float> weight = good.read_as<float>("0.weight");
  weight[3] = std::numeric_limits<float>::quiet_NaN();
  tensor("0.weight").data = std::as_bytes(std::span(weight));
  save_safetensors(folder / "nan", tensors, good.metadata());
  CHECK_THAT(error_of([&] { load_checkpoint(fresh_sgd.trainer, folder / "nan"); }),
             ContainsSubstring("expected finite values in tensor \"0.weight\", got NaN or infinity at element 3"));

  tensor("optimizer.momentum_buffer.5.bias").shape = {2, 5};
  save_safetensors(folder / "shape", tensors, good.metadata());
  CHECK_THAT(error_of([&] { load_checkpoint(fresh_sgd.trainer, folder / "shape"); }),
             ContainsSubstring("\"optimizer.momentum_buffer.5.bias\" of shape (10), got (2, 5)"));

  tensors = {good.tensors().begin(), good.tensors().end()};
  std::vector<float> momentum = good.read_as<float>("optimizer.momentum_buffer.0.weight");
  momentum[2] = std::numeric_limits<float>::quiet_NaN();
  tensor("optimizer.momentum_buffer.0.weight").data = std::as_bytes(std::span(momentum));
  save_safetensors(folder / "nan", tensors, good.metadata());
  CHECK_THAT(
      error_of([&] { load_checkpoint(fresh_sgd.trainer, folder / "nan"); }),
      StartsWith("[load_checkpoint] expected numbers in tensor \"optimizer.momentum_buffer.0.weight\", got NaN at "
                 "element 2"));

  for (const char* name : {"99.weight", "optimizer.exp_avg.0.weight", "optimizer.momentum_buffer"}) {
    tensors = {good.tensors().begin(), good.tensors().end()};
    tensors.push_back(tensors.front());
    tensors.back().name = name;
    save_safetensors(folder / "more", tensors, good.metadata());
    CHECK_THAT(error_of([&] { load_checkpoint(fresh_sgd.trainer, folder / "more"); }),
               StartsWith("[load_model] expected the tensors of the model alone, got \"" + std::string(name) + "\""));
  }

  const bool unchanged = bytes_of_trainer(folder, fresh) == before,
             unchanged_sgd = bytes_of_trainer(folder, fresh_sgd) == before_sgd;
  CHECK(unchanged);
  CHECK(unchanged_sgd);
}

TEST_CASE("weights that could not be read back are not written") {
  const Folder folder;
  Made<Net> made(Adam{});
  save_model(folder / "model", made.model);
  const std::string old = get(folder / "model");
  const auto last = static_cast<std::size_t>(made.model.tensors().back().offset);
  put(made.model.device(), made.model.parameters(), last, std::numeric_limits<float>::infinity());
  CHECK_THAT(error_of([&] { save_model(folder / "model", made.model); }),
             ContainsSubstring("expected finite values in tensor \"5.bias\", got NaN or infinity"));
  CHECK_THAT(error_of([&] { save_checkpoint(folder / "model", made.trainer); }),
             ContainsSubstring("expected finite values"));
  put(made.model.device(), made.model.parameters(), last, 0);
  put(made.model.device(), made.trainer.state()[1].span(), 0, std::numeric_limits<float>::quiet_NaN());
  CHECK_THAT(error_of([&] { save_checkpoint(folder / "model", made.trainer); }),
             ContainsSubstring("expected numbers in tensor \"optimizer.exp_avg_sq.0.weight\", got NaN at element 0"));
  const bool kept = get(folder / "model") == old;
  CHECK(kept);
  CHECK(folder.list() == "model");
}

TEST_CASE("AnyOptimizer makes the steps of the one it holds") {
  const ImageSet set = random_images(16);
  const ImageData data(set);
  const Folder folder;
  const auto agrees = [&](auto optimizer) {
    Model<Net, Device> one(Seed{3}, 8, device<Device>()), other(Seed{3}, 8, device<Device>());
    Trainer a{one, optimizer};
    Trainer b{other, AnyOptimizer(optimizer)};
    CHECK(b.learning_rate() == optimizer.lr);
    CHECK(std::string(b.optimizer().name()) == optimizer.name);
    for (int e = 0; e < 2; ++e) a.epoch(data), b.epoch(data);
    save_checkpoint(folder / "a", a);
    save_checkpoint(folder / "b", b);
    CHECK(same_files(folder / "a", folder / "b"));
  };
  agrees(Sgd{0.02, 0.8, true, 0.01, Decay::weights});
  agrees(Adam{0.02});
  agrees(AdamW{0.02});
}
