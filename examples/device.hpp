// Where a program computes: --device auto|cpu|cuda and --precision, made into one choice that is printed and kept.
// With CUDA or without is decided by what is linked: cuda.cu, or without_cuda.cpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <tenon/core/thread_pool.hpp>

namespace program {

struct DeviceChoice {
  bool cuda = false;
  int threads = 0;                 // of the Cpu; 0: all
  std::string precision = "fp32";  // fp32, tf32 or bf16; the Cpu has fp32 alone
  std::string why_not_cuda;        // `auto` took the Cpu in a build that has CUDA: what is missing, and what to do

  const char* name() const { return cuda ? "cuda" : "cpu"; }
  /// What bits depend on besides the device: an instruction set.
  std::string isa() const;
  /// For people: "cpu, 2 threads, isa avx2" and why_not_cuda, or the GPU's name.
  std::string describe() const;
  tenon::Cpu cpu() const { return tenon::cpu_with_threads(threads); }
};

/// `auto` is the GPU where there is one. Throws tenon::Error with what is missing and what to do about it.
DeviceChoice choose_device(const std::string& device, const std::string& precision, int threads);

/// One line of tenon-doctor; a problem's text says its cause and what to do.
struct Fact {
  std::string what, text;
  bool problem = false;
};

// Of cuda.cu or without_cuda.cpp:

/// CUDA's driver, runtime and devices, the architectures built in, cuBLAS.
std::vector<Fact> cuda_facts();

/// Whether this build has CUDA's half.
bool has_cuda();
/// Why this program computes on no GPU here, as "expected ..., got ...: what to do"; empty if it can.
std::string cuda_problem();
/// "sm_90" and "NVIDIA H100, 132 multiprocessors".
std::string cuda_architecture();
std::string cuda_description();

}  // namespace program
