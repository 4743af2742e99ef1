// mma, ldmatrix and cp.async of the stand-in. The fragment layouts are compared with CuTe's layouts (the traits
// SM80_16x8x8_F32TF32TF32F32_TN and SM80_16x8x16_F32BF16BF16F32_TN), given below as shapes and strides.
// SPDX-License-Identifier: MIT
#include <cuda_bf16.h>

#include <cmath>
#include <cstring>

#include "simt/support.hpp"

namespace {

// A layout ((4, 8), (2, 2, 2)) of lane and value. It gives the index in a column-major matrix.
struct Layout {
  int of_lane[2];   // strides of lane % 4 and lane / 4
  int of_value[3];  // strides of the bits of the value's index
  int operator()(int lane, int value) const {
    int at = lane % 4 * of_lane[0] + lane / 4 * of_lane[1];
    for (int i = 0; i < 3; ++i) at += (value >> i & 1) * of_value[i];
    return at;
  }
};
constexpr Layout tf32_a{{16, 1}, {8, 64, 0}}, tf32_b{{8, 1}, {32, 0, 0}};     // of (16, 8) and (8 n, 8 k)
constexpr Layout bf16_a{{32, 1}, {16, 8, 128}}, bf16_b{{16, 1}, {8, 64, 0}};  // of (16, 16) and (8 n, 16 k)
constexpr Layout both_c{{32, 1}, {16, 8, 0}};                                 // of (16, 8)

struct Registers {
  std::uint32_t a[4], b[2];
  float c[4], d[4];
};

template <int K>
__global__ void multiply(Registers* lanes) {
  Registers& r = lanes[threadIdx.x];
  if constexpr (K == 8)
    simt::mma_m16n8k8_tf32(r.d, r.a, r.b, r.c);
  else
    simt::mma_m16n8k16_bf16(r.d, r.a, r.b, r.c);
}

struct Matrices {
  alignas(16) std::uint16_t m[4][8][8];
};
template <int Count>
__global__ void load_matrices(const std::uint16_t* in, std::uint32_t* out, bool transposed) {
  auto& s = simt::shared<Matrices>();
  for (unsigned i = threadIdx.x; i < 256; i += 32) s.m[i / 64][i / 8 % 8][i % 8] = in[i];
  __syncthreads();
  std::uint32_t d[Count];
  const void* const row = s.m[threadIdx.x / 8 % Count][threadIdx.x % 8];
  if constexpr (Count == 1) simt::ldmatrix_x1(d, row, transposed);
  if constexpr (Count == 2) simt::ldmatrix_x2(d, row, transposed);
  if constexpr (Count == 4) simt::ldmatrix_x4(d, row, transposed);
  for (int i = 0; i < Count; ++i) out[static_cast<int>(threadIdx.x) * Count + i] = d[i];
}

// Two stages: one is summed while the next one is copied.
struct Stages {
  float4 of[2][32];
};
template <class T>
__global__ void pipeline(const float4* in, int stages, T* out, int bytes) {
  auto& s = simt::shared<Stages>();
  const int t = static_cast<int>(threadIdx.x);
  T sum = 0;
  simt::cp_async16(&s.of[0][t], &in[t]);
  simt::cp_async_commit();
  for (int i = 0; i < stages; ++i) {
    if (i + 1 < stages) simt::cp_async16(&s.of[(i + 1) % 2][t], &in[(i + 1) * 32 + t], i + 2 == stages ? bytes : 16);
    simt::cp_async_commit();
    simt::cp_async_wait_group(1);
    __syncthreads();
    const float4 v = s.of[i % 2][(t + 1) % 32];
    sum += v.x + v.y + v.z + v.w;
    __syncthreads();
  }
  out[t] = sum;
}

}  // namespace

TEST_CASE("fragments of tf32 lie where CuTe's layouts say") {
  const auto a = numbers(16 * 8, 1), b = numbers(8 * 8, 2), c = numbers(16 * 8, 3);  // column-major; b (n, k)
  std::vector<Registers> lanes(32);
  for (int lane = 0; lane < 32; ++lane) {
    Registers& r = lanes[static_cast<std::size_t>(lane)];
    for (int i = 0; i < 4; ++i) r.a[i] = simt::to_tf32(a[static_cast<std::size_t>(tf32_a(lane, i))]);
    for (int i = 0; i < 2; ++i) r.b[i] = simt::to_tf32(b[static_cast<std::size_t>(tf32_b(lane, i))]);
    for (int i = 0; i < 4; ++i) r.c[i] = c[static_cast<std::size_t>(both_c(lane, i))];
  }
  Device<Registers> device(lanes);
  simt::for_each_order([&] {
    REQUIRE(run(multiply<8>, 1, 32, 0, device.data) == cudaSuccess);
    const auto out = device.read();
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) {
        const int at = both_c(lane, i), m = at % 16, n = at / 16;
        double sum = c[static_cast<std::size_t>(at)];
        for (int k = 0; k < 8; ++k)
          sum += double(__uint_as_float(simt::to_tf32(a[static_cast<std::size_t>(m + 16 * k)]))) *
                 __uint_as_float(simt::to_tf32(b[static_cast<std::size_t>(n + 8 * k)]));
        REQUIRE(out[static_cast<std::size_t>(lane)].d[i] == Approx(sum).margin(1e-6));
      }
  });
}

TEST_CASE("fragments of bf16 lie where CuTe's layouts say") {
  const auto a = numbers(16 * 16, 1), b = numbers(8 * 16, 2), c = numbers(16 * 8, 3);
  const auto pair = [](float low, float high) {
    return static_cast<std::uint32_t>(__float2bfloat16_rn(low).__x) |
           static_cast<std::uint32_t>(__float2bfloat16_rn(high).__x) << 16;
  };
  std::vector<Registers> lanes(32);
  for (int lane = 0; lane < 32; ++lane) {
    Registers& r = lanes[static_cast<std::size_t>(lane)];
    const auto at = [lane](const std::vector<float>& v, const Layout& l, int i) {
      return v[static_cast<std::size_t>(l(lane, i))];
    };
    for (int i = 0; i < 4; ++i) r.a[i] = pair(at(a, bf16_a, 2 * i), at(a, bf16_a, 2 * i + 1));
    for (int i = 0; i < 2; ++i) r.b[i] = pair(at(b, bf16_b, 2 * i), at(b, bf16_b, 2 * i + 1));
    for (int i = 0; i < 4; ++i) r.c[i] = at(c, both_c, i);
  }
  Device<Registers> device(lanes);
  REQUIRE(run(multiply<16>, 1, 32, 0, device.data) == cudaSuccess);
  const auto out = device.read();
  const auto half = [](float v) { return double(__bfloat162float(__float2bfloat16_rn(v))); };
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int at = both_c(lane, i), m = at % 16, n = at / 16;
      double sum = c[static_cast<std::size_t>(at)];
      for (int k = 0; k < 16; ++k)
        sum += half(a[static_cast<std::size_t>(m + 16 * k)]) * half(b[static_cast<std::size_t>(n + 8 * k)]);
      REQUIRE(out[static_cast<std::size_t>(lane)].d[i] == Approx(sum).margin(1e-6));
    }
}

TEST_CASE("tf32 is rounded to nearest, ties away from zero, and its operands are cut") {
  CHECK(__uint_as_float(simt::to_tf32(1.0f + 1.0f / 2048)) == 1.0f + 1.0f / 1024);
  CHECK(__uint_as_float(simt::to_tf32(-1.0f - 1.0f / 2048)) == -1.0f - 1.0f / 1024);
  CHECK(__uint_as_float(simt::to_tf32(1.0f + 1.0f / 2049)) == 1.0f);
  CHECK(std::isinf(__uint_as_float(simt::to_tf32(INFINITY))));
  CHECK(std::isnan(__uint_as_float(simt::to_tf32(NAN))));
  std::vector<Registers> lanes(32);
  for (Registers& r : lanes) {
    r = {};
    r.a[0] = __float_as_uint(1.0f) | 0x1fffu;
    r.b[0] = __float_as_uint(1.0f);
  }
  Device<Registers> device(lanes);
  REQUIRE(run(multiply<8>, 1, 32, 0, device.data) == cudaSuccess);
  CHECK(device.read()[0].d[0] == 4.0f);  // k from 0 to 3
}

TEST_CASE("bfloat16 is rounded to nearest even") {
  CHECK(float(__float2bfloat16_rn(1.0f + 1.0f / 256)) == 1.0f);
  CHECK(float(__float2bfloat16_rn(1.0f + 3.0f / 256)) == 1.0f + 4.0f / 256);
  CHECK(std::isnan(float(__float2bfloat16_rn(NAN))));
  CHECK(std::isinf(float(__float2bfloat16_rn(3.4e38f))));
}

TEST_CASE("ldmatrix gives each lane two neighbours of a row, or of a column") {
  std::vector<std::uint16_t> in(256);
  for (std::size_t i = 0; i < 256; ++i) in[i] = static_cast<std::uint16_t>(i / 64 * 1000 + i / 8 % 8 * 10 + i % 8);
  Device<std::uint16_t> device(in);
  const auto check = [&](auto kernel, int count) {
    for (const bool transposed : {false, true}) {
      Device<std::uint32_t> out(static_cast<std::size_t>(32 * count));
      REQUIRE(run(kernel, 1, 32, sizeof(Matrices), device.data, out.data, transposed) == cudaSuccess);
      const auto d = out.read();
      for (int lane = 0; lane < 32; ++lane)
        for (int i = 0; i < count; ++i) {
          const unsigned along = transposed ? 10 : 1, across = transposed ? 1 : 10;
          const unsigned first = static_cast<unsigned>(1000 * i) + static_cast<unsigned>(lane / 4) * across +
                                 static_cast<unsigned>(2 * (lane % 4)) * along;
          REQUIRE(d[static_cast<std::size_t>(lane * count + i)] == (first | (first + along) << 16));
        }
    }
  };
  check(load_matrices<1>, 1);
  check(load_matrices<2>, 2);
  check(load_matrices<4>, 4);
}

TEST_CASE("copies that are waited for have come, and what was not copied is zero") {
  const auto x = numbers(5 * 32 * 4, 4);
  std::vector<float4> in(5 * 32);
  std::memcpy(in.data(), x.data(), sizeof(float) * x.size());
  Device<float4> device(in);
  simt::for_each_order([&] {
    Device<float> out(32);
    REQUIRE(run(pipeline<float>, 1, 32, sizeof(Stages), device.data, 5, out.data, 8) == cudaSuccess);
    const auto sums = out.read();
    for (std::size_t t = 0; t < 32; ++t) {
      float sum = 0;
      for (std::size_t i = 0; i < 5; ++i) {
        const float4 v = in[i * 32 + (t + 1) % 32];
        sum += i == 4 ? v.x + v.y : v.x + v.y + v.z + v.w;
      }
      REQUIRE(sums[t] == sum);
    }
  });
}
