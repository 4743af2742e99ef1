// Invalid accesses that the stand-in must catch: by a guard page after the allocation, by the fill bytes before the
// guard, by poison values, or by a sanitizer, which ends the process and reports the place.
// SPDX-License-Identifier: MIT
#include <cmath>

#include "simt/support.hpp"

namespace {

template <class T>
struct Ten {
  T of[10];
};

template <class T>
__global__ void write_at(T* x, int i) {
  x[i] = 1;
}
template <class T>
__global__ void read_at(const T* x, int i, T* y) {
  *y = x[i];
}
template <class T>
__global__ void write_shared(int i) {
  simt::shared<Ten<T>>().of[i] = 1;
}
template <class T>
__global__ void read_shared(T* y, int i) {
  *y = simt::shared<Ten<T>>().of[i];
}
template <class T>
__global__ void read_wide(const T* x, float4* y) {
  *y = __ldg(reinterpret_cast<const float4*>(x + 1));
}
template <class T>
__global__ void deep(T* x, int depth) {
  volatile T room[1000];
  room[depth % 1000] = *x;
  if (depth > 0) deep<T>(x, depth - 1);
  *x = room[depth % 1000];
}
template <class T>
__global__ void divide(T* x) {
  *x = 7 / *x;
}
template <class T>
__global__ void trap(T*) {
  if (threadIdx.x == 3) __trap();
}
template <class T>
__global__ void throws(T*) {
  throw std::runtime_error("no number");
}

template <bool Wait>
__global__ void copies(const float4* x, float* y) {
  auto& s = simt::shared<float4>();
  simt::cp_async16(&s, x);
  simt::cp_async_commit();
  if (Wait) simt::cp_async_wait_group(0);
  *y = s.x;
}

// With a sanitizer, `said` is the sanitizer's report.
void check_bounds(const std::string& said, const std::string& words) {
  const bool sanitizer = said.find("AddressSanitizer") != said.npos,
             undefined = said.find("runtime error") != said.npos;
  INFO(said);
  CHECK((said.find(words) != said.npos || (under_asan && (sanitizer || undefined))));
  if (!undefined)
    CHECK_THAT(said, ContainsSubstring("block (0, 0, 0), thread (0, 0, 0)") || ContainsSubstring("kernel"));
}

}  // namespace

TEST_CASE("accesses outside of an allocation are caught") {
  Device<float> x(1000), y(1);
  check_bounds(failure_of([&] { run(write_at<float>, 1, 1, 0, x.data, 1000); }),
               "a write past the end of a device allocation of 4000 bytes");
  check_bounds(failure_of([&] { run(write_at<float>, 1, 1, 0, x.data, 1040); }),
               "160 bytes past the end of a device allocation of 4000 bytes");
  check_bounds(failure_of([&] { run(read_at<float>, 1, 1, 0, x.data, 1500, y.data); }),
               "2000 bytes past the end of a device allocation of 4000 bytes");
  check_bounds(failure_of([&] { run(read_at<float>, 1, 1, 0, static_cast<float*>(nullptr), 0, y.data); }),
               "an access to null");
}

TEST_CASE("accesses to freed memory are caught") {
  float* x = nullptr;
  Device<float> y(1);
  REQUIRE(cudaMalloc(&x, 64) == cudaSuccess);
  REQUIRE(cudaFree(x) == cudaSuccess);
  check_bounds(failure_of([&] { run(read_at<float>, 1, 1, 0, x, 1, y.data); }),
               "byte 4 of a freed allocation of 64 bytes");
}

TEST_CASE("accesses outside of shared memory are caught") {
  Device<float> y(1);
  const auto said = [&](auto kernel, auto... a) {
    return failure_of([&] { run(kernel, 1, 1, sizeof(Ten<float>), a...); });
  };
  check_bounds(said(write_shared<float>, 10), "a write past the end of the block's 40 bytes of shared memory");
  check_bounds(said(write_shared<float>, 32), "88 bytes past the end of the block's 40 bytes of shared memory");
  check_bounds(said(read_shared<float>, y.data, 100),
               "360 bytes past the end of the block's 40 bytes of shared memory");
  CHECK_THAT(failure_of([&] { run(write_shared<float>, 1, 1, 36, 0); }),
             ContainsSubstring("the kernel takes 40 bytes, the launch gave 36"));
}

TEST_CASE("what nobody wrote is no number, in every block anew") {
  Device<float> x(2), y(1);
  REQUIRE(run(read_at<float>, 1, 1, 0, x.data, 1, y.data) == cudaSuccess);
  CHECK(std::isnan(y.read()[0]));
  REQUIRE(run(write_shared<float>, 1, 1, sizeof(Ten<float>), 3) == cudaSuccess);
  REQUIRE(run(read_shared<float>, 1, 1, sizeof(Ten<float>), y.data, 3) == cudaSuccess);
  CHECK(std::isnan(y.read()[0]));
}

TEST_CASE("a wide access that is not aligned is caught") {
  Device<float> x(8);
  Device<float4> y(1);
  CHECK_THAT(failure_of([&] { run(read_wide<float>, 1, 1, 0, x.data, y.data); }),
             ContainsSubstring("an access of 16 bytes at memory.cu:"));
}

TEST_CASE("a full stack, a division by zero, a trap and an exception are failures of the kernel") {
  Device<int> x(std::vector<int>{0});
  check_bounds(failure_of([&] { run(deep<int>, 1, 1, 0, x.data, 1000); }), "the stack of an emulated thread");
  if (!under_asan)  // UBSan reports it first
    CHECK_THAT(failure_of([&] { run(divide<int>, 1, 1, 0, x.data); }), ContainsSubstring("an integer divided by zero"));
  CHECK_THAT(failure_of([&] { run(trap<int>, 1, 32, 0, x.data); }), ContainsSubstring("thread (3, 0, 0): __trap() at"));
  CHECK_THAT(failure_of([&] { run(throws<int>, 1, 1, 0, x.data); }), ContainsSubstring("an exception: no number"));
  CHECK(x.read()[0] == 0);  // the device works again
}

TEST_CASE("a copy that was not waited for gives no number") {
  Device<float4> x(std::vector<float4>{{1, 2, 3, 4}});
  Device<float> y(1);
  REQUIRE(run(copies<true>, 1, 1, sizeof(float4), x.data, y.data) == cudaSuccess);
  CHECK(y.read()[0] == 1);
  if (under_asan) {
    CHECK_THAT(said_in_child([&] { run(copies<false>, 1, 1, sizeof(float4), x.data, y.data); }),
               ContainsSubstring("AddressSanitizer: use-after-poison"));
  } else {
    REQUIRE(run(copies<false>, 1, 1, sizeof(float4), x.data, y.data) == cudaSuccess);
    CHECK(std::isnan(y.read()[0]));
  }
}

TEST_CASE("the host cannot read device memory where that is asked for") {
  const std::string said = said_in_child([] {
    simt::options().protect = true;
    Device<float> x(std::vector<float>{1, 2, 3}), y(1);
    run(read_at<float>, 1, 1, 0, x.data, 1, y.data);
    std::fprintf(stderr, "the kernel read %g\n", double(y.read()[0]));
    volatile float* const p = x.data;
    std::fprintf(stderr, "the host read %g\n", double(p[1]));
  });
  CHECK_THAT(said, ContainsSubstring("the kernel read 2"));
  CHECK_THAT(said, ContainsSubstring("the host touches device memory: byte 4 of a device allocation of 12 bytes"));
  CHECK_THAT(said, !ContainsSubstring("the host read"));
}

TEST_CASE("copies know the host from the device, and the ends of both") {
  const Restored restored;
  simt::options().quiet = true;
  Device<float> x(4);
  float host[8] = {};
  CHECK(cudaMemcpy(x.data, host, 20, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK_THAT(simt::last_report(), ContainsSubstring("expected 20 bytes within an allocation"));
  CHECK(cudaMemcpy(host, x.data + 1, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, x.data, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK_THAT(simt::last_report(), ContainsSubstring("expected the destination on the device"));
  CHECK(cudaMemset(host, 0, 4) == cudaErrorInvalidValue);
  CHECK(cudaFree(x.data + 1) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(x.data, host, 16, cudaMemcpyDefault) == cudaSuccess);
}
