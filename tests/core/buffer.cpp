// Buffer: zeroed, aligned, with one owner.
// SPDX-License-Identifier: MIT
#include "tenon/core/buffer.hpp"

#include <cstdint>
#include <type_traits>

#include "catch.hpp"

using namespace tenon;

static_assert(!std::is_copy_constructible_v<Buffer<float>>);
static_assert(std::is_nothrow_move_constructible_v<Buffer<float>>);

TEST_CASE("a buffer is zeroed and aligned to a cache line") {
  for (const std::size_t n : {1, 3, 16, 1000}) {
    Buffer<float> b(n);
    CHECK(b.size() == n);
    CHECK(reinterpret_cast<std::uintptr_t>(b.data()) % 64 == 0);
    for (const float v : b) CHECK(v == 0);
  }
}

TEST_CASE("an empty buffer has no memory") {
  CHECK(Buffer<int>().data() == nullptr);
  CHECK(Buffer<int>(0).data() == nullptr);
  CHECK(Buffer<int>(0).span().size == 0);
}

TEST_CASE("moving hands the memory on") {
  Buffer<int> a(4);
  a[2] = 7;
  int* const p = a.data();
  Buffer<int> b = std::move(a);
  CHECK((b.data() == p && b.size() == 4 && b[2] == 7));
  Buffer<int> c(2);
  c = std::move(b);
  CHECK((c.data() == p && c.size() == 4));
  CHECK(c.span().size == 4);
}
