// SPDX-License-Identifier: MIT
#include "device.hpp"

#include <tenon/core/error.hpp>
#include <tenon/core/os.hpp>

#include "program.hpp"

namespace program {

DeviceChoice choose_device(const std::string& device, const std::string& precision, int threads) {
  DeviceChoice choice{false, threads, precision, {}};
  if (device != "cpu") {
    const std::string problem = cuda_problem();
    if (device == "cuda" && !problem.empty()) throw tenon::Error("device", problem);
    choice.cuda = problem.empty();
    if (has_cuda()) choice.why_not_cuda = problem;
  }
  if (!choice.cuda && precision != "fp32")
    throw UsageError("--precision fp32 on the cpu",
                     "\"" + precision + "\"" + (choice.why_not_cuda.empty() ? "" : "; cuda: " + choice.why_not_cuda));
  return choice;
}

// What a Cpu would have is known without making one, and its threads.
std::string DeviceChoice::isa() const { return cuda ? cuda_architecture() : tenon::name(tenon::choose_isa()); }

std::string DeviceChoice::describe() const {
  if (cuda) return "cuda, " + cuda_description() + ", " + precision;
  const int n = threads > 0 ? threads : tenon::allowed_threads();
  return "cpu, " + std::to_string(n) + (n == 1 ? " thread" : " threads") + ", isa " + isa() +
         (why_not_cuda.empty() ? "" : "; cuda: " + why_not_cuda);
}

}  // namespace program
