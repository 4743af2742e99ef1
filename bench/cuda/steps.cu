// Whole training steps on a GPU as tenon-train makes them: shuffled gather from resident images, forward, loss, backward,
// Adam; up to 64 steps per launch.
//   bench_cuda_steps mlp|cnn fp32|tf32|bf16 BATCH STEPS [--data DIR] [--images N]
// Without --data the images are noise. Their default number is 65,536, so that an epoch consists of whole launches at
// batch 1024, too. Prints one JSON line: microseconds per step. Each launch is one sample, measured by the host's clock
// from the end of one launch to the end of the next, so it includes the host's work between them. Creating the trainer
// and the first launches are not included.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>
#include <tenon/data/gz.hpp>
#include <tenon/data/images.hpp>
#include <tenon/tenon.hpp>
//
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../examples/programs/models.hpp"

namespace {

using namespace tenon;

struct Options {
  CudaMath math = CudaMath::fp32;
  const char* precision = "fp32";
  int batch = 128, images = 65536;
  long steps = 0;
  std::string data;
};

/// Noise images whose labels can be learned, so that a loss that does not fall is visible.
ImageSet noise(int count) {
  ImageSet set;
  set.count = count;
  set.height = set.width = 28;
  set.pixels.resize(static_cast<std::size_t>(count) * 784);
  set.labels.resize(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < set.labels.size(); ++i) {
    const random::Key key{1, random::Use::user, 0, 0};
    const std::size_t label = key.words(i, 1000).v[0] % 10;
    set.labels[i] = static_cast<std::uint8_t>(label);
    for (std::size_t p = 0; p < 784; p += 4) {
      const random::Four r = key.words(i, static_cast<std::uint32_t>(p / 4));
      for (std::size_t k = 0; k < 4; ++k)
        set.pixels[i * 784 + p + k] = static_cast<std::uint8_t>(r.v[k] % 128 + ((p + k) / 79 == label ? 96 : 0));
    }
  }
  return set;
}

template <class Net>
int run(const Options& o) {
  using Clock = std::chrono::steady_clock;
  const ImageSet set = o.data.empty() ? noise(o.images) : load_image_folder(o.data, 10, inflate_if_gz).train;
  if (static_cast<long>(o.batch) > set.count)
    return std::fprintf(stderr, "bench_cuda_steps: expected a batch of at most %d images\n", set.count), 2;
  Model<Net, Cuda> model(Seed{1}, o.batch, Cuda(o.math));
  constexpr int max = 64;
  Trainer trainer(model, Adam{1e-3}, CrossEntropy{}, {.schedule = Schedule::constant(), .steps_per_launch = max});
  const ImageData data(set, {0.2860, 0.3530});

  std::vector<double> us;  // per step, one value per launch
  long done = 0, as_one = 0, last_step = 0;
  double first_loss = 0, loss = 0, seconds = 0;
  bool warm = false;
  auto last = Clock::now();
  while (done < o.steps)
    trainer.epoch(data, [&](const LossSums& sums) {
      const auto now = Clock::now();
      const double took = std::chrono::duration<double, std::micro>(now - last).count();
      const Progress& p = trainer.progress();
      const long made = static_cast<long>(p.step) - last_step;
      last_step = static_cast<long>(p.step);
      loss = sums.loss();
      if (first_loss == 0) first_loss = loss;
      // The first epoch, or its first four launches, records graphs and raises the clock, so it is not measured. Nor is
      // an epoch's last launch if its batch is shorter.
      const bool whole = sums.count == made * o.batch;
      if (warm && whole) {
        us.push_back(took / static_cast<double>(made));
        seconds += took * 1e-6;
        done += made;
        if (made == max) as_one += made;
      }
      if (last_step >= 4 * max || p.position >= data.size()) warm = true;
      last = Clock::now();
      return done < o.steps;
    });
  std::sort(us.begin(), us.end());
  const auto at = [&](std::size_t percent) { return us[(us.size() - 1) * percent / 100]; };
  std::printf(
      "{\"peer\": \"tenon\", \"device\": \"%s\", \"model\": \"%s\", \"precision\": \"%s\", \"batch\": %d, \"images\": "
      "%d, "
      "\"data\": \"%s\", \"steps\": %ld, \"launches\": %zu, \"steps_in_launches_of_64\": %ld, \"us\": %.3f, \"p10\": "
      "%.3f, "
      "\"p95\": %.3f, \"images_per_second\": %.0f, \"first_loss\": %.4f, \"loss\": %.4f}\n",
      model.device().state().name.c_str(), Net::name, o.precision, o.batch, set.count,
      o.data.empty() ? "noise" : "given", done, us.size(), as_one, at(50), at(10), at(95),
      static_cast<double>(done) * o.batch / seconds, first_loss, loss);
  return 0;
}

int main_of(int argc, char** argv) {
  const std::string model = argc > 1 ? argv[1] : "", precision = argc > 2 ? argv[2] : "";
  Options o;
  bool good = argc >= 5 && (model == "mlp" || model == "cnn");
  if (precision == "tf32")
    o.math = CudaMath::tf32, o.precision = "tf32";
  else if (precision == "bf16")
    o.math = CudaMath::bf16, o.precision = "bf16";
  else if (precision != "fp32")
    good = false;
  if (good) {
    o.batch = std::atoi(argv[3]);
    o.steps = std::atol(argv[4]);
  }
  for (int i = 5; good && i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc)
      good = false;
    else if (flag == "--data")
      o.data = argv[i + 1];
    else if (flag == "--images")
      o.images = std::atoi(argv[i + 1]);
    else
      good = false;
  }
  if (!good || o.batch < 1 || o.steps < 1 || o.images < 1) {
    std::fprintf(stderr, "bench_cuda_steps: expected mlp|cnn fp32|tf32|bf16 BATCH STEPS [--data DIR] [--images N]\n");
    return 2;
  }
  return model == "mlp" ? run<models::Mlp>(o) : run<models::Cnn>(o);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return main_of(argc, argv);
  } catch (const tenon::Error& e) {
    return std::fprintf(stderr, "bench_cuda_steps: %s\n", e.what()), 1;
  }
}
