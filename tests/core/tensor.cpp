// Tensor: owns its memory, indexes its elements, gives views.
// SPDX-License-Identifier: MIT
#include "tenon/core/tensor.hpp"

#include <cstdint>
#include <type_traits>

#include "catch.hpp"

using namespace tenon;

static_assert(detail::Shape<Batch, 2, 3>::rank == 3 && detail::Shape<Batch, 2, 3>::sample == 6 &&
              detail::Shape<Batch, 2, 3>::batched);
static_assert(!detail::Shape<2, 3>::batched && detail::Shape<>::sample == 1);
static_assert(std::is_default_constructible_v<Tensor<float, 2, 3>>);
static_assert(!std::is_default_constructible_v<Tensor<float, Batch, 3>>, "a batch must be given");
static_assert(!std::is_constructible_v<Tensor<float, 2, 3>, int>, "and only where there is one");
static_assert(!std::is_copy_constructible_v<Tensor<float, 2, 3>>, "copies of large memory are made on purpose");
static_assert(std::is_nothrow_move_constructible_v<Tensor<float, 2, 3>>);

TEST_CASE("a tensor is zero, dense and aligned") {
  Tensor<float, Batch, 2, 3> x(4);
  CHECK((x.size() == 24 && x.batch() == 4));
  for (const float v : x) CHECK(v == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(x.data()) % buffer_alignment == 0);
  x(3, 1, 2) = 5;
  CHECK(x.data()[23] == 5);
  x(1, 0, 1) = 7;
  CHECK(x.row(1)[1] == 7);
  CHECK(Tensor<int, 2, 2>().size() == 4);
}

TEST_CASE("a tensor lends views, and moves") {
  Tensor<float, Batch, 3> x(2);
  const Out<float, Batch, 3> out = x.view();
  out.row(1)[2] = 9;
  const Tensor<float, Batch, 3> moved = std::move(x);
  const In<float, Batch, 3> in = moved.view();
  CHECK((in.batch == 2 && in[5] == 9 && moved(1, 2) == 9));
}

TEST_CASE("a tensor of no samples is empty, and of fewer is refused") {
  CHECK(Tensor<float, Batch, 3>(0).size() == 0);
  CHECK_THROWS_WITH((Tensor<float, Batch, 3>(-1)), "[Tensor] expected a batch of 0 or more samples, got -1");
}
