// The memory plan: the offset of every value, gradient and parameter, computed from lifetimes at compile time.
//
// The schedule is forward, loss, backward. Step s of S runs forward at time s and backward at time 2S - s. The loss runs at
// time S. A value lives from the step that computes it to the last step that reads it. A gradient lives from its first
// writer to the backward of the step that computed the value. Each gets the lowest free range that is large enough (first
// fit), so inference reuses memory. Offsets count values of one sample. The arena holds `capacity` samples, so a value
// starts at offset * capacity.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/plan/fuse.hpp"

namespace tenon::plan {

inline constexpr int granule = 16;  // values: 64 bytes of float, one cache line

constexpr long long granules(long long values) { return kernels::round_up(values, static_cast<long long>(granule)); }

/// First fit. Call take() at the start of a lifetime and give() at its end. There are few holes, because lifetimes nest.
template <int Capacity>
class FirstFit {
 public:
  constexpr long long take(long long size) {
    if (size == 0) return 0;
    for (int i = 0; i < holes_; ++i) {
      if (size_[i] < size) continue;
      const long long offset = offset_[i];
      offset_[i] += size;
      size_[i] -= size;
      if (size_[i] == 0) erase(i);
      return offset;
    }
    if (holes_ > 0 && offset_[holes_ - 1] + size_[holes_ - 1] == top_) {  // the last hole touches the end: grow it
      const long long offset = offset_[holes_ - 1];
      --holes_;
      top_ = offset + size;
      return offset;
    }
    const long long offset = top_;
    top_ += size;
    return offset;
  }

  constexpr void give(long long offset, long long size) {
    if (size == 0) return;
    int i = holes_;
    while (i > 0 && offset_[i - 1] > offset) --i;
    const bool joins_before = i > 0 && offset_[i - 1] + size_[i - 1] == offset;
    const bool joins_after = i < holes_ && offset + size == offset_[i];
    if (joins_before && joins_after) {
      size_[i - 1] += size + size_[i];
      erase(i);
    } else if (joins_before) {
      size_[i - 1] += size;
    } else if (joins_after) {
      offset_[i] = offset;
      size_[i] += size;
    } else {
      for (int k = holes_; k > i; --k) {
        offset_[k] = offset_[k - 1];
        size_[k] = size_[k - 1];
      }
      offset_[i] = offset;
      size_[i] = size;
      ++holes_;
    }
  }

  constexpr long long top() const { return top_; }

 private:
  constexpr void erase(int i) {
    --holes_;
    for (int k = i; k < holes_; ++k) {
      offset_[k] = offset_[k + 1];
      size_[k] = size_[k + 1];
    }
  }

  long long offset_[Capacity] = {}, size_[Capacity] = {};
  int holes_ = 0;
  long long top_ = 0;
};

inline constexpr long long no_offset = -1;

/// One step at run time: offsets into flat memory.
struct StepOffsets {
  int node = 0;
  bool backward = false;                                      // it has parameters, or its input needs a gradient
  long long x = no_offset, x2 = no_offset, y = no_offset;     // arena, values per sample
  long long dy = no_offset, dx = no_offset, dx2 = no_offset;  // arena, values per sample
  bool dx_add = false, dx2_add = false;                       // an earlier step has written it
  bool x_is_input = false, x2_is_input = false;               // x, x2: the network's input in channels-last order
  long long saved[LayerSpec::max_saved + 1]{};                // arena if per sample, else the fixed region
  long long param[LayerSpec::max_params]{};                   // the flat parameters, gradients, optimizer states
  long long state[LayerSpec::max_states]{};                   // the flat states; counters: index among counters
  long long packed = 0;                                       // rearranged weights

  constexpr StepOffsets() {
    for (long long& s : saved) s = no_offset;
  }
};

template <int N>
struct Memory {
  StepOffsets row[N]{};
  int rows = 0;
  long long input = 0, input_gradient = no_offset, output = 0, output_gradient = no_offset;  // arena, values per sample
  long long arena = 0;                                                                       // values per sample
  long long fixed = 0, packed = 0, workspace = 0;                                            // values
  long long scratch_float = 0, scratch_double = 0;                                           // bytes per worker
  long long parameters = 0, states = 0;                                                      // values, padding included
  int counters = 0;
  bool permutes_input = false;  // step 0 only brings the input into channels-last order; a data set may do that instead
};

/// For each node, the function that returns the sizes of the memory that its layer needs on one device.
template <int N>
struct AskSizes {
  WorkspaceSizes (*of[N])(Dims, kernels::Epilogue) = {};
};

/// The offsets of each node's parameters and states. They do not depend on mode and fusion, so they are the same in all
/// plans of a network.
template <int N>
struct Layout {
  long long param[N][LayerSpec::max_params] = {};
  long long state[N][LayerSpec::max_states] = {};
  long long parameters = 0, states = 0;
  int counters = 0;
};

template <int N>
constexpr Layout<N> lay_out(const Graph<N>& g) {
  Layout<N> l;
  for (int k = 0; k < g.count; ++k) {
    const LayerSpec& s = g.nodes[k].spec;
    for (int i = 0; i < s.param_count; ++i) {
      l.param[k][i] = l.parameters;
      l.parameters += granules(s.params[i].dims.count());
    }
    for (int i = 0; i < s.state_count; ++i) {
      if (s.states[i].counter) {
        l.state[k][i] = l.counters++;
      } else {
        l.state[k][i] = l.states;
        l.states += granules(s.states[i].dims.count());
      }
    }
  }
  return l;
}

template <int N>
constexpr Memory<N> plan_memory(const Graph<N>& g, const Layout<N>& layout, const Steps<N>& s, Mode mode,
                                const AskSizes<N>& ask) {
  Memory<N> m;
  const int S = s.count, times = 2 * S + 1;
  m.rows = S;
  m.parameters = layout.parameters;
  m.states = layout.states;
  m.counters = layout.counters;

  // Values: sizes, and which of them need a gradient.
  long long size[N + 1] = {};
  bool wants[N + 1] = {};
  size[0] = granules(g.input.count());
  wants[0] = mode == Mode::train_with_input_gradient;
  for (int k = 0; k < S; ++k) {
    const Step& step = s.step[k];
    const LayerSpec& spec = g.nodes[step.node].spec;
    size[step.out] = granules(g.nodes[step.last].spec.out.count());
    const bool in_wants = wants[step.in] || (step.in2 >= 0 && wants[step.in2]);
    m.row[k].backward = mode != Mode::eval && (spec.param_count > 0 || in_wants);
    wants[step.out] = m.row[k].backward;
  }

  // Lifetimes. value_death: the time of the last reader. writer: the step whose backward writes the gradient first.
  int value_death[N + 1] = {}, producer[N + 1] = {}, writer[N + 1] = {};
  for (int v = 0; v <= N; ++v) producer[v] = writer[v] = -1;
  for (int k = 0; k < S; ++k) {
    const Step& step = s.step[k];
    const LayerSpec& spec = g.nodes[step.node].spec;
    producer[step.out] = k;
    value_death[step.out] = k;
    const int back = m.row[k].backward ? 2 * S - k : k;
    const int inputs[2] = {step.in, step.in2};
    for (int i = 0; i < 2; ++i) {
      const int v = inputs[i];
      if (v < 0) continue;
      const int last = spec.reads_input ? back : k;
      if (value_death[v] < last) value_death[v] = last;
      writer[v] = k;  // steps are in order, so the last reader remains
    }
    const bool reads_output = spec.reads_output || step.epilogue.activation.kind != kernels::Activation::none;
    if (reads_output && value_death[step.out] < back) value_death[step.out] = back;
  }
  if (value_death[s.output] < S) value_death[s.output] = S;
  value_death[0] = times - 1;  // the input is kept, because a batch may be run again to find the layer of a NaN

  // Simulate the schedule step by step.
  constexpr int items = 5 * N + 8;
  FirstFit<items> fit;
  long long offset[items] = {}, length[items] = {};
  int next[items] = {}, due[2 * N + 3] = {};
  for (int t = 0; t < times; ++t) due[t] = -1;
  int made = 0;
  long long value_at[N + 1] = {}, gradient_at[N + 1] = {};
  for (int v = 0; v <= N; ++v) value_at[v] = gradient_at[v] = no_offset;
  const auto take = [&](long long n, int death) {
    const int i = made++;
    offset[i] = fit.take(n);
    length[i] = n;
    next[i] = due[death];
    due[death] = i;
    return offset[i];
  };
  const int end = mode == Mode::eval ? S + 1 : times;
  value_at[0] = take(size[0], value_death[0]);
  for (int t = 0; t < end; ++t) {
    if (t < S) {  // step t, forward
      const Step& step = s.step[t];
      const LayerSpec& spec = g.nodes[step.node].spec;
      StepOffsets& row = m.row[t];
      if (step.out != 0) value_at[step.out] = take(size[step.out], value_death[step.out]);
      const int back = row.backward ? 2 * S - t : t;
      for (int i = 0; i < spec.saved_count; ++i) {
        if (spec.saved[i].per_sample) {
          row.saved[i] = take(granules(spec.saved[i].values), back);
        } else {
          row.saved[i] = m.fixed;
          m.fixed += granules(spec.saved[i].values);
        }
      }
      if (step.epilogue.pooled && mode != Mode::eval)  // argmax: one byte per output
        row.saved[spec.saved_count] = take(granules(kernels::ceil_div(g.nodes[step.last].spec.out.count(), 4LL)), back);
    } else if (t == S) {  // the loss
      if (mode != Mode::eval && wants[s.output])
        gradient_at[s.output] = take(size[s.output], producer[s.output] < 0 ? 2 * S : 2 * S - producer[s.output]);
    } else {  // step k, backward
      const int k = 2 * S - t;
      const Step& step = s.step[k];
      if (m.row[k].backward) {
        const int inputs[2] = {step.in, step.in2};
        for (int i = 0; i < 2; ++i) {
          const int v = inputs[i];
          if (v < 0 || !wants[v] || gradient_at[v] != no_offset) continue;
          gradient_at[v] = take(size[v], producer[v] < 0 ? 2 * S : 2 * S - producer[v]);
        }
      }
    }
    for (int i = due[t]; i >= 0; i = next[i]) fit.give(offset[i], length[i]);
  }
  m.arena = fit.top();

  // Rows.
  m.input = value_at[0];
  m.input_gradient = gradient_at[0];
  m.output = value_at[s.output];
  m.output_gradient = gradient_at[s.output];
  for (int k = 0; k < S; ++k) {
    const Step& step = s.step[k];
    const Node& node = g.nodes[step.node];
    StepOffsets& row = m.row[k];
    row.node = step.node;
    row.x = value_at[step.in];
    row.y = value_at[step.out];
    if (step.in2 >= 0) row.x2 = value_at[step.in2];
    if (row.backward) {
      row.dy = gradient_at[step.out];
      row.dx = gradient_at[step.in];
      row.dx_add = writer[step.in] != k;
      if (step.in2 >= 0) {
        row.dx2 = gradient_at[step.in2];
        row.dx2_add = writer[step.in2] != k || step.in2 == step.in;
      }
    }
    for (int i = 0; i < node.spec.param_count; ++i) row.param[i] = layout.param[step.node][i];
    for (int i = 0; i < node.spec.state_count; ++i) row.state[i] = layout.state[step.node][i];
    const WorkspaceSizes workspace_sizes = ask.of[step.node](node.in_dims, step.epilogue);
    row.packed = m.packed;
    m.packed += granules(workspace_sizes.packed);
    if (m.workspace < workspace_sizes.workspace) m.workspace = workspace_sizes.workspace;
    if (m.scratch_float < workspace_sizes.scratch_float) m.scratch_float = workspace_sizes.scratch_float;
    if (m.scratch_double < workspace_sizes.scratch_double) m.scratch_double = workspace_sizes.scratch_double;
  }
  if (g.lead > 0 && S > 0 && s.step[0].node == 0 && s.step[0].last == 0) {
    const int permuted = s.step[0].out;
    m.permutes_input = permuted != s.output;
    for (int k = 1; k < S; ++k) {
      if (s.step[k].out == permuted) m.permutes_input = false;
      m.row[k].x_is_input = s.step[k].in == permuted;
      m.row[k].x2_is_input = s.step[k].in2 == permuted;
    }
  }
  return m;
}

}  // namespace tenon::plan
