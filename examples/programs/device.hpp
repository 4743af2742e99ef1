// The device on which a program computes, chosen from --device auto|cpu|cuda and --precision. Linking cuda.cu or
// without_cuda.cpp decides whether CUDA is available.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <tenon/core/thread_pool.hpp>

namespace program {

struct DeviceChoice {
  bool cuda = false;
  int threads = 1;                 // of the Cpu
  std::string precision = "fp32";  // fp32, tf32 or bf16; the Cpu supports only fp32
  std::string why_fewer_threads;   // than requested or allowed; begins with "; "
  std::string why_not_cuda;        // set if `auto` chose the Cpu in a build with CUDA: what is missing, and what to do

  const char* name() const { return cuda ? "cuda" : "cpu"; }
  /// The instruction set, on which the bits of results depend besides the device.
  std::string isa() const;
  /// A description for the user: "cpu, 2 threads, isa avx2" and what is missing, or the GPU's name.
  std::string describe() const;
  tenon::Cpu cpu() const { return tenon::Cpu(threads); }
};

/// `auto` is the GPU if there is one. `threads` applies to the Cpu; 0 means all threads that this process may use.
/// Throws tenon::Error with what is missing and what to do about it.
DeviceChoice choose_device(const std::string& device, const std::string& precision, int threads);

/// One line of tenon-doctor. The text of a problem states its cause and what to do.
struct Fact {
  std::string what, text;
  bool problem = false;
};

// Defined in cuda.cu or without_cuda.cpp:

/// CUDA's driver, runtime and devices, the architectures built in, cuBLAS.
std::vector<Fact> cuda_facts();

/// Whether this build has CUDA.
bool has_cuda();
/// Why this program cannot compute on a GPU here, as "expected ..., got ...: what to do"; empty if it can.
std::string cuda_problem();
/// "sm_90" and "NVIDIA H100, 132 multiprocessors".
std::string cuda_architecture();
std::string cuda_description();

}  // namespace program
