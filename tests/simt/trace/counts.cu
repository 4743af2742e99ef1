// Compares the tracer's counts with counts computed by hand.
// SPDX-License-Identifier: MIT
#include "simt/trace/gates.hpp"
#include "simt/trace/support.hpp"

namespace {

namespace arch = tenon::kernels::cuda;

template <class T>
__global__ void copy_strided(const T* x, T* y, unsigned by) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i * by];
}
template <class T>
__global__ void copy_wide(const T* x, T* y) {
  const unsigned i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  arch::store_wide(y + i, arch::load_wide(x + i));
}
template <class T, int Columns>
struct Matrix {
  T of[32][Columns];
};
template <class T, int Columns>
__global__ void transpose(const T* x, T* y) {
  auto& s = arch::shared_memory<Matrix<T, Columns>>();
  for (unsigned r = 0; r < 32; ++r) s.of[r][threadIdx.x] = x[r * 32 + threadIdx.x];
  __syncwarp();
  for (unsigned r = 0; r < 32; ++r) y[r * 32 + threadIdx.x] = s.of[threadIdx.x][r];
}
template <class T, int Pitch>
struct Rows {
  alignas(16) T of[32 * Pitch];
};
template <class T, int Pitch>
__global__ void wide_rows(const T* x, T* y) {
  auto& s = arch::shared_memory<Rows<T, Pitch>>();
  T* const own = s.of + threadIdx.x * Pitch;
  arch::store_wide(own, arch::load_wide(x + 4 * threadIdx.x));
  arch::store_wide(y + 4 * threadIdx.x, arch::load_wide(own));
}
template <class T>
__global__ void loops(const T* x, T* y, unsigned n) {
  T sum = 0;
  for (unsigned i = threadIdx.x; i < n; i += 32) sum += x[i];
  y[threadIdx.x] = sum;
}
template <class T>
__global__ void multiplies(const T* x, T* y) {
  float c[4] = {};
  const std::uint32_t a[4] = {arch::to_tf32(x[threadIdx.x])}, b[2] = {};
  for (int k = 0; k < 3; ++k) arch::mma_tf32(c, a, b);
  y[threadIdx.x] = c[0];
}
template <class T>
__global__ void counts_atomics(T* x) {
  atomicAdd(x + threadIdx.x % 2, 1);
}
template <class T>
__global__ void through_async(const T* x, T* y) {
  auto& s = arch::shared_memory<Rows<T, 4>>();
  arch::copy_async16(s.of + 4 * threadIdx.x, x + 4 * threadIdx.x);
  arch::copy_async_commit();
  arch::copy_async_wait<0>();
  __syncwarp();
  y[threadIdx.x] = s.of[threadIdx.x];
}

}  // namespace

TEST_CASE("trace: a copy side by side takes 4 sectors a request, a scattered one 32") {
  Device<float> x(numbers(64 * 32, 1)), y(64);
  for (const unsigned by : {1u, 2u, 8u, 32u}) {
    const Kernel k = counted("copy", [&] { run(copy_strided<float>, 2, 32, 0, x.data, y.data, by); });
    INFO("by " << by);
    CHECK(k.launches == 1);
    CHECK(k.counts.requests == 4);  // two warps with one load and one store each
    CHECK(k.counts.ideal_sectors == 4 * 4);
    CHECK(k.counts.placed_sectors == 4 * 4);
    CHECK(k.counts.sectors == 2 * 4 + 2 * std::min(32u, 4 * by));
    CHECK(k.counts.bytes_read == 256);
    CHECK(k.counts.bytes_written == 256);
    CHECK(k.unique_read == 256);
    CHECK(k.unique_written == 256);
  }
}

TEST_CASE("trace: an unaligned copy takes one sector more") {
  Device<float> x(numbers(64, 1)), y(64);
  const Kernel k = counted("copy", [&] { run(copy_strided<float>, 1, 32, 0, x.data + 1, y.data, 1u); });
  CHECK(k.counts.sectors == 5 + 4);
  CHECK(k.counts.ideal_sectors == 4 + 4);
  CHECK(k.counts.placed_sectors == 5 + 4);
}

TEST_CASE("trace: 16 bytes a lane are one request of 16 sectors") {
  Device<float> x(numbers(128, 1)), y(128);
  const Kernel k = counted("wide", [&] { run(copy_wide<float>, 1, 32, 0, x.data, y.data); });
  CHECK(k.counts.requests == 2);
  CHECK(k.counts.sectors == 2 * 16);
  CHECK(k.counts.ideal_sectors == 2 * 16);
}

TEST_CASE("trace: a column of a square in shared memory lies in one bank, unless it is padded") {
  Device<float> x(numbers(1024, 1)), y(1024);
  const Kernel square =
      counted("transpose", [&] { run(transpose<float, 32>, 1, 32, sizeof(Matrix<float, 32>), x.data, y.data); });
  CHECK(square.counts.shared_requests == 64);
  CHECK(square.counts.ideal_wavefronts == 64);
  CHECK(square.counts.wavefronts == 32 + 32 * 32);
  const Kernel padded =
      counted("transpose", [&] { run(transpose<float, 33>, 1, 32, sizeof(Matrix<float, 33>), x.data, y.data); });
  CHECK(padded.counts.wavefronts == 64);
  CHECK(padded.counts.sectors == 64 * 4);
  // 8 bytes: processed by half warps
  Device<double> u(std::vector<double>(1024)), v(1024);
  const Kernel eight =
      counted("transpose", [&] { run(transpose<double, 33>, 1, 32, sizeof(Matrix<double, 33>), u.data, v.data); });
  CHECK(eight.counts.ideal_wavefronts == 2 * 64);
  CHECK(eight.counts.wavefronts == 2 * 64);
  const Kernel two =
      counted("transpose", [&] { run(transpose<double, 32>, 1, 32, sizeof(Matrix<double, 32>), u.data, v.data); });
  CHECK(two.counts.wavefronts == 2 * 32 + 32 * 2 * 16);
}

TEST_CASE("trace: 16 bytes in shared memory go by a quarter of a warp") {
  Device<float> x(numbers(128, 1)), y(128);
  const auto wavefronts = [&](auto kernel, std::size_t shared) {
    const Kernel k = counted("rows", [&] { run(kernel, 1, 32, shared, x.data, y.data); });
    CHECK(k.counts.shared_requests == 2);
    CHECK(k.counts.ideal_wavefronts == 8);
    return k.counts.wavefronts;
  };
  CHECK(wavefronts(wide_rows<float, 4>, sizeof(Rows<float, 4>)) == 8);
  CHECK(wavefronts(wide_rows<float, 8>, sizeof(Rows<float, 8>)) == 16);
  CHECK(wavefronts(wide_rows<float, 32>, sizeof(Rows<float, 32>)) == 64);
  CHECK(wavefronts(wide_rows<float, 36>, sizeof(Rows<float, 36>)) == 8);
}

TEST_CASE("trace: a request is what lanes do for the same time, and a line's counts are its own") {
  Device<float> x(numbers(100, 1)), y(32);
  const Kernel k = counted("loops", [&] { run(loops<float>, 1, 32, 0, x.data, y.data, 100u); });
  CHECK(k.counts.requests == 4 + 1);
  CHECK(k.counts.sectors == 3 * 4 + 1 + 4);
  CHECK(k.function == "loops");
  REQUIRE(k.lines.size() == 2);
  CHECK(k.lines[0].counts.requests + k.lines[1].counts.requests == 5);
  CHECK_THAT(k.lines[0].place, ContainsSubstring("counts.cu:"));
}

TEST_CASE("trace: products, atomics and asynchronous copies are counted") {
  Device<float> x(numbers(128, 1)), y(32);
  Device<int> n(std::vector<int>(2));
  CHECK(counted("mma", [&] { run(multiplies<float>, 1, 64, 0, x.data, x.data + 64); }).counts.products == 6);
  CHECK(counted("atomics", [&] { run(counts_atomics<int>, 3, 32, 0, n.data); }).counts.atomics == 96);
  const Kernel k = counted("async", [&] { run(through_async<float>, 1, 32, sizeof(Rows<float, 4>), x.data, y.data); });
  CHECK(k.counts.requests == 2);
  CHECK(k.counts.sectors == 16 + 4);
  CHECK(k.counts.wavefronts == 4 + 1);
}

TEST_CASE("trace: gates say what is too bad, but for exceptions") {
  const Restored restored;
  Device<float> x(numbers(64 * 32, 1)), y(1024);
  clear();
  simt::name_next_launch("scattered");
  run(copy_strided<float>, 2, 32, 0, x.data, y.data, 32u);
  simt::name_next_launch("side by side");
  run(copy_strided<float>, 2, 32, 0, x.data, y.data, 1u);
  simt::name_next_launch("transposed");
  run(transpose<float, 32>, 1, 32, sizeof(Matrix<float, 32>), x.data, y.data);
  const auto broken = broken_gates({});
  REQUIRE(broken.size() == 2);
  CHECK_THAT(broken[0],
             ContainsSubstring("scattered (copy_strided): expected at most 1.05 times the ideal sectors, got "
                               "4.5"));
  CHECK_THAT(broken[1], ContainsSubstring("transposed (transpose): expected at most 1.00 times the ideal wavefronts"));
  CHECK(broken_gates({{"scattered", "sectors", 5, "r"}, {"transpose", "wavefronts", 20, "r"}}).empty());
  CHECK(broken_gates({{"scattered", "sectors", 4, "r"}, {"transpose", "wavefronts", 20, "r"}}).size() == 1);
  clear();
}
