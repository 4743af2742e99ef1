// Cpu: tasks, chunks, scratch and instruction set, without threads.
// SPDX-License-Identifier: MIT
#include "tenon/core/device.hpp"

#include <cstdint>
#include <stdexcept>
#include <utility>

#include "catch.hpp"

using namespace tenon;

TEST_CASE("a Cpu alone runs every task once, in order, as worker 0") {
  Cpu dev;
  CHECK(dev.threads() == 1);
  std::vector<int> tasks;
  dev.parallel(5, [&](int task, int worker) {
    CHECK(worker == 0);
    tasks.push_back(task);
  });
  CHECK(tasks == std::vector<int>{0, 1, 2, 3, 4});
  dev.parallel(0, [](int, int) { FAIL("there is no task"); });
}

TEST_CASE("parallel_chunks covers the range, the last piece shorter") {
  Cpu dev;
  for (const std::size_t n : {0, 1, 9, 10, 11, 100}) {
    std::size_t at = 0;
    dev.parallel_chunks(n, 10, [&](std::size_t begin, std::size_t end) {
      CHECK(begin == at);
      CHECK((end > begin && end - begin <= 10));
      at = end;
    });
    CHECK(at == n);
  }
}

TEST_CASE("a task's exception reaches the caller") {
  Cpu dev;
  CHECK_THROWS_WITH(dev.parallel(3,
                                 [](int task, int) {
                                   if (task == 1) throw std::runtime_error("task 1");
                                 }),
                    "task 1");
}

TEST_CASE("scratch is aligned, grows when asked, and never shrinks") {
  Cpu dev;
  dev.reserve_scratch(100);
  void* const p = dev.scratch(0);
  CHECK(p != nullptr);
  CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
  dev.reserve_scratch(50);
  CHECK(dev.scratch(0) == p);
  dev.reserve_scratch(100000);
  static_cast<char*>(dev.scratch(0))[99999] = 1;
}

TEST_CASE("the instruction set can be lowered, and raised where the processor has it") {
  Cpu dev;
  dev.set_isa(Isa::portable);
  CHECK(dev.isa() == Isa::portable);
  if (detect_isa() == Isa::avx2) {
    dev.set_isa(Isa::avx2);
    CHECK(dev.isa() == Isa::avx2);
  } else {
    CHECK_THROWS_WITH(dev.set_isa(Isa::avx2), "[Cpu::set_isa] expected a processor with AVX2 and FMA, got one without");
  }
}

TEST_CASE("a copy of a Cpu has scratch memory of its own, of the same size") {
  Cpu dev;
  dev.set_isa(Isa::portable);
  dev.reserve_scratch(4096);
  Cpu copy = dev, assigned;
  assigned = dev;
  for (Cpu* const other : {&copy, &assigned}) {
    CHECK(other->isa() == Isa::portable);
    REQUIRE(other->scratch(0) != nullptr);
    CHECK(other->scratch(0) != dev.scratch(0));
    static_cast<char*>(other->scratch(0))[4095] = 1;
  }
  CHECK(static_cast<char*>(dev.scratch(0))[4095] == 0);
  void* const place = copy.scratch(0);
  const Cpu moved = std::move(copy);
  CHECK(Cpu(moved).scratch(0) != place);
}

TEST_CASE("a mirror and a stage of a Cpu's memory are the memory itself") {
  const Cpu dev;
  float x[3] = {1, 2, 3};
  kernels::HostMirror<Cpu, float> on_host(3);
  CHECK(on_host(dev, x, 3) == x);
  kernels::HostStage<Cpu, float> stage;
  CHECK(stage.place(dev, x, 3) == x);
  stage.send(dev);
}

static_assert(kernels::Device<Cpu>);
static_assert(!kernels::Device<int>);

TEST_CASE("a Cpu that was moved from can get scratch memory again") {
  Cpu dev;
  dev.reserve_scratch(128);
  Cpu moved(std::move(dev));
  CHECK(moved.scratch(0) != nullptr);
  CHECK(dev.threads() == 1);
  dev.reserve_scratch(64);
  CHECK(dev.scratch(0) != nullptr);
}
