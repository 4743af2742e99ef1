// The design's thesis: once a model is made, nothing is allocated: not in a step, an epoch, an evaluation or a
// prediction. malloc itself is watched, because Eigen does not go through operator new.
#include <tenon/predict.hpp>
#include <tenon/tenon.hpp>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "../../examples/models.hpp"
#include "catch.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCHED 0  // a sanitizer has its own malloc
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WATCHED 0
#endif
#endif
#if !defined(WATCHED) && defined(__GLIBC__)
#define WATCHED 1
#elif !defined(WATCHED)
#define WATCHED 0
#endif

static std::atomic<long> allocations{0};

#if WATCHED
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t n) {
  ++allocations;
  return __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size) {
  ++allocations;
  return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n) {
  ++allocations;
  return __libc_realloc(p, n);
}
void* memalign(std::size_t alignment, std::size_t n) {
  ++allocations;
  return __libc_memalign(alignment, n);
}
void* aligned_alloc(std::size_t alignment, std::size_t n) {
  ++allocations;
  return __libc_memalign(alignment, n);
}
int posix_memalign(void** p, std::size_t alignment, std::size_t n) {
  ++allocations;
  *p = __libc_memalign(alignment, n);
  return *p ? 0 : ENOMEM;
}
}
#endif

using namespace tenon;

namespace {

/// As many images as an epoch of several batches and a short last one needs; noise with dark places, so that ReLU and
/// pooling leave zeros and every path of a convolution is taken.
struct Set {
  int count = 37, channels = 1, height = 28, width = 28;
  std::vector<std::uint8_t> pixels, labels;

  Set() {
    for (int i = 0; i < count; ++i) labels.push_back(static_cast<std::uint8_t>(i % 10));
    for (int i = 0; i < count * 784; ++i) {
      const auto bits = random::Key{3, random::Use::user, 0, 0}.words(static_cast<std::uint64_t>(i), 0).v[0];
      pixels.push_back(static_cast<std::uint8_t>(i / 200 % 3 ? bits % 256 : 0));
    }
  }
};

/// `f(device)` on both instruction sets, with one thread and with two.
template <class F>
void on_every_device(F f) {
  for (const Isa isa : {Isa::portable, detect_isa()})
    for (const int threads : {1, 2}) {
      INFO((isa == Isa::portable ? "portable, " : "avx2, ") << threads << " threads");
      Cpu cpu = cpu_with_threads(threads);
      cpu.set_isa(isa);
      f(std::move(cpu));
    }
}

template <class Net>
void watch_steps(int steps) {
  on_every_device([&](Cpu cpu) {
    constexpr int batch = 5;
    Model<Net> model(Seed{1}, batch, std::move(cpu));
    Trainer trainer(model, Adam{});
    std::vector<float> x(batch * 784, 0.25f);
    const std::vector<std::int32_t> labels = {1, 2, 3, 4, 5};
    const long before = allocations;
    for (int i = 0; i < steps; ++i) trainer.step(x.data(), labels.data(), batch - i % 2);
    model.predict(batch);
    CHECK(allocations - before == 0);
  });
}

template <class Net, class Optimizer>
void watch_epochs(const Optimizer& optimizer) {
  on_every_device([&](Cpu cpu) {
    const Set set;
    const ImageData data(set, {0.5, 0.25, true, true}), test(set, {0.5, 0.25});
    Model<Net> model(Seed{1}, 16, std::move(cpu));
    Trainer trainer(model, optimizer, CrossEntropy{}, Schedule::one_cycle(6), {1.0});
    int steps = 0, batches = 0;
    const long before = allocations;
    for (int epoch = 0; epoch < 2; ++epoch) {
      trainer.epoch(data, [&](const LossSums&) { return ++steps < 1000; });
      trainer.evaluate(test, [&](std::uint64_t, const auto&) { return ++batches < 1000; });
    }
    trainer.evaluate(test);
    CHECK(allocations - before == 0);
    CHECK(steps == 6);
    CHECK(batches == 6);
  });
}

template <class Net>
void watch_predictions(int calls) {
  Model<Net> model(Seed{1}, 1, Cpu{});
  std::vector<TensorInfo> list;
  list_tensors<float>(model.tensors(), {model.parameters().data, model.states().data, model.counters().data()}, list);
  const auto weights = Weights<Net>::load(to_safetensors(list, {}));
  const Set set;
  std::vector<float> x(4 * 784);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(set.pixels[i]) / 255;
  on_every_device([&](Cpu cpu) {
    Predictor<Net> predict(weights, 4, std::move(cpu));
    float sum = 0;
    const long before = allocations;  // from the very first call on
    for (int i = 0; i < calls; ++i) sum += predict(x.data(), 1 + i % 4)[0];
    std::copy(x.begin(), x.end(), predict.input().begin());
    sum += predict.run(4)[0];
    CHECK(allocations - before == 0);
    CHECK(std::isfinite(sum));
  });
}

}  // namespace

TEST_CASE("allocations: the watch works") {
#if !WATCHED
  skip_test("malloc cannot be watched in this build");
#else
  const long before = allocations;
  ::operator delete(::operator new(100));
  std::free(std::malloc(10));
  CHECK(allocations - before == 2);
#endif
}

TEST_CASE("allocations: none in a step") {
  watch_steps<models::Mlp>(100);
  watch_steps<models::Lenet>(100);
  watch_steps<models::Cnn>(25);
  watch_steps<models::Resnet>(100);
}

TEST_CASE("allocations: none in an epoch, nor in an evaluation") {
  watch_epochs<models::Mlp>(Sgd{});
  watch_epochs<models::Cnn>(AdamW{});
  watch_epochs<models::Resnet>(Adam{});
}

TEST_CASE("allocations: none in a prediction") {
  watch_predictions<models::Mlp>(20);
  watch_predictions<models::Lenet>(20);
  watch_predictions<models::Cnn>(20);
  watch_predictions<models::Resnet>(20);
}
