// The four networks on a GPU: trainers and predictions, for nvcc, or for g++ with the stand-in of tests/simt.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>
//
#include "prediction_of.hpp"
#include "training_of.hpp"

namespace program {

namespace {

tenon::Cuda open(const DeviceChoice& device) {
  return tenon::Cuda(device.precision == "tf32"   ? tenon::CudaMath::tf32
                     : device.precision == "bf16" ? tenon::CudaMath::bf16
                                                  : tenon::CudaMath::fp32);
}

}  // namespace

std::string cuda_problem() { return tenon::kernels::cuda_problem<>(); }

std::string cuda_architecture() { return "sm_" + std::to_string(tenon::Cuda().state().capability); }

std::string cuda_description() {
  const tenon::Cuda dev;
  return dev.state().name + ", " + std::to_string(dev.state().multiprocessors) + " multiprocessors";
}

std::unique_ptr<Training> make_cuda_training(const TrainingOptions& options, const DeviceChoice& device) {
  return make_training_on(open(device), options);
}

Outputs predict_on_cuda(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info,
                        const DeviceChoice& device) {
  return predict_on(
      [&] {
        tenon::Cuda dev = open(device);
        dev.state().allow_cublas = false;  // one program, small, that needs no library
        return dev;
      },
      file, set, info);
}

}  // namespace program
