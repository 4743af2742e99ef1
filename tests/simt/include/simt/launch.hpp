// A launch: the kernel and its arguments, copied by value as in CUDA.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <new>
#include <tuple>
#include <type_traits>

#include "simt.hpp"

namespace simt {

/// A kernel with its arguments, type-erased.
struct Call {
  const void* function;
  const void* bound;  // kernel and arguments
  std::size_t size, alignment, parameter_bytes;
  void (*invoke)(const void* bound);
  void (*copy)(void* to, const void* bound);
};

cudaError_t launch_call(const cudaLaunchConfig_t& config, const Call& call);

template <class... P>
struct Bound {
  void (*kernel)(P...);
  std::tuple<P...> arguments;
  static void invoke(const void* bound) {
    const Bound& b = *static_cast<const Bound*>(bound);
    std::apply(b.kernel, b.arguments);
  }
  static void copy(void* to, const void* bound) { ::new (to) Bound(*static_cast<const Bound*>(bound)); }
};

template <class... P, class... A>
cudaError_t launch(const cudaLaunchConfig_t& config, void (*kernel)(P...), A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "the kernel takes another number of arguments");
  static_assert((... && !std::is_reference_v<P>), "a kernel's argument cannot be a reference");
  static_assert((... && std::is_trivially_copyable_v<P>), "a kernel's argument must be trivially copyable");
  const Bound<P...> bound{kernel, std::tuple<P...>(static_cast<A&&>(arguments)...)};
  return launch_call(config, {reinterpret_cast<const void*>(kernel), &bound, sizeof(bound), alignof(Bound<P...>),
                              (std::size_t(0) + ... + sizeof(P)), &Bound<P...>::invoke, &Bound<P...>::copy});
}

}  // namespace simt
