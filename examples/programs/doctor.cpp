// tenon-doctor: prints what this machine or container offers for training, and the cause and fix of each problem.
//   tenon-doctor                   prints the facts
//   tenon-doctor --device cuda     exit status 1 if training on the GPU could not start
// SPDX-License-Identifier: MIT
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <tenon/core/container.hpp>
#include <tenon/core/isa.hpp>
#include <tenon/core/resources.hpp>
#include <tenon/data/images.hpp>

#include "device.hpp"
#include "program.hpp"

using namespace tenon;

namespace {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      const auto colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  return "a processor without a name";
}

void say(const std::string& what, const std::string& text) { std::printf("%-10s %s\n", what.c_str(), text.c_str()); }

int doctor(int argc, char** argv) {
  program::Options options("tenon-doctor",
                           "Says what this machine offers for training, and for each problem its cause and cure.\n"
                           "Each flag has an environment variable, in brackets; flags win.");
  options.add("--device", "auto|cpu|cuda", "auto", "What is wanted; cuda: exit status 1 where a GPU cannot be used");
  options.add("--data", "DIR|fashion-mnist|mnist", "fashion-mnist", "The data set to look for");
  if (!options.parse(argc, argv)) return 0;
  const std::string wanted = options.one_of("--device", {"auto", "cpu", "cuda"});

  int problems = 0;
  const auto problem = [&](const std::string& what, const std::string& text) {
    ++problems;
    say(what, "problem: " + text);
  };
  say("tenon", std::to_string(TENON_VERSION_MAJOR) + "." + std::to_string(TENON_VERSION_MINOR) + "." +
                   std::to_string(TENON_VERSION_PATCH));
  say("cpu", processor() + ", " + std::to_string(allowed_threads()) + " of " +
                 std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + " processors allowed");
  if (const program::DeviceChoice cpu = program::choose_device("cpu", "fp32", 0); !cpu.why_fewer_threads.empty())
    problem("threads", "expected " + std::to_string(allowed_threads()) + " threads, got " +
                           std::to_string(cpu.threads) + cpu.why_fewer_threads);
  const Isa isa = choose_isa();
  if (isa == Isa::portable)
    say("isa", "portable: without AVX2 and FMA training takes several times as long");
  else
    say("isa", name(isa));
  using tenon::detail::memory_text;
  struct sysinfo memory {};
  if (::sysinfo(&memory) == 0) {
    const std::uint64_t unit = memory.mem_unit, allowed = allowed_memory();
    say("memory", memory_text(allowed) + " allowed of " + memory_text((memory.totalram + memory.totalswap) * unit) +
                      ", " + memory_text((memory.freeram + memory.bufferram) * unit) + " free");
    if (allowed < (std::uint64_t{9} << 30) / 10)
      problem("memory", "expected at least 1 GiB, got " + memory_text(allowed) +
                            ": raise the container's limit (--memory), or use a smaller --batch");
  }
  say("container", in_container() ? "yes" : "no");

  for (const program::Fact& fact : program::cuda_facts()) {
    if (fact.problem && wanted != "cpu")
      problem(fact.what, fact.text);
    else
      say(fact.what, fact.text);
  }
  const std::string no_gpu = program::cuda_problem();
  say("device", wanted == "cpu" ? "cpu" : no_gpu.empty() ? "cuda" : "cpu, since cuda cannot be used here");

  try {
    const std::string folder = find_dataset(options.text("--data"));
    say("data", options.text("--data") + " in " + folder);
  } catch (const Error& e) {
    problem("data", e.what());
  }
  if (::access(".", W_OK) != 0)
    problem("folder", "expected a folder that models can be saved in, got one that is read-only: give --out");
  say("verdict", problems == 0 ? "no problem" : std::to_string(problems) + (problems == 1 ? " problem" : " problems"));
  return wanted == "cuda" && !no_gpu.empty() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) { return program::run("tenon-doctor", doctor, argc, argv); }
