// Dims: extents as a value.
// SPDX-License-Identifier: MIT
#include "tenon/core/shape.hpp"

#include "catch.hpp"

using namespace tenon;
using namespace tenon::kernels;

template <Dims D>
struct IsLegalTemplateArgument {};
static_assert(sizeof(IsLegalTemplateArgument<dims(1, 28, 28)>) == 1);
static_assert(dims(3, 4, 5).count() == 60);
static_assert(dims().count() == 1 && dims().rank == 0);
static_assert(dims(7) == dims(7));
static_assert(!(dims(7) == dims(7, 1)), "rank counts");
static_assert(dims(65536, 65536).count() == 4294967296LL, "the product does not overflow an int");

TEST_CASE("ceil_div and round_up") {
  CHECK(ceil_div(0, 8) == 0);
  CHECK(ceil_div(1, 8) == 1);
  CHECK(ceil_div(8, 8) == 1);
  CHECK(ceil_div(9, 8) == 2);
  CHECK(round_up(9, 8) == 16);
  CHECK(round_up(16, 8) == 16);
}

TEST_CASE("dims are indexed from the front") {
  const Dims d = dims(3, 4, 5);
  CHECK((d.rank == 3 && d[0] == 3 && d[2] == 5));
}
