// SPDX-License-Identifier: MIT
// [doc:main]
// main.cpp: compiled by g++, without a header of CUDA's.
#include <tenon/train/session.hpp>

#include <cmath>
#include <cstdio>

#include "network.hpp"

using namespace tenon;

// Images with one bright quarter each, which is the class.
std::vector<double> losses(Session<Net>& session) {
  constexpr int batch = 32, inputs = Session<Net>::inputs;
  std::vector<float> x(batch * inputs);
  std::vector<std::int32_t> labels(batch);
  for (int b = 0; b < batch; ++b) {
    labels[b] = b % 4;
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 8; ++j)
        x[b * inputs + i * 8 + j] =
            (i / 4 * 2 + j / 4 == b % 4 ? 1.0f : 0.0f) + static_cast<float>((b * i + j) % 5) / 8;
  }
  std::vector<double> losses;
  for (int step = 0; step < 8; ++step) losses.push_back(session.step(x.data(), labels.data(), batch).loss());
  return losses;
}

int main() {
  const SessionOptions options{.seed = {1}, .capacity = 32, .optimizer = Adam{1e-2}};
  const auto on_cpu = make_session<Net>(options, Cpu(0));
  const std::vector<double> expected = losses(*on_cpu);
  for (const double loss : expected) std::printf("cpu   loss %.6f\n", loss);
  if (!(expected.back() < expected.front())) return 1;

  if (const std::string problem = cuda_problem(); !problem.empty()) {
    std::printf("no GPU: %s\n", problem.c_str());
    return 0;
  }
  const auto on_gpu = make_session<Net>(options, Cuda{});
  const std::vector<double> got = losses(*on_gpu);
  for (const double loss : got) std::printf("cuda  loss %.6f\n", loss);
  for (std::size_t step = 0; step < got.size(); ++step)
    if (!(std::abs(got[step] - expected[step]) < 1e-4)) return 1;
  std::printf("they agree\n");
}
// [end]
