// The tensors of a network by their names in PyTorch's state_dict: "2.weight", "4.body.0.running_mean".
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "tenon/plan/plan.hpp"

namespace tenon::plan {

struct NamedTensor {
  enum class Kind { parameter, state, counter };
  std::string name;  // "4.body.0.weight"
  Dims dims{};
  Kind kind = Kind::parameter;
  long long offset = 0;  // into the flat parameters or states; of a counter: its index
  Initial initial{};
  bool decay = false;
  int node = 0;
};

/// The path of a layer in PyTorch's notation: "3", "4.body.0", or "1.0" inside of a nested Sequential.
inline std::string path_of(const Frame* frames, int frame, int index) {
  const Frame& f = frames[frame];
  std::string s;
  if (f.parent >= 0) {
    s = path_of(frames, f.parent, f.index);
    if (f.kind == Frame::Kind::body) s += ".body";
    if (f.kind == Frame::Kind::skip) s += ".skip";
    s += '.';
  }
  return s + std::to_string(index);
}

/// "layer 4.body.0 (Conv2d)", for messages. Nodes that the plan has added have no path: "ToChannelsLast".
inline std::string name_of(const Frame* frames, const Node& n) {
  return n.frame < 0 ? std::string(n.name) : "layer " + path_of(frames, n.frame, n.index) + " (" + n.name + ")";
}

inline std::string spell(Dims d) {
  std::string s = "(";
  for (int i = 0; i < d.rank; ++i) s += (i ? ", " : "") + std::to_string(d[i]);
  return s + ")";
}

/// Every parameter and state of the network, in the order of its layers.
inline std::vector<NamedTensor> tensors_of(const Node* nodes, const Frame* frames, int count,
                                           const long long (*param)[LayerSpec::max_params],
                                           const long long (*state)[LayerSpec::max_states]) {
  std::vector<NamedTensor> list;
  for (int k = 0; k < count; ++k) {
    const LayerSpec& s = nodes[k].spec;
    if (s.param_count + s.state_count == 0) continue;
    const std::string prefix = path_of(frames, nodes[k].frame, nodes[k].index) + ".";
    for (int i = 0; i < s.param_count; ++i) {
      const Param& p = s.params[i];
      list.push_back({prefix + p.name, p.dims, NamedTensor::Kind::parameter, param[k][i], p.initial, p.decay, k});
    }
    for (int i = 0; i < s.state_count; ++i) {
      const State& t = s.states[i];
      list.push_back({prefix + t.name, t.dims, t.counter ? NamedTensor::Kind::counter : NamedTensor::Kind::state,
                      state[k][i], t.initial, false, k});
    }
  }
  return list;
}

template <class Net>
std::vector<NamedTensor> tensors() {
  return tensors_of(Net::graph.nodes, Net::graph.frames, Net::graph.count, Net::layout.param, Net::layout.state);
}

}  // namespace tenon::plan
