// The design's thesis: once a model is made, a step allocates nothing, nor does a prediction. malloc itself is watched,
// because Eigen does not go through operator new.
#include <tenon/tenon.hpp>

#include <atomic>
#include <cerrno>
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

template <class Net>
void hundred_steps(Isa isa) {
  for (const int threads : {1, 2}) {
    Cpu cpu = cpu_with_threads(threads);
    cpu.set_isa(isa);
    constexpr int batch = 5;
    Model<Net> model(Seed{1}, batch, std::move(cpu));
    Trainer trainer(model, Adam{});
    std::vector<float> x(batch * 784, 0.25f);
    const std::vector<std::int32_t> labels = {1, 2, 3, 4, 5};
    const long before = allocations;
    for (int i = 0; i < 100; ++i) trainer.step(x.data(), labels.data(), batch - i % 2);
    model.predict(batch);
    CHECK(allocations - before == 0);
  }
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

TEST_CASE("allocations: none in 100 steps") {
  for (const Isa isa : {Isa::portable, detect_isa()}) {
    hundred_steps<models::Mlp>(isa);
    hundred_steps<models::Lenet>(isa);
    hundred_steps<models::Resnet>(isa);
  }
}
