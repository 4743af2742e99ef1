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

/// Appends `s` and spaces up to `width`.
inline void column(std::string& text, const std::string& s, std::size_t width) {
  text += s;
  text.append(s.size() < width ? width - s.size() : 1, ' ');
}

inline std::string describe(const Node* nodes, const Step* steps, const Row* rows, int count, long long arena) {
  std::string text;
  const auto line = [&](const std::string& step, const std::string& layers, const std::string& output,
                        const std::string& parameters, const std::string& at) {
    column(text, step, 6);
    column(text, layers, 44);
    column(text, output, 18);
    column(text, parameters, 12);
    text += at;
    text += '\n';
  };
  line("step", "layers", "output", "parameters", "at");
  for (int i = 0; i < count; ++i) {
    const Node& n = nodes[steps[i].node];
    const Fuse& fuse = steps[i].fuse;
    std::string what = n.path.length ? name_of(n.path) + " " : std::string();
    what += n.name;
    if (fuse.act.kind != Activation::none) what.append(" + ").append(name_of(fuse.act.kind));
    if (fuse.pooled) what += " + MaxPool2d";
    if (fuse.channels_first) what += " + Flatten";
    long long parameters = 0;
    for (int p = 0; p < n.spec.param_count; ++p) parameters += n.spec.params[p].dims.count();
    line(std::to_string(i), what, spell(nodes[steps[i].last].spec.out),
         parameters ? std::to_string(parameters) : std::string("-"), std::to_string(rows[i].y));
  }
  return text + "arena: " + std::to_string(arena) + " values a sample\n";
}

}  // namespace plan

/// The steps of a network, what each has fused, and where its output lies in the arena (in values a sample).
template <class Net, plan::Mode M = plan::Mode::train>
std::string describe() {
  using P = plan::Plan<Net, M>;
  return plan::describe(Net::graph.nodes, P::steps.step, P::memory.row, P::steps.count, P::memory.arena);
}

}  // namespace tenon
