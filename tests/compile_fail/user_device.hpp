// A device of a user, and a use of it. A case of device_*.cpp defines a macro WITHOUT_..., which leaves out one member.
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/predict.hpp>

namespace user {

struct Abacus {
#ifndef WITHOUT_BUFFER
  template <class T>
  using Buffer = tenon::Buffer<T>;
#endif
#ifdef WITHOUT_COPIES
  Abacus() = default;
  Abacus(Abacus&&) = default;
  Abacus(const Abacus&) = delete;
#endif
};

template <class T>
tenon::Buffer<T> allocate(const Abacus&, std::size_t n) {
  return tenon::Buffer<T>(n);
}
template <class T>
void copy(const Abacus&, const T* from, T* to, std::size_t n) {
  std::copy_n(from, n, to);
}
template <class T>
void upload(const Abacus&, const T* from, T* to, std::size_t n) {
  std::copy_n(from, n, to);
}
#ifndef WITHOUT_DOWNLOAD
template <class T>
void download(const Abacus&, const T* from, T* to, std::size_t n) {
  std::copy_n(from, n, to);
}
#endif
template <class T>
void fill_zeros(const Abacus&, T* to, std::size_t n) {
  std::fill_n(to, n, T{});
}
inline void wait(const Abacus&) {}
#ifndef WITHOUT_MEMORY_SPACE
inline int memory_space(const Abacus&) { return 0; }
#endif

}  // namespace user

using namespace tenon;

using Net = Sequential<Input<4>, Flatten>;  // needs no kernels

int main() {
  const auto weights = Weights<Net, user::Abacus>::load("model.safetensors");
  return weights->metadata().empty();
}
