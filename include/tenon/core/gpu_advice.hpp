// Advice for a program that finds no usable GPU, from the environment and from CUDA's error number. This header does not
// need CUDA.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "tenon/core/container.hpp"

namespace tenon::detail {

/// The environment on which the advice depends. Variables that are not set are null.
struct GpuEnvironment {
  const char* cuda_visible_devices = nullptr;
  const char* nvidia_visible_devices = nullptr;
  const char* nvidia_driver_capabilities = nullptr;
  const char* container = nullptr;
  bool in_container = false;

  static GpuEnvironment current() {
    return {std::getenv("CUDA_VISIBLE_DEVICES"), std::getenv("NVIDIA_VISIBLE_DEVICES"),
            std::getenv("NVIDIA_DRIVER_CAPABILITIES"), std::getenv("container"), tenon::in_container()};
  }

  std::string start_with_gpus() const {
    return container && std::string_view(container) == "podman" ? "start the container with --device nvidia.com/gpu=all"
                                                                : "start the container with --gpus all";
  }
  /// True if NVIDIA_VISIBLE_DEVICES tells NVIDIA's container runtime to provide no GPU. Other values name GPUs.
  bool runtime_gives_none() const {
    if (!in_container || !nvidia_visible_devices) return false;
    const std::string_view value = nvidia_visible_devices;
    return value.empty() || value == "none" || value == "void";
  }
  std::string runtime_advice() const {
    return std::string("NVIDIA_VISIBLE_DEVICES is \"") + nvidia_visible_devices +
           "\", which gives this container no GPU: set it to all, and " + start_with_gpus();
  }
};

/// What to do if libcuda, a part of NVIDIA's driver, is not found.
inline std::string no_driver_advice(const GpuEnvironment& e) {
  if (!e.in_container) return "install it (nvidia-smi must work), or use --device cpu";
  if (e.runtime_gives_none()) return e.runtime_advice();
  const std::string_view capabilities = e.nvidia_driver_capabilities ? e.nvidia_driver_capabilities : "";
  if (!capabilities.empty() && capabilities.find("compute") == std::string_view::npos &&
      capabilities.find("all") == std::string_view::npos)
    return "NVIDIA_DRIVER_CAPABILITIES is \"" + std::string(capabilities) +
           "\", which leaves CUDA out: set it to compute,utility";
  return e.start_with_gpus();
}

/// What to do if the driver is installed and reports no GPU.
inline std::string no_gpu_advice(const GpuEnvironment& e) {
  if (e.runtime_gives_none()) return e.runtime_advice();
  if (e.cuda_visible_devices)
    return std::string("CUDA_VISIBLE_DEVICES is \"") + e.cuda_visible_devices +
           "\", which hides the GPUs: unset it, or name one that nvidia-smi -L lists";
  return e.in_container ? e.start_with_gpus() : "look at nvidia-smi";
}

/// What to do if CUDA cannot start. `error` is the number of a cudaError_t.
inline std::string gpu_error_advice(int error, const GpuEnvironment& e) {
  switch (error) {
    case 3:    // cudaErrorInitializationError
    case 304:  // cudaErrorOperatingSystem
    case 999:  // cudaErrorUnknown
      return e.in_container
                 ? "the container may lack a device of the driver (/dev/nvidia-uvm): " + e.start_with_gpus() +
                       ", and see that nvidia-smi works on the host"
                 : "load the driver's modules again (sudo modprobe nvidia_uvm), or restart the machine";
    case 34:  // cudaErrorStubLibrary
      return "the toolkit's stub of libcuda was found in place of the driver's: remove the folder stubs from "
             "LD_LIBRARY_PATH";
    case 36:  // cudaErrorCallRequiresNewerDriver
      return "update NVIDIA's driver";
    case 46:  // cudaErrorDevicesUnavailable
      return "see which process has the GPU for itself (nvidia-smi -q -d COMPUTE), or use --device cpu";
    case 101:  // cudaErrorInvalidDevice
      return "look at nvidia-smi -L and at CUDA_VISIBLE_DEVICES";
    case 802:  // cudaErrorSystemNotReady
      return "start NVIDIA's fabric manager (systemctl status nvidia-fabricmanager)";
    case 803:  // cudaErrorSystemDriverMismatch
      return e.in_container
                 ? "the driver's library in this container is not of the version that the host's kernel runs: "
                   "start the container anew; if it was built with a driver or has cuda-compat, remove them; "
                   "after an update of the driver restart the host"
                 : "restart the machine: its driver was updated, and the kernel still runs the old one";
    case 804:  // cudaErrorCompatNotSupportedOnDevice
      return std::string("this GPU does not support forward compatibility (cuda-compat): update NVIDIA's driver") +
             (e.in_container ? " on the host, or use an image of an older CUDA (--build-arg CUDA_VERSION=...)"
                             : ", or remove /usr/local/cuda/compat from LD_LIBRARY_PATH");
    case 805:  // cudaErrorMpsConnectionFailed
    case 806:  // cudaErrorMpsRpcFailure
    case 807:  // cudaErrorMpsServerNotReady
    case 808:  // cudaErrorMpsMaxClientsReached
    case 809:  // cudaErrorMpsMaxConnectionsReached
      return "look at NVIDIA's MPS daemon (nvidia-cuda-mps-control), or stop it";
    default: return "look at nvidia-smi and dmesg, or use --device cpu";
  }
}

}  // namespace tenon::detail
