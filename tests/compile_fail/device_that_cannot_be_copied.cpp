// A device that cannot be copied is refused. The error says what is missing.
// expect: error: .*constraint.*
// expect: device_is_a_copyable_handle
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/predict.hpp>

namespace user {

struct Abacus {
  template <class T>
  using Buffer = tenon::Buffer<T>;
#ifndef TENON_TWIN
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
template <class T>
void download(const Abacus&, const T* from, T* to, std::size_t n) {
  std::copy_n(from, n, to);
}
template <class T>
void fill_zeros(const Abacus&, T* to, std::size_t n) {
  std::fill_n(to, n, T{});
}
inline void wait(const Abacus&) {}
inline int memory_space(const Abacus&) { return 0; }

}  // namespace user

using namespace tenon;

using Net = Sequential<Input<4>, Flatten>;  // needs no kernels

int main() {
  const auto weights = Weights<Net, user::Abacus>::load("model.safetensors");
  return weights->metadata().empty();
}
