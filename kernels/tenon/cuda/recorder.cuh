// Records launches as CUDA graphs. Also the parts of a recorded step other than layers, loss and optimizer.
//   capture(dev, f)                       records the launches of f() as a graph; nothing runs
//   replay(dev, graph)                    runs the graph in one launch
// For the steps of a training, or the batches of an evaluation:
//   record(dev, r, key, steps, body)      records body() for each step; nothing runs
//   begin(dev, r)                         copies r.host to the device
//   replay(dev, r, key, steps)            runs all of the steps in one launch
//   finish(dev, r)                        waits, and copies the device's EpochState to r.host
// Called inside body(). `step` is the StepState in device memory, `sums` the sums of the last loss:
//   keep_states(dev, step, from, to, n)   to = from, unless stopped: the statistics of BatchNorm before the step
//   add_micro_batch(dev, r, step, sums, batch)
//                                         adds the sums of a micro-batch, and advances to the samples of the next one
//   check_and_clip(dev, r, step, sums, gradients, clip_norm, unusual, micro, samples)
//                                         stops if loss or gradient is not finite, or the update is unusual; else sets the
//                                         scale of the gradient, and goes back to the first of the update's samples
//   next_step(dev, r, step, sums, samples, micro)
//                                         adds the sums of the loss, and advances to the next step, unless stopped
//   add_evaluated(dev, r, step, sums, batch)
//                                         adds the sums of the loss, and advances to the next batch
// After a stop, recorded steps still run but change no parameters, no optimizer buffers and no running statistics.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "tenon/core/step_state.hpp"
#include "tenon/cuda/launch.cuh"
#include "tenon/cuda/reduce.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

namespace cuda {

inline constexpr unsigned stopped_not_finite = 1, stopped_unusual = 2;  // StepState::stopped

template <class T>
__global__ void keep_states_copy(const StepState* step, const T* from, T* to, std::size_t n) {
  const std::size_t i = global_thread();
  if (i < n && step->stopped == 0) to[i] = from[i];
}

/// Called by the one thread that has the squared norm of the gradient. `unusual` bounds learning rate * (1 + norm). The
/// host performs a larger update, on probation (train/guard.hpp).
struct CheckNorm {
  EpochState* control;
  StepState* step;
  const LossSums* sums;
  double clip_norm, unusual;
  bool divide;            // by the total weight of the micro-batches
  std::uint64_t counted;  // samples by which micro_batch_add has advanced

  __device__ void operator()(double squared) const {
    StepState& s = *step;
    if (s.stopped != 0) return;
    s.first_sample -= counted;
    const double infinity = __longlong_as_double(0x7ff0000000000000LL);
    const double weight = divide && sums->weight_sum > 0 ? sums->weight_sum : 1, share = 1 / weight;
    squared = squared * share * share;
    if (!(squared < infinity) || !(fabs(sums->loss_sum) < infinity)) {
      s.stopped = stopped_not_finite;
      control->stopped_at = s.step;
      return;
    }
    const double norm = sqrt(squared), clip = clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1;
    s.gradient_scale = share * clip;
    if (!(s.learning_rate * (1 + norm * clip) < unusual)) {
      s.stopped = stopped_unusual;
      control->stopped_at = s.step;
    }
  }
};

__device__ __forceinline__ void add_sums(LossSums& to, const LossSums& sums) {
  to.loss_sum += sums.loss_sum;
  to.weight_sum += sums.weight_sum;
  to.correct += sums.correct;
  to.count += sums.count;
}

template <class Control>
__global__ void micro_batch_add(Control* control, StepState* step, const LossSums* sums, unsigned batch) {
  add_sums(control->micro_sums, *sums);
  if (step->stopped == 0) step->first_sample += batch;
}

template <class Control>
__global__ void step_advance(Control* control, StepState* step, const LossSums* sums, std::uint64_t samples,
                             bool micro) {
  const LossSums of_step = micro ? control->micro_sums : *sums;
  control->micro_sums = LossSums{};
  if (step->stopped != 0) return;
  step->step += 1;
  step->first_sample += samples;
  step->learning_rate = control->learning_rates[step->step - control->first_step];
  add_sums(control->sums, of_step);
}

template <class Control>
__global__ void evaluated_add(Control* control, StepState* step, const LossSums* sums, unsigned batch) {
  step->first_sample += batch;
  add_sums(control->sums, *sums);
}

}  // namespace cuda

/// Runs f() with launches that do nothing, and reserves the scratch memory that f() takes.
template <class F>
void measure_scratch(Cuda& dev, F&& f) {
  CudaState& s = dev.state();
  struct Measuring {
    CudaState& s;
    explicit Measuring(CudaState& state) : s(state) { s.measuring = true, s.scratch_max = 0; }
    ~Measuring() { s.measuring = false; }
  };
  {
    const Measuring measuring(s);
    f();
  }
  cuda::ScratchAllocator::reserve(s, s.scratch_max);
}

/// Records `times` calls of f(). First measures and reserves scratch memory. f() must not take more while recording.
template <class F>
CudaGraph capture(Cuda& dev, F&& f, int times = 1) {
  measure_scratch(dev, f);
  const OnGpu on(dev);
  CudaState& s = dev.state();
  struct Recording {
    CudaState& s;
    explicit Recording(CudaState& state) : s(state) { s.scratch_fixed = s.scratch_recorded = true; }
    ~Recording() { s.scratch_fixed = false; }
  } recording(s);
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
  // Upload now. Otherwise the first launch would allocate.
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

template <class F>
void Replay<Cuda>::record(Cuda& dev, F&& f) {
  graph_ = capture(dev, std::forward<F>(f));
}
template <class F>
void Replay<Cuda>::run(Cuda& dev, F&&) {
  replay(dev, graph_);
}

template <class Body>
void record(Cuda& dev, CudaRecorder& r, const RecordingKey& key, int steps, Body&& body) {
  r.graphs.push_back({key, steps, capture(dev, body, steps)});
}

/// Null if there is no such recording.
inline const CudaRecorder::Recording* find_recorded(const CudaRecorder& r, const RecordingKey& key, int steps) {
  for (const CudaRecorder::Recording& g : r.graphs)
    if (g.key == key && g.steps == steps) return &g;
  return nullptr;
}

inline void begin(Cuda& dev, CudaRecorder& r) {
  upload(dev, static_cast<const EpochState*>(&r.host), r.control.data(), 1);
}

inline void replay(Cuda& dev, CudaRecorder& r, const RecordingKey& key, int steps) {
  const CudaRecorder::Recording* const g = find_recorded(r, key, steps);
  if (!g)
    throw Error("cuda", "expected steps that were recorded, got " + std::to_string(steps) + " of " +
                            std::to_string(key.samples) + " samples");
  replay(dev, g->graph);
}

inline void finish(Cuda& dev, CudaRecorder& r) {
  download(dev, static_cast<const EpochState*>(r.control.data()), &r.host, 1);
}

template <class T>
void keep_states(Cuda& dev, CudaPointer<const StepState> step, const T* from, T* to, std::size_t n) {
  cuda::launch(dev, "keep_states_copy", cuda::keep_states_copy<T>, {cuda::blocks_for(n, 256)}, {256}, 0, step.get(),
               from, to, n);
}

inline void add_micro_batch(Cuda& dev, CudaRecorder& r, StepState* step, const LossSums* sums, int batch) {
  cuda::launch(dev, "micro_batch_add", cuda::micro_batch_add<EpochState>, {1}, {1}, 0, r.control.data(), step, sums,
               static_cast<unsigned>(batch));
}

template <class T>
void check_and_clip(Cuda& dev, CudaRecorder& r, StepState* step, const LossSums* sums, Span<const T> gradients,
                    double clip_norm, double unusual, bool micro, std::uint64_t samples) {
  sum_of_squares_then(dev, gradients,
                      cuda::CheckNorm{r.control.data(), step, micro ? &r.control.data()->micro_sums : sums, clip_norm,
                                      unusual, micro, micro ? samples : 0});
}

inline void next_step(Cuda& dev, CudaRecorder& r, StepState* step, const LossSums* sums, std::uint64_t samples,
                      bool micro) {
  cuda::launch(dev, "step_advance", cuda::step_advance<EpochState>, {1}, {1}, 0, r.control.data(), step, sums, samples,
               micro);
}

inline void add_evaluated(Cuda& dev, CudaRecorder& r, StepState* step, const LossSums* sums, int batch) {
  cuda::launch(dev, "evaluated_add", cuda::evaluated_add<EpochState>, {1}, {1}, 0, r.control.data(), step, sums,
               static_cast<unsigned>(batch));
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
