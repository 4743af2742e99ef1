// How the library says no at compile time: one error for one mistake, and its arguments are the message.
//   fits<layer<3, Linear<10>>, expected<Need::one_dimension>, got<32, 14, 14>, try_this<Remedy::insert_Flatten>>
// A misfit is found by value, in the plan; only then is it turned into types, because a compiler prints those.
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "tenon/core/shape.hpp"

namespace tenon {

/// What a layer needs of its input. Printed by the compiler as it stands here.
enum class Need {
  nothing,
  one_dimension,
  one_or_two_dimensions,
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
  Input_only_at_the_front,
  Input_at_the_front,
  options_that_this_layer_takes,
  a_layer_with_name_infer_forward_and_backward,
  other,
};

/// What to try.
enum class Remedy {
  nothing,
  insert_Flatten_before_this_layer,
  remove_the_Flatten_before_this_layer,
  insert_GlobalAvgPool_or_Flatten_before_this_layer,
  a_smaller_Kernel_or_more_Padding,
  less_Padding,
  a_smaller_Kernel,
  a_number_of_Groups_that_divides_both,
  a_Skip_that_projects_to_the_shape_of_the_body,
  a_positive_number,
  a_smaller_layer,
  a_Rate_like_1_over_2,
  move_Input_to_the_front,
  begin_with_Input_of_the_shape_of_one_sample,
  remove_the_option_that_it_does_not_take,
  see_the_documentation_of_the_layer,
  see_docs_adding_a_layer,
};

struct Misfit {
  Need need = Need::nothing;
  Remedy remedy = Remedy::nothing;
  Dims got{};

  constexpr explicit operator bool() const { return need != Need::nothing; }
};

template <int Index, class Layer>
struct layer;
template <Need>
struct expected;
template <int... Extents>
struct got;
template <Remedy>
struct try_this;

/// False for every set of arguments; what matters is that the compiler prints them.
template <class Where, class Expected, class Got, class Try>
inline constexpr bool fits = false;

namespace detail {

template <Dims D, int... I>
auto spell(std::integer_sequence<int, I...>) -> got<D.d[I]...>;

template <Dims D>
using got_of = decltype(spell<D>(std::make_integer_sequence<int, D.rank>{}));

}  // namespace detail
}  // namespace tenon
