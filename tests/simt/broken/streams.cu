// Wrong uses of streams, events and graphs. CUDA rejects some of them, and so does the stand-in. Late streams
// expose the others.
// SPDX-License-Identifier: MIT
#include "simt/support.hpp"

namespace {

template <class T>
__global__ void set(T* x, T v) {
  *x = v;
}
template <class T>
__global__ void add(T* x, const T* y) {
  *x += *y;
}

struct Stream {
  cudaStream_t s = nullptr;
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    REQUIRE(cudaStreamCreateWithFlags(&s, flags) == cudaSuccess);
  }
  ~Stream() { cudaStreamDestroy(s); }
};

template <class... P, class... A>
cudaError_t run_in(cudaStream_t stream, void (*kernel)(P...), A... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = 1, config.blockDim = 1, config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

struct Pinned {
  int* data = nullptr;
  Pinned() { REQUIRE(cudaMallocHost(&data, sizeof(int)) == cudaSuccess); }
  ~Pinned() {
    if (data) cudaFreeHost(data);
  }
};

}  // namespace

TEST_CASE("two streams without an event: the second comes too early") {
  const Restored restored;
  for (const bool event : {true, false}) {
    simt::options().streams = simt::Streams::late;
    Device<int> x(1), y(std::vector<int>{0});
    {
      Stream one, two;
      cudaEvent_t e;
      REQUIRE(cudaEventCreateWithFlags(&e, cudaEventDisableTiming) == cudaSuccess);
      REQUIRE(run_in(one.s, set<int>, x.data, 5) == cudaSuccess);
      REQUIRE(cudaEventRecord(e, one.s) == cudaSuccess);
      if (event) REQUIRE(cudaStreamWaitEvent(two.s, e) == cudaSuccess);
      REQUIRE(run_in(two.s, add<int>, y.data, static_cast<const int*>(x.data)) == cudaSuccess);
      REQUIRE(cudaStreamSynchronize(two.s) == cudaSuccess);
      CHECK(y.read()[0] == (event ? 5 : -1));
      REQUIRE(cudaEventDestroy(e) == cudaSuccess);
    }
  }
}

TEST_CASE("a result that nobody waited for is not there") {
  const Restored restored;
  simt::options().streams = simt::Streams::late;
  Device<int> x(std::vector<int>{1});
  Pinned p;
  *p.data = 0;
  Stream s;
  REQUIRE(run_in(s.s, set<int>, x.data, 5) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(p.data, x.data, 4, cudaMemcpyDeviceToHost, s.s) == cudaSuccess);
  CHECK(*p.data == 0);
  CHECK(x.read()[0] == 1);  // the legacy stream does not wait for a non-blocking stream
  REQUIRE(cudaStreamSynchronize(s.s) == cudaSuccess);
  CHECK(*p.data == 5);
  Stream blocking(cudaStreamDefault);
  REQUIRE(run_in(blocking.s, set<int>, x.data, 6) == cudaSuccess);
  CHECK(x.read()[0] == 6);
}

TEST_CASE("pinned memory is read when the copy is made, other memory when it is asked for") {
  const Restored restored;
  simt::options().streams = simt::Streams::late;
  Device<int> x(2);
  Pinned p;
  Stream s;
  int other = 1;
  *p.data = 1;
  REQUIRE(cudaMemcpyAsync(x.data, p.data, 4, cudaMemcpyHostToDevice, s.s) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(x.data + 1, &other, 4, cudaMemcpyHostToDevice, s.s) == cudaSuccess);
  *p.data = other = 2;
  REQUIRE(cudaStreamSynchronize(s.s) == cudaSuccess);
  CHECK(x.read() == std::vector<int>{2, 1});
}

TEST_CASE("a kernel that fails late is reported where it is waited for, and by its name") {
  const Restored restored;
  simt::options().streams = simt::Streams::late;
  simt::options().quiet = true;
  Stream s;
  simt::name_next_launch("first");
  REQUIRE(run_in(
              s.s, +[](int) { __trap(); }, 1) == cudaSuccess);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
  CHECK(cudaStreamSynchronize(s.s) == cudaErrorIllegalInstruction);
  CHECK_THAT(simt::last_report(), ContainsSubstring("kernel first"));
  CHECK(cudaGetLastError() == cudaErrorIllegalInstruction);
  CHECK(cudaGetLastError() == cudaErrorIllegalInstruction);
  void* p = nullptr;
  CHECK(cudaMalloc(&p, 4) == cudaErrorIllegalInstruction);
}

TEST_CASE("during a capture CUDA refuses to allocate and to wait") {
  const Restored restored;
  simt::options().quiet = true;
  Device<int> x(1);
  Stream s, other(cudaStreamDefault);
  const auto capture = [&](auto call, cudaError_t expected, cudaStream_t of) {
    REQUIRE(cudaStreamBeginCapture(of, cudaStreamCaptureModeGlobal) == cudaSuccess);
    REQUIRE(run_in(of, set<int>, x.data, 1) == cudaSuccess);
    CHECK(call() == expected);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(of, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
  };
  void* p = nullptr;
  int host = 0;
  capture([&] { return cudaMalloc(&p, 4); }, cudaErrorStreamCaptureUnsupported, s.s);
  CHECK_THAT(simt::last_report(), ContainsSubstring("cudaMalloc while a stream is captured"));
  capture([&] { return cudaFree(x.data); }, cudaErrorStreamCaptureUnsupported, s.s);
  capture([&] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported, s.s);
  capture([&] { return cudaStreamSynchronize(s.s); }, cudaErrorStreamCaptureUnsupported, s.s);
  capture([&] { return cudaMemcpyAsync(x.data, &host, 4, cudaMemcpyHostToDevice, s.s); },
          cudaErrorStreamCaptureUnsupported, s.s);
  capture([&] { return run_in(nullptr, set<int>, x.data, 1); }, cudaErrorStreamCaptureImplicit, other.s);
  capture([&] { return cudaMemcpy(x.data, &host, 4, cudaMemcpyHostToDevice); }, cudaErrorStreamCaptureImplicit,
          other.s);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) == cudaErrorStreamCaptureUnsupported);
}

TEST_CASE("work of another stream must join the capture again") {
  const Restored restored;
  simt::options().quiet = true;
  Device<int> x(1);
  for (const bool join : {true, false}) {
    Stream one, two;
    cudaEvent_t fork, done;
    REQUIRE(cudaEventCreate(&fork) == cudaSuccess);
    REQUIRE(cudaEventCreate(&done) == cudaSuccess);
    REQUIRE(cudaStreamBeginCapture(one.s, cudaStreamCaptureModeGlobal) == cudaSuccess);
    REQUIRE(cudaEventRecord(fork, one.s) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(two.s, fork) == cudaSuccess);
    REQUIRE(run_in(two.s, set<int>, x.data, 1) == cudaSuccess);
    CHECK(cudaEventQuery(fork) == cudaErrorCapturedEvent);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(two.s, &graph) == cudaErrorStreamCaptureUnmatched);
    CHECK(cudaStreamEndCapture(one.s, &graph) == cudaErrorStreamCaptureInvalidated);
    REQUIRE(cudaStreamBeginCapture(one.s, cudaStreamCaptureModeGlobal) == cudaSuccess);
    REQUIRE(cudaEventRecord(fork, one.s) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(two.s, fork) == cudaSuccess);
    REQUIRE(run_in(two.s, set<int>, x.data, 1) == cudaSuccess);
    REQUIRE(cudaEventRecord(done, two.s) == cudaSuccess);
    if (join) REQUIRE(cudaStreamWaitEvent(one.s, done) == cudaSuccess);
    CHECK(cudaStreamEndCapture(one.s, &graph) == (join ? cudaSuccess : cudaErrorStreamCaptureUnjoined));
    if (graph) REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
    REQUIRE(cudaEventDestroy(fork) == cudaSuccess);
    REQUIRE(cudaEventDestroy(done) == cudaSuccess);
  }
}

TEST_CASE("a captured copy from memory that is gone is caught when it is replayed") {
  const Restored restored;
  simt::options().quiet = true;
  Device<int> x(1);
  Pinned p;
  *p.data = 3;
  Stream s;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaStreamBeginCapture(s.s, cudaStreamCaptureModeGlobal) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(x.data, p.data, 4, cudaMemcpyHostToDevice, s.s) == cudaSuccess);
  REQUIRE(cudaStreamEndCapture(s.s, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&exec, graph) == cudaSuccess);
  REQUIRE(cudaGraphLaunch(exec, s.s) == cudaSuccess);
  CHECK(x.read()[0] == 3);
  *p.data = 4;
  REQUIRE(cudaGraphLaunch(exec, s.s) == cudaSuccess);
  CHECK(x.read()[0] == 4);
  REQUIRE(cudaFreeHost(p.data) == cudaSuccess);
  p.data = nullptr;
  cudaGraphLaunch(exec, s.s);
  CHECK(cudaStreamSynchronize(s.s) == cudaErrorIllegalAddress);
  CHECK_THAT(simt::last_report(), ContainsSubstring("from byte 0 of a freed allocation of 4 bytes"));
  simt::reset();
  REQUIRE(cudaGraphExecDestroy(exec) == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
}

TEST_CASE("handles that are no longer alive are refused") {
  const Restored restored;
  simt::options().quiet = true;
  cudaStream_t s = nullptr;
  cudaEvent_t e = nullptr;
  REQUIRE(cudaStreamCreate(&s) == cudaSuccess);
  REQUIRE(cudaStreamDestroy(s) == cudaSuccess);
  REQUIRE(cudaEventCreate(&e) == cudaSuccess);
  REQUIRE(cudaEventDestroy(e) == cudaSuccess);
  CHECK(cudaStreamSynchronize(s) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(e, nullptr) == cudaErrorInvalidResourceHandle);
}
