// Recording launches as CUDA graphs, and what a recorded step is made of besides layers, loss and optimizer.
//   capture(dev, f)                      what f() launches, as a graph; nothing runs
//   replay(dev, graph)                   runs it, in one launch
// of the steps of a training, or the batches of an evaluation:
//   record(dev, r, batch, steps, body)   body() for each step while the stream records; nothing runs
//   begin(dev, r)                        r.host to the device: where the next steps stand, and their learning rates
//   replay(dev, r, batch, steps)         one launch for all of the steps
//   finish(dev, r)                       waits; the device's control block in r.host
// and inside of body(), where the loss leaves its sums in the control block:
//   keep_states(dev, r, from, to, n)     to = from, unless stopped: BatchNorm's statistics as they are before the step
//   judge(dev, r, gradients, clip, ...)  loss and gradient: stops where one is not finite or the update is unusual; clips
//   advance(dev, r, batch)               adds the loss's sums, and on to the next step; unless stopped
//   add_sums(dev, r)                     adds the loss's sums
// Once stopped, steps run on but change neither parameters nor the optimizer's buffers; the host takes it from there.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "tenon/core/arguments.hpp"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/reduce.cuh"

namespace tenon::kernels {

namespace cuda {

inline constexpr int stopped_not_finite = 1, stopped_unusual = 2;

template <class T>
__global__ void keep_states_copy(const CudaControl* control, const T* from, T* to, std::size_t n) {
  const std::size_t i = global_thread();
  if (i < n && control->cursor.stopped == 0) to[i] = from[i];
}

/// What the thread does that has the gradient's squared norm. `unusual` is the bound of the trainer on lr (1 + norm), beyond
/// which an update is made on probation.
struct JudgeNorm {
  CudaControl* control;
  double clip_norm, unusual;

  __device__ void operator()(double squared) const {
    CudaCursor& c = control->cursor;
    if (c.stopped != 0) return;
    const double loss = control->batch_sums.loss_sum / control->batch_sums.weight_sum;
    const double infinity = __longlong_as_double(0x7ff0000000000000LL);
    if (!(squared < infinity) || !(fabs(loss) < infinity)) {
      c.stopped = stopped_not_finite, c.stopped_at = c.step;
      return;
    }
    const double norm = sqrt(squared);
    c.grad_scale = clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1;
    if (!(c.learning_rate * (1 + norm * c.grad_scale) < unusual)) c.stopped = stopped_unusual, c.stopped_at = c.step;
  }
};

__device__ __forceinline__ void add_batch_sums(CudaControl* control) {
  LossSums& sums = control->sums;
  const LossSums& batch_sums = control->batch_sums;
  sums.loss_sum += batch_sums.loss_sum;
  sums.weight_sum += batch_sums.weight_sum;
  sums.correct += batch_sums.correct;
  sums.count += batch_sums.count;
}

template <class Control>
__global__ void advance_cursor(Control* control, unsigned batch) {
  CudaCursor& c = control->cursor;
  if (c.stopped != 0) return;
  c.step += 1;
  c.first_sample += batch;
  c.learning_rate = control->rates[c.step - control->rates_from];
  add_batch_sums(control);
}

template <class Control>
__global__ void sums_add(Control* control) {
  add_batch_sums(control);
}

}  // namespace cuda

/// Runs f() with launches that do nothing, and reserves the scratch memory that it asked for.
template <class F>
void measure_scratch(Cuda& dev, F&& f) {
  CudaState& s = dev.state();
  struct Measuring {
    CudaState& s;
    explicit Measuring(CudaState& state) : s(state) { s.measuring = true, s.scratch_most = 0; }
    ~Measuring() { s.measuring = false; }
  };
  {
    const Measuring measuring(s);
    f();
  }
  cuda::Scratch::reserve(s, s.scratch_most);
}

/// f(), so many times. It may take the scratch memory that is there once it was measured, and no more. While it is recorded,
/// kernels are told of `control`, if given.
template <class F>
CudaGraph capture(Cuda& dev, F&& f, int times = 1, CudaControl* control = nullptr) {
  measure_scratch(dev, f);
  const OnGpu on(dev);
  CudaState& s = dev.state();
  struct Recording {
    CudaState& s;
    Recording(CudaState& state, CudaControl* control) : s(state) {
      if (control) s.cursor = &control->cursor, s.loss_sums = &control->batch_sums;
      s.scratch_fixed = s.scratch_recorded = true;
    }
    ~Recording() { s.cursor = nullptr, s.loss_sums = nullptr, s.scratch_fixed = false; }
  } recording(s, control);
  wait(dev);
  detail::check(cudaStreamBeginCapture(s.stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    for (int i = 0; i < times; ++i) f();
  } catch (...) {
    if (cudaStreamEndCapture(s.stream, &graph) == cudaSuccess && graph) static_cast<void>(cudaGraphDestroy(graph));
    static_cast<void>(cudaGetLastError());
    throw;
  }
  detail::check(cudaStreamEndCapture(s.stream, &graph), "cudaStreamEndCapture", s.last_kernel);
  cudaGraphExec_t exec = nullptr;
  const cudaError_t e = cudaGraphInstantiate(&exec, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  detail::check(e, "cudaGraphInstantiate", s.last_kernel);
  CudaGraph made(exec, [](void* p) { static_cast<void>(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(p))); });
  // Now, and not when it is launched first, which would allocate then.
  detail::check(cudaGraphUpload(exec, s.stream), "cudaGraphUpload");
  wait(dev);
  return made;
}

inline void replay(Cuda& dev, const CudaGraph& graph) {
  const OnGpu on(dev);
  dev.state().last_kernel = "of recorded steps";
  detail::check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph.get()), dev.state().stream), "cudaGraphLaunch",
                dev.state().last_kernel);
}

template <class Body>
void record(Cuda& dev, CudaRecorder& r, int batch, int steps, Body&& body) {
  r.graphs.push_back({batch, steps, capture(dev, body, steps, r.control.data())});
}

/// Null if that was not recorded.
inline const CudaRecorder::Graph* find_recorded(const CudaRecorder& r, int batch, int steps) {
  for (const CudaRecorder::Graph& g : r.graphs)
    if (g.batch == batch && g.steps == steps) return &g;
  return nullptr;
}

inline void begin(Cuda& dev, CudaRecorder& r) { upload(dev, &r.host, r.control.data(), 1); }

inline void replay(Cuda& dev, CudaRecorder& r, int batch, int steps) {
  const CudaRecorder::Graph* const g = find_recorded(r, batch, steps);
  if (!g)
    throw Error("cuda", "expected steps that were recorded, got " + std::to_string(steps) + " of " +
                            std::to_string(batch) + " samples");
  replay(dev, g->graph);
}

inline void finish(Cuda& dev, CudaRecorder& r) { download(dev, r.control.data(), &r.host, 1); }

template <class T>
void keep_states(Cuda& dev, CudaRecorder& r, const T* from, T* to, std::size_t n) {
  cuda::launch(dev, "keep_states_copy", cuda::keep_states_copy<T>, {cuda::blocks_for(n, 256)}, {256}, 0,
               r.control.data(), from, to, n);
}

template <class T>
void judge(Cuda& dev, CudaRecorder& r, Span<const T> gradients, double clip_norm, double unusual) {
  sum_of_squares_then(dev, gradients, cuda::JudgeNorm{r.control.data(), clip_norm, unusual});
}

inline void advance(Cuda& dev, CudaRecorder& r, int batch) {
  cuda::launch(dev, "advance_cursor", cuda::advance_cursor<CudaControl>, {1}, {1}, 0, r.control.data(),
               static_cast<unsigned>(batch));
}

inline void add_sums(Cuda& dev, CudaRecorder& r) {
  cuda::launch(dev, "sums_add", cuda::sums_add<CudaControl>, {1}, {1}, 0, r.control.data());
}

}  // namespace tenon::kernels
