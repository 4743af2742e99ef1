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
