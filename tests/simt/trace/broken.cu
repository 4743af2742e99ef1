// Wrong kernels that the tracer must catch under every order of threads, with both lines and both threads in the
// message. The comments "one" and "two" mark the expected lines.
// SPDX-License-Identifier: MIT
#include "simt/trace/support.hpp"
#include "tenon/cuda/launch.cuh"

namespace {

namespace arch = tenon::kernels::cuda;

template <class T, int N>
struct Values {
  T of[N];
};

// The line of this file that holds `mark` after `kernel`, as "broken.cu:12".
std::string line_of(const std::string& kernel, const std::string& mark) {
  std::FILE* const file = std::fopen(test_file("simt/trace/broken.cu").c_str(), "r");
  REQUIRE(file);
  char line[300];
  int number = 0, found = 0;
  for (bool inside = false; std::fgets(line, sizeof(line), file);) {
    ++number;
    inside = inside || std::string(line).find("void " + kernel + "(") != std::string::npos;
    if (inside && !found && std::string(line).find("// " + mark) != std::string::npos) found = number;
  }
  std::fclose(file);
  REQUIRE(found > 0);
  return "broken.cu:" + std::to_string(found);
}

template <class T>
__global__ void reduction(const T* x, T* y, bool barrier) {
  auto& s = arch::shared_memory<Values<T, 64>>();
  const unsigned t = threadIdx.x;
  s.of[t] = x[t];
  __syncthreads();
  for (unsigned by = 32; by > 0; by /= 2) {
    if (t < by) {
      const T other = s.of[t + by];  // two
      s.of[t] += other;              // one
    }
    if (barrier) __syncthreads();
  }
  if (t == 0) *y = s.of[0];
}

template <class T>
__global__ void across_blocks(T* x, T* y) {
  x[blockIdx.x * blockDim.x + threadIdx.x] = T(threadIdx.x);                                              // one
  y[blockIdx.x * blockDim.x + threadIdx.x] = x[(blockIdx.x + 1) % gridDim.x * blockDim.x + threadIdx.x];  // two
}

template <class T>
__global__ void two_blocks_write(T* x) {
  x[threadIdx.x] = T(blockIdx.x);  // one
}

template <class T>
__global__ void bytes_overlap(T* x) {
  x[threadIdx.x] = 0;                                          // one
  if (threadIdx.x == 0) *reinterpret_cast<short*>(x + 6) = 1;  // two
}

template <class T>
__global__ void histogram(const T* x, T* y, bool atomic) {
  auto& s = arch::shared_memory<Values<T, 4>>();
  if (threadIdx.x < 4) s.of[threadIdx.x] = 0;
  __syncthreads();
  if (atomic)
    atomicAdd(&s.of[x[threadIdx.x] % 4], 1);
  else
    s.of[x[threadIdx.x] % 4] += 1;  // one
  __syncthreads();
  if (threadIdx.x < 4) y[threadIdx.x] = s.of[threadIdx.x];
}

template <class T>
__global__ void atomic_and_plain(T* x) {
  if (threadIdx.x < 32)
    atomicAdd(x, 1);  // one
  else
    *x = 0;  // two
}

template <class T>
__global__ void lanes(const T* x, T* y, unsigned mask) {
  auto& s = arch::shared_memory<Values<T, 32>>();
  s.of[threadIdx.x] = x[threadIdx.x];  // one
  if (mask >> threadIdx.x & 1u) __syncwarp(mask);
  y[threadIdx.x] = s.of[threadIdx.x ^ 1u];  // two
}

template <class T>
__global__ void read_then_write(const T* x, T* y) {
  auto& s = arch::shared_memory<Values<T, 64>>();
  s.of[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  const T right = s.of[(threadIdx.x + 1) % 64];  // one
  s.of[threadIdx.x] = right;                     // two
  __syncthreads();
  y[threadIdx.x] = s.of[threadIdx.x];
}

template <class T>
__global__ void copied(const T* x, T* y) {
  y[threadIdx.x] = x[threadIdx.x];  // one
}

template <class T>
__global__ void shared_unwritten(T* y) {
  auto& s = arch::shared_memory<Values<T, 33>>();
  s.of[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = s.of[threadIdx.x + 1];  // one
}

template <class T>
__global__ void asynchronous(const T* x, T* y, bool wait, bool barrier) {
  auto& s = arch::shared_memory<Values<T, 128>>();
  arch::copy_async16(&s.of[threadIdx.x * 4], x + threadIdx.x * 4);  // one
  arch::copy_async_commit();
  if (wait) arch::copy_async_wait<0>();
  if (barrier) __syncthreads();
  y[threadIdx.x] = s.of[(threadIdx.x + 5) % 128];  // two
}

template <class T>
__global__ void set(T* x, T v) {
  *x = v;  // one
}
template <class T>
__global__ void add(T* x, const T* y) {
  *x += *y;  // two
}

template <class T>
T of_host[2];
template <class T>
__global__ void from_host(const T* x, T* y) {
  *y = *x;  // one
}
template <class T>
__global__ void write_shared(int i) {
  arch::shared_memory<Values<T, 10>>().of[i] = 1;  // one
}

struct Stream {
  cudaStream_t s = nullptr;
  Stream() { REQUIRE(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) == cudaSuccess); }
  Stream(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(s); }
};
template <class... P, class... A>
void run_in(cudaStream_t stream, const char* name, void (*kernel)(P...), A... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = 1, config.blockDim = 1, config.stream = stream;
  simt::name_next_launch(name);
  REQUIRE(cudaLaunchKernelEx(&config, kernel, arguments...) == cudaSuccess);
}

std::vector<int> counting(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) v[static_cast<std::size_t>(i)] = i;
  return v;
}

// The findings of a launch, which must name the same lines under every order of threads.
template <class... P, class... A>
std::string said_of(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, A... arguments) {
  std::string first;
  bool begun = false;
  simt::for_each_order([&] {
    const simt::Options order = simt::options();
    const std::string text = text_of(found_in([&] {
      simt::options().set_order(order.threads, order.seed);
      simt::name_next_launch("broken");
      run(kernel, grid, block, shared, arguments...);
    }));
    if (!begun) first = text;
    begun = true;
    CHECK(text.empty() == first.empty());
  });
  return first;
}

}  // namespace

TEST_CASE("trace: a missing barrier in a reduction") {
  Device<int> x(counting(64)), y(1);
  CHECK(said_of(reduction<int>, 1, 64, 256, x.data, y.data, true) == "");
  const std::string said = said_of(reduction<int>, 1, 64, 256, x.data, y.data, false);
  CHECK_THAT(said, ContainsSubstring("kernel broken: race on byte "));
  CHECK_THAT(said, ContainsSubstring("of shared memory"));
  CHECK_THAT(said, ContainsSubstring("read at " + line_of("reduction", "two") + " by block (0, 0, 0), thread ("));
  CHECK_THAT(said, ContainsSubstring("write at " + line_of("reduction", "one") + " by block (0, 0, 0), thread ("));
}

TEST_CASE("trace: races between blocks") {
  Device<int> x(counting(64)), y(64);
  const std::string said = said_of(across_blocks<int>, 4, 16, 0, x.data, y.data);
  CHECK_THAT(said, ContainsSubstring(line_of("across_blocks", "one")));
  CHECK_THAT(said, ContainsSubstring(line_of("across_blocks", "two")));
  CHECK_THAT(said, ContainsSubstring("of a device allocation of 256 bytes"));
  CHECK(said_of(across_blocks<int>, 1, 16, 0, x.data, y.data) == "");
  CHECK_THAT(said_of(two_blocks_write<int>, 2, 16, 0, x.data),
             ContainsSubstring("and write at " + line_of("two_blocks_write", "one") + " by block ("));
}

TEST_CASE("trace: bytes are told apart") {
  Device<char> x(std::vector<char>(64));
  CHECK(said_of(two_blocks_write<char>, 1, 33, 0, x.data) == "");
  const std::string said = said_of(bytes_overlap<char>, 1, 64, 0, x.data);
  CHECK_THAT(said, ContainsSubstring(line_of("bytes_overlap", "one")));
  CHECK_THAT(said, ContainsSubstring(line_of("bytes_overlap", "two")));
  CHECK(said_of(bytes_overlap<char>, 1, 6, 0, x.data) == "");
}

TEST_CASE("trace: a lost update, though no order of threads shows it") {
  Device<int> x(counting(64)), y(4);
  CHECK(said_of(histogram<int>, 1, 64, 16, x.data, y.data, true) == "");
  CHECK_THAT(said_of(histogram<int>, 1, 64, 16, x.data, y.data, false),
             ContainsSubstring("write at " + line_of("histogram", "one")));
  const std::string said = said_of(atomic_and_plain<int>, 1, 33, 0, y.data);
  CHECK_THAT(said, ContainsSubstring("atomic at " + line_of("atomic_and_plain", "one")));
  CHECK_THAT(said, ContainsSubstring("write at " + line_of("atomic_and_plain", "two")));
}

TEST_CASE("trace: two lanes without __syncwarp, or with one that does not name both") {
  Device<int> x(counting(32)), y(32);
  CHECK(said_of(lanes<int>, 1, 32, 128, x.data, y.data, 0xffffffffu) == "");
  for (const unsigned mask : {0u, 0x0000ffffu, 0x55555555u}) {
    const std::string said = said_of(lanes<int>, 1, 32, 128, x.data, y.data, mask);
    CHECK_THAT(said, ContainsSubstring(line_of("lanes", "one")));
    CHECK_THAT(said, ContainsSubstring(line_of("lanes", "two")));
  }
}

TEST_CASE("trace: what is read is overwritten too early") {
  Device<int> x(counting(64)), y(64);
  const std::string said = said_of(read_then_write<int>, 1, 64, 256, x.data, y.data);
  CHECK_THAT(said, ContainsSubstring(line_of("read_then_write", "one")));
  CHECK_THAT(said, ContainsSubstring(line_of("read_then_write", "two")));
}

TEST_CASE("trace: reads of what nobody wrote") {
  Device<int> y(33);
  {
    Device<int> x(32);
    const std::string said = said_of(copied<int>, 1, 32, 0, static_cast<const int*>(x.data), y.data);
    CHECK_THAT(said, ContainsSubstring("read at " + line_of("copied", "one")));
    CHECK_THAT(said, ContainsSubstring("of a device allocation of 128 bytes"));
    CHECK_THAT(said, ContainsSubstring("nobody has written there"));
    REQUIRE(cudaMemset(x.data, 0, 128) == cudaSuccess);
    CHECK(said_of(copied<int>, 1, 32, 0, static_cast<const int*>(x.data), y.data) == "");
    simt::undefined(x.data, 8);  // the memory is reused
    CHECK_THAT(said_of(copied<int>, 1, 32, 0, static_cast<const int*>(x.data), y.data),
               ContainsSubstring("nobody has written there"));
  }
  const std::string said = said_of(shared_unwritten<int>, 2, 32, 33 * 4, y.data);
  CHECK_THAT(said,
             ContainsSubstring("read at " + line_of("shared_unwritten", "one") + " of byte 128 of shared memory"));
  CHECK_THAT(said, ContainsSubstring("nobody has written there"));
}

TEST_CASE("trace: scratch holds no value of who had it before") {
  namespace cuda = tenon::kernels::cuda;
  Device<int> y(32);
  tenon::Cuda dev;
  for (const bool write : {true, false}) {
    const std::string said = text_of(found_in([&] {
      cuda::ScratchAllocator scratch(dev);
      int* const p = scratch.take<int>(32);
      if (write) REQUIRE(cudaMemset(p, 0, 128) == cudaSuccess);
      REQUIRE(run(copied<int>, 1, 32, 0, static_cast<const int*>(p), y.data) == cudaSuccess);
    }));
    if (write)
      CHECK(said == "");
    else
      CHECK_THAT(said, ContainsSubstring("nobody has written there"));
  }
}

TEST_CASE("trace: cp.async that is not waited for, or not by all") {
  Device<int> x(counting(128)), y(32);
  CHECK(said_of(asynchronous<int>, 1, 32, 512, x.data, y.data, true, true) == "");
  const std::string said = said_of(asynchronous<int>, 1, 32, 512, x.data, y.data, false, true);
  CHECK_THAT(said, ContainsSubstring("read at " + line_of("asynchronous", "two")));
  CHECK_THAT(said, ContainsSubstring("cp.async at " + line_of("asynchronous", "one")));
  CHECK_THAT(said, ContainsSubstring("has not been waited for"));
  CHECK_THAT(said_of(asynchronous<int>, 1, 32, 512, x.data, y.data, true, false), ContainsSubstring("race on byte"));
}

TEST_CASE("trace: accesses outside of an allocation, and to the host's memory") {
  Device<int> x(counting(31)), y(33);
  CHECK_THAT(said_of(copied<int>, 1, 32, 0, x.data, y.data),
             ContainsSubstring("read at " + line_of("copied", "one") +
                               " of 4 bytes, 0 bytes past the end of a device allocation of 124 bytes by block (0, 0, "
                               "0), thread (31, 0, 0)"));
  CHECK_THAT(said_of(from_host<int>, 1, 1, 0, static_cast<const int*>(of_host<int>), y.data),
             ContainsSubstring("read at " + line_of("from_host", "one") + " of 4 bytes, the host's address"));
  CHECK_THAT(said_of(write_shared<float>, 1, 1, 40, 10), ContainsSubstring("outside of the block's 40 bytes"));
}

TEST_CASE("trace: two streams without an event, even where they run at once") {
  for (const auto streams : {simt::Streams::immediate, simt::Streams::late})
    for (const bool event : {false, true}) {
      INFO("late " << (streams == simt::Streams::late) << ", event " << event);
      const std::string said = text_of(found_in([&] {
        simt::options().streams = streams;
        Device<int> x(std::vector<int>{1}), y(std::vector<int>{0});
        Stream one, two;
        cudaEvent_t e;
        REQUIRE(cudaEventCreateWithFlags(&e, cudaEventDisableTiming) == cudaSuccess);
        run_in(one.s, "first", set<int>, x.data, 5);
        REQUIRE(cudaEventRecord(e, one.s) == cudaSuccess);
        if (event) REQUIRE(cudaStreamWaitEvent(two.s, e) == cudaSuccess);
        run_in(two.s, "second", add<int>, y.data, static_cast<const int*>(x.data));
        REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
        run_in(one.s, "third", add<int>, y.data, static_cast<const int*>(x.data));
        REQUIRE(cudaEventDestroy(e) == cudaSuccess);
      }));
      if (event) {
        CHECK(said == "");
      } else {
        CHECK_THAT(said, ContainsSubstring("nothing orders two streams on byte 0 of a device allocation of 4 bytes"));
        CHECK_THAT(said, ContainsSubstring(line_of("set", "one")));
        CHECK_THAT(said, ContainsSubstring(line_of("add", "two")));
        CHECK_THAT(said, ContainsSubstring("of kernel first") || ContainsSubstring("of kernel second"));
        CHECK_THAT(said, !ContainsSubstring("third"));
      }
    }
}

TEST_CASE("trace: a copy that no event orders after the kernel, and two branches of a graph") {
  CHECK_THAT(text_of(found_in([&] {
               Device<int> x(std::vector<int>{1}), y(1);
               Stream one, two;
               run_in(one.s, "first", set<int>, x.data, 5);
               REQUIRE(cudaMemcpyAsync(y.data, x.data, 4, cudaMemcpyDeviceToDevice, two.s) == cudaSuccess);
             })),
             ContainsSubstring("nothing orders two streams"));
  for (const bool fork : {false, true}) {
    const std::string said = text_of(found_in([&] {
      Device<int> x(std::vector<int>{1}), y(std::vector<int>{0});
      Stream one, two;
      cudaEvent_t e, done;
      REQUIRE(cudaEventCreate(&e) == cudaSuccess);
      REQUIRE(cudaEventCreate(&done) == cudaSuccess);
      REQUIRE(cudaStreamBeginCapture(one.s, cudaStreamCaptureModeGlobal) == cudaSuccess);
      if (fork) REQUIRE(cudaEventRecord(e, one.s) == cudaSuccess);
      run_in(one.s, "first", set<int>, x.data, 5);
      if (!fork) REQUIRE(cudaEventRecord(e, one.s) == cudaSuccess);
      REQUIRE(cudaStreamWaitEvent(two.s, e) == cudaSuccess);
      run_in(two.s, "second", add<int>, y.data, static_cast<const int*>(x.data));
      REQUIRE(cudaEventRecord(done, two.s) == cudaSuccess);
      REQUIRE(cudaStreamWaitEvent(one.s, done) == cudaSuccess);
      run_in(one.s, "third", add<int>, y.data, static_cast<const int*>(x.data));
      cudaGraph_t graph = nullptr;
      cudaGraphExec_t exec = nullptr;
      REQUIRE(cudaStreamEndCapture(one.s, &graph) == cudaSuccess);
      REQUIRE(cudaGraphInstantiate(&exec, graph) == cudaSuccess);
      for (int i = 0; i < 3; ++i) REQUIRE(cudaGraphLaunch(exec, one.s) == cudaSuccess);
      run_in(one.s, "fourth", add<int>, y.data, static_cast<const int*>(x.data));
      REQUIRE(cudaStreamSynchronize(one.s) == cudaSuccess);
      REQUIRE(cudaGraphExecDestroy(exec) == cudaSuccess);
      REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
      REQUIRE(cudaEventDestroy(e) == cudaSuccess);
      REQUIRE(cudaEventDestroy(done) == cudaSuccess);
    }));
    if (fork) {
      CHECK_THAT(said, ContainsSubstring("nothing orders two streams"));
      CHECK_THAT(said, !ContainsSubstring("third") && !ContainsSubstring("fourth"));
    } else {
      CHECK(said == "");
    }
  }
}
