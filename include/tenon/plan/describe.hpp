// describe<Net>(): the plan as text. It prints the same tables that are executed.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "tenon/plan/names.hpp"

namespace tenon {

namespace plan {

inline const char* name_of(kernels::Activation::Kind a) {
  switch (a) {
    case kernels::Activation::none: return "";
    case kernels::Activation::relu: return "ReLU";
    case kernels::Activation::leaky_relu: return "LeakyReLU";
    case kernels::Activation::sigmoid: return "Sigmoid";
    case kernels::Activation::tanh: return "Tanh";
    case kernels::Activation::gelu: return "GELU";
    case kernels::Activation::gelu_tanh: return "GELUTanh";
    case kernels::Activation::silu: return "SiLU";
  }
  return "";
}

/// Appends `s` and spaces up to `width`.
inline void column(std::string& text, const std::string& s, std::size_t width) {
  text += s;
  text.append(s.size() < width ? width - s.size() : 1, ' ');
}

inline std::string describe(const Node* nodes, const Frame* frames, const Step* steps, const StepOffsets* rows,
                            int count, long long arena) {
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
    const kernels::Epilogue& fuse = steps[i].epilogue;
    std::string what = n.frame < 0 ? std::string() : path_of(frames, n.frame, n.index) + " ";
    what += n.name;
    if (fuse.activation.kind != kernels::Activation::none) what.append(" + ").append(name_of(fuse.activation.kind));
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

/// Lists the steps of a network: the layers fused in each, the output's shape, the number of parameters, and the offset of
/// the output in the arena (in values per sample).
template <class Net, plan::Mode M = plan::Mode::train>
[[nodiscard]] std::string describe() {
  using P = plan::Plan<Net, kernels::Cpu, M>;
  return plan::describe(Net::graph.nodes, Net::graph.frames, P::steps.step, P::memory.row, P::steps.count,
                        P::memory.arena);
}

}  // namespace tenon
