// Times a kernel on a GPU. Calls of the kernel are recorded as one CUDA graph, which is launched several times, each
// time between two events. So the result includes no host or launch time, and the data of a call are where the previous
// call left them, as in training.
//   const Timing t = time_of(dev, effort, [&] { add_forward(dev, a, b, y); });      microseconds of one call
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tenon/cuda/recorder.cuh"

namespace tenon::bench {

/// How long to measure. min() is the least that runs, for tests with an emulated GPU.
struct Effort {
  double us = 2000;  // per graph
  int max_calls = 200, samples = 15;

  static Effort min() { return {0, 1, 2}; }
};

struct Timing {
  double us = 0, p10 = 0, p90 = 0;  // per call; us is the median
  int nodes = 0;                    // of the graph for one call: kernels, copies and fills
};

/// A graph that holds what call() launches, `calls` times.
class Graph {
 public:
  template <class F>
  Graph(Cuda& dev, int calls, const F& call) : dev_(dev) {
    kernels::CudaState& s = dev.state();
    struct Recording {
      kernels::CudaState& s;
      explicit Recording(kernels::CudaState& state) : s(state) { s.scratch_fixed = true; }
      ~Recording() { s.scratch_fixed = false; }
    };
    wait(dev);
    kernels::detail::check(cudaStreamBeginCapture(s.stream, cudaStreamCaptureModeThreadLocal),
                           "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    try {
      const Recording recording(s);
      for (int i = 0; i < calls; ++i) call();
    } catch (...) {
      if (cudaStreamEndCapture(s.stream, &graph) == cudaSuccess && graph) static_cast<void>(cudaGraphDestroy(graph));
      static_cast<void>(cudaGetLastError());
      throw;
    }
    kernels::detail::check(cudaStreamEndCapture(s.stream, &graph), "cudaStreamEndCapture", s.last_kernel);
    std::size_t nodes = 0;
    static_cast<void>(cudaGraphGetNodes(graph, nullptr, &nodes));
    nodes_ = static_cast<int>(nodes);
    cudaGraphExec_t exec = nullptr;
    const cudaError_t e = cudaGraphInstantiate(&exec, graph, 0);
    static_cast<void>(cudaGraphDestroy(graph));
    kernels::detail::check(e, "cudaGraphInstantiate", s.last_kernel);
    exec_.reset(exec);
  }

  int nodes() const { return nodes_; }
  void launch() const {
    kernels::detail::check(cudaGraphLaunch(exec_.get(), dev_.state().stream), "cudaGraphLaunch",
                           dev_.state().last_kernel);
  }

 private:
  struct Destroy {
    void operator()(cudaGraphExec_t e) const { static_cast<void>(cudaGraphExecDestroy(e)); }
  };
  Cuda& dev_;
  int nodes_ = 0;
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> exec_;
};

/// Measures the time between two events.
class Stopwatch {
 public:
  explicit Stopwatch(Cuda& dev) : dev_(dev) {
    kernels::detail::check(cudaEventCreate(&begin_), "cudaEventCreate");
    kernels::detail::check(cudaEventCreate(&end_), "cudaEventCreate");
  }
  Stopwatch(const Stopwatch&) = delete;
  ~Stopwatch() {
    static_cast<void>(cudaEventDestroy(begin_));
    static_cast<void>(cudaEventDestroy(end_));
  }

  /// The GPU time of f() in microseconds.
  template <class F>
  double us(const F& f) {
    const cudaStream_t stream = dev_.state().stream;
    kernels::detail::check(cudaEventRecord(begin_, stream), "cudaEventRecord");
    f();
    kernels::detail::check(cudaEventRecord(end_, stream), "cudaEventRecord");
    kernels::detail::check(cudaEventSynchronize(end_), "cudaEventSynchronize", dev_.state().last_kernel);
    float ms = 0;
    kernels::detail::check(cudaEventElapsedTime(&ms, begin_, end_), "cudaEventElapsedTime");
    return static_cast<double>(ms) * 1e3;
  }

 private:
  Cuda& dev_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

inline Timing timing_of(std::vector<double> us) {
  std::sort(us.begin(), us.end());
  const auto at = [&](std::size_t percent) { return us[(us.size() - 1) * percent / 100]; };
  return {at(50), at(10), at(90), 0};
}

/// Times call() with enough calls per graph to reach effort.us, up to effort.max_calls.
template <class F>
Timing time_of(Cuda& dev, const Effort& effort, const F& call) {
  measure_scratch(dev, call);
  Stopwatch watch(dev);
  const Graph one(dev, 1, call);
  one.launch();
  const double first = watch.us([&] { one.launch(); });
  const int calls = static_cast<int>(std::clamp(effort.us / std::max(first, 0.1), 1.0, double(effort.max_calls)));
  const Graph many(dev, calls, call);
  many.launch();
  std::vector<double> us;
  for (int i = 0; i < effort.samples; ++i) us.push_back(watch.us([&] { many.launch(); }) / calls);
  Timing t = timing_of(std::move(us));
  t.nodes = one.nodes();
  return t;
}

}  // namespace tenon::bench
