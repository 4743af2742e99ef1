// The network as values: a flat list of nodes, made from the pack of layers by asking each what it makes of its input.
//
// Value 0 is the input, node k makes value k + 1. A Residual is its leaves plus an add node with two inputs. Images are
// channels-last inside, so an input or output with channels and pixels gets a permuting node; parameters never notice.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/layers/add.hpp"
#include "tenon/layers/layer.hpp"
#include "tenon/layers/permute.hpp"
#include "tenon/layers/residual.hpp"

namespace tenon {

/// The shape of one sample, as PyTorch would give it: Input<784>, Input<T, F> or Input<C, H, W>.
template <int... D>
struct Input {
  static_assert(sizeof...(D) >= 1 && sizeof...(D) <= 3, "tenon::Input: one to three extents, the batch not among them");
  static constexpr Dims dims{sizeof...(D), {D...}};
};

namespace plan {

/// Where a node stands: {3} is layer 3; {4, body, 1} is layer 1 of the body of layer 4, a Residual.
struct Path {
  static constexpr int body = -1, skip = -2;
  static constexpr int capacity = 9;
  int at[capacity] = {};
  int length = 0;

  constexpr void push(int i) { at[length++] = i; }
  constexpr void pop() { --length; }
};

struct Node {
  LayerSpec spec{};
  const char* name = "";
  Path path{};
  Dims in_dims{};
  int in = -1, in2 = -1;  // ids of values
  Room (*room)(Dims, Fuse) = nullptr;
};

/// What lowering writes to. It points into a Graph, so that the functions below do not depend on its size.
struct Lowering {
  Node* nodes = nullptr;
  int count = 0;
  int value = 0;  // the value that the next node reads
  Dims dims{};    // its extents
  Path path{};
  Misfit misfit{};  // the first one; then lowering stops

  constexpr void append(const LayerSpec& spec, const char* name, int in2, Room (*room)(Dims, Fuse)) {
    Node& n = nodes[count];
    n.spec = spec;
    n.name = name;
    n.path = path;
    n.in_dims = dims;
    n.in = value;
    n.in2 = in2;
    n.room = room;
    value = ++count;
    dims = spec.out;
  }
};

constexpr Misfit sane(const LayerSpec& s) {
  if (s.misfit) return s.misfit;
  for (int i = 0; i < s.out.rank; ++i)
    if (s.out.d[i] < 1) return {Need::positive_extents, Remedy::a_positive_number, s.out};
  long long values = s.out.count();
  for (int i = 0; i < s.param_count; ++i) values += s.params[i].dims.count();
  // Each extent is an int, but a product of three or four may leave long long; judge it in floating point.
  double size = 1, most = 0;
  for (int i = 0; i < s.out.rank; ++i) size *= s.out.d[i];
  most = size;
  for (int p = 0; p < s.param_count; ++p) {
    size = 1;
    for (int i = 0; i < s.params[p].dims.rank; ++i) size *= s.params[p].dims.d[i];
    most = most < size ? size : most;
  }
  if (most >= 2147483647.0 || values >= 2147483647)
    return {Need::fewer_than_2_to_the_31_values, Remedy::a_smaller_layer, s.out};
  return {};
}

// One layer: a leaf, unless specialised.
template <class L>
struct Lower {
  static constexpr int nodes = 1;

  static constexpr void run(Lowering& g) {
    if constexpr (LayerContract<L>) {
      const LayerSpec spec = L::infer(g.dims);
      g.misfit = sane(spec);
      if (!g.misfit) g.append(spec, L::name, -1, &tenon::detail::room_of<L>);
    } else {
      g.misfit = {Need::a_layer_with_name_infer_forward_and_backward, Remedy::see_docs_adding_a_layer, g.dims};
    }
  }
};

template <class... Ls>
struct LowerList {
  static constexpr int count = sizeof...(Ls);
  static constexpr int nodes = [] {  // a loop: clang folds at most 256 arguments
    const int each[] = {Lower<Ls>::nodes..., 0};
    int sum = 0;
    for (int i = 0; i < count; ++i) sum += each[i];
    return sum;
  }();

  static constexpr void run(Lowering& g) {
    if constexpr (count > 0) {
      constexpr void (*lower[count])(Lowering&) = {&Lower<Ls>::run...};
      for (int i = 0; i < count && !g.misfit; ++i) {
        g.path.push(i);
        lower[i](g);
        if (!g.misfit) g.path.pop();
      }
    }
  }
};

template <class... B, class... S>
struct Lower<Residual<Body<B...>, Skip<S...>>> {
  static constexpr int nodes = LowerList<B...>::nodes + LowerList<S...>::nodes + 1;

  static constexpr void run(Lowering& g) {
    const int start = g.value;
    const Dims start_dims = g.dims;
    g.path.push(Path::body);
    LowerList<B...>::run(g);
    if (g.misfit) return;
    g.path.pop();
    const int body = g.value;
    const Dims body_dims = g.dims;

    g.value = start;
    g.dims = start_dims;
    g.path.push(Path::skip);
    LowerList<S...>::run(g);
    if (g.misfit) return;
    g.path.pop();
    if (!(g.dims == body_dims)) {
      const bool identity = sizeof...(S) == 0;
      g.misfit = {identity ? Need::body_that_keeps_the_shape : Need::body_and_skip_of_equal_shape,
                  Remedy::a_Skip_that_projects_to_the_shape_of_the_body, body_dims};
      return;
    }
    const int skip = g.value;
    g.value = body;
    g.append(Add::infer(body_dims), Add::name, skip, &tenon::detail::room_of<Add>);
  }
};

template <class... Ls>
struct Lower<Residual<Ls...>> : Lower<Residual<Body<Ls...>, Skip<>>> {};

template <int N>
struct Graph {
  Node nodes[N]{};
  int count = 0;
  Dims input{}, output{};
  int lead = 0;  // nodes before the first layer's: 1 if the input is permuted
  Misfit misfit{};
  Path misfit_path{};
};

/// True if (C, H, W) and (H, W, C) differ in memory.
constexpr bool order_matters(Dims d) { return d.rank == 3 && d[0] > 1 && d[1] * d[2] > 1; }

template <class In, class... Ls>
constexpr auto lower() {
  Graph<LowerList<Ls...>::nodes + 2> graph;
  graph.input = In::dims;
  Lowering g;
  g.nodes = graph.nodes;
  g.dims = graph.input;
  g.misfit = sane(LayerSpec::to(g.dims));
  if (!g.misfit && order_matters(g.dims)) {
    g.append(ToChannelsLast::infer(g.dims), ToChannelsLast::name, -1, &tenon::detail::room_of<ToChannelsLast>);
    graph.lead = 1;
  }
  if (!g.misfit) LowerList<Ls...>::run(g);
  if (!g.misfit && order_matters(g.dims))
    g.append(ToChannelsFirst::infer(g.dims), ToChannelsFirst::name, -1, &tenon::detail::room_of<ToChannelsFirst>);
  graph.misfit = g.misfit;
  graph.misfit_path = g.path;
  graph.output = g.misfit ? Dims{1, {1}} : g.dims;  // one mistake, one error: an empty plan asks nothing more
  graph.count = g.misfit ? 0 : g.count;
  if (g.misfit) graph.input = graph.output;
  return graph;
}

}  // namespace plan
}  // namespace tenon
