// The memory plan: where every value, gradient and parameter lies, worked out from lifetimes before the program runs.
//
// Time runs over the steps forward, the loss, and the steps backward: step s at s and at 2S - s, the loss at S. A value
// lives from its making to its last reader, a gradient from its first writer to its producer's backward. Each takes the
// lowest hole that is large enough when it is born (first fit), so inference reuses memory as it goes. Offsets count
// values of one sample; the arena holds `capacity` samples, so offset times capacity is where a value starts.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/plan/fuse.hpp"

namespace tenon::plan {

inline constexpr int granule = 16;  // values; 64 bytes of float, so that every piece starts on a cache line

constexpr long long granules(long long values) { return round_up(values, static_cast<long long>(granule)); }

/// The lowest fit over time: take() at birth, give() at death. Holes are few, because lifetimes nest.
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

inline constexpr long long nowhere = -1;

/// What the run-time half knows of one step: offsets into flat memory, nothing of types.
struct Row {
  int node = 0;
  bool backward = false;                                      // it has parameters, or its input wants a gradient
  long long x = nowhere, x2 = nowhere, y = nowhere;           // arena, values a sample
  long long dy = nowhere, dx = nowhere, dx2 = nowhere;        // arena, values a sample
  bool dx_add = false, dx2_add = false;                       // another reader has written it before
  long long keep[2] = {nowhere, nowhere};                     // arena if per sample, else the fixed region
  long long param[4] = {nowhere, nowhere, nowhere, nowhere};  // the flat parameters, gradients, optimizer states
  long long state[3] = {nowhere, nowhere, nowhere};           // the flat states; counters: index among counters
  long long packed = 0;                                       // rearranged weights
};

template <int N>
struct Memory {
  Row row[N]{};
  int rows = 0;
  long long input = 0, input_gradient = nowhere, output = 0, output_gradient = nowhere;  // arena, values a sample
  long long arena = 0;                                                                   // values a sample
  long long fixed = 0, packed = 0, workspace = 0;                                        // values
  long long scratch_float = 0, scratch_double = 0;                                       // bytes a worker
  long long parameters = 0, states = 0;                                                  // values, padding included
  int counters = 0;
};

/// Where a node's parameters and states lie. Independent of mode and fusion, so that every plan of a net agrees.
template <int N>
struct Layout {
  long long param[N][4] = {};
  long long state[N][3] = {};
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
constexpr Memory<N> plan_memory(const Graph<N>& g, const Layout<N>& layout, const Steps<N>& s, Mode mode) {
  Memory<N> m;
  const int S = s.count, times = 2 * S + 1;
  m.rows = S;
  m.parameters = layout.parameters;
  m.states = layout.states;
  m.counters = layout.counters;

  // Values: extents, and which want a gradient.
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

  // Births and deaths. value_death: last reader. first_reader: the step whose backward writes the gradient first.
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
      writer[v] = k;  // steps come in order, so the last reader stays
    }
    const bool reads_output = spec.reads_output || step.fuse.act.kind != Activation::none;
    if (reads_output && value_death[step.out] < back) value_death[step.out] = back;
  }
  if (value_death[s.output] < S) value_death[s.output] = S;

  // Time passes.
  constexpr int items = 5 * N + 8;
  FirstFit<items> fit;
  long long offset[items] = {}, length[items] = {};
  int next[items] = {}, due[2 * N + 3] = {};
  for (int t = 0; t < times; ++t) due[t] = -1;
  int made = 0;
  long long value_at[N + 1] = {}, gradient_at[N + 1] = {};
  for (int v = 0; v <= N; ++v) value_at[v] = gradient_at[v] = nowhere;
  const auto take = [&](long long n, int death) {
    const int i = made++;
    offset[i] = fit.take(n);
    length[i] = n;
    next[i] = due[death];
    due[death] = i;
    return offset[i];
  };
  const int end = mode == Mode::eval ? S + 1 : times;
  value_at[0] = take(size[0], S == 0 ? 0 : value_death[0]);
  for (int t = 0; t < end; ++t) {
    if (t < S) {  // step t, forward
      const Step& step = s.step[t];
      const LayerSpec& spec = g.nodes[step.node].spec;
      Row& row = m.row[t];
      if (step.out != 0) value_at[step.out] = take(size[step.out], value_death[step.out]);
      const int back = row.backward ? 2 * S - t : t;
      for (int i = 0; i < spec.keep_count; ++i) {
        if (spec.keeps[i].per_sample) {
          row.keep[i] = take(granules(spec.keeps[i].values), back);
        } else {
          row.keep[i] = m.fixed;
          m.fixed += granules(spec.keeps[i].values);
        }
      }
      if (step.fuse.pooled && mode != Mode::eval)  // argmax: one byte an output
        row.keep[spec.keep_count] = take(granules(ceil_div(g.nodes[step.last].spec.out.count(), 4LL)), back);
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
          if (v < 0 || !wants[v] || gradient_at[v] != nowhere) continue;
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
    Row& row = m.row[k];
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
    const Room room = node.room(node.in_dims, step.fuse);
    row.packed = m.packed;
    m.packed += granules(room.packed);
    if (m.workspace < room.workspace) m.workspace = room.workspace;
    if (m.scratch_float < room.scratch_float) m.scratch_float = room.scratch_float;
    if (m.scratch_double < room.scratch_double) m.scratch_double = room.scratch_double;
  }
  return m;
}

}  // namespace tenon::plan
