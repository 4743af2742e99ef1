// The stand-in runs CUDA's features: shared memory, barriers, shuffles, votes and atomics. Every order of threads and
// blocks gives the same bits.
// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>

#include <cstring>
#include <vector>

#include "simt/support.hpp"

namespace {

// C (M, N) = A (M, K) B (K, N), in tiles of 16 x 16 in shared memory.
template <int Tile>
struct Tiles {
  float a[Tile][Tile], b[Tile][Tile + 1];
};
template <int Tile>
__global__ void __launch_bounds__(Tile* Tile) gemm_tile(int m, int n, int k, const float* a, const float* b, float* c) {
  auto& s = simt::shared<Tiles<Tile>>();
  const int row = static_cast<int>(blockIdx.y) * Tile + static_cast<int>(threadIdx.y);
  const int col = static_cast<int>(blockIdx.x) * Tile + static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int at = 0; at < k; at += Tile) {
    const int ka = at + static_cast<int>(threadIdx.x), kb = at + static_cast<int>(threadIdx.y);
    s.a[threadIdx.y][threadIdx.x] = row < m && ka < k ? a[row * k + ka] : 0;
    s.b[threadIdx.y][threadIdx.x] = kb < k && col < n ? b[kb * n + col] : 0;
    __syncthreads();
    for (int i = 0; i < Tile; ++i) sum = fmaf(s.a[threadIdx.y][i], s.b[i][threadIdx.x], sum);
    __syncthreads();
  }
  if (row < m && col < n) c[row * n + col] = sum;
}

// Each warp sums 32 values.
template <class T>
__global__ void warp_sums(const T* x, T* sums) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  T v = x[i];
  for (int by = 16; by > 0; by /= 2) v += __shfl_xor_sync(0xffffffffu, v, by);
  if (threadIdx.x % 32 == 0) sums[i / 32] = v;
}

// Each block sums its values: each thread with a stride, then each warp, then the first warp.
template <int Threads>
struct Partials {
  float of_warp[Threads / 32];
};
template <int Threads>
__global__ void block_sums(const float* x, std::size_t n, float* sums) {
  auto& s = simt::shared<Partials<Threads>>();
  float v = 0;
  for (std::size_t i = blockIdx.x * Threads + threadIdx.x; i < n; i += static_cast<std::size_t>(Threads) * gridDim.x)
    v += x[i];
  for (unsigned by = 16; by > 0; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by);
  if (threadIdx.x % 32 == 0) s.of_warp[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  v = threadIdx.x < Threads / 32 ? s.of_warp[threadIdx.x] : 0;
  for (unsigned by = 16; by > 0; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by);
  if (threadIdx.x == 0) sums[blockIdx.x] = v;
}

// Threads beyond n return at once. The others continue to a barrier.
template <int Threads>
struct Values {
  int of_thread[Threads];
};
template <int Threads>
__global__ void neighbours(const int* x, int n, int* y) {
  auto& s = simt::shared<Values<Threads>>();
  const int i = static_cast<int>(threadIdx.x);
  if (i >= n) return;
  s.of_thread[i] = x[i];
  __syncthreads();
  y[i] = s.of_thread[(i + 1) % n];
}

template <class T>
__global__ void votes(T* out) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned odd = __ballot_sync(0xffffffffu, lane & 1);
  T sum = 0;
  if (lane < 16)  // two halves of the warp, each with its own mask
    sum = static_cast<T>(__reduce_add_sync(0x0000ffffu, lane));
  else
    sum = static_cast<T>(__reduce_add_sync(0xffff0000u, lane));
  const int all = __all_sync(0xffffffffu, lane < 32), any = __any_sync(0xffffffffu, lane == 40);
  const int count = __syncthreads_count(threadIdx.x < 5);
  out[threadIdx.x] = static_cast<T>(odd & 0xffu) + sum * 1000 + static_cast<T>(all * 2 + any) * 1000000 +
                     static_cast<T>(count) * 10000000;
}

template <class T>
__global__ void histogram(const unsigned char* x, std::size_t n, T* bins) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(&bins[x[i] % 8], T(1));
}

template <class T>
__global__ void places(T* out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = T(block * 1000 + thread);
}

}  // namespace

TEST_CASE("a tiled product with shared memory is right, in every order with the same bits") {
  const int m = 37, n = 50, k = 41;
  const auto a = numbers(m * k, 1), b = numbers(k * n, 2);
  Device<float> da(a), db(b);
  std::vector<std::uint32_t> first;
  simt::for_each_order([&] {
    Device<float> dc(static_cast<std::size_t>(m * n));
    REQUIRE(run(gemm_tile<16>, dim3(4, 3), dim3(16, 16), sizeof(Tiles<16>), m, n, k, da.data, db.data, dc.data) ==
            cudaSuccess);
    const auto c = dc.read();
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) {
        double sum = 0;
        for (int l = 0; l < k; ++l) sum += double(a[i * k + l]) * b[l * n + j];
        REQUIRE(c[static_cast<std::size_t>(i * n + j)] == Approx(sum).margin(1e-5));
      }
    std::vector<std::uint32_t> bits(c.size());
    std::memcpy(bits.data(), c.data(), 4 * c.size());
    if (first.empty()) first = bits;
    REQUIRE(bits == first);
  });
}

TEMPLATE_TEST_CASE("a warp sums by shuffles", "", int, float, double, long long) {
  std::vector<TestType> x(256);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<TestType>(i * 3);
  Device<TestType> dx(x);
  simt::for_each_order([&] {
    Device<TestType> sums(8);
    REQUIRE(run(warp_sums<TestType>, 2, 128, 0, dx.data, sums.data) == cudaSuccess);
    const auto s = sums.read();
    for (std::size_t w = 0; w < 8; ++w) REQUIRE(s[w] == static_cast<TestType>(3 * (32 * 32 * w + 31 * 16)));
  });
}

TEST_CASE("blocks sum, in every order with the same bits") {
  const auto x = numbers(10007, 3);
  double sum = 0;
  for (float v : x) sum += v;
  Device<float> dx(x);
  std::vector<float> first;
  simt::for_each_order([&] {
    Device<float> sums(5);
    REQUIRE(run(block_sums<256>, 5, 256, sizeof(Partials<256>), dx.data, x.size(), sums.data) == cudaSuccess);
    const auto s = sums.read();
    REQUIRE(double(s[0]) + s[1] + s[2] + s[3] + s[4] == Approx(sum).margin(1e-2));
    if (first.empty()) first = s;
    REQUIRE(std::memcmp(s.data(), first.data(), sizeof(float) * 5) == 0);
  });
}

TEST_CASE("a barrier does not wait for threads that have returned") {
  std::vector<int> x(100);
  for (int i = 0; i < 100; ++i) x[static_cast<std::size_t>(i)] = i;
  Device<int> dx(x);
  simt::for_each_order([&] {
    Device<int> dy(100);
    REQUIRE(run(neighbours<128>, 1, 128, sizeof(Values<128>), dx.data, 100, dy.data) == cudaSuccess);
    const auto y = dy.read();
    for (int i = 0; i < 100; ++i) REQUIRE(y[static_cast<std::size_t>(i)] == (i + 1) % 100);
  });
}

TEST_CASE("votes and reductions meet the lanes of their mask alone") {
  simt::for_each_order([] {
    Device<int> out(96);
    REQUIRE(run(votes<int>, 1, 96, 0, out.data) == cudaSuccess);
    const auto v = out.read();
    for (std::size_t i = 0; i < 96; ++i)
      REQUIRE(v[i] == 0xaa + 1000 * (i % 32 < 16 ? 120 : 376) + 2 * 1000000 + 5 * 10000000);
  });
}

TEST_CASE("atomics count") {
  std::vector<unsigned char> x(1000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<unsigned char>(i * i);
  std::vector<unsigned> expected(8);
  for (unsigned char c : x) ++expected[c % 8];
  Device<unsigned char> dx(x);
  simt::for_each_order([&] {
    Device<unsigned> bins(8);
    REQUIRE(cudaMemset(bins.data, 0, 32) == cudaSuccess);
    REQUIRE(run(histogram<unsigned>, 4, 256, 0, dx.data, x.size(), bins.data) == cudaSuccess);
    REQUIRE(bins.read() == expected);
  });
}

TEST_CASE("indices run over grids and blocks of three dimensions") {
  simt::for_each_order([] {
    Device<unsigned> out(2 * 3 * 4 * 5 * 2 * 3);
    REQUIRE(run(places<unsigned>, dim3(2, 3, 4), dim3(5, 2, 3), 0, out.data) == cudaSuccess);
    const auto v = out.read();
    for (unsigned i = 0; i < v.size(); ++i) REQUIRE(v[i] == i / 30 * 1000 + i % 30);
  });
}

TEST_CASE("new memory holds no numbers") {
  Device<float> x(33);
  for (float v : x.read()) REQUIRE(v != v);
}
