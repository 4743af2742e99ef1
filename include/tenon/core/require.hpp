// Compile-time errors: one error for each mistake. The message is in the template arguments of the failing assertion.
//   fits<layer<3, Linear<10>>, expected<Need::one_dimension>, got<32, 14, 14>, try_this<Remedy::insert_Flatten>>
// The plan represents a misfit as a value and converts it to types only for the error, because compilers print types.
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "tenon/core/shape.hpp"

namespace tenon {

/// What a layer needs. The compiler prints these names.
enum class Need {
  nothing,
  one_dimension,
  one_or_two_dimensions,
  one_to_three_dimensions,
  one_to_four_dimensions_of_a_parameter,
  three_dimensions_C_H_W,
  window_no_larger_than_padded_input,
  padding_at_most_half_the_window,
  window_of_at_most_255_positions,
  channels_divisible_by_groups,
  outputs_divisible_by_groups,
  body_and_skip_of_equal_shape,
  body_that_keeps_the_shape,
  positive_extents,
  more_than_one_value,
  fewer_than_2_to_the_31_values,
  rate_from_0_to_below_1,
  a_positive_slope,
  Input_only_at_the_front,
  Input_at_the_front,
  options_that_this_layer_takes,
  a_layer_with_name_infer_forward_and_backward,
  static_forward_of_device_and_context,
  static_backward_of_device_and_context,
  at_most_16_parameters,
  at_most_8_states,
  at_most_8_saved_values,
  network_output_of_one_dimension,
  the_device_Cuda_for_Tf32_and_Bf16,
  other,
};

/// What to try. The compiler prints these names.
enum class Remedy {
  nothing,
  insert_Flatten_before_this_layer,
  remove_the_Flatten_before_this_layer,
  insert_GlobalAvgPool_or_Flatten_before_this_layer,
  end_the_network_with_Flatten_or_GlobalAvgPool,
  a_smaller_Kernel_or_more_Padding,
  less_Padding,
  a_smaller_Kernel,
  a_number_of_Groups_that_divides_both,
  a_Skip_that_projects_to_the_shape_of_the_body,
  a_positive_number,
  a_smaller_layer,
  several_layers_or_one_larger_tensor,
  a_Rate_like_1_over_2,
  a_Slope_like_1_over_100,
  move_Input_to_the_front,
  remove_the_Input_of_the_inner_Sequential,
  begin_with_Input_of_the_shape_of_one_sample,
  remove_the_option_that_it_does_not_take,
  the_outputs_alone_and_options_by_name_like_Kernel_3,
  Fp32_or_Fp64_or_the_device_Cuda,
  see_the_documentation_of_the_layer,
  see_docs_adding_a_layer,
  add_a_name_and_see_docs_adding_a_layer,
  add_a_static_infer_and_see_docs_adding_a_layer,
  add_a_static_forward_and_see_docs_adding_a_layer,
  add_a_static_backward_and_see_docs_adding_a_layer,
};

namespace diagnostics {

/// A layer that does not fit, as a value. `got` holds the extents or numbers that the layer received.
struct Misfit {
  Need need = Need::nothing;
  Remedy remedy = Remedy::nothing;
  Dims got{};

  constexpr explicit operator bool() const { return need != Need::nothing; }
};

// The parts of an error message. They are never defined. The compiler prints their names and arguments.
template <int Index, class Layer>
struct layer;
template <class Loss>
struct loss;
template <class Device, class Precision>
struct model;
template <Need>
struct expected;
template <int... Extents>
struct got;
template <Remedy>
struct try_this;

/// False for all arguments.
template <class Where, class Expected, class Got, class Try>
inline constexpr bool fits = false;

namespace detail {

template <Dims D, int... I>
auto spell(std::integer_sequence<int, I...>) -> got<D.d[I]...>;

template <Dims D>
using got_of = decltype(spell<D>(std::make_integer_sequence<int, D.rank>{}));

}  // namespace detail

/// Fails to compile, with one error. It is a function template, so that compilers print its arguments first.
template <class Where, class Expected, class Got, class Try>
constexpr bool complain() {
  static_assert(fits<Where, Expected, Got, Try>, "tenon: these do not fit; see Where, Expected, Got and Try");
  return true;
}

/// The same for a misfit.
template <class Where, Misfit M>
constexpr bool complain() {
  return complain<Where, expected<M.need>, detail::got_of<M.got>, try_this<M.remedy>>();
}

}  // namespace diagnostics
}  // namespace tenon
