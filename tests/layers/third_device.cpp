// A device outside the library, defined after all headers are included: layers, losses, optimizers, data and predictors
// find its functions by argument-dependent lookup.
// SPDX-License-Identifier: MIT
#include "support/abacus.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "catch.hpp"
#include "devices.hpp"
#include "train/small_images.hpp"

using namespace tenon;
using namespace tenon::tests;
using elsewhere::Abacus;

namespace {

using Net =
    Sequential<Input<1, 8, 8>, Flatten, Linear<6>, ReLU, Dropout<Rate<1, 10>>, Residual<Linear<6>, Tanh>, Linear<4>>;

template <class A, class B>
double farthest(const A& a, const B& b) {
  REQUIRE(a.size() == b.size());
  double d = 0;
  for (std::size_t i = 0; i < a.size(); ++i) d = std::max(d, static_cast<double>(std::fabs(a[i] - b[i])));
  return d;
}

template <class D>
std::vector<float> trained(D dev, const ImageSet& set) {
  Model<Net, D> model(Seed{3}, 16, dev);
  const ImageData data(set, {0.5, 0.5, true, true});
  const Samples<float, std::int32_t> rows(std::vector<float>(20 * 64, 0.5f), std::vector<std::int32_t>(20, 1), 20);
  Trainer trainer(model, Adam{0.01}, CrossEntropy{0.1f, {1, 2, 1, 1}},
                  {.schedule = Schedule::cosine(40), .clip_norm = 1, .micro_batches = 2});
  const double before = trainer.evaluate(data).loss();
  for (int e = 0; e < 3; ++e) trainer.epoch(data);
  trainer.epoch(rows);
  for (int e = 0; e < 2; ++e) trainer.epoch(data);
  CHECK(trainer.evaluate(data).loss() < before);
  Trainer more(model, Sgd{0.01});
  more.epoch(data);
  return on_host(model.device(), model.parameters());
}

}  // namespace

TEST_CASE("third device: it trains as the Cpu does") {
  const ImageSet set = quarters(100);
  const Abacus dev;
  const auto on_abacus = trained(dev, set);
  CHECK(dev.kernels() > 50);
  CHECK(farthest(on_abacus, trained(Cpu{}, set)) < 1e-5);
}

TEST_CASE("third device: weights are loaded for it, and predicted with") {
  Model<Net> cpu(Seed{1}, 3, Cpu{});
  std::vector<TensorInfo> list;
  list_tensors<float>(cpu.tensors(), {cpu.parameters().data, cpu.states().data, cpu.counters().data()}, list);
  const auto bytes = to_safetensors(list, {});
  const Abacus dev;
  const auto weights = Weights<Net, Abacus>::load(bytes, "memory", dev);
  Predictor<Net, Abacus> predict(weights, 3, dev);
  std::vector<float> x(3 * 64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 31 % 23) / 11 - 1;
  std::copy(x.begin(), x.end(), cpu.input(3).data);
  const auto want = cpu.predict(3);
  const auto got = predict(x.data(), 3);
  CHECK(farthest(got, std::vector<float>(want.data, want.data + want.size())) < 1e-6);
  CHECK_THROWS_WITH((Predictor<Net, Abacus>(weights, 3, Abacus{})),
                    ContainsSubstring("load them for the device that predicts"));
}

TEST_CASE("third device: an image set is copied to it once") {
  const ImageSet set = quarters(20);
  const ImageData data(set);
  Abacus a, other;
  const auto pixels_on = [&](auto& dev) { return data.source<float, std::int32_t>(dev).images.pixels; };
  const auto* const first = pixels_on(a);
  CHECK(pixels_on(a) == first);
  Abacus copy = a;
  CHECK(pixels_on(copy) == first);
  CHECK(pixels_on(other) != first);
  Cpu cpu;
  CHECK(pixels_on(cpu) == set.pixels.data());
}

TEST_CASE("third device: the host cannot touch its memory") {
  const Abacus dev;
  auto memory = allocate<float>(dev, 10);
  CHECK(on_host(dev, memory.span()) == std::vector<float>(10));
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    const volatile float value = memory.data()[3];
    std::_Exit(value == 0 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  CHECK(status != 0);  // the sanitizer reports the signal
#else
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
#endif
}
