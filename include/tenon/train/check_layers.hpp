// LayerCheck: runs each layer of a model alone and checks that its memory accesses follow the contract of layers/layer.hpp:
// what it reads, what it writes, and how it uses at.dx. check_gradients() uses it, so it checks your layers too.
//
// It gives one message for each defect:
//   forward    leaves elements of at.y unwritten; writes elsewhere
//   backward   reads at.x or at.y without requesting it in infer(); ignores accumulate; leaves elements of at.dx or
//              at.grads() unwritten; writes elsewhere; fails, or computes other gradients, if at.dx is null
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/cpu/reduce.hpp"
#include "tenon/train/model.hpp"

namespace tenon::detail {

/// A part of the arena or of the flat gradients, in values.
struct MemoryRange {
  std::size_t begin = 0, end = 0;
};

/// True if two copies of the same memory have the same bits outside of the ranges.
inline bool same_outside(const std::vector<double>& a, std::vector<double> b, const std::vector<MemoryRange>& ranges) {
  for (const MemoryRange& r : ranges)
    std::copy(a.begin() + std::ptrdiff_t(r.begin), a.begin() + std::ptrdiff_t(r.end),
              b.begin() + std::ptrdiff_t(r.begin));
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

inline bool all_finite_in(const std::vector<double>& v, const std::vector<MemoryRange>& ranges) {
  for (const MemoryRange& r : ranges)
    for (std::size_t i = r.begin; i < r.end; ++i)
      if (!kernels::is_finite(v[i])) return false;
  return true;
}

inline void fill(std::vector<double>& v, const std::vector<MemoryRange>& ranges, double value) {
  for (const MemoryRange& r : ranges)
    for (std::size_t i = r.begin; i < r.end; ++i) v[i] = value;
}

/// True if a = b + by in the ranges, up to rounding.
inline bool differ_by(const std::vector<double>& a, const std::vector<double>& b, double by,
                      const std::vector<MemoryRange>& ranges) {
  for (const MemoryRange& r : ranges)
    for (std::size_t i = r.begin; i < r.end; ++i)
      if (!(std::abs(a[i] - b[i] - by) <= 1e-9 * std::max(1.0, std::abs(b[i])))) return false;
  return true;
}

/// Runs f in a child process. Returns the result of f, -1 if f crashed, or 0 if no child can be created.
template <class F>
int in_child(F f) {
  const pid_t child = ::fork();
  if (child < 0) return 0;
  if (child == 0) {
    for (const int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(s, SIG_DFL);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    int code = 255;
    try {
      code = f();
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

/// The plan of a network without its type, so that LayerCheck is one class for all networks of a device.
template <class Device>
struct PlanTables {
  const plan::Node* nodes = nullptr;
  const plan::Frame* frames = nullptr;
  const plan::Step* steps = nullptr;
  const plan::StepOffsets* rows = nullptr;
  const plan::Ops<Device, double>* ops = nullptr;
  int node_count = 0, count = 0;  // steps
  long long input = 0, output_gradient = 0, arena = 0, parameters = 0, scratch = 0;
};

template <class Net, class P, class Device>
PlanTables<Device> plan_tables() {
  static constexpr auto table = plan::Program<P, Device, double>::template table<Net>();
  constexpr auto& m = P::memory;
  return {Net::graph.nodes, Net::graph.frames, P::steps.step,     m.row,   table.op,     Net::graph.count,
          m.rows,           m.input,           m.output_gradient, m.arena, m.parameters, m.scratch_double};
}

/// Checks the layers of a model in double with Mode::train_with_input_gradient, with batches of its capacity.
template <class Device>
class LayerCheck {
 public:
  /// `sample` is the input. `dy` is the gradient with respect to the outputs.
  LayerCheck(PlanTables<Device> plan, plan::ModelContext<Device, double>& context, const std::vector<double>& sample,
             const std::vector<double>& dy)
      : plan_(plan), context_(context), dev_(*context.dev), sample_(sample), dy_(dy) {
    long long largest = 1;
    for (int n = 0; n < plan_.node_count; ++n)
      for (const long long values : {plan_.nodes[n].in_dims.count(), plan_.nodes[n].spec.out.count()})
        largest = std::max(largest, values);
    for (auto* poison : {&poison_x_, &poison_y_}) {
      *poison = allocate<double>(dev_, static_cast<std::size_t>(largest * context_.capacity));
      set(*poison, nan);
    }
  }

  /// Checks all layers, forward first. Returns the defects of the first layer that has any.
  std::vector<std::string> run() {
    context_.batch = static_cast<int>(context_.capacity);
    std::vector<double> arena(static_cast<std::size_t>(plan_.arena * context_.capacity), nan);
    std::copy(sample_.begin(), sample_.end(), arena.begin() + place(plan_.input));
    write(arena, context_.arena);
    for (int k = 0; k < plan_.count && defects_.empty(); ++k) forward(k);
    if (!defects_.empty() || plan_.output_gradient < 0) return std::move(defects_);
    upload(dev_, dy_.data(), context_.of(plan_.output_gradient), dy_.size());
    context_.poison_x = poison_x_.data();
    context_.poison_y = poison_y_.data();
    for (int k = plan_.count - 1; k >= 0 && defects_.empty(); --k)
      if (plan_.rows[k].backward) backward(k);
    context_.poison_x = context_.poison_y = nullptr;
    context_.add_gradients = false;
    return std::move(defects_);
  }

 private:
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  template <class T>
  using Memory = typename Device::template Buffer<T>;

  // The memory after a backward pass.
  struct Image {
    std::vector<double> arena, gradients;
  };

  const plan::Step& step(int k) const { return plan_.steps[k]; }
  const LayerSpec& spec(int k) const { return plan_.nodes[step(k).node].spec; }
  long long out_values(int k) const { return plan_.nodes[step(k).last].spec.out.count(); }
  long long in_values(int k) const { return plan_.nodes[step(k).node].in_dims.count(); }

  std::ptrdiff_t place(long long offset) const { return static_cast<std::ptrdiff_t>(offset * context_.capacity); }
  MemoryRange range(long long offset, long long values) const {
    const auto begin = static_cast<std::size_t>(place(offset));
    return {begin, begin + static_cast<std::size_t>(values * context_.batch)};
  }

  void defect(int k, const std::string& what) {
    defects_.push_back(plan::name_of(plan_.frames, plan_.nodes[step(k).node]) + ": " + what);
  }

  std::vector<double> read(const double* from, std::size_t n) {
    std::vector<double> v(n);
    download(dev_, from, v.data(), n);
    return v;
  }
  void write(const std::vector<double>& v, double* to) { upload(dev_, v.data(), to, v.size()); }
  void set(Memory<double>& memory, double value) { write(std::vector<double>(memory.size(), value), memory.data()); }
  std::vector<double> arena() {
    return read(context_.arena, static_cast<std::size_t>(plan_.arena * context_.capacity));
  }
  std::vector<double> gradients() { return read(context_.gradients, static_cast<std::size_t>(plan_.parameters)); }
  std::vector<double> parameters() { return read(context_.parameters, static_cast<std::size_t>(plan_.parameters)); }

  // The memory that is saved for backward per sample. The fixed region is not checked.
  std::vector<MemoryRange> saved(int k) const {
    std::vector<MemoryRange> list;
    const plan::StepOffsets& row = plan_.rows[k];
    for (int i = 0; i < spec(k).saved_count; ++i)
      if (spec(k).saved[i].per_sample && row.saved[i] >= 0)
        list.push_back(range(row.saved[i], spec(k).saved[i].values));
    if (step(k).epilogue.pooled && row.saved[spec(k).saved_count] >= 0)
      list.push_back(range(row.saved[spec(k).saved_count], kernels::ceil_div(out_values(k), 4LL)));
    return list;
  }
  std::vector<MemoryRange> gradients_of(int k) const {
    std::vector<MemoryRange> list;
    for (int i = 0; i < spec(k).param_count; ++i) {
      const auto begin = static_cast<std::size_t>(plan_.rows[k].param[i]);
      list.push_back({begin, begin + static_cast<std::size_t>(spec(k).params[i].dims.count())});
    }
    return list;
  }

  void forward(int k) {
    const plan::StepOffsets& row = plan_.rows[k];
    const std::vector<MemoryRange> y{range(row.y, out_values(k))};
    std::vector<MemoryRange> writes = saved(k);
    std::vector<double> before = arena();
    fill(before, y, nan);
    fill(before, writes, nan);
    write(before, context_.arena);
    const std::vector<double> weights = parameters();
    if (plan_.ops[k].prepare) plan_.ops[k].prepare(context_, row);
    plan_.ops[k].forward(context_, row);
    const std::vector<double> after = arena();
    writes.push_back(y[0]);
    if (!all_finite_in(after, y)) defect(k, "forward leaves elements of at.y unwritten, or writes NaN or infinity");
    if (!same_outside(before, after, writes) || !same_outside(weights, parameters(), {}))
      defect(k, "forward writes outside of at.y and at.saved()");
  }

  Image attempt(int k, Image from, const plan::StepOffsets& row, bool accumulate, double in_dx, double in_gradients,
                const std::vector<MemoryRange>& dx) {
    fill(from.arena, dx, in_dx);
    fill(from.gradients, gradients_of(k), in_gradients);
    write(from.arena, context_.arena);
    write(from.gradients, context_.gradients);
    context_.add_gradients = accumulate;
    plan_.ops[k].backward(context_, row);
    return {arena(), gradients()};
  }

  void backward(int k) {
    plan::StepOffsets row = plan_.rows[k];
    const Image before{arena(), gradients()};
    const std::vector<MemoryRange> own = gradients_of(k);
    std::vector<MemoryRange> dx;
    if (row.dx >= 0) dx.push_back(range(row.dx, in_values(k)));
    if (row.dx2 >= 0) dx.push_back(range(row.dx2, in_values(k)));
    row.dx_add = false;
    row.dx2_add = row.dx2 == row.dx;
    const auto good = [&](const Image& i) { return all_finite_in(i.arena, dx) && all_finite_in(i.gradients, own); };

    // Everything that the layer must not read is NaN.
    const Image once = attempt(k, before, row, false, nan, nan, dx);
    if (!good(once)) return explain(k, before, row, dx, good);
    std::vector<MemoryRange> writes = saved(k);
    writes.insert(writes.end(), dx.begin(), dx.end());
    writes.push_back(range(row.dy, out_values(k)));
    if (!same_outside(before.arena, once.arena, writes) || !same_outside(before.gradients, once.gradients, own))
      defect(k, "backward writes outside of at.dx, at.dy and at.grads()");

    // Backward must add to the existing values.
    row.dx_add = row.dx2_add = true;
    const Image twice = attempt(k, before, row, true, 3, 5, dx);
    if (!differ_by(twice.arena, once.arena, 3, dx)) defect(k, "backward ignores at.dx.accumulate");
    if (!differ_by(twice.gradients, once.gradients, 5, own)) defect(k, "backward ignores the accumulate of at.grads()");

    if constexpr (std::is_same_v<Device, Cpu>)
      if (row.dx >= 0 && row.dx2 < 0 && !own.empty() && defects_.empty()) without_dx(k, before, row, once);

    context_.add_gradients = false;
    write(before.arena, context_.arena);
    write(before.gradients, context_.gradients);
    plan_.ops[k].backward(context_, plan_.rows[k]);
  }

  // Finds out which of the NaN values reached the result.
  template <class Good>
  void explain(int k, const Image& before, const plan::StepOffsets& row, const std::vector<MemoryRange>& dx,
               Good good) {
    const auto again = [&](double in_x, double in_y, double in_dx, double in_gradients) {
      set(poison_x_, in_x);
      set(poison_y_, in_y);
      return good(attempt(k, before, row, false, in_dx, in_gradients, dx));
    };
    const char* const read_x = "backward reads at.x, but infer() does not say backward_reads_input()";
    const char* const read_y = "backward reads at.y, but infer() does not say backward_reads_output()";
    if (again(0.25, nan, nan, nan)) return defect(k, read_x);
    if (again(nan, 0.25, nan, nan)) return defect(k, read_y);
    if (again(0.25, 0.25, nan, nan)) return defect(k, read_x), defect(k, read_y);
    if (again(0.25, 0.25, 0, nan))
      return defect(k,
                    "backward leaves elements of at.dx unwritten, or adds to them though "
                    "at.dx.accumulate is false");
    if (again(0.25, 0.25, 0, 0))
      return defect(k,
                    "backward leaves elements of at.grads() unwritten, or adds to them "
                    "though accumulate is false");
    defect(k, "backward gives NaN or infinity");
  }

  // Runs in a child process, because a layer that does not check for null may write to the null pointer.
  void without_dx(int k, const Image& before, plan::StepOffsets row, const Image& expected) {
    row.dx = plan::no_offset;
    row.dx_add = false;
    constexpr int other_gradients = 1;
    const int code = in_child([&] {
      Cpu alone;  // the threads of dev_ are not in the child
      alone.reserve_scratch(static_cast<std::size_t>(plan_.scratch));
      context_.dev = &alone;
      const Image got = attempt(k, before, row, false, 0, nan, {});
      return differ_by(got.gradients, expected.gradients, 0, gradients_of(k)) ? 0 : other_gradients;
    });
    if (code < 0) defect(k, "backward fails if at.dx is null");
    if (code == other_gradients) defect(k, "backward computes other at.grads() if at.dx is null");
  }

  PlanTables<Device> plan_;
  plan::ModelContext<Device, double>& context_;
  Device& dev_;
  const std::vector<double>& sample_;
  const std::vector<double>& dy_;
  Memory<double> poison_x_, poison_y_;
  std::vector<std::string> defects_;
};

}  // namespace tenon::detail
