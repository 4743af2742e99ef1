// Times whole epochs of a model, including shuffling, gathering and the optimizer, and the FMA peak in the same run.
//   bench_steps mlp|cnn|lenet|resnet [threads] [batch] [epochs] [steps of an epoch]
// Prints one JSON line in the form of peers.py's; bench/steps/run runs both, interleaved.
#include <tenon/data/gz.hpp>
#include <tenon/data/images.hpp>
#include <tenon/tenon.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../examples/programs/models.hpp"
#include "../kernels/floor.hpp"

namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Multiplications plus additions of one sample's step: the matrix products of the forward pass, of every dw, and of
/// every dx that is needed. A dense count, even where kernels skip zeros.
template <class Net>
double flops_of_a_sample() {
  using P = tenon::plan::Plan<Net, tenon::Cpu, tenon::plan::Mode::train>;
  double flops = 0;
  for (int i = 0; i < P::steps.count; ++i) {
    const auto& node = Net::graph.nodes[P::steps.step[i].node];
    if (node.spec.param_count == 0 || !node.spec.params[0].decay) continue;  // matrices and filters
    const auto& w = node.spec.params[0].dims;
    const double pixels = w.rank == 4 ? static_cast<double>(node.spec.out.d[1]) * node.spec.out.d[2] : 1;
    const int passes = P::memory.row[i].dx == tenon::plan::no_offset ? 2 : 3;
    flops += 2.0 * static_cast<double>(w.count()) * pixels * passes;
  }
  return flops;
}

template <class Net>
int run(int threads, int batch, int epochs, long limit) {
  using namespace tenon;
  const char* const folder = std::getenv("TENON_DATA");
  const auto data = load_image_folder(find_dataset(folder ? folder : "fashion-mnist"), 10, inflate_if_gz);
  const double peak = bench::fma_peak(threads);
  Model<Net> model(Seed{1}, batch, Cpu(threads));
  Trainer trainer(model, Adam{1e-3});
  const ImageData train(data.train, {0.2860, 0.3530}), test(data.test, {0.2860, 0.3530});

  std::vector<double> seconds, steps;
  for (int e = 0; e < epochs; ++e) {
    const auto start = Clock::now();
    auto last = start;
    long k = 0;
    trainer.epoch(train, [&](const LossSums&) {
      steps.push_back(since(last) * 1e3);
      last = Clock::now();
      return ++k != limit;
    });
    seconds.push_back(since(start));
  }
  std::sort(steps.begin(), steps.end());
  const double median = steps[steps.size() / 2], gflops = flops_of_a_sample<Net>() * batch / median * 1e-6;
  std::printf("{\"peer\": \"tenon\", \"model\": \"%s\", \"threads\": %d, \"batch\": %d, \"epoch_s\": [", Net::name,
              threads, batch);
  for (std::size_t i = 0; i < seconds.size(); ++i) std::printf("%s%.3f", i ? ", " : "", seconds[i]);
  std::printf(
      "], \"step_ms\": %.3f, \"step_ms_p10\": %.3f, \"accuracy\": %.4f, \"gflops\": %.1f, \"fma_peak\": %.1f, "
      "\"share\": %.3f}\n",
      median, steps[steps.size() / 10], trainer.evaluate(test).accuracy(), gflops, peak, gflops / peak);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string model = argc > 1 ? argv[1] : "cnn";
  const auto number = [&](int i, int fallback) { return argc > i ? std::atoi(argv[i]) : fallback; };
  const int threads = number(2, 2), batch = number(3, 128), epochs = number(4, 2);
  const long limit = number(5, 0);
  int status = 2;
  if (!models::with_model(model, [&]<class Net>(const Net*) { status = run<Net>(threads, batch, epochs, limit); }))
    std::fprintf(stderr, "bench_steps: expected mlp, lenet, cnn or resnet, got %s\n", model.c_str());
  return status;
}
