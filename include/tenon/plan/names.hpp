// The tensors of a network by name, as PyTorch's state_dict would call them: "2.weight", "4.body.0.running_mean".
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "tenon/plan/plan.hpp"

namespace tenon::plan {

struct Tensor {
  enum class Kind { parameter, state, counter };
  std::string name;  // "4.body.0.weight"
  Dims dims{};
  Kind kind = Kind::parameter;
  long long offset = 0;  // into the flat parameters or states; among the counters
  Initial initial{};
  bool decay = false;
  int node = 0;
};

inline std::string name_of(const Path& p) {
  std::string s;
  for (int i = 0; i < p.length; ++i) {
    if (i) s += '.';
    if (p.at[i] == Path::body)
      s += "body";
    else if (p.at[i] == Path::skip)
      s += "skip";
    else
      s += std::to_string(p.at[i]);
  }
  return s;
}

/// "layer 4.body.0 (Conv2d)", for messages; the nodes that the plan adds have no number.
inline std::string name_of(const Node& n) {
  return n.path.length ? "layer " + name_of(n.path) + " (" + n.name + ")" : std::string(n.name);
}

inline std::string spell(Dims d) {
  std::string s = "(";
  for (int i = 0; i < d.rank; ++i) s += (i ? ", " : "") + std::to_string(d[i]);
  return s + ")";
}

/// Every parameter and state of the network, in the order of its layers.
inline std::vector<Tensor> tensors_of(const Node* nodes, int count, const long long (*param)[4],
                                      const long long (*state)[3]) {
  std::vector<Tensor> list;
  for (int k = 0; k < count; ++k) {
    const LayerSpec& s = nodes[k].spec;
    const std::string prefix = name_of(nodes[k].path) + ".";
    for (int i = 0; i < s.param_count; ++i) {
      const Param& p = s.params[i];
      list.push_back({prefix + p.name, p.dims, Tensor::Kind::parameter, param[k][i], p.initial, p.decay, k});
    }
    for (int i = 0; i < s.state_count; ++i) {
      const State& t = s.states[i];
      list.push_back({prefix + t.name, t.dims, t.counter ? Tensor::Kind::counter : Tensor::Kind::state, state[k][i],
                      t.initial, false, k});
    }
  }
  return list;
}

template <class Net>
std::vector<Tensor> tensors() {
  return tensors_of(Net::graph.nodes, Net::graph.count, Net::layout.param, Net::layout.state);
}

}  // namespace tenon::plan
