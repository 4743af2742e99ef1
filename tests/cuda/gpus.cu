// The GPU of a device, and the messages if there is no usable GPU.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>
#include <tenon/tenon.hpp>

#include <cstdlib>
#include <thread>

#include "cuda/support.hpp"
#include "files.hpp"
#include "train/small_images.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

using Net = Sequential<Input<1, 8, 8>, Conv2d<4, Kernel<3>>, BatchNorm<>, ReLU, Flatten, Linear<4>>;

int current() {
  int gpu = -1;
  REQUIRE(cudaGetDevice(&gpu) == cudaSuccess);
  return gpu;
}
int home_of(const void* p) {
  cudaPointerAttributes a{};
  REQUIRE(cudaPointerGetAttributes(&a, p) == cudaSuccess);
  return a.device;
}

/// Trains two epochs on that GPU. Returns the weights and the predictions for the first three images.
std::vector<float> train_on(int gpu, const ImageData& data, const std::vector<float>& x, const std::string& path) {
  Model<Net, Cuda> model(Seed{5}, 8, Cuda(gpu));
  Trainer trainer(model, AdamW{}, CrossEntropy{},
                  {.schedule = Schedule::one_cycle(20), .clip_norm = 1.0, .steps_per_launch = 4});
  trainer.prepare(data);
  for (int epoch = 0; epoch < 2; ++epoch) {
    trainer.epoch(data);
    static_cast<void>(trainer.evaluate(data));
  }
  trainer.step(x.data(), std::vector<std::int32_t>{0, 1, 2}.data(), 3);
  std::vector<float> result(model.parameters().size);
  download(model.device(), model.parameters().data, result.data(), result.size());
  save_model(path, model);
  Predictor<Net, Cuda> predict(Weights<Net, Cuda>::load(path, Cuda(gpu)), 3, Cuda(gpu));
  const auto y = predict(x.data(), 3);
  result.insert(result.end(), y.begin(), y.end());
  return result;
}

/// Emulates two GPUs if GPUs are emulated. If there is only one GPU, it is false and the test is skipped.
class TwoGpus {
 public:
  TwoGpus() {
#if TENON_SIMT
    simt::options().devices = 2;
#endif
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess) enough_ = count >= 2;
    if (!enough_) skip_test("one GPU");
  }
  TwoGpus(const TwoGpus&) = delete;
  explicit operator bool() const { return enough_; }

 private:
#if TENON_SIMT
  const RestoredOptions restored_;
#endif
  bool enough_ = false;
};

}  // namespace

TEST_CASE("cuda: a device works on its own GPU, and leaves the thread's as it is") {
  const TwoGpus two;
  if (!two) return;
  const Folder folder;
  const ImageSet set = quarters(37);
  const ImageData data(set, {0.5, 0.25, true, true});
  const auto x = numbers<float>(3 * 64, 1);
  const auto want = train_on(0, data, x, folder / "want");
  CHECK(current() == 0);
  CHECK(train_on(1, data, x, folder / "one") == want);  // the same data set, now on both GPUs
  CHECK(current() == 0);
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  CHECK(train_on(0, data, x, folder / "zero") == want);
  CHECK(current() == 1);
  REQUIRE(cudaSetDevice(0) == cudaSuccess);

  Model<Net, Cuda> model(Seed{5}, 8, Cuda(1));
  CHECK(home_of(model.parameters().data) == 1);
  CHECK(home_of(model.input(1).data) == 1);
  CHECK(home_of(model.device().state().tickets) == 1);
  if (model.device().state().scratch) CHECK(home_of(model.device().state().scratch) == 1);
  Trainer trainer(model, AdamW{});
  CHECK(home_of(trainer.state()[0].data()) == 1);
  CHECK(home_of(data.source<float, std::int32_t>(model.device()).images.pixels) == 1);
  CHECK(home_of(kernels::CudaBuffer<float>(3).data()) == 0);
  CHECK(current() == 0);

  const auto weights = Weights<Net, Cuda>::load(folder / "want", Cuda(1));
  CHECK_THROWS_WITH((Predictor<Net, Cuda>(weights, 1, Cuda(0))),
                    "[Predictor] expected weights in memory of its device, number 0, got weights on number 1: load "
                    "them for the device "
                    "that predicts (Weights::load(file, device))");

  // Created here, used and destroyed by threads whose current GPU is another one.
  auto one = std::make_unique<Model<Net, Cuda>>(Seed{5}, 8, Cuda(1));
  std::thread([&] {
    Trainer other(*one, AdamW{}, CrossEntropy{},
                  {.schedule = Schedule::one_cycle(20), .clip_norm = 1.0, .steps_per_launch = 4});
    other.epoch(data);
  }).join();
  std::thread([&] { one.reset(); }).join();
}

TEST_CASE("cuda: threads train at the same time, on one GPU or on two") {
  const TwoGpus two;
  const Folder folder;
  const ImageSet set = quarters(37);
  const ImageData data(set, {0.5, 0.25, true, true});
  const auto x = numbers<float>(3 * 64, 1);
  const auto want = train_on(0, data, x, folder / "want");
  std::vector<std::vector<float>> got(4);
  std::vector<std::string> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < got.size(); ++t)
    threads.emplace_back([&, t] {
      try {
        got[t] = train_on(two ? static_cast<int>(t % 2) : 0, data, x, folder / "of thread " + std::to_string(t));
      } catch (const std::exception& e) {
        wrong[t] = e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  for (std::size_t t = 0; t < got.size(); ++t) {
    CHECK(wrong[t] == "");
    CHECK(got[t] == want);
  }
}

TEST_CASE("cuda: a thread may allocate while another records on the same GPU") {
  Cuda dev;
  OnDevice<float> x(std::vector<float>{1, 2});
  std::string wrong;
  const kernels::CudaGraph graph = capture(dev, [&] {
    fill_zeros(dev, x.data(), 1);
    std::thread([&] {
      try {
        const kernels::CudaBuffer<float> memory(100);
        const std::vector<float> zeros(100);
        std::vector<float> there(100, 1);
        const Cuda other;
        download(other, memory.data(), there.data(), there.size());
        if (there != zeros) wrong = "not zeroed";
      } catch (const std::exception& e) {
        wrong = e.what();
      }
    }).join();
    fill_zeros(dev, x.data() + 1, 1);
  });
  CHECK(wrong == "");
  replay(dev, graph);
  wait(dev);
  CHECK(x.read() == std::vector<float>(2));
}

TEST_CASE("cuda: a GPU that is not there is named with those that are") {
  int count = 0;
  REQUIRE(cudaGetDeviceCount(&count) == cudaSuccess);
  const std::string text = "expected the number of a GPU from 0 to " + std::to_string(count - 1) + ", got ";
  for (const int n : {-1, count}) {
    CHECK_THAT(cuda_problem(n), StartsWith(text + std::to_string(n) + ": "));
    CHECK_THROWS_WITH(Cuda(n), StartsWith("[cuda] " + text + std::to_string(n) + ": "));
  }
  CHECK(cuda_problem() == "");
}

#if TENON_SIMT
TEST_CASE("cuda: what keeps a program from a GPU is one line with what to do") {
  struct Restore : RestoredOptions {
    ~Restore() { ::unsetenv("container"); }
  } restore;
  simt::options().quiet = true;
  const auto says = [&](const std::string& text) {
    INFO(text);
    CHECK(cuda_problem() == text);
    CHECK_THROWS_WITH(Cuda(), "[cuda] " + text);
    CHECK(cudaPeekAtLastError() == cudaSuccess);  // the next call does not see the error
    simt::options() = restore.before;
    simt::options().quiet = true;
  };
  ::setenv("container", "docker", 1);
  simt::options().driver = 0;
  says("expected NVIDIA's driver, got none: start the container with --gpus all");
  simt::options().devices = 0;
  says("expected an NVIDIA GPU, got none: start the container with --gpus all");
  simt::options().driver = 12080;
  says("expected a driver for CUDA 13.0 or newer, got one for CUDA 12.8: update NVIDIA's driver");
  simt::options().capability = 89;
  says(
      "expected code for sm_89 (emulated by tests/simt), got code for sm_90: configure with "
      "-DCMAKE_CUDA_ARCHITECTURES=89 (nvcc -arch=sm_89) and build again");
  simt::options().capability = 75;
  says("expected a GPU of compute capability 8.0 or newer, got emulated by tests/simt of 7.5: use --device cpu");
  CHECK(cuda_problem() == "");
}

TEST_CASE("cuda: a kernel of a unit that was compiled for other GPUs says so when it is launched") {
  OnDevice<float> x(std::vector<float>{1, 2});
  {
    const RestoredOptions restored;
    simt::options().quiet = true;
    simt::options().capability = 80;
    CHECK_THROWS_WITH(kernels::cuda::launch(cuda(), "any_kernel", kernels::cuda::any_kernel<>, {1}, {32}, 0),
                      ContainsSubstring("after kernel any_kernel: compile its unit for this GPU's architecture"));
  }
  kernels::cuda::launch(cuda(), "any_kernel", kernels::cuda::any_kernel<>, {1}, {32}, 0);
  wait(cuda());
}
#endif
