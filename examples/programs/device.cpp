// SPDX-License-Identifier: MIT
#include "device.hpp"

#include <tenon/core/container.hpp>
#include <tenon/core/error.hpp>
#include <tenon/core/resources.hpp>

#include "program.hpp"

namespace program {

DeviceChoice choose_device(const std::string& device, const std::string& precision, int threads) {
  DeviceChoice choice;
  choice.precision = precision;
  if (device != "cpu") {
    const std::string problem = cuda_problem();
    if (device == "cuda" && !problem.empty()) throw tenon::Error("device", problem);
    choice.cuda = problem.empty();
    if (has_cuda()) choice.why_not_cuda = problem;
  }
  if (!choice.cuda && precision != "fp32")
    throw UsageError("--precision fp32 on the cpu",
                     "\"" + precision + "\"" + (choice.why_not_cuda.empty() ? "" : "; cuda: " + choice.why_not_cuda));
  if (!choice.cuda) {
    // Starts the threads before any work to find out their number: a container engine or a limit may allow fewer.
    const int wanted = threads > 0 ? threads : tenon::allowed_threads();
    choice.threads = tenon::Cpu(threads).threads();
    if (choice.threads < wanted)
      choice.why_fewer_threads = "; the system does not start the other " + std::to_string(wanted - choice.threads) +
                                 (tenon::in_container() ? ": raise the container's limit on processes, or update the "
                                                          "engine (Docker 20.10.10 or newer allows clone3)"
                                                        : ": see ulimit -u");
  }
  return choice;
}

std::string DeviceChoice::isa() const { return cuda ? cuda_architecture() : tenon::name(tenon::choose_isa()); }

std::string DeviceChoice::describe() const {
  if (cuda) return "cuda, " + cuda_description() + ", " + precision;
  return "cpu, " + std::to_string(threads) + (threads == 1 ? " thread" : " threads") + ", isa " + isa() +
         why_fewer_threads + (why_not_cuda.empty() ? "" : "; cuda: " + why_not_cuda);
}

}  // namespace program
