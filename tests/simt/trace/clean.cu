// Correct kernels. The tracer must find nothing in them.
// SPDX-License-Identifier: MIT
#include "simt/trace/support.hpp"
#include "tenon/cuda/collective.cuh"

namespace {

namespace arch = tenon::kernels::cuda;

// C (32, 32) = A (32, K) B (K, 32), in tiles of 8, with two buffers: one is filled while the other is used.
template <class T, int K>
struct Tiles {
  T a[2][32][8], b[2][8][32];
};
template <class T, int K>
__global__ void buffered(const T* a, const T* b, T* c) {
  auto& s = arch::shared_memory<Tiles<T, K>>();
  const int t = static_cast<int>(threadIdx.x);
  const auto fill = [&](int k0, int to) {
    if (t < 64)
      arch::copy_async16(&s.a[to][t / 2][t % 2 * 4], a + t / 2 * K + k0 + t % 2 * 4);
    else
      arch::copy_async16(&s.b[to][(t - 64) / 8][(t - 64) % 8 * 4], b + (k0 + (t - 64) / 8) * 32 + (t - 64) % 8 * 4);
    arch::copy_async_commit();
  };
  T sums[8] = {};
  fill(0, 0);
  for (int k0 = 0, at = 0; k0 < K; k0 += 8, at ^= 1) {
    if (k0 + 8 < K) fill(k0 + 8, at ^ 1);
    if (k0 + 8 < K)
      arch::copy_async_wait<1>();
    else
      arch::copy_async_wait<0>();
    __syncthreads();
    for (int k = 0; k < 8; ++k)
      for (int i = 0; i < 8; ++i) sums[i] += s.a[at][t / 4][k] * s.b[at][k][t % 4 * 8 + i];
    __syncthreads();
  }
  for (int i = 0; i < 8; ++i) c[t / 4 * 32 + t % 4 * 8 + i] = sums[i];
}

template <class T>
__global__ void block_sums(const T* x, T* y, std::size_t n) {
  auto& s = arch::shared_memory<arch::BlockReduce<T, 96>>();
  T v = 0;
  for (std::size_t i = threadIdx.x; i < n; i += 96) v += x[i];
  v = s.sum(v);
  const T max = s(v, arch::Largest{});
  if (threadIdx.x == 0) y[blockIdx.x] = v + max;
}

template <class T>
struct Words {
  T of[64];
};
// Lanes pass values through shared memory. Each half of a warp synchronizes separately.
template <class T>
__global__ void exchanges(const T* x, T* y) {
  auto& s = arch::shared_memory<Words<T>>();
  const unsigned t = threadIdx.x, half = t % 32 < 16 ? 0x0000ffffu : 0xffff0000u;
  s.of[t] = x[t];
  __syncwarp();
  T v = s.of[t ^ 31u];
  __syncwarp();
  s.of[t] = v + 1;
  __syncwarp(half);
  v = s.of[t ^ 15u];
  __syncwarp(half);
  s.of[t ^ 1u] = v;
  v += __shfl_xor_sync(0xffffffffu, v, 16);
  y[t] = v + s.of[t ^ 16u];
}

// Lane 0 passes a value to lane 1, which passes it to lane 2: lanes 0 and 2 are ordered through lane 1.
template <class T>
__global__ void chain(T* y) {
  auto& s = arch::shared_memory<Words<T>>();
  const unsigned t = threadIdx.x;
  if (t == 0) s.of[0] = 5;
  if (t < 2) __syncwarp(3u);
  if (t == 1 || t == 2) __syncwarp(6u);
  if (t == 2) *y = s.of[0];
}

template <class T>
__global__ void phases(T* x, T* y) {
  x[blockIdx.x * blockDim.x + threadIdx.x] = T(threadIdx.x);
  simt::grid_barrier();
  y[blockIdx.x * blockDim.x + threadIdx.x] = x[(blockIdx.x + 1) % gridDim.x * blockDim.x + threadIdx.x];
}

template <class T>
__global__ void tally(T* counts, const T* x) {
  atomicAdd(&counts[x[blockIdx.x * blockDim.x + threadIdx.x] % 5], 1);
  atomicMax(&counts[5], x[threadIdx.x]);
}

// The block that finishes last adds the values of all blocks.
template <class T>
struct Last {
  bool last;
};
template <class T, bool Written, bool Read>
__global__ void last_block(const T* x, T* parts, T* y, unsigned* ticket) {
  auto& s = arch::shared_memory<Last<T>>();
  parts[blockIdx.x * blockDim.x + threadIdx.x] = x[threadIdx.x];
  if (Written) __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) s.last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
  __syncthreads();
  if (!s.last) return;
  if (Read) __threadfence();
  T sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += parts[b * blockDim.x + threadIdx.x];
  y[threadIdx.x] = sum;
}
// The same with fences by only one thread per block.
template <class T>
__global__ void last_block_by_one(const T* x, T* parts, T* y, unsigned* ticket) {
  auto& s = arch::shared_memory<Last<T>>();
  parts[blockIdx.x * blockDim.x + threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    s.last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!s.last) return;
  T sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += parts[b * blockDim.x + threadIdx.x];
  y[threadIdx.x] = sum;
}

template <class T>
__global__ void early(const T* x, T* y, unsigned n) {
  auto& s = arch::shared_memory<Words<T>>();
  if (threadIdx.x >= n) return;
  s.of[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s.of[n - 1 - threadIdx.x];
}

template <class T>
__global__ void table_and_struct(const Words<T> a, T* y) {
  constexpr T table[] = {3, 1, 4, 1, 5, 9, 2, 6};
  T local[8];
  for (unsigned i = 0; i < 8; ++i) local[(i * 3 + threadIdx.x) % 8] = table[(i + threadIdx.x) % 8];
  y[threadIdx.x] = a.of[threadIdx.x] + local[threadIdx.x % 8];
}

template <class T>
__global__ void add_in_place(T* x, const T* y) {
  x[threadIdx.x] += y[threadIdx.x];
}

std::vector<int> counting(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) v[static_cast<std::size_t>(i)] = i;
  return v;
}

template <class F>
void nothing_in(F&& f) {
  simt::for_each_order([&] {
    const simt::Options order = simt::options();
    CHECK(text_of(found_in([&] {
            simt::options().set_order(order.threads, order.seed);
            f();
            REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
          })) == "");
  });
}

}  // namespace

TEST_CASE("trace: nothing is found in a product with two buffers") {
  Device<float> a(numbers(32 * 40, 1)), b(numbers(40 * 32, 2)), c(32 * 32);
  nothing_in([&] {
    REQUIRE(run(buffered<float, 40>, 1, 128, sizeof(Tiles<float, 40>), a.data, b.data, c.data) == cudaSuccess);
  });
}

TEST_CASE("trace: nothing is found in reductions and exchanges of warps") {
  Device<int> x(counting(1000)), y(64);
  nothing_in([&] {
    run(block_sums<int>, 3, 96, sizeof(arch::BlockReduce<int, 96>), x.data, y.data, std::size_t(1000));
    run(exchanges<int>, 1, 64, sizeof(Words<int>), x.data, y.data);
    run(chain<int>, 1, 32, sizeof(Words<int>), y.data);
  });
}

TEST_CASE("trace: nothing is found behind a barrier of the grid, between atomics, or where threads leave early") {
  Device<int> x(counting(128)), y(128), counts(std::vector<int>(6));
  nothing_in([&] {
    cudaLaunchAttribute cooperative{};
    cooperative.id = cudaLaunchAttributeCooperative;
    cooperative.val.cooperative = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = 4, config.blockDim = 16, config.attrs = &cooperative, config.numAttrs = 1;
    REQUIRE(cudaLaunchKernelEx(&config, phases<int>, x.data, y.data) == cudaSuccess);
    run(tally<int>, 2, 32, 0, counts.data, static_cast<const int*>(x.data));
    run(early<int>, 1, 64, sizeof(Words<int>), static_cast<const int*>(x.data), y.data, 1u);
    run(early<int>, 1, 64, sizeof(Words<int>), static_cast<const int*>(x.data), y.data, 37u);
  });
}

TEST_CASE("trace: nothing is found where the last block reads what fences and a ticket hand on") {
  Device<int> x(counting(32)), parts(4 * 32), y(32);
  Device<unsigned> ticket(std::vector<unsigned>(1));
  nothing_in([&] {
    for (int i = 0; i < 2; ++i) {
      run(last_block<int, true, true>, 4, 32, sizeof(Last<int>), x.data, parts.data, y.data, ticket.data);
      run(last_block_by_one<int>, 4, 32, sizeof(Last<int>), x.data, parts.data, y.data, ticket.data);
    }
  });
  const auto said = [&](auto kernel) {
    return text_of(found_in([&] { run(kernel, 4, 32, sizeof(Last<int>), x.data, parts.data, y.data, ticket.data); }));
  };
  CHECK_THAT(said(last_block<int, false, true>), ContainsSubstring("race on byte"));
  CHECK_THAT(said(last_block<int, true, false>), ContainsSubstring("race on byte"));
}

TEST_CASE("trace: nothing is found in arguments, tables and local memory") {
  Device<int> y(64);
  nothing_in([&] { REQUIRE(run(table_and_struct<int>, 1, 64, 0, Words<int>{}, y.data) == cudaSuccess); });
}

TEST_CASE("trace: nothing is found between kernels, copies and streams that wait") {
  nothing_in([&] {
    Device<int> x(counting(32)), y(counting(32));
    cudaStream_t one, two;
    REQUIRE(cudaStreamCreate(&one) == cudaSuccess);  // it and the legacy stream wait for each other
    REQUIRE(cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking) == cudaSuccess);
    cudaLaunchConfig_t config{};
    config.gridDim = 1, config.blockDim = 32, config.stream = one;
    REQUIRE(cudaLaunchKernelEx(&config, add_in_place<int>, x.data, static_cast<const int*>(y.data)) == cudaSuccess);
    REQUIRE(run(add_in_place<int>, 1, 32, 0, y.data, static_cast<const int*>(x.data)) == cudaSuccess);
    REQUIRE(cudaLaunchKernelEx(&config, add_in_place<int>, x.data, static_cast<const int*>(y.data)) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(one) == cudaSuccess);
    config.stream = two;
    REQUIRE(cudaLaunchKernelEx(&config, add_in_place<int>, x.data, static_cast<const int*>(y.data)) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(two) == cudaSuccess);
    REQUIRE(cudaMemcpy(y.data, x.data, 128, cudaMemcpyDeviceToDevice) == cudaSuccess);
    REQUIRE(cudaStreamDestroy(one) == cudaSuccess);
    REQUIRE(cudaStreamDestroy(two) == cudaSuccess);
  });
}
