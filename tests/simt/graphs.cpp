// Capture and replay: the same bits as plain launches, child graphs, branches, and other orders of both.
// SPDX-License-Identifier: MIT
#include <cublas_v2.h>

#include "simt/support.hpp"

namespace {

template <class T>
__global__ void affine(T* x, T a, T b, std::size_t n) {
  const std::size_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = x[i] * a + b;
}
template <class T>
__global__ void count_up(T* counter) {
  ++*counter;
}

template <class... P, class... A>
void run_in(cudaStream_t stream, void (*kernel)(P...), unsigned blocks, unsigned threads, A... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = blocks, config.blockDim = threads, config.stream = stream;
  REQUIRE(cudaLaunchKernelEx(&config, kernel, arguments...) == cudaSuccess);
}

struct Graph {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ~Graph() {
    if (exec) cudaGraphExecDestroy(exec);
    if (graph) cudaGraphDestroy(graph);
  }
  std::size_t nodes() const {
    std::size_t n = 0;
    REQUIRE(cudaGraphGetNodes(graph, nullptr, &n) == cudaSuccess);
    return n;
  }
};

struct Stream {
  cudaStream_t s = nullptr;
  Stream() { REQUIRE(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) == cudaSuccess); }
  ~Stream() { cudaStreamDestroy(s); }
};

}  // namespace

TEST_CASE("a captured step does nothing until it is replayed, and then what plain launches do") {
  for (const auto streams : {simt::Streams::immediate, simt::Streams::late, simt::Streams::late_reverse}) {
    const Restored restored;
    simt::options().streams = streams;
    const auto x = numbers(1000, 1);
    Device<float> plain(x), replayed(x), ones(std::vector<float>(4, 1)), product(4);
    Device<int> steps(std::vector<int>{0});
    Device<char> workspace(1024);
    Stream s;
    cublasHandle_t blas = nullptr;
    REQUIRE(cublasCreate(&blas) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasSetStream(blas, s.s) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasSetWorkspace(blas, workspace.data, workspace.size) == CUBLAS_STATUS_SUCCESS);
    const auto step = [&](Device<float>& v) {
      run_in(s.s, affine<float>, 4, 256, v.data, 1.5f, 0.25f, v.size);
      run_in(s.s, affine<float>, 4, 256, v.data, 0.5f, -0.125f, v.size);
      const float one = 1, zero = 0;
      REQUIRE(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, ones.data, 2, ones.data, 2, &zero,
                          product.data, 2) == CUBLAS_STATUS_SUCCESS);
      run_in(s.s, count_up<int>, 1, 1, steps.data);
    };
    for (int i = 0; i < 5; ++i) step(plain);
    REQUIRE(cudaStreamSynchronize(s.s) == cudaSuccess);
    REQUIRE(cudaMemset(steps.data, 0, 4) == cudaSuccess);
    Graph g;
    REQUIRE(cudaStreamBeginCapture(s.s, cudaStreamCaptureModeGlobal) == cudaSuccess);
    cudaStreamCaptureStatus status;
    REQUIRE(cudaStreamIsCapturing(s.s, &status) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusActive);
    step(replayed);
    REQUIRE(cudaStreamEndCapture(s.s, &g.graph) == cudaSuccess);
    CHECK(g.nodes() == 4);
    REQUIRE(cudaGraphInstantiate(&g.exec, g.graph) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(s.s) == cudaSuccess);
    CHECK(steps.read()[0] == 0);
    const std::size_t launches = simt::counters().launches, allocations = simt::counters().allocations;
    for (int i = 0; i < 5; ++i) REQUIRE(cudaGraphLaunch(g.exec, s.s) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(s.s) == cudaSuccess);
    CHECK(simt::counters().launches == launches + 15);
    CHECK(simt::counters().allocations == allocations);
    CHECK(steps.read()[0] == 5);
    CHECK(product.read() == std::vector<float>(4, 2));
    CHECK(replayed.read() == plain.read());
    REQUIRE(cublasDestroy(blas) == CUBLAS_STATUS_SUCCESS);
  }
}

TEST_CASE("a graph of children repeats a step") {
  Device<int> steps(std::vector<int>{0});
  Stream s;
  Graph one, many;
  REQUIRE(cudaStreamBeginCapture(s.s, cudaStreamCaptureModeGlobal) == cudaSuccess);
  run_in(s.s, count_up<int>, 1, 1, steps.data);
  REQUIRE(cudaStreamEndCapture(s.s, &one.graph) == cudaSuccess);
  REQUIRE(cudaGraphCreate(&many.graph, 0) == cudaSuccess);
  cudaGraphNode_t last = nullptr;
  for (int i = 0; i < 32; ++i) {
    cudaGraphNode_t node = nullptr;
    REQUIRE(cudaGraphAddChildGraphNode(&node, many.graph, &last, last ? 1 : 0, one.graph) == cudaSuccess);
    last = node;
  }
  REQUIRE(cudaGraphInstantiate(&many.exec, many.graph) == cudaSuccess);
  REQUIRE(cudaGraphLaunch(many.exec, s.s) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(s.s) == cudaSuccess);
  CHECK(steps.read()[0] == 32);
}

TEST_CASE("branches run in any order that their edges allow") {
  const Restored restored;
  for (const auto streams : {simt::Streams::immediate, simt::Streams::late_reverse}) {
    simt::options().streams = streams;
    Device<float> x(std::vector<float>(64, 1));
    Stream one, two;
    cudaEvent_t fork, done;
    REQUIRE(cudaEventCreate(&fork) == cudaSuccess);
    REQUIRE(cudaEventCreate(&done) == cudaSuccess);
    Graph g;
    REQUIRE(cudaStreamBeginCapture(one.s, cudaStreamCaptureModeGlobal) == cudaSuccess);
    run_in(one.s, affine<float>, 1, 64, x.data, 2.0f, 1.0f, x.size);
    REQUIRE(cudaEventRecord(fork, one.s) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(two.s, fork) == cudaSuccess);
    run_in(one.s, affine<float>, 1, 64, x.data, 3.0f, 0.0f, std::size_t(32));  // the lower half
    run_in(two.s, affine<float>, 1, 64, x.data + 32, 5.0f, 0.0f, std::size_t(32));
    REQUIRE(cudaEventRecord(done, two.s) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(one.s, done) == cudaSuccess);
    run_in(one.s, affine<float>, 1, 64, x.data, 1.0f, 1.0f, x.size);
    REQUIRE(cudaStreamEndCapture(one.s, &g.graph) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&g.exec, g.graph) == cudaSuccess);
    REQUIRE(cudaGraphLaunch(g.exec, one.s) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(one.s) == cudaSuccess);
    const auto v = x.read();
    CHECK(v[0] == 10);
    CHECK(v[63] == 16);
    REQUIRE(cudaEventDestroy(fork) == cudaSuccess);
    REQUIRE(cudaEventDestroy(done) == cudaSuccess);
  }
}

TEST_CASE("events tell the time, and whether they have come") {
  const Restored restored;
  simt::options().streams = simt::Streams::late;
  Device<int> x(std::vector<int>{0});
  Stream s;
  cudaEvent_t start, end;
  REQUIRE(cudaEventCreate(&start) == cudaSuccess);
  REQUIRE(cudaEventCreate(&end) == cudaSuccess);
  REQUIRE(cudaEventRecord(start, s.s) == cudaSuccess);
  run_in(s.s, count_up<int>, 1, 1, x.data);
  REQUIRE(cudaEventRecord(end, s.s) == cudaSuccess);
  float ms = -1;
  CHECK(cudaEventElapsedTime(&ms, start, end) == cudaErrorNotReady);
  REQUIRE(cudaEventSynchronize(end) == cudaSuccess);
  CHECK(cudaEventQuery(end) == cudaSuccess);
  REQUIRE(cudaEventElapsedTime(&ms, start, end) == cudaSuccess);
  CHECK(ms >= 0);
  CHECK(x.read()[0] == 1);
  REQUIRE(cudaEventDestroy(start) == cudaSuccess);
  REQUIRE(cudaEventDestroy(end) == cudaSuccess);
}
