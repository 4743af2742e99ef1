// Training and prediction of the four networks on a GPU, compiled by nvcc, or by g++ with the stand-in of tests/simt.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <tenon/cuda.cuh>
//
#include "prediction_impl.hpp"
#include "training_impl.hpp"

namespace program {

namespace {

tenon::Cuda open(const DeviceChoice& device) {
  return tenon::Cuda(device.precision == "tf32"   ? tenon::CudaMath::tf32
                     : device.precision == "bf16" ? tenon::CudaMath::bf16
                                                  : tenon::CudaMath::fp32);
}

// The properties of a GPU, read without opening it.
cudaDeviceProp properties(int ordinal) {
  cudaDeviceProp p{};
  tenon::kernels::detail::check(cudaGetDeviceProperties(&p, ordinal), "cudaGetDeviceProperties");
  return p;
}
std::string architecture(const cudaDeviceProp& p) { return "sm_" + std::to_string(10 * p.major + p.minor); }

}  // namespace

bool has_cuda() { return true; }
std::string cuda_problem() { return tenon::kernels::cuda_problem<>(); }

std::vector<Fact> cuda_facts() {
  namespace kernels = tenon::kernels;
  std::vector<Fact> facts;
  int driver = 0, runtime = 0, count = 0;
  static_cast<void>(cudaRuntimeGetVersion(&runtime));
  static_cast<void>(cudaDriverGetVersion(&driver));
  facts.push_back({"runtime", "CUDA " + kernels::detail::driver_version_text(runtime) + ", linked in; code for " +
                                  kernels::detail::compiled_architectures()});
  if (driver != 0) facts.push_back({"driver", "for CUDA " + kernels::detail::driver_version_text(driver)});
  const std::string problem = kernels::cuda_problem<>();
  if (!problem.empty()) facts.push_back({"cuda", problem, true});
  if (cudaGetDeviceCount(&count) == cudaSuccess)
    for (int i = 0; i < count; ++i) {
      const cudaDeviceProp p = properties(i);
      char memory[32];
      std::snprintf(memory, sizeof memory, "%.0f GiB", double(p.totalGlobalMem) / (1 << 30));
      facts.push_back({"gpu " + std::to_string(i), std::string(p.name) + ", " + architecture(p) + ", " +
                                                       std::to_string(p.multiProcessorCount) + " multiprocessors, " +
                                                       memory});
    }
  const std::string cublas = kernels::cublas_problem();
  facts.push_back({"cublas", cublas.empty() ? "found" : "not used: " + cublas});
  return facts;
}

std::string cuda_architecture() { return architecture(properties(0)); }

std::string cuda_description() {
  const cudaDeviceProp p = properties(0);
  return std::string(p.name) + ", " + std::to_string(p.multiProcessorCount) + " multiprocessors";
}

std::unique_ptr<tenon::AnySession> make_cuda_training(const std::string& model, const tenon::SessionOptions& options,
                                                      const DeviceChoice& device) {
  return make_training_on(open(device), model, options);
}

Outputs predict_on_cuda(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info,
                        const DeviceChoice& device) {
  return predict_on(open(device), file, set, info);
}

}  // namespace program
