// The network as values: a flat list of nodes. Lowering calls infer() of each layer of the pack.
//
// Value 0 is the input. Node k computes value k + 1. A Residual becomes its layers and an add node with two inputs. A
// nested Sequential becomes its layers. Images are channels-last inside the network, so an input or output with channels
// and pixels gets a permuting node. Parameters keep PyTorch's order.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/layers/add.hpp"
#include "tenon/layers/layer.hpp"
#include "tenon/layers/permute.hpp"
#include "tenon/layers/residual.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

/// The shape of one sample in PyTorch's order: Input<784>, Input<T, F> or Input<C, H, W>.
template <int... D>
struct Input {
  static_assert(sizeof...(D) >= 1 && sizeof...(D) <= 3, "tenon::Input: one to three extents, without the batch");
  static constexpr Dims dims{sizeof...(D), {D...}};
};

template <class... Ls>
struct Sequential;

namespace plan {

/// A list of layers: that of the network (frame 0), of a Residual's body or skip, or of a nested Sequential.
struct Frame {
  enum class Kind { sequence, body, skip };
  Kind kind = Kind::sequence;
  int parent = -1, index = 0;  // the list that contains the Residual or Sequential, and its index there
};

struct Node {
  LayerSpec spec{};
  const char* name = "";
  int frame = -1, index = 0;  // its list and its index there; -1: the plan has added the node
  Dims in_dims{};
  int in = -1, in2 = -1;  // ids of values
};

/// The number of nodes, frames and elements of a layer. Elements are the layers, Residuals and Sequentials of the pack.
/// Each is counted before the elements that it contains.
struct Size {
  int nodes = 0, frames = 0, elements = 0;

  constexpr Size operator+(Size o) const { return {nodes + o.nodes, frames + o.frames, elements + o.elements}; }
};

/// The output of lowering. It points into a Graph, so that the functions below do not depend on the capacity of the Graph.
struct Lowering {
  Node* nodes = nullptr;
  Frame* frames = nullptr;
  int count = 0, frame_count = 0, elements = 0;
  int frame = -1, index = 0;     // the list and index of the next node
  int value = 0;                 // the value that the next node reads
  Dims dims{};                   // the extents of this value
  diagnostics::Misfit misfit{};  // the first misfit; lowering stops there
  int misfit_element = -1;       // the element that does not fit; -1: the input

  constexpr void fail(int element, const diagnostics::Misfit& m) {
    misfit = m;
    misfit_element = element;
  }

  constexpr void append(const LayerSpec& spec, const char* name, int in2 = -1) {
    Node& n = nodes[count];
    n.spec = spec;
    n.name = name;
    n.frame = frame;
    n.index = index;
    n.in_dims = dims;
    n.in = value;
    n.in2 = in2;
    value = ++count;
    dims = spec.out;
  }
};

/// The misfit of a spec: the one from the layer, or extents that no plan can represent.
constexpr diagnostics::Misfit check_spec(const LayerSpec& s) {
  if (s.misfit) return s.misfit;
  if (s.out.rank < 1 || s.out.rank > 3) return {Need::one_to_three_dimensions, Remedy::see_docs_adding_a_layer, s.out};
  for (int i = 0; i < s.out.rank; ++i)
    if (s.out.d[i] < 1) return {Need::positive_extents, Remedy::a_positive_number, s.out};
  // Each extent is an int, but a product of three or four may exceed long long; so the sizes are computed in double.
  double size = 1, max = 0, values = 0;
  for (int i = 0; i < s.out.rank; ++i) size *= s.out.d[i];
  max = values = size;
  for (int p = 0; p < s.param_count; ++p) {
    const Dims d = s.params[p].dims;
    if (d.rank < 1) return {Need::one_to_four_dimensions_of_a_parameter, Remedy::see_docs_adding_a_layer, d};
    size = 1;
    for (int i = 0; i < d.rank; ++i) {
      if (d.d[i] < 1) return {Need::positive_extents, Remedy::a_positive_number, d};
      size *= d.d[i];
    }
    values += size;
    max = max < size ? size : max;
  }
  for (int i = 0; i < s.saved_count; ++i)
    if (s.saved[i].values < 1)
      return {Need::positive_extents, Remedy::a_positive_number, tenon::dims(s.saved[i].values)};
  if (max >= 2147483647.0 || values >= 2147483647.0)
    return {Need::fewer_than_2_to_the_31_values, Remedy::a_smaller_layer, s.out};
  return {};
}

// Lowers one element. The primary template lowers a layer.
template <class L>
struct Lower {
  static constexpr Size size{1, 0, 1};

  static constexpr void run(Lowering& g) {
    const int element = g.elements++;
    constexpr Remedy missing = tenon::detail::missing_member<L>();
    if constexpr (missing == Remedy::nothing) {
      const LayerSpec spec = L::infer(g.dims);
      if (const diagnostics::Misfit m = check_spec(spec))
        g.fail(element, m);
      else
        g.append(spec, L::name);
    } else {
      g.fail(element, {Need::a_layer_with_name_infer_forward_and_backward, missing, g.dims});
    }
  }
};

// Lowers a list of elements, which gets its own frame.
template <class... Ls>
struct LowerList {
  static constexpr int count = sizeof...(Ls);
  static constexpr Size size = [] {  // a loop: clang folds at most 256 arguments
    const Size each[] = {Lower<Ls>::size..., Size{}};
    Size sum{0, 1, 0};
    for (int i = 0; i < count; ++i) sum = sum + each[i];
    return sum;
  }();

  static constexpr void run(Lowering& g, Frame::Kind kind = Frame::Kind::sequence) {
    const int frame = g.frame, index = g.index;
    g.frames[g.frame_count] = {kind, frame, index};
    g.frame = g.frame_count++;
    if constexpr (count > 0) {
      constexpr void (*lower[count])(Lowering&) = {&Lower<Ls>::run...};
      for (int i = 0; i < count && !g.misfit; ++i) {
        g.index = i;
        lower[i](g);
      }
    }
    g.frame = frame;
    g.index = index;
  }
};

template <class... Ls>
struct Lower<Sequential<Ls...>> {
  static constexpr Size size = Size{0, 0, 1} + LowerList<Ls...>::size;

  static constexpr void run(Lowering& g) {
    ++g.elements;
    LowerList<Ls...>::run(g);
  }
};

template <int... D>
struct Lower<Input<D...>> {
  static constexpr Size size{1, 0, 1};

  static constexpr void run(Lowering& g) {
    g.fail(g.elements++,
           {Need::Input_only_at_the_front,
            g.frame == 0 ? Remedy::move_Input_to_the_front : Remedy::remove_the_Input_of_the_inner_Sequential, g.dims});
  }
};

template <class... B, class... S>
struct Lower<Residual<Body<B...>, Skip<S...>>> {
  static constexpr Size size = Size{1, 0, 1} + LowerList<B...>::size + LowerList<S...>::size;

  static constexpr void run(Lowering& g) {
    const int element = g.elements++;
    const int start = g.value;
    const Dims start_dims = g.dims;
    LowerList<B...>::run(g, Frame::Kind::body);
    if (g.misfit) return;
    const int body = g.value;
    const Dims body_dims = g.dims;

    g.value = start;
    g.dims = start_dims;
    LowerList<S...>::run(g, Frame::Kind::skip);
    if (g.misfit) return;
    if (!(g.dims == body_dims)) {
      const bool identity = sizeof...(S) == 0;
      return g.fail(element, {identity ? Need::body_that_keeps_the_shape : Need::body_and_skip_of_equal_shape,
                              Remedy::a_Skip_that_projects_to_the_shape_of_the_body, body_dims});
    }
    const int skip = g.value;
    g.value = body;
    g.append(Add::infer(body_dims), Add::name, skip);
  }
};

template <class... Ls>
struct Lower<Residual<Ls...>> : Lower<Residual<Body<Ls...>, Skip<>>> {};

/// N is a capacity for nodes and for frames.
template <int N>
struct Graph {
  Node nodes[N]{};
  Frame frames[N]{};
  int count = 0;
  Dims input{}, output{};
  int lead = 0;  // nodes before the first layer's: 1 if the input is permuted
  diagnostics::Misfit misfit{};
  int misfit_element = -1;
};

/// True if (C, H, W) and (H, W, C) differ in memory.
constexpr bool order_matters(Dims d) { return d.rank == 3 && d[0] > 1 && d[1] * d[2] > 1; }

template <class In, class... Ls>
constexpr auto lower() {
  constexpr Size size = LowerList<Ls...>::size;
  Graph<(size.nodes + 2 > size.frames ? size.nodes + 2 : size.frames)> graph;
  graph.input = In::dims;
  Lowering g;
  g.nodes = graph.nodes;
  g.frames = graph.frames;
  g.dims = graph.input;
  g.misfit = check_spec(LayerSpec::to(g.dims));
  if (!g.misfit && order_matters(g.dims)) {
    g.append(ToChannelsLast::infer(g.dims), ToChannelsLast::name);
    graph.lead = 1;
  }
  if (!g.misfit) LowerList<Ls...>::run(g);
  if (!g.misfit && order_matters(g.dims)) g.append(ToChannelsFirst::infer(g.dims), ToChannelsFirst::name);
  graph.misfit = g.misfit;
  graph.misfit_element = g.misfit_element;
  graph.output = g.misfit ? Dims{1, {1}} : g.dims;  // an empty plan causes no second error
  graph.count = g.misfit ? 0 : g.count;
  if (g.misfit) graph.input = graph.output;
  return graph;
}

}  // namespace plan
}  // namespace tenon

TENON_IEEE_MATH_END
