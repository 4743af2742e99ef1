// Dropout: the CPU's mask to the bit, the gradient's too, at every length; a recorded step takes it from the cursor.
// SPDX-License-Identifier: MIT
#include "tenon/cuda/dropout.cuh"

#include "cuda/support.hpp"
#include "tenon/ref/dropout.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

const random::Key key{0x123456789abcdefull, random::Use::dropout, 7, 42};

template <class T, int N>
void agrees(int batch, std::uint64_t first, int num, int den, std::size_t offset = 0) {
  INFO("batch " << batch << ", sample " << N << ", first " << first << ", rate " << num << "/" << den << ", offset "
                << offset);
  const std::size_t n = static_cast<std::size_t>(batch) * N;
  const auto x = numbers<T>(n, 1, 1, 2), old = numbers<T>(n, 2);
  std::vector<double> want(n);
  std::vector<T> cpu(n), cpu_added(old);
  for (std::size_t i = 0; i < n; ++i) {
    const bool kept = kernels::ref::kept(key, first + i / N, static_cast<std::uint32_t>(i % N), num, den);
    want[i] = kept ? static_cast<double>(x[i]) * den / (den - num) : 0;
  }
  Cpu host;
  dropout_forward(host, key, first, In<T, Batch, N>(x.data(), batch), num, den, Out<T, Batch, N>(cpu.data(), batch));

  OnDevice<T> x_(x, offset), y(n), dx(n), more(old), in_place(x, offset);
  const In<T, Batch, N> from(x_.data(), batch);
  CHECK(same_bits_always([&] {
    dropout_forward(cuda(), key, first, from, num, den, Out<T, Batch, N>(y.data(), batch));
    return y.read();
  }));
  CHECK(y.read() == cpu);
  CHECK(difference(y.read(), want, 1e-6) == "");
  dropout_backward(cuda(), key, first, from, num, den, Into<T, Batch, N>(dx.data(), batch));
  CHECK(dx.read() == cpu);
  dropout_backward(cuda(), key, first, from, num, den, Into<T, Batch, N>(more.data(), batch, true));
  CHECK(difference(more.read(), sum(old, want), 1e-6, 1e-6) == "");
  dropout_backward(cuda(), key, first, from, num, den, Into<T, Batch, N>());
  dropout_forward(cuda(), key, first, In<T, Batch, N>(in_place.data(), batch), num, den,
                  Out<T, Batch, N>(in_place.data(), batch));
  CHECK(in_place.read() == cpu);
  CHECK((y.intact() && dx.intact() && more.intact() && in_place.intact()));
}

}  // namespace

TEST_CASE("cuda: dropout drops what the CPU drops, at every length") {
  agrees<float, 1>(17, 0, 1, 2);
  agrees<float, 7>(17, 5, 1, 2);
  agrees<float, 31>(17, 5, 1, 4);
  agrees<float, 32>(17, 5, 1, 3);
  agrees<float, 32>(17, 5, 1, 3, 1);
  agrees<float, 33>(17, 0xfffffffdull, 9, 10);  // positions beyond 32 bits
  agrees<float, 100>(1, 59999, 1, 10);
  agrees<float, 1028>(3, 1, 1, 2);
  agrees<float, 10>(200, 0, 0, 1);
  agrees<double, 33>(17, 5, 1, 3);
  agrees<double, 12>(17, 5, 1, 3);
  agrees<double, 12>(17, 5, 1, 3, 1);
}

TEST_CASE("cuda: dropout of a sample with more than 2^16 fours drops what the CPU drops") {
  constexpr int n = 4 * 65536 + 22;
  const std::vector<float> x(n, 1);
  std::vector<float> cpu(n);
  Cpu host;
  dropout_forward(host, key, 3, In<float, Batch, n>(x.data()), 1, 2, Out<float, Batch, n>(cpu.data()));
  OnDevice<float> x_(x), y(n);
  dropout_forward(cuda(), key, 3, In<float, Batch, n>(x_.data()), 1, 2, Out<float, Batch, n>(y.data()));
  CHECK(y.read() == cpu);
}

TEST_CASE("cuda: dropout of a recorded step takes step and position from the cursor") {
  constexpr int n = 50;
  const std::vector<float> x(8 * n, 1);
  random::Key later = key;
  later.step = 1234;
  std::vector<float> now(x.size()), then(x.size());
  Cpu host;
  const In<float, Batch, n> from(x.data(), 8);
  dropout_forward(host, key, 96, from, 1, 2, Out<float, Batch, n>(now.data(), 8));
  dropout_forward(host, later, 6000000000ull, from, 1, 2, Out<float, Batch, n>(then.data(), 8));

  const kernels::CudaCursor cursor{6000000000ull, 1234, 0, 0, 1, 0, 0};
  kernels::CudaBuffer<kernels::CudaCursor> memory(1);
  upload(cuda(), &cursor, memory.data(), 1);
  OnDevice<float> x_(x), y(x.size()), dx(x.size());
  const In<float, Batch, n> from_(x_.data(), 8);
  cuda().state().cursor = memory.data();
  dropout_forward(cuda(), key, 96, from_, 1, 2, Out<float, Batch, n>(y.data(), 8));
  dropout_backward(cuda(), key, 96, from_, 1, 2, Into<float, Batch, n>(dx.data(), 8));
  cuda().state().cursor = nullptr;
  CHECK(y.read() == then);
  CHECK(dx.read() == then);
  dropout_forward(cuda(), key, 96, from_, 1, 2, Out<float, Batch, n>(y.data(), 8));
  CHECK(y.read() == now);
}
