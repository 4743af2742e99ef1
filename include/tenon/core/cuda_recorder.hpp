// CUDA graphs as the host sees them: recorded steps of an epoch, and the replay of one function. No CUDA headers; the
// functions that are only declared are in kernels/tenon/cuda/recorder.cuh.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "tenon/core/cuda_memory.hpp"
#include "tenon/core/device.hpp"
#include "tenon/core/epoch_state.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

class Cuda;  // core/cuda.hpp

/// Launches that were captured once and are replayed as one (kernels/tenon/cuda/recorder.cuh); null: none.
using CudaGraph = std::shared_ptr<void>;

/// CUDA graphs of training steps, or of the batches of an evaluation, and the EpochState that they share.
class CudaRecorder {
 public:
  explicit CudaRecorder(const Cuda& dev);

  void clear() { graphs.clear(); }

  CudaBuffer<EpochState> control;  // in memory of the GPU
  EpochState host;
  struct Recording {
    RecordingKey key;
    int steps;
    CudaGraph graph;
  };
  std::vector<Recording> graphs;
};

/// Launches of one function as a CUDA graph. recorder.cuh defines the members.
template <>
class Replay<Cuda> {
 public:
  template <class F>
  void record(Cuda& dev, F&& f);
  template <class F>
  void run(Cuda& dev, F&& f);

 private:
  CudaGraph graph_;
};

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
