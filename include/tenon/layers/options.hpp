// The options of layers. An option is a value with its own type, so a layer can take numbers and options as arguments:
// `MaxPool2d<2>`, `MaxPool2d<Kernel<2, 3>>`, `Conv2d<32, Kernel<3>, Padding<1>, NoBias>`. Options may be in any order. For
// an argument that is not one of its options, such as a number, a layer gives one compile error (detail::unknown_option).
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <type_traits>

#include "tenon/core/geometry.hpp"
#include "tenon/core/require.hpp"
#include "tenon/layers/layer.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// The types of the options.
namespace layer_options {

struct NoBias {};
template <Initial I>
struct Initialize {};

template <int H, int W>
struct Kernel {};
template <int H, int W>
struct Stride {};
template <int H, int W>
struct Padding {};
template <int H, int W>
struct Dilation {};
template <int G>
struct Groups {};

template <int Num, int Den>
struct Fraction {
  static constexpr int num = Num, den = Den;
  static constexpr double value = static_cast<double>(Num) / Den;
};
template <int Num, int Den>
struct Epsilon : Fraction<Num, Den> {};
template <int Num, int Den>
struct Momentum : Fraction<Num, Den> {};
template <int Num, int Den>
struct Rate : Fraction<Num, Den> {};
template <int Num, int Den>
struct Slope : Fraction<Num, Den> {};

}  // namespace layer_options

/// No bias. An option of Linear and Conv2d.
inline constexpr layer_options::NoBias NoBias{};

/// The initial values of the weight of Linear and Conv2d: `Linear<10, XavierUniform>`. The default is PyTorch's.
template <Initial I>
inline constexpr layer_options::Initialize<I> Initialize{};
inline constexpr auto KaimingUniform = Initialize<Initial{Initial::Kind::kaiming_uniform, 0, 1, 1, 1}>;
inline constexpr auto KaimingNormal = Initialize<Initial{Initial::Kind::kaiming_normal, 0, 1, 1, 1}>;
inline constexpr auto XavierUniform = Initialize<Initial{Initial::Kind::xavier_uniform, 0, 1, 1, 1}>;
inline constexpr auto XavierNormal = Initialize<Initial{Initial::Kind::xavier_normal, 0, 1, 1, 1}>;
template <int Num, int Den = 1>
inline constexpr auto Constant = Initialize<Initial{Initial::Kind::constant, Num, Den, 1, 1}>;
template <int Num = 1, int Den = 50>
inline constexpr auto TruncatedNormal = Initialize<Initial{Initial::Kind::truncated_normal, Num, Den, 1, 1}>;

/// Options of layers whose window slides over an image. One number for both directions, or two: vertical, horizontal.
template <int H, int W = H>
inline constexpr layer_options::Kernel<H, W> Kernel{};
template <int H, int W = H>
inline constexpr layer_options::Stride<H, W> Stride{};
template <int H, int W = H>
inline constexpr layer_options::Padding<H, W> Padding{};
template <int H, int W = H>
inline constexpr layer_options::Dilation<H, W> Dilation{};
/// The number of groups of Conv2d.
template <int G>
inline constexpr layer_options::Groups<G> Groups{};

/// The number that BatchNorm and LayerNorm add to the variance. Epsilon<1, 100000> is 1e-5.
template <int Num, int Den>
inline constexpr layer_options::Epsilon<Num, Den> Epsilon{};
/// The weight of the current batch in BatchNorm's running statistics, as in PyTorch. Momentum<1, 10> is 0.1.
template <int Num, int Den>
inline constexpr layer_options::Momentum<Num, Den> Momentum{};
/// The probability of Dropout. Rate<1, 2> is one half.
template <int Num, int Den>
inline constexpr layer_options::Rate<Num, Den> Rate{};
/// The slope of LeakyReLU for negative values. Slope<1, 100> is 0.01, PyTorch's default.
template <int Num, int Den>
inline constexpr layer_options::Slope<Num, Den> Slope{};

namespace detail {

/// The type of an option. decltype may be const in g++ 12. nvcc turns it into decltype((Option)), which is a reference.
template <auto Option>
using option_type = std::remove_cvref_t<decltype(Option)>;

/// True if the type O is an option Of<A, B>.
template <class O, template <int, int> class Of>
inline constexpr bool is_option = false;
template <int A, int B, template <int, int> class Of>
inline constexpr bool is_option<Of<A, B>, Of> = true;

template <class O>
inline constexpr bool is_groups = false;
template <int G>
inline constexpr bool is_groups<layer_options::Groups<G>> = true;

/// True for an option of layers with a window. A convolution also takes Groups.
template <class O>
inline constexpr bool is_window_option = is_option<O, layer_options::Kernel> || is_option<O, layer_options::Stride> ||
                                         is_option<O, layer_options::Padding> || is_option<O, layer_options::Dilation>;

/// True for an option of layers with a weight.
template <class O>
inline constexpr bool is_weight_option = std::same_as<O, layer_options::NoBias>;
template <Initial I>
inline constexpr bool is_weight_option<layer_options::Initialize<I>> = true;

template <auto... Options>
inline constexpr bool has_bias = !(std::same_as<option_type<Options>, layer_options::NoBias> || ...);

/// The first Initialize among the options, else PyTorch's default.
constexpr Initial initial() { return {Initial::Kind::torch_default, 0, 1, 1, 1}; }
template <Initial I, class... Rest>
constexpr Initial initial(layer_options::Initialize<I>, Rest...) {
  return I;
}
template <class O, class... Rest>
constexpr Initial initial(O, Rest... rest) {
  return initial(rest...);
}

/// The misfit of a layer that does not take one of these options.
template <auto... Options>
constexpr LayerSpec unknown_option(Dims in) {
  constexpr bool number = (std::is_arithmetic_v<option_type<Options>> || ...);
  return LayerSpec::no(Need::options_that_this_layer_takes, in,
                       number ? Remedy::the_outputs_alone_and_options_by_name_like_Kernel_3
                              : Remedy::remove_the_option_that_it_does_not_take);
}

}  // namespace detail
}  // namespace tenon

TENON_IEEE_MATH_END
