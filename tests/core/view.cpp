// Views: extents in the type, rows of a batch, conversions that only remove access rights.
// SPDX-License-Identifier: MIT
#include "tenon/core/view.hpp"

#include <type_traits>

#include "catch.hpp"

using namespace tenon;

static_assert(In<float, Batch, 2, 3>::rank == 3);
static_assert(In<float, Batch, 2, 3>::batched);
static_assert(In<float, Batch, 2, 3>::sample == 6);
static_assert(!In<float, 4, 5>::batched);
static_assert(In<float, 4, 5>::sample == 20);
static_assert(In<float, Batch>::sample == 1);
static_assert(std::is_same_v<In<float, 3>, View<const float, 3>>);
static_assert(std::is_convertible_v<Out<float, Batch, 3>, In<float, Batch, 3>>);
static_assert(!std::is_convertible_v<In<float, Batch, 3>, Out<float, Batch, 3>>, "what is read only stays so");
static_assert(!std::is_convertible_v<Out<float, Batch, 3>, In<float, Batch, 4>>);
static_assert(!std::is_convertible_v<Out<float, 3>, In<double, 3>>);
static_assert(std::is_base_of_v<View<float, 2, 3>, Into<float, 2, 3>>);
static_assert(std::is_trivially_copyable_v<Into<float, Batch, 3>>);

TEST_CASE("a view finds its rows") {
  float data[12];
  const Out<float, Batch, 2, 2> v(data, 3);
  CHECK(v.size() == 12);
  CHECK(v.row(2) == data + 8);
  CHECK(&v[5] == data + 5);
  const In<float, Batch, 2, 2> read = v;
  CHECK((read.data == data && read.batch == 3));
  CHECK(Out<float, 2, 2>(data).size() == 4);
}

TEST_CASE("a view of nothing is false") {
  float x = 0;
  CHECK_FALSE(In<float, 3>());
  CHECK(In<float, 1>(&x));
  CHECK_FALSE(Into<float, 3>());
  CHECK(Into<float, 1>(&x));
}

TEST_CASE("Into overwrites unless told to add") {
  float x = 0;
  CHECK_FALSE(Into<float, 1>(&x).accumulate);
  CHECK_FALSE(Into<float, Batch, 1>(&x, 1).accumulate);
  CHECK(Into<float, Batch, 1>(&x, 1, true).accumulate);
}

TEST_CASE("Span is a range") {
  int data[3] = {1, 2, 3}, sum = 0;
  for (const int i : Span<int>{data, 3}) sum += i;
  CHECK(sum == 6);
}
