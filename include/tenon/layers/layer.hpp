// The contract between a layer and the plan. A layer is a struct with four members:
//   static constexpr const char* name;                      "Linear"
//   static constexpr LayerSpec infer(Dims in);              does it fit, what does it make of it, what does it own
//   static void forward(auto& device, const auto& at);      at.x -> at.y
//   static void backward(auto& device, const auto& at);     at.dy -> at.dx and at.grads()
// and, if it needs room beyond its values, a fifth: static constexpr Room room(Dims in, Fuse fuse).
//
// Dims are one sample's, in PyTorch's order: (F), (T, F) or (C, H, W). The views in `at` are typed with them:
//   at.x   In<T, Batch, F>     In<T, Batch, T, F>     In<T, Batch, H, W, C>    images are channels-last inside
// plan/at.hpp documents what else `at` holds. docs/adding-a-layer.md walks through one.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

#include "tenon/core/geometry.hpp"
#include "tenon/core/require.hpp"
#include "tenon/core/shape.hpp"

namespace tenon {

/// How a parameter starts. fan_in and fan_out are filled in by the layer that owns it.
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

/// A trained tensor. `decay` says whether weight decay applies to it by default.
struct Param {
  const char* name = "";
  Dims dims{};
  Initial initial{};
  bool decay = false;
};

/// A tensor that is saved with the model but not trained by gradients: BatchNorm's running statistics.
/// A counter is one 64-bit integer, raised by one in every training step.
struct State {
  const char* name = "";
  Dims dims{};
  Initial initial{};
  bool counter = false;
};

/// Memory that forward fills for backward: `values` of type T a sample, or for the layer as a whole.
struct Keep {
  int values = 0;
  bool per_sample = true;
};

/// A layer's answer to the shape it is offered. Made by the functions below, which chain:
///   return LayerSpec::to(dims(O)).param("weight", dims(O, I), initial).backward_reads_input();
struct LayerSpec {
  Misfit misfit{};
  Dims out{};
  Param params[4]{};
  State states[3]{};
  Keep keeps[2]{};
  int param_count = 0, state_count = 0, keep_count = 0;
  bool reads_input = false, reads_output = false;  // in backward
  bool random = false;                             // draws random numbers in training
  bool couples_batch = false;                      // a sample's result depends on the others (BatchNorm in training)
  bool alias = false, alias_in_eval = false;       // y is x: no work, no memory
  bool permutes = false;                           // (h, w, c) -> (c, h, w); may be absorbed
  Act act{};                                       // what an activation is; may be absorbed
  bool pools = false;                              // a max-pool; may be absorbed
  Window pool{};
  bool absorbs_act = false, absorbs_pool = false, absorbs_order = false;  // what may join this layer's epilogue

  static constexpr LayerSpec to(Dims out) {
    LayerSpec s;
    s.out = out;
    return s;
  }
  static constexpr LayerSpec no(Need need, Dims got, Remedy remedy) {
    LayerSpec s;
    s.misfit = {need, remedy, got};
    return s;
  }
  constexpr LayerSpec param(const char* name, Dims d, Initial i, bool decay = false) const {
    LayerSpec s = *this;
    s.params[s.param_count++] = {name, d, i, decay};
    return s;
  }
  constexpr LayerSpec state(const char* name, Dims d, Initial i) const {
    LayerSpec s = *this;
    s.states[s.state_count++] = {name, d, i, false};
    return s;
  }
  constexpr LayerSpec counter(const char* name) const {
    LayerSpec s = *this;
    s.states[s.state_count++] = {name, Dims{}, constant(0), true};
    return s;
  }
  constexpr LayerSpec keep(int values, bool per_sample = true) const {
    LayerSpec s = *this;
    s.keeps[s.keep_count++] = {values, per_sample};
    return s;
  }
  constexpr LayerSpec backward_reads_input() const {
    LayerSpec s = *this;
    s.reads_input = true;
    return s;
  }
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
};

/// What a layer needs besides its values. Counted in values of type T; scratch is one worker's, in bytes, for T.
struct Room {
  long long packed = 0;     // its weights, rearranged by prepare() whenever they have changed
  long long workspace = 0;  // shared by all layers, free between two kernels
  long long scratch_float = 0, scratch_double = 0;
};

/// The four members. `forward` and `backward` are templates, so the compiler checks them where they are used.
template <class L>
concept LayerContract = requires(Dims in) {
  { L::name } -> std::convertible_to<const char*>;
  { L::infer(in) } -> std::same_as<LayerSpec>;
};

namespace detail {

template <class L>
constexpr Room room_of([[maybe_unused]] Dims in, [[maybe_unused]] Fuse fuse) {
  if constexpr (requires { L::room(in, fuse); })
    return L::room(in, fuse);
  else
    return {};
}

}  // namespace detail

// Options that several layers take, as types.
struct NoBias {};

template <Initial I>
struct Initialize {};

namespace detail {

template <class Want, class... Options>
inline constexpr bool has_option = (std::same_as<Want, Options> || ...);

// The first Initialize among the options, else the fallback. The order of the overloads matters: the last one's own
// calls see only what stands above it, options being in another namespace than these.
constexpr Initial pick(Initial fallback) { return fallback; }
template <Initial I, class... Rest>
constexpr Initial pick(Initial, const Initialize<I>*, const Rest*...) {
  return I;
}
template <class O, class... Rest>
constexpr Initial pick(Initial fallback, const O*, const Rest*... rest) {
  return pick(fallback, rest...);
}

/// An option that would do nothing is a mistake.
constexpr LayerSpec unknown_option(Dims in) {
  return LayerSpec::no(Need::options_that_this_layer_takes, in, Remedy::remove_the_option_that_it_does_not_take);
}

/// What a layer with a weight takes.
template <class O>
inline constexpr bool is_weight_option = std::same_as<O, NoBias>;
template <Initial I>
inline constexpr bool is_weight_option<Initialize<I>> = true;

}  // namespace detail

/// The starts that have names. `Linear<10, XavierUniform>`; the default is PyTorch's own for Linear and Conv2d.
using KaimingUniform = Initialize<Initial{Initial::Kind::kaiming_uniform, 0, 1, 1, 1}>;
using KaimingNormal = Initialize<Initial{Initial::Kind::kaiming_normal, 0, 1, 1, 1}>;
using XavierUniform = Initialize<Initial{Initial::Kind::xavier_uniform, 0, 1, 1, 1}>;
using XavierNormal = Initialize<Initial{Initial::Kind::xavier_normal, 0, 1, 1, 1}>;
template <int Num, int Den = 1>
using Constant = Initialize<Initial{Initial::Kind::constant, Num, Den, 1, 1}>;
template <int Num = 1, int Den = 50>
using TruncatedNormal = Initialize<Initial{Initial::Kind::truncated_normal, Num, Den, 1, 1}>;

}  // namespace tenon
