// Fusion: from nodes to steps. A step is one node and the following nodes that its kernel applies before it stores the
// result.
//
// Fusion works on values: the spec of a layer lists what its epilogue can absorb, and the spec of the next layer gives its
// kind (activation, max-pool, order of the result). Training fuses only activations whose derivative can be computed from
// their value. Nodes that do nothing in a mode are removed. Names and random keys belong to nodes, so fusion does not
// change them.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/plan/graph.hpp"

namespace tenon::plan {

/// eval: forward only. train: gradients of the parameters. train_with_input_gradient: gradients of the input as well.
enum class Mode { eval, train, train_with_input_gradient };

struct Step {
  int node = 0, last = 0;  // the node whose kernel runs, and the last node it includes
  kernels::Epilogue epilogue{};
  int in = -1, in2 = -1, out = -1;  // values
};

template <int N>
struct Steps {
  Step step[N]{};
  int count = 0;
  int root[N + 1]{};  // the value whose memory a value uses: the value itself, unless an alias made it
  int step_of[N]{};   // by first node; -1: absorbed or removed
  int output = 0;     // root of the network's output
};

constexpr bool vanishes(const Node& n, Mode mode) {
  return n.spec.alias || (n.spec.alias_in_eval && mode == Mode::eval);
}

constexpr bool absorb(kernels::Epilogue& fuse, const LayerSpec& leader, const LayerSpec& next, Mode mode) {
  if (next.activation.kind != kernels::Activation::none) {
    if (!leader.absorbs_activation || fuse.activation.kind != kernels::Activation::none || fuse.pooled ||
        fuse.channels_first)
      return false;
    if (mode != Mode::eval && !next.activation.from_output()) return false;
    fuse.activation = next.activation;
    return true;
  }
  if (next.pools) {
    if (!leader.absorbs_pool || fuse.pooled || fuse.channels_first || !kernels::tiles_image(next.pool)) return false;
    fuse.pooled = true;
    fuse.pool = next.pool;
    return true;
  }
  if (next.permutes) {
    if (!leader.absorbs_order || fuse.channels_first) return false;
    fuse.channels_first = true;
    return true;
  }
  return false;
}

template <int N>
constexpr Steps<N> fuse(const Graph<N>& g, Mode mode) {
  Steps<N> s;
  int readers[N + 1] = {};
  for (int k = 0; k <= g.count; ++k) s.root[k] = k;
  for (int k = 0; k < g.count; ++k) {
    s.step_of[k] = -1;
    if (vanishes(g.nodes[k], mode))
      s.root[k + 1] = s.root[g.nodes[k].in];
    else {
      ++readers[s.root[g.nodes[k].in]];
      if (g.nodes[k].in2 >= 0) ++readers[s.root[g.nodes[k].in2]];
    }
  }
  ++readers[s.root[g.count]];  // the caller
  int home[N + 1] = {};        // where a value is stored after fusion
  for (int v = 0; v <= g.count; ++v) home[v] = v;

  for (int k = 0; k < g.count; ++k) {
    const Node& n = g.nodes[k];
    if (vanishes(n, mode)) {
      home[k + 1] = home[n.in];
      continue;
    }
    const bool follows =
        s.count > 0 && n.in2 < 0 && s.step[s.count - 1].out == home[n.in] && readers[s.root[n.in]] == 1;
    if (follows && absorb(s.step[s.count - 1].epilogue, g.nodes[s.step[s.count - 1].node].spec, n.spec, mode)) {
      s.step[s.count - 1].last = k;
      s.step[s.count - 1].out = home[k + 1] = k + 1;
      continue;
    }
    s.step_of[k] = s.count;
    s.step[s.count++] = {k, k, kernels::Epilogue{}, home[n.in], n.in2 < 0 ? -1 : home[n.in2], k + 1};
  }
  for (int v = 0; v <= g.count; ++v) s.root[v] = home[v];
  s.output = s.root[g.count];
  return s;
}

}  // namespace tenon::plan
