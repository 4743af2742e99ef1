// describe<Net>(): the plan as text. What it prints is read from the tables that run.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "tenon/plan/names.hpp"

namespace tenon {

namespace plan {

inline const char* name_of(Activation a) {
  switch (a) {
    case Activation::none: return "";
    case Activation::relu: return "ReLU";
    case Activation::leaky_relu: return "LeakyReLU";
    case Activation::sigmoid: return "Sigmoid";
    case Activation::tanh: return "Tanh";
    case Activation::gelu: return "GELU";
    case Activation::gelu_tanh: return "GELUTanh";
    case Activation::silu: return "SiLU";
  }
  return "";
}

inline std::string pad(std::string s, std::size_t width) {
  if (s.size() < width) s.append(width - s.size(), ' ');
  return s;
}

template <int N>
std::string describe(const Graph<N>& g, const Steps<N>& s, const Memory<N>& m) {
  std::string text = pad("step", 6) + pad("layers", 44) + pad("output", 18) + pad("parameters", 12) + "at\n";
  for (int i = 0; i < s.count; ++i) {
    const Step& step = s.step[i];
    const Node& n = g.nodes[step.node];
    std::string what = (n.path.length ? name_of(n.path) + " " : std::string()) + n.name;
    if (step.fuse.act.kind != Activation::none) what += std::string(" + ") + name_of(step.fuse.act.kind);
    if (step.fuse.pooled) what += " + MaxPool2d";
    if (step.fuse.channels_first) what += " + Flatten";
    long long parameters = 0;
    for (int p = 0; p < n.spec.param_count; ++p) parameters += n.spec.params[p].dims.count();
    text += pad(std::to_string(i), 6) + pad(what, 44) + pad(spell(g.nodes[step.last].spec.out), 18) +
            pad(parameters ? std::to_string(parameters) : "-", 12) + std::to_string(m.row[i].y) + "\n";
  }
  return text + "arena: " + std::to_string(m.arena) + " values a sample\n";
}

}  // namespace plan

/// The steps of a network, what each has fused, and where its output lies in the arena (in values a sample).
template <class Net, plan::Mode M = plan::Mode::train>
std::string describe() {
  using P = plan::Plan<Net, M>;
  return plan::describe(Net::graph, P::steps, P::memory);
}

}  // namespace tenon
