// The advice if no GPU can be used, by environment and error.
// SPDX-License-Identifier: MIT
#include "tenon/core/gpu_advice.hpp"

#include "catch.hpp"

using namespace tenon::detail;

namespace {
const GpuEnvironment bare, docker{nullptr, nullptr, nullptr, "docker", true},
    podman{nullptr, nullptr, nullptr, "podman", true};
}  // namespace

TEST_CASE("a container without driver or GPU is started with one") {
  CHECK(no_driver_advice(docker) == "start the container with --gpus all");
  CHECK(no_driver_advice(podman) == "start the container with --device nvidia.com/gpu=all");
  CHECK(no_gpu_advice(docker) == "start the container with --gpus all");
  CHECK_THAT(no_driver_advice(bare), StartsWith("install it"));
  CHECK(no_gpu_advice(bare) == "look at nvidia-smi");
}

TEST_CASE("GPUs hidden by CUDA_VISIBLE_DEVICES: the variable is named") {
  for (GpuEnvironment e : {bare, docker, podman})
    for (const char* value : {"", "-1", "7", "GPU-11111111-2222-3333-4444-555555555555"}) {
      e.cuda_visible_devices = value;
      CHECK(no_gpu_advice(e) == std::string("CUDA_VISIBLE_DEVICES is \"") + value +
                                    "\", which hides the GPUs: unset it, or name one that nvidia-smi -L lists");
      CHECK(no_driver_advice(e).find("CUDA_VISIBLE_DEVICES") == std::string::npos);
    }
}

TEST_CASE("GPUs that the container runtime was told not to give: the variable is named") {
  GpuEnvironment e = docker;
  for (const char* value : {"none", "void", ""}) {
    e.nvidia_visible_devices = value;
    const std::string expected =
        std::string("NVIDIA_VISIBLE_DEVICES is \"") + value +
        "\", which gives this container no GPU: set it to all, and start the container with --gpus all";
    CHECK(no_gpu_advice(e) == expected);
    CHECK(no_driver_advice(e) == expected);
  }
  e.nvidia_visible_devices = "all";
  CHECK(no_driver_advice(e) == "start the container with --gpus all");
  e.nvidia_driver_capabilities = "utility";
  CHECK_THAT(no_driver_advice(e), StartsWith("NVIDIA_DRIVER_CAPABILITIES is \"utility\", which leaves CUDA out"));
  for (const char* value : {"compute,utility", "all", ""}) {
    e.nvidia_driver_capabilities = value;
    CHECK(no_driver_advice(e) == "start the container with --gpus all");
  }
  GpuEnvironment outside = bare;  // outside a container the variable has no effect
  outside.nvidia_visible_devices = "none";
  CHECK(no_gpu_advice(outside) == "look at nvidia-smi");
}

TEST_CASE("errors of CUDA's start have advice of their own") {
  CHECK_THAT(gpu_error_advice(804, docker),
             ContainsSubstring("update NVIDIA's driver on the host") && ContainsSubstring("CUDA_VERSION"));
  CHECK_THAT(gpu_error_advice(804, bare), ContainsSubstring("LD_LIBRARY_PATH"));
  CHECK_THAT(gpu_error_advice(803, docker), ContainsSubstring("start the container anew"));
  CHECK_THAT(gpu_error_advice(803, bare), StartsWith("restart the machine"));
  CHECK_THAT(gpu_error_advice(802, docker), ContainsSubstring("fabric manager"));
  CHECK_THAT(gpu_error_advice(806, bare), ContainsSubstring("MPS"));
  CHECK_THAT(gpu_error_advice(34, bare), ContainsSubstring("stub"));
  CHECK_THAT(gpu_error_advice(999, bare), ContainsSubstring("nvidia_uvm"));
  CHECK_THAT(gpu_error_advice(304, docker), ContainsSubstring("/dev/nvidia-uvm"));
  CHECK_THAT(gpu_error_advice(214, docker), StartsWith("look at nvidia-smi and dmesg"));
}
