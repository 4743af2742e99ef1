// Pack: the parameters or gradients of a layer, each with its own type, for structured bindings.
//   const auto [w, b] = at.params();
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

namespace tenon::plan {

template <int I, class V>
struct PackItem {
  V value;
};

template <class Indices, class... V>
struct PackOf;
template <int... I, class... V>
struct PackOf<std::integer_sequence<int, I...>, V...> : PackItem<I, V>... {
  template <std::size_t K>
  constexpr decltype(auto) get() const {
    return item<static_cast<int>(K)>(*this);
  }

 private:
  template <int K, class U>
  static constexpr const U& item(const PackItem<K, U>& i) {
    return i.value;
  }
};

template <class... V>
using Pack = PackOf<std::make_integer_sequence<int, sizeof...(V)>, V...>;

template <std::size_t K, class V, class... Rest>
struct PackElement : PackElement<K - 1, Rest...> {};
template <class V, class... Rest>
struct PackElement<0, V, Rest...> {
  using type = V;
};

}  // namespace tenon::plan

template <class Indices, class... V>
struct std::tuple_size<tenon::plan::PackOf<Indices, V...>> {
  static constexpr std::size_t value = sizeof...(V);
};
template <std::size_t K, class Indices, class... V>
struct std::tuple_element<K, tenon::plan::PackOf<Indices, V...>> {
  using type = const typename tenon::plan::PackElement<K, V...>::type;
};
