// The contract between a layer and the plan. A layer is a struct with four static members:
//   static constexpr const char* name;                      the name in messages: "Linear"
//   static constexpr LayerSpec infer(Dims in);              the output's shape, the parameters, or a misfit
//   static void forward(auto& device, const auto& at);      computes at.y from at.x
//   static void backward(auto& device, const auto& at);     computes at.dx and at.grads() from at.dy
// A layer that needs workspace has a fifth member, for all devices or for the device in the type of `device`. Both forms
// may take a further argument, `kernels::Epilogue epilogue`:
//   static constexpr WorkspaceSizes workspace_sizes(Dims in);
//   template <class D>
//   static constexpr WorkspaceSizes workspace_sizes(kernels::DeviceTag<D> device, Dims in);
//
// Dims are the extents of one sample in PyTorch's order: (F), (T, F) or (C, H, W). The types of the views in `at` contain
// them:
//   at.x   In<T, Batch, F>     In<T, Batch, T, F>     In<T, Batch, H, W, C>    images are channels-last inside
// plan/layer_context.hpp documents the other members of `at`. docs/adding-a-layer.md is a tutorial.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <type_traits>

#include "tenon/core/device.hpp"
#include "tenon/core/geometry.hpp"
#include "tenon/core/require.hpp"
#include "tenon/core/shape.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// The initial values of a parameter. The layer that owns the parameter fills in fan_in and fan_out.
struct Initial {
  enum class Kind {
    constant,
    kaiming_uniform,
    kaiming_normal,
    xavier_uniform,
    xavier_normal,
    truncated_normal,
    torch_default
  };
  Kind kind = Kind::constant;
  int num = 0, den = 1;  // constant: the value; truncated_normal: the standard deviation
  int fan_in = 1, fan_out = 1;

  constexpr bool operator==(const Initial&) const = default;
  constexpr Initial fans(int in, int out) const {
    Initial i = *this;
    i.fan_in = in;
    i.fan_out = out;
    return i;
  }
};

constexpr Initial constant(int num, int den = 1) { return {Initial::Kind::constant, num, den, 1, 1}; }

namespace plan {

/// A trained tensor. `decay` says whether weight decay applies to it by default.
struct Param {
  const char* name = "";
  Dims dims{};
  Initial initial{};
  bool decay = false;
};

/// A tensor that is saved with the model but not trained, such as BatchNorm's running statistics.
/// A counter is one 64-bit integer. The model increments it in every training step.
struct State {
  const char* name = "";
  Dims dims{};
  Initial initial{};
  bool counter = false;
};

/// Memory that forward fills for backward: `values` values of type T, for each sample or once for the layer.
struct Saved {
  int values = 0;
  bool per_sample = true;
};

}  // namespace plan

/// Describes what a layer does with an input of given extents. The functions below create it and can be chained:
///   return LayerSpec::to(dims(O)).param("weight", dims(O, I), initial).backward_reads_input();
struct LayerSpec {
  static constexpr int max_params = 16, max_states = 8, max_saved = 8;

  diagnostics::Misfit misfit{};
  Dims out{};
  plan::Param params[max_params]{};
  plan::State states[max_states]{};
  plan::Saved saved[max_saved]{};
  int param_count = 0, state_count = 0, saved_count = 0;
  bool reads_input = false, reads_output = false;  // by backward
  bool random = false;                             // draws random numbers in training
  bool couples_batch = false;                 // the result of a sample depends on the others (BatchNorm in training)
  bool alias = false, alias_in_eval = false;  // y is x: no work, no memory
  bool permutes = false;                      // (h, w, c) -> (c, h, w); the previous layer may do it
  kernels::Activation activation{};           // of an activation layer; the previous layer may apply it
  bool pools = false;                         // a max-pool; the previous layer may do it
  kernels::Window pool{};
  // What the epilogue of this layer's kernel can do for the layers after it.
  bool absorbs_activation = false, absorbs_pool = false, absorbs_order = false;

  /// A layer whose output has the extents `out`.
  static constexpr LayerSpec to(Dims out) {
    LayerSpec s;
    s.out = out;
    return s;
  }
  /// A layer that cannot take its input. The user gets one compile error with these arguments.
  static constexpr LayerSpec no(Need need, Dims got, Remedy remedy) {
    LayerSpec s;
    s.misfit = {need, remedy, got};
    return s;
  }
  /// Adds a trained tensor of one to four dimensions. At most 16.
  constexpr LayerSpec param(const char* name, Dims d, Initial i, bool decay = false) const {
    LayerSpec s = *this;
    if (param_count == max_params) return s.refuse(Need::at_most_16_parameters, max_params + 1);
    s.params[s.param_count++] = {name, d, i, decay};
    return s;
  }
  /// Adds a tensor that is saved with the model but not trained. States and counters together: at most 8.
  constexpr LayerSpec state(const char* name, Dims d, Initial i) const { return add({name, d, i, false}); }
  /// Adds a 64-bit counter of training steps, which is saved with the model.
  constexpr LayerSpec counter(const char* name) const { return add({name, Dims{}, constant(0), true}); }
  /// Requests memory that forward fills for backward: `values` values for each sample, or once for the layer. At most 8.
  constexpr LayerSpec save(int values, bool per_sample = true) const {
    LayerSpec s = *this;
    if (saved_count == max_saved) return s.refuse(Need::at_most_8_saved_values, max_saved + 1);
    s.saved[s.saved_count++] = {values, per_sample};
    return s;
  }
  /// Keeps at.x until backward.
  constexpr LayerSpec backward_reads_input() const {
    LayerSpec s = *this;
    s.reads_input = true;
    return s;
  }
  /// Keeps at.y until backward.
  constexpr LayerSpec backward_reads_output() const {
    LayerSpec s = *this;
    s.reads_output = true;
    return s;
  }
  constexpr LayerSpec draws_random_numbers() const {
    LayerSpec s = *this;
    s.random = true;
    return s;
  }

 private:
  constexpr LayerSpec add(plan::State state) const {
    LayerSpec s = *this;
    if (state_count == max_states) return s.refuse(Need::at_most_8_states, max_states + 1);
    s.states[s.state_count++] = state;
    return s;
  }
  constexpr LayerSpec refuse(Need need, int got) const {
    LayerSpec s = *this;
    if (!s.misfit) s.misfit = {need, Remedy::several_layers_or_one_larger_tensor, dims(got)};
    return s;
  }
};

namespace detail {

// Detects whether a class has a member with a given name, of any kind. If so, the name is ambiguous in a class that derives
// from that class and from NamedMembers.
struct NamedMembers {
  static void forward();
  static void backward();
};
template <class L>
struct Probe : L, NamedMembers {};

template <class L>
inline constexpr bool can_probe = std::is_class_v<L> && !std::is_final_v<L>;
template <class L>
concept lacks_forward = can_probe<L> && requires {
  Probe<L>::forward();
};
template <class L>
concept lacks_backward = can_probe<L> && requires {
  Probe<L>::backward();
};
template <class L>
concept has_name = requires {
  { L::name } -> std::convertible_to<const char*>;
};
template <class L>
concept has_infer = requires(Dims in) {
  { L::infer(in) } -> std::same_as<LayerSpec>;
};

/// The first member that L lacks.
template <class L>
constexpr Remedy missing_member() {
  if constexpr (!has_infer<L>)
    return Remedy::add_a_static_infer_and_see_docs_adding_a_layer;
  else if constexpr (!has_name<L>)
    return Remedy::add_a_name_and_see_docs_adding_a_layer;
  else if constexpr (lacks_forward<L>)
    return Remedy::add_a_static_forward_and_see_docs_adding_a_layer;
  else if constexpr (lacks_backward<L>)
    return Remedy::add_a_static_backward_and_see_docs_adding_a_layer;
  else
    return Remedy::nothing;
}
template <class L>
inline constexpr bool has_all_members = missing_member<L>() == Remedy::nothing;

}  // namespace detail

/// A class with the four members. The plan checks the signatures of `forward` and `backward` where it calls them.
template <class L>
concept LayerContract = detail::has_all_members<L>;

namespace detail {

// The workspace sizes of layer L: those for this device, else those for all devices, else zero.
template <class L, class Device>
constexpr WorkspaceSizes workspace_sizes_of([[maybe_unused]] Dims in, [[maybe_unused]] kernels::Epilogue epilogue) {
  [[maybe_unused]] constexpr kernels::DeviceTag<Device> device;
  if constexpr (requires { L::workspace_sizes(device, in, epilogue); })
    return L::workspace_sizes(device, in, epilogue);
  else if constexpr (requires { L::workspace_sizes(device, in); })
    return L::workspace_sizes(device, in);
  else if constexpr (requires { L::workspace_sizes(in, epilogue); })
    return L::workspace_sizes(in, epilogue);
  else if constexpr (requires { L::workspace_sizes(in); })
    return L::workspace_sizes(in);
  else
    return {};
}

}  // namespace detail

}  // namespace tenon

TENON_IEEE_MATH_END
