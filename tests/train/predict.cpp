// tests/train/predict.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include <sys/wait.h>
#include <unistd.h>
#include <tenon/core/device.hpp>

#include <cstdlib>

using Device = tenon::Cpu;
#include "train/predict.hpp"

TEST_CASE("predict: predictors of several threads share one pool") {
  Made model(Seed{4}, 16, Cpu{});
  const auto weights = load(bytes_of_a_trained(model));
  std::vector<float> x(16 * 128);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 31 % 23) / 11 - 1;
  auto reference = predictor(weights, 16);
  const auto y = reference(x.data(), 16);
  const Cpu dev(3);
  std::vector<std::thread> threads;
  std::vector<int> wrong(3);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      Predictor<Net> predict(weights, 16, dev);
      for (int i = 0; i < 100; ++i)
        wrong[t] += std::memcmp(predict(x.data(), 16).data(), y.data(), y.size_bytes()) != 0;
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == std::vector<int>(3));
}

TEST_CASE("predict: a child of fork() predicts with the threads' pool of its parent") {
  Made model(Seed{4}, 16, Cpu{});
  const auto weights = load(bytes_of_a_trained(model));
  const std::vector<float> x(16 * 128, 0.3f);
  Predictor<Net> predict(weights, 16, Cpu(3));
  const auto y = predict(x.data(), 16);
  const std::vector<float> want(y.begin(), y.end());
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(60);
    const bool same = std::memcmp(predict(x.data(), 16).data(), want.data(), want.size() * sizeof(float)) == 0;
    std::_Exit(same ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
}
