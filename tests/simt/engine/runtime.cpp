// The CUDA runtime of the stand-in: errors, devices, streams, events, launches, capture and graphs.
//
// A stream is a list of operations. Immediate: each operation runs in its call, and nothing is allocated for it. Late:
// it runs when it is waited for, so a missing wait leaves its result missing. Other streams then run only as far as an
// event requires. A capture stores operations as nodes of a graph and rejects calls with the same errors as CUDA.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "engine.hpp"

using simt::report;

namespace simt {
namespace {

using Run = std::function<void()>;

// What an event records: a point in a stream or in a capture.
struct Point {
  bool done = false;
  std::chrono::steady_clock::time_point when;
  CUstream_st* stream = nullptr;
};
struct Capture;

}  // namespace
}  // namespace simt

struct CUgraphNode_st {
  cudaGraphNodeType type;
  simt::Run run;                   // empty for a child graph
  std::vector<std::size_t> after;  // indices in its graph
  std::vector<std::unique_ptr<CUgraphNode_st>> child;
};
struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
};
struct CUgraphExec_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;  // with child graphs expanded
};
struct CUevent_st {
  unsigned flags = 0;
  std::shared_ptr<simt::Point> point;
  std::shared_ptr<simt::Capture> capture;  // where the last record was captured
  std::vector<std::size_t> tail;
};
struct CUstream_st {
  unsigned flags = 0;
  int device = 0;
  struct Entry {
    simt::Run run;
    std::shared_ptr<simt::Point> wait;  // if `run` is empty
    int device = -1;                    // the only device whose memory it may access
  };
  std::deque<Entry> entries;
  bool draining = false;
  std::shared_ptr<simt::Capture> capture;
  std::vector<std::size_t> tail;  // of the capture: the predecessors of the next node
};

namespace simt {
namespace {

struct Capture {
  CUgraph_st* graph;
  CUstream_st* origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;  // that started it
  bool invalid = false;
  std::vector<CUstream_st*> streams;
};

struct Runtime {
  std::recursive_mutex mutex;
  cudaError_t last = cudaSuccess;   // until it is read
  cudaError_t stuck = cudaSuccess;  // of a kernel: sticky until reset()
  std::string text;
  CUstream_st legacy;
  std::vector<CUstream_st*> streams;
  std::set<CUevent_st*> events;
  std::map<std::pair<int, const void*>, int> dynamic_shared;  // by device and kernel, if raised
  int captures = 0;                                           // captures that forbid unsafe calls
};
Runtime& runtime() {
  static Runtime& r = *new Runtime;  // never destroyed: static destructors may use it
  return r;
}
thread_local const char* next_name = nullptr;
thread_local int current_device = 0;

struct Lock {
  std::lock_guard<std::recursive_mutex> guard{runtime().mutex};
};

// --- streams ----------------------------------------------------------------------------------------------------------
CUstream_st* stream_of(cudaStream_t s) {
  Runtime& r = runtime();
  if (!s || s == cudaStreamLegacy || s == cudaStreamPerThread) return &r.legacy;
  return std::find(r.streams.begin(), r.streams.end(), s) != r.streams.end() ? s : nullptr;
}

void drain(CUstream_st* s, const Point* until = nullptr) {
  if (s->draining) return;
  s->draining = true;
  while (!s->entries.empty() && !(until && until->done)) {
    CUstream_st::Entry e = std::move(s->entries.front());
    s->entries.pop_front();
    if (e.wait) {
      if (!e.wait->done && e.wait->stream) drain(e.wait->stream, e.wait.get());
    } else if (runtime().stuck == cudaSuccess) {
      DeviceAccess access(e.device);
      e.run();
    }
  }
  s->draining = false;
}

// Runs the pending work of the legacy stream and of the blocking streams, for which it waits; `all`: of every stream.
void drain_all(bool all, int device = -1) {
  Runtime& r = runtime();
  std::vector<CUstream_st*> streams = r.streams;
  if (options().streams == Streams::late_reverse) std::reverse(streams.begin(), streams.end());
  for (CUstream_st* s : streams)
    if ((all || !(s->flags & cudaStreamNonBlocking)) && (device < 0 || s->device == device)) drain(s);
  drain(&r.legacy);
}

cudaError_t invalidate(CUstream_st* s, cudaError_t error, std::string text) {
  if (s && s->capture) s->capture->invalid = true;
  return report(error, std::move(text));
}

// Rejects calls that CUDA considers unsafe: from any thread during a global capture, from the capturing thread during a
// thread-local one.
cudaError_t refuse_unsafe(const char* call) {
  Runtime& r = runtime();
  bool refused = false;
  for (CUstream_st* s : r.captures > 0 ? r.streams : std::vector<CUstream_st*>()) {
    if (!s->capture || s->capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (s->capture->mode != cudaStreamCaptureModeGlobal && s->capture->thread != std::this_thread::get_id()) continue;
    refused = s->capture->invalid = true;
  }
  if (!refused) return cudaSuccess;
  return report(cudaErrorStreamCaptureUnsupported, std::string(call) + " while a stream is captured");
}

// Rejects implicit waits of the legacy stream for a stream that is being captured.
cudaError_t refuse_implicit(const char* call) {
  for (CUstream_st* s : runtime().streams)
    if (s->capture && !(s->flags & cudaStreamNonBlocking))
      return invalidate(s, cudaErrorStreamCaptureImplicit,
                        std::string(call) + " uses the legacy stream while a stream that it waits for is captured");
  return cudaSuccess;
}

CUgraphNode_st* add_node(CUgraph_st& graph, cudaGraphNodeType type, Run run, std::vector<std::size_t> after) {
  auto node = std::make_unique<CUgraphNode_st>();
  node->type = type;
  node->run = std::move(run);
  node->after = std::move(after);
  graph.nodes.push_back(std::move(node));
  return graph.nodes.back().get();
}

// Reports to the observer an operation that starts now, or when it is run.
std::size_t submitted(const CUstream_st* s) {
  return observer->submitted(s, s == &runtime().legacy, !(s->flags & cudaStreamNonBlocking));
}
void starts_now(const CUstream_st* s, const char* call) {
  if (observer) observer->starts(submitted(s), call);
}
Run starts_later(const CUstream_st* s, const char* call, Run run) {
  if (!observer) return run;
  return [operation = submitted(s), call, run = std::move(run)] {
    observer->starts(operation, call);
    run();
  };
}

// Runs `now` in place, or queues or captures the result of `make`, which outlives this call.
template <class Now, class Make>
cudaError_t submit(cudaStream_t stream, const char* call, cudaGraphNodeType type, Now&& now, Make&& make) {
  Runtime& r = runtime();
  CUstream_st* const s = stream_of(stream);
  if (!s)
    return report(cudaErrorInvalidResourceHandle, std::string(call) + ": expected a stream, got none that is alive");
  if (s->capture) {
    if (s->capture->invalid)
      return report(cudaErrorStreamCaptureInvalidated, std::string(call) + ": the capture has failed before");
    add_node(*s->capture->graph, type, make(), s->tail);
    s->tail = {s->capture->graph->nodes.size() - 1};
    return cudaSuccess;
  }
  if (s == &r.legacy)
    if (cudaError_t e = refuse_implicit(call)) return e;
  const bool moves = type == cudaGraphNodeTypeMemcpy || type == cudaGraphNodeTypeMemset;  // between any devices
  const int device = moves ? -1 : s == &r.legacy ? current_device : s->device;
  if (options().streams == Streams::immediate) {
    DeviceAccess access(device);
    starts_now(s, call);
    now();
  } else if (s == &r.legacy) {
    drain_all(false);
    DeviceAccess access(device);
    starts_now(s, call);
    now();
  } else {
    s->entries.push_back({starts_later(s, call, make()), nullptr, device});
  }
  return cudaSuccess;
}

cudaError_t wait_for_device(const char* call) {
  for (CUstream_st* s : runtime().streams)
    if (s->capture && s->device == current_device)
      return invalidate(s, cudaErrorStreamCaptureUnsupported,
                        std::string(call) + " of a device one of whose streams is captured");
  drain_all(true, current_device);
  if (observer) observer->host_waits_for_all();
  return runtime().stuck;
}

// The errors of every call that needs a GPU if there is none, and of kernels that were compiled for another GPU.
cudaError_t refuse_without_device(const char* call) {
  if (options().driver < CUDART_VERSION)
    return report(cudaErrorInsufficientDriver, std::string(call) + ": options say that the driver is too old");
  if (options().devices < 1) return report(cudaErrorNoDevice, std::string(call) + ": options say that there is none");
  if (options().device_error != 0)
    return report(static_cast<cudaError_t>(options().device_error), std::string(call) + ": options say so");
  return cudaSuccess;
}
cudaError_t check_number(const char* call, int device) {
  if (device >= 0 && device < options().devices) return cudaSuccess;
  return report(cudaErrorInvalidDevice, std::string(call) + ": expected one of " + std::to_string(options().devices) +
                                            " devices, got " + std::to_string(device));
}
cudaError_t refuse_without_code(const char* call) {
  if (cudaError_t e = refuse_without_device(call)) return e;
  if (options().capability < compiled_for)
    return report(cudaErrorNoKernelImageForDevice,
                  std::string(call) + ": expected a GPU of capability 9.0 or newer, got what options say");
  return cudaSuccess;
}

// --- launches -----------------------------------------------------------------------------------------------------------
void run_kernel(const Grid& grid) {
  Runtime& r = runtime();
  if (r.stuck != cudaSuccess) return;
  ++count().launches;
  Failure f = run_grid(grid);
  if (f.error != cudaSuccess) r.stuck = report(f.error, std::move(f.text));
}

// A launch that owns its arguments.
struct OwnGrid {
  Grid grid;
  std::shared_ptr<void> bound;
  explicit OwnGrid(const Grid& g) : grid(g) {
    const std::align_val_t alignment{g.call.alignment};
    bound = std::shared_ptr<void>(::operator new(g.call.size, alignment),
                                  [alignment](void* p) { ::operator delete(p, alignment); });
    g.call.copy(bound.get(), g.call.bound);
    grid.call.bound = bound.get();
  }
  void operator()() const { run_kernel(grid); }
};

int blocks_of(int threads, std::size_t shared) {
  int blocks = std::min(blocks_of_multiprocessor, threads_of_multiprocessor / ((threads + 31) / 32 * 32));
  return std::min(blocks, static_cast<int>(shared_of_multiprocessor / (shared + shared_reserved)));
}

cudaError_t check_launch(const Grid& g) {
  const auto kernel = [&g] { return std::string("launch of ") + (g.name ? g.name : "a kernel") + ": expected "; };
  const std::uint64_t threads = std::uint64_t(g.block.x) * g.block.y * g.block.z;
  if (threads == 0 || threads > max_threads || g.block.x > 1024 || g.block.y > 1024 || g.block.z > 64)
    return report(cudaErrorInvalidConfiguration,
                  kernel() + "1 to 1024 threads a block (z up to 64), got " + text_of(g.block));
  if (g.grid.x == 0 || g.grid.y == 0 || g.grid.z == 0 || g.grid.x > max_grid_x || g.grid.y > max_grid_yz ||
      g.grid.z > max_grid_yz)
    return report(cudaErrorInvalidConfiguration,
                  kernel() + "at least 1 block, and y and z up to 65535, got " + text_of(g.grid));
  const auto raised = runtime().dynamic_shared.find({current_device, g.call.function});
  const std::size_t max =
      raised == runtime().dynamic_shared.end() ? shared_default : static_cast<std::size_t>(raised->second);
  if (g.shared > max)
    return report(cudaErrorInvalidValue, kernel() + "at most " + std::to_string(max) +
                                             " bytes of dynamic shared memory (cudaFuncSetAttribute raises it), got " +
                                             std::to_string(g.shared));
  if (g.call.parameter_bytes > parameters_max)
    return report(cudaErrorInvalidValue,
                  kernel() + "at most 32764 bytes of arguments, got " + std::to_string(g.call.parameter_bytes));
  if (g.cooperative) {
    const std::uint64_t blocks = std::uint64_t(g.grid.x) * g.grid.y * g.grid.z;
    const int fit = blocks_of(static_cast<int>(threads), g.shared) * options().multiprocessors;
    if (blocks > static_cast<std::uint64_t>(fit))
      return report(cudaErrorCooperativeLaunchTooLarge, kernel() + "at most " + std::to_string(fit) +
                                                            " blocks that run together, got " + std::to_string(blocks));
  }
  return cudaSuccess;
}

cudaError_t check_device(cudaStream_t stream, const char* call) {
  const CUstream_st* const s = stream_of(stream);
  if (!s || s == &runtime().legacy || s->device == current_device) return cudaSuccess;
  return report(cudaErrorInvalidResourceHandle, std::string(call) + ": expected a stream of the current device, " +
                                                    std::to_string(current_device) + ", got one of device " +
                                                    std::to_string(s->device));
}

// --- copies -------------------------------------------------------------------------------------------------------------
bool on_device(Where w) { return w == Where::device; }

cudaError_t check_range(const char* call, const char* which, const void* p, std::size_t size, bool must_be_device,
                        Place& place) {
  place = place_of(p);
  if (must_be_device != on_device(place.where))
    return report(cudaErrorInvalidValue, std::string(call) + ": expected " + which +
                                             (must_be_device ? " on the device, got " : " on the host, got ") +
                                             describe_address(p));
  if (place.region && !place.region->holds(p, size))
    return report(cudaErrorInvalidValue, std::string(call) + ": expected " + std::to_string(size) +
                                             " bytes within an " + "allocation, got " + which + " at " +
                                             describe_address(p));
  return cudaSuccess;
}

struct Copy {
  void* to;
  const void* from;
  std::size_t size;
  bool pinned;  // the host memory is pinned and must still be allocated
  void operator()() const {
    if (runtime().stuck != cudaSuccess) return;
    if (pinned) {
      const Place a = place_of(to), b = place_of(from);
      if ((!on_device(a.where) && !a.region) || (!on_device(b.where) && !b.region) ||
          (a.region && !a.region->holds(to, size)) || (b.region && !b.region->holds(from, size))) {
        runtime().stuck = report(cudaErrorIllegalAddress, "a copy of " + std::to_string(size) + " bytes from " +
                                                              describe_address(from) + " to " + describe_address(to) +
                                                              ", which was there when it was asked for");
        return;
      }
    }
    ++count().copies;
    if (observer) {
      if (on_device(place_of(from).where)) observer->reads(from, size, "a copy");
      if (on_device(place_of(to).where)) observer->writes(to, size, "a copy");
    }
    std::memmove(to, from, size);
  }
};

cudaError_t copy(const char* call, void* to, const void* from, std::size_t size, cudaMemcpyKind kind,
                 cudaStream_t stream, bool async) {
  if (runtime().stuck) return runtime().stuck;
  if (size == 0) return cudaSuccess;
  if (!to || !from) return report(cudaErrorInvalidValue, std::string(call) + ": expected two addresses, got null");
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) {
    to_device = on_device(place_of(to).where);
    from_device = on_device(place_of(from).where);
  } else if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    return report(cudaErrorInvalidMemcpyDirection,
                  std::string(call) + ": expected a direction, got " + std::to_string(kind));
  }
  Place a, b;
  if (cudaError_t e = check_range(call, "the destination", to, size, to_device, a)) return e;
  if (cudaError_t e = check_range(call, "the source", from, size, from_device, b)) return e;
  const bool pageable = a.where == Where::host || b.where == Where::host;
  const Copy c{to, from, size, !pageable};
  CUstream_st* const s = stream_of(stream);
  if (!s)
    return report(cudaErrorInvalidResourceHandle, std::string(call) + ": expected a stream, got none that is alive");
  if (!async) {
    if (cudaError_t e = refuse_implicit(call)) return e;
    if (cudaError_t e = refuse_unsafe(call)) return e;
    drain_all(false);
    DeviceAccess access;
    starts_now(&runtime().legacy, call);
    c();
    if (observer) observer->host_waits_for_stream(&runtime().legacy);
    return runtime().stuck;
  }
  if (s->capture && pageable)
    return invalidate(s, cudaErrorStreamCaptureUnsupported,
                      std::string(call) +
                          ": a captured copy is made at every replay, so that its memory on the host must "
                          "be pinned; got " +
                          describe_address(a.where == Where::host ? to : from));
  if (!s->capture && pageable && b.where == Where::device) {  // synchronous, as in CUDA
    if (s == &runtime().legacy) drain_all(false);
    drain(s);
    DeviceAccess access;
    starts_now(s, call);
    c();
    if (observer) observer->host_waits_for_stream(s);
    return runtime().stuck;
  }
  return submit(stream, call, cudaGraphNodeTypeMemcpy, c, [&]() -> Run {
    if (!pageable || (b.where == Where::host && options().reads_pageable)) return c;
    // Pageable memory is read during the call, because it may change afterwards.
    auto bytes =
        std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + size);
    return [bytes, to, size] { Copy{to, bytes->data(), size, false}(); };
  });
}

struct Fill {
  void* to;
  int value;
  std::size_t size;
  void operator()() const {
    if (runtime().stuck != cudaSuccess) return;
    ++count().fills;
    if (observer) observer->writes(to, size, "a fill");
    std::memset(to, value, size);
  }
};

cudaError_t fill(const char* call, void* to, int value, std::size_t size, cudaStream_t stream) {
  if (runtime().stuck) return runtime().stuck;
  if (size == 0) return cudaSuccess;
  Place a;
  if (cudaError_t e = check_range(call, "the destination", to, size, true, a)) return e;
  const Fill f{to, value, size};
  return submit(stream, call, cudaGraphNodeTypeMemset, f, [&]() -> Run { return f; });
}

// --- graphs -------------------------------------------------------------------------------------------------------------
std::vector<std::unique_ptr<CUgraphNode_st>> clone(const std::vector<std::unique_ptr<CUgraphNode_st>>& nodes) {
  std::vector<std::unique_ptr<CUgraphNode_st>> copy;
  for (const auto& n : nodes) {
    copy.push_back(std::make_unique<CUgraphNode_st>());
    copy.back()->type = n->type;
    copy.back()->run = n->run;
    copy.back()->after = n->after;
    copy.back()->child = clone(n->child);
  }
  return copy;
}

// An order that the edges allow: the capture order, or for reverse always the last node that is ready.
std::vector<std::size_t> order_of(const std::vector<std::unique_ptr<CUgraphNode_st>>& nodes) {
  std::vector<std::size_t> order;
  std::vector<bool> done(nodes.size());
  const bool backwards = options().streams == Streams::late_reverse || options().blocks == Order::reverse;
  while (order.size() < nodes.size()) {
    for (std::size_t k = 0; k < nodes.size(); ++k) {
      const std::size_t i = backwards ? nodes.size() - 1 - k : k;
      if (done[i]) continue;
      const auto& after = nodes[i]->after;
      if (!std::all_of(after.begin(), after.end(), [&](std::size_t j) { return done[j]; })) continue;
      done[i] = true;
      order.push_back(i);
      break;
    }
  }
  return order;
}

// `before`: nodes that come before all of `nodes`.
void flatten(const std::vector<std::unique_ptr<CUgraphNode_st>>& nodes, const std::vector<std::size_t>& before,
             std::vector<std::unique_ptr<CUgraphNode_st>>& flat) {
  std::vector<std::vector<std::size_t>> ends(nodes.size());  // by node: the flat nodes that its successors depend on
  for (std::size_t i : order_of(nodes)) {
    const CUgraphNode_st& n = *nodes[i];
    std::vector<std::size_t> after = before;
    for (std::size_t j : n.after) after.insert(after.end(), ends[j].begin(), ends[j].end());
    if (n.type == cudaGraphNodeTypeGraph) {
      const std::size_t first = flat.size();
      flatten(n.child, after, flat);
      for (std::size_t k = first; k < flat.size(); ++k) ends[i].push_back(k);
    } else if (n.run) {
      ends[i] = {flat.size()};
      flat.push_back(std::make_unique<CUgraphNode_st>());
      flat.back()->type = n.type;
      flat.back()->run = n.run;
      flat.back()->after = std::move(after);
      continue;
    }
    if (ends[i].empty()) ends[i] = std::move(after);
  }
}

void run_exec(const CUgraphExec_st& exec) {
  if (runtime().stuck != cudaSuccess) return;
  ++count().graph_launches;
  if (observer) observer->graph_begins(&exec);
  for (std::size_t i = 0; i < exec.nodes.size(); ++i) {
    if (observer) observer->graph_node(i, exec.nodes[i]->after);
    exec.nodes[i]->run();
  }
  if (observer) observer->graph_ends();
}

void leave_capture(Capture& c) {
  for (CUstream_st* s : c.streams) {
    s->capture = nullptr;
    s->tail.clear();
  }
  if (c.mode != cudaStreamCaptureModeRelaxed) --runtime().captures;
}

}  // namespace

// --- for tests ----------------------------------------------------------------------------------------------------------
Options& options() {
  static Options o = [] {
    Options from;
    const auto word = [](const char* name) {
      const char* const v = std::getenv(name);
      return std::string(v ? v : "");
    };
    const auto number = [&](const char* name, int otherwise) {
      const std::string v = word(name);
      return v.empty() ? otherwise : std::atoi(v.c_str());
    };
    const auto unknown = [](const char* name, const std::string& v) {
      std::fprintf(stderr, "simt: %s: expected one of the words in tests/simt/include/simt/simt.hpp, got '%s'\n", name,
                   v.c_str());
      std::exit(2);
    };
    const std::string order = word("TENON_SIMT_ORDER"), streams = word("TENON_SIMT_STREAMS");
    if (order == "reverse")
      from.set_order(Order::reverse);
    else if (order == "interleaved")
      from.set_order(Order::interleaved);
    else if (order.rfind("random", 0) == 0)
      from.set_order(Order::random, order.size() > 7 ? std::strtoull(order.c_str() + 7, nullptr, 10) : 1);
    else if (!order.empty() && order != "forward")
      unknown("TENON_SIMT_ORDER", order);
    if (streams == "late")
      from.streams = Streams::late;
    else if (streams == "late_reverse")
      from.streams = Streams::late_reverse;
    else if (!streams.empty() && streams != "immediate")
      unknown("TENON_SIMT_STREAMS", streams);
    from.protect = number("TENON_SIMT_PROTECT", 0) != 0;
    from.quiet = number("TENON_SIMT_QUIET", 0) != 0;
    from.one_order = number("TENON_SIMT_ONE_ORDER", 0) != 0;
    from.multiprocessors = number("TENON_SIMT_SMS", 4);
    from.devices = number("TENON_SIMT_DEVICES", 1);
    from.driver = number("TENON_SIMT_DRIVER", from.driver);
    from.device_error = number("TENON_SIMT_DEVICE_ERROR", 0);
    from.capability = number("TENON_SIMT_CAPABILITY", from.capability);
    return from;
  }();
  return o;
}

const std::string& last_report() { return runtime().text; }

void reset() {
  Lock lock;
  Runtime& r = runtime();
  r.last = r.stuck = cudaSuccess;
  r.text.clear();
  r.legacy.entries.clear();
  for (CUstream_st* s : r.streams) s->entries.clear();
}

const Counters& counters() { return count(); }

void undefined(void* at, std::size_t size) {
  Lock lock;
  // For queued and captured operations it is not known here which of them come before.
  if (!observer || !at || options().streams != Streams::immediate || runtime().captures > 0) return;
  observer->undefined(at, size);
}
void name_next_launch(const char* name) { next_name = name; }

cudaError_t report(cudaError_t error, std::string text) {
  Runtime& r = runtime();
  r.last = error;
  r.text = std::string(cudaGetErrorName(error)) + ": " + std::move(text);
  if (!options().quiet) std::fprintf(stderr, "simt: %s\n", r.text.c_str());
  return error;
}

cudaError_t launch_call(const cudaLaunchConfig_t& config, const Call& call) {
  Lock lock;
  Grid g;
  g.call = call;
  g.grid = config.gridDim;
  g.block = config.blockDim;
  g.shared = config.dynamicSmemBytes;
  g.name = std::exchange(next_name, nullptr);
  for (unsigned i = 0; i < config.numAttrs; ++i)
    if (config.attrs[i].id == cudaLaunchAttributeCooperative) g.cooperative = config.attrs[i].val.cooperative != 0;
  if (runtime().stuck) return runtime().stuck;
  if (cudaError_t e = refuse_without_code("a launch")) return e;
  if (cudaError_t e = check_launch(g)) return e;
  if (cudaError_t e = check_device(config.stream, "a launch")) return e;
  return submit(
      config.stream, "cudaLaunchKernelEx", cudaGraphNodeTypeKernel, [&] { run_kernel(g); },
      [&]() -> Run { return OwnGrid(g); });
}

cudaError_t enqueue(cudaStream_t stream, const char* call, const std::function<void()>& now,
                    const std::function<std::function<void()>()>& make) {
  Lock lock;
  if (runtime().stuck) return runtime().stuck;
  if (cudaError_t e = check_device(stream, call)) return e;
  const auto run = [](const Run& f) {
    if (runtime().stuck == cudaSuccess) f();
  };
  return submit(
      stream, call, cudaGraphNodeTypeKernel, [&] { run(now); }, [&]() -> Run { return [run, f = make()] { run(f); }; });
}

}  // namespace simt

using namespace simt;

// --- errors -------------------------------------------------------------------------------------------------------------
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define SIMT_NAME(name, value, text) \
  case name: return #name;
    SIMT_ERRORS(SIMT_NAME)
#undef SIMT_NAME
  }
  return "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define SIMT_TEXT(name, value, text) \
  case name: return text;
    SIMT_ERRORS(SIMT_TEXT)
#undef SIMT_TEXT
  }
  return "unrecognized error code";
}
cudaError_t cudaPeekAtLastError() { return runtime().stuck ? runtime().stuck : runtime().last; }
cudaError_t cudaGetLastError() {
  Lock lock;
  const cudaError_t e = cudaPeekAtLastError();
  runtime().last = cudaSuccess;
  return e;
}

// --- devices ------------------------------------------------------------------------------------------------------------
cudaError_t cudaGetDeviceCount(int* n) {
  *n = 0;
  if (cudaError_t e = refuse_without_device("cudaGetDeviceCount")) return e;
  *n = options().devices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return refuse_without_device("cudaGetDevice");
}
cudaError_t cudaSetDevice(int device) {
  if (cudaError_t e = refuse_without_device("cudaSetDevice")) return e;
  if (cudaError_t e = check_number("cudaSetDevice", device)) return e;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (cudaError_t e = refuse_without_device("cudaGetDeviceProperties")) return e;
  if (cudaError_t e = check_number("cudaGetDeviceProperties", device)) return e;
  *p = {};
  std::snprintf(p->name, sizeof(p->name), "emulated by tests/simt");
  p->totalGlobalMem = options().device_bytes;
  p->sharedMemPerBlock = shared_default;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = static_cast<int>(max_grid_x);
  p->maxGridSize[1] = p->maxGridSize[2] = static_cast<int>(max_grid_yz);
  p->totalConstMem = 65536;
  p->major = options().capability / 10;
  p->minor = options().capability % 10;
  p->multiProcessorCount = options().multiprocessors;
  p->canMapHostMemory = p->concurrentKernels = p->unifiedAddressing = p->cooperativeLaunch = 1;
  p->asyncEngineCount = 1;
  p->memoryBusWidth = 64;
  p->l2CacheSize = 1 << 20;
  p->maxThreadsPerMultiProcessor = threads_of_multiprocessor;
  p->maxBlocksPerMultiProcessor = blocks_of_multiprocessor;
  p->sharedMemPerMultiprocessor = shared_of_multiprocessor;
  p->sharedMemPerBlockOptin = shared_max;
  p->reservedSharedMemPerBlock = shared_reserved;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (cudaError_t e = cudaGetDeviceProperties(&p, device)) return e;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxBlockDimX: *value = p.maxThreadsDim[0]; break;
    case cudaDevAttrMaxBlockDimY: *value = p.maxThreadsDim[1]; break;
    case cudaDevAttrMaxBlockDimZ: *value = p.maxThreadsDim[2]; break;
    case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY: *value = p.maxGridSize[1]; break;
    case cudaDevAttrMaxGridDimZ: *value = p.maxGridSize[2]; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.sharedMemPerBlock); break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = p.regsPerBlock; break;
    case cudaDevAttrClockRate: *value = 1000000; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrIntegrated: *value = 0; break;
    case cudaDevAttrMemoryClockRate: *value = 1000000; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = p.memoryBusWidth; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrUnifiedAddressing: *value = 1; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = static_cast<int>(p.sharedMemPerMultiprocessor); break;
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = p.regsPerMultiprocessor; break;
    case cudaDevAttrManagedMemory: *value = 0; break;
    case cudaDevAttrPageableMemoryAccess: *value = options().reads_pageable; break;
    case cudaDevAttrCooperativeLaunch: *value = 1; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.sharedMemPerBlockOptin); break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; break;
    case cudaDevAttrReservedSharedMemoryPerBlock: *value = static_cast<int>(p.reservedSharedMemPerBlock); break;
    default: return report(cudaErrorInvalidValue, "cudaDeviceGetAttribute: the stand-in does not know this one");
  }
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = options().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  Lock lock;
  return wait_for_device("cudaDeviceSynchronize");
}
cudaError_t cudaDeviceReset() {
  simt::reset();
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total) {
  Lock lock;
  if (cudaError_t e = refuse_without_device("cudaMemGetInfo")) return e;
  *total = options().device_bytes;
  *available = *total - count().allocated_bytes;
  return runtime().stuck;
}

// --- memory -------------------------------------------------------------------------------------------------------------
cudaError_t cudaMalloc(void** pointer, std::size_t size) {
  Lock lock;
  if (cudaError_t e = refuse_without_device("cudaMalloc")) return e;
  if (runtime().stuck) return runtime().stuck;
  if (cudaError_t e = refuse_unsafe("cudaMalloc")) return e;
  return allocate_device(pointer, size, current_device);
}
cudaError_t cudaFree(void* pointer) {
  Lock lock;
  if (!pointer) return runtime().stuck;
  if (cudaError_t e = refuse_unsafe("cudaFree")) return e;
  drain_all(true);
  if (observer) observer->host_waits_for_all();
  const cudaError_t e = free_device(pointer);
  return runtime().stuck ? runtime().stuck : e;
}
cudaError_t cudaMallocHost(void** pointer, std::size_t size) { return cudaHostAlloc(pointer, size, 0); }
cudaError_t cudaHostAlloc(void** pointer, std::size_t size, unsigned int) {
  Lock lock;
  if (cudaError_t e = refuse_without_device("cudaMallocHost")) return e;
  if (runtime().stuck) return runtime().stuck;
  if (cudaError_t e = refuse_unsafe("cudaMallocHost")) return e;
  return allocate_pinned(pointer, size);
}
cudaError_t cudaFreeHost(void* pointer) {
  Lock lock;
  if (cudaError_t e = refuse_unsafe("cudaFreeHost")) return e;
  drain_all(true);
  const cudaError_t e = free_pinned(pointer);
  return runtime().stuck ? runtime().stuck : e;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* pointer) {
  Lock lock;
  void* const p = const_cast<void*>(pointer);
  const Place place = place_of(pointer);
  switch (place.where) {
    case Where::device: *a = {cudaMemoryTypeDevice, place.region->device, p, nullptr}; break;
    case Where::pinned: *a = {cudaMemoryTypeHost, 0, p, p}; break;
    case Where::host: *a = {cudaMemoryTypeUnregistered, -2, nullptr, p}; break;
  }
  return runtime().stuck;
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  Lock lock;
  return copy("cudaMemcpy", to, from, size, kind, nullptr, false);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  Lock lock;
  return copy("cudaMemcpyAsync", to, from, size, kind, stream, true);
}
cudaError_t cudaMemset(void* to, int value, std::size_t size) {
  Lock lock;
  return fill("cudaMemset", to, value, size, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t size, cudaStream_t stream) {
  Lock lock;
  return fill("cudaMemsetAsync", to, value, size, stream);
}

// --- streams ------------------------------------------------------------------------------------------------------------
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  Lock lock;
  if (cudaError_t e = refuse_without_device("cudaStreamCreateWithFlags")) return e;
  if (runtime().stuck) return runtime().stuck;
  *stream = new CUstream_st;
  (*stream)->flags = flags;
  (*stream)->device = current_device;
  runtime().streams.push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Lock lock;
  Runtime& r = runtime();
  CUstream_st* const s = stream_of(stream);
  if (!s || s == &r.legacy)
    return report(cudaErrorInvalidResourceHandle, "cudaStreamDestroy: expected a stream, got none that is alive");
  drain(s);
  if (s->capture) {
    const std::shared_ptr<Capture> c = s->capture;
    leave_capture(*c);
    delete c->graph;
  }
  for (CUevent_st* e : r.events)
    if (e->point && e->point->stream == s) e->point->stream = nullptr;
  r.streams.erase(std::find(r.streams.begin(), r.streams.end(), s));
  delete s;
  return r.stuck;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Lock lock;
  CUstream_st* const s = stream_of(stream);
  if (!s)
    return report(cudaErrorInvalidResourceHandle, "cudaStreamSynchronize: expected a stream, got none that is alive");
  if (s->capture)
    return invalidate(s, cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize of a stream that is captured");
  if (s == &runtime().legacy) {
    if (cudaError_t e = refuse_implicit("cudaStreamSynchronize")) return e;
    drain_all(false);
  } else {
    drain(s);
  }
  if (observer) observer->host_waits_for_stream(s);
  return runtime().stuck;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  Lock lock;
  CUstream_st* const s = stream_of(stream);
  if (!s) return report(cudaErrorInvalidResourceHandle, "cudaStreamQuery: expected a stream, got none that is alive");
  if (s->capture)
    return invalidate(s, cudaErrorStreamCaptureUnsupported, "cudaStreamQuery of a stream that is captured");
  if (runtime().stuck) return runtime().stuck;
  if (s->entries.empty()) {
    if (observer) observer->host_waits_for_stream(s);
    return cudaSuccess;
  }
  drain(s);  // so a polling loop makes progress
  return cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  Lock lock;
  if (runtime().stuck) return runtime().stuck;
  CUstream_st* const s = stream_of(stream);
  if (!s || !runtime().events.count(event))
    return report(cudaErrorInvalidResourceHandle,
                  "cudaStreamWaitEvent: expected a stream and an event, got none alive");
  if (event->capture) {
    if (s->capture && s->capture != event->capture)
      return invalidate(s, cudaErrorStreamCaptureMerge, "cudaStreamWaitEvent: the event belongs to another capture");
    if (s == &runtime().legacy)
      return invalidate(event->capture->origin, cudaErrorStreamCaptureImplicit,
                        "cudaStreamWaitEvent: the legacy stream cannot be captured");
    if (!s->capture) {
      s->capture = event->capture;
      s->capture->streams.push_back(s);
      s->tail.clear();
    }
    for (std::size_t i : event->tail)
      if (std::find(s->tail.begin(), s->tail.end(), i) == s->tail.end()) s->tail.push_back(i);
    return cudaSuccess;
  }
  if (s->capture)
    return invalidate(s, cudaErrorStreamCaptureIsolation,
                      "cudaStreamWaitEvent: a captured stream would wait for work that is not captured");
  if (observer) observer->stream_waits(s, event);
  if (event->point && !event->point->done) s->entries.push_back({{}, event->point});
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  Lock lock;
  Runtime& r = runtime();
  if (r.stuck) return r.stuck;
  CUstream_st* const s = stream_of(stream);
  if (!s || s == &r.legacy)
    return report(cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture: the legacy stream cannot be captured");
  if (s->capture) return report(cudaErrorIllegalState, "cudaStreamBeginCapture: this stream is captured already");
  s->capture = std::make_shared<Capture>();
  s->capture->graph = new CUgraph_st;
  s->capture->origin = s;
  s->capture->mode = mode;
  s->capture->thread = std::this_thread::get_id();
  s->capture->streams = {s};
  s->tail.clear();
  if (mode != cudaStreamCaptureModeRelaxed) ++r.captures;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  Lock lock;
  *graph = nullptr;
  CUstream_st* const s = stream_of(stream);
  if (!s || !s->capture) return report(cudaErrorIllegalState, "cudaStreamEndCapture: this stream is not captured");
  const std::shared_ptr<Capture> c = s->capture;
  if (c->origin != s)
    return invalidate(s, cudaErrorStreamCaptureUnmatched,
                      "cudaStreamEndCapture: expected the stream in which the capture began, got another");
  bool joined = true;  // whether every node leads to the origin's tail
  std::vector<bool> reached(c->graph->nodes.size());
  std::vector<std::size_t> open = s->tail;
  while (!open.empty()) {
    const std::size_t i = open.back();
    open.pop_back();
    if (reached[i]) continue;
    reached[i] = true;
    for (std::size_t j : c->graph->nodes[i]->after) open.push_back(j);
  }
  for (bool b : reached) joined = joined && b;
  leave_capture(*c);
  for (CUevent_st* e : runtime().events)
    if (e->capture == c) e->tail.clear();
  cudaError_t error = cudaSuccess;
  if (c->invalid)
    error = report(cudaErrorStreamCaptureInvalidated,
                   "cudaStreamEndCapture: a call during the capture was refused (" + runtime().text + ")");
  else if (!joined)
    error = report(cudaErrorStreamCaptureUnjoined,
                   "cudaStreamEndCapture: work of another stream was captured for which the first does not wait");
  if (error) {
    delete c->graph;
    return error;
  }
  *graph = c->graph;
  return runtime().stuck;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  Lock lock;
  CUstream_st* const s = stream_of(stream);
  if (!s)
    return report(cudaErrorInvalidResourceHandle, "cudaStreamIsCapturing: expected a stream, got none that is alive");
  *status = !s->capture           ? cudaStreamCaptureStatusNone
            : s->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
  return runtime().stuck;
}

// --- events -------------------------------------------------------------------------------------------------------------
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  Lock lock;
  if (cudaError_t e = refuse_without_device("cudaEventCreate")) return e;
  if (runtime().stuck) return runtime().stuck;
  *event = new CUevent_st;
  (*event)->flags = flags;
  runtime().events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  Lock lock;
  if (runtime().events.erase(event) == 0)
    return report(cudaErrorInvalidResourceHandle, "cudaEventDestroy: expected an event, got none that is alive");
  delete event;
  return runtime().stuck;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Lock lock;
  if (runtime().stuck) return runtime().stuck;
  CUstream_st* const s = stream_of(stream);
  if (!s || !runtime().events.count(event))
    return report(cudaErrorInvalidResourceHandle, "cudaEventRecord: expected a stream and an event, got none alive");
  if (s->capture) {
    event->capture = s->capture;
    event->tail = s->tail;
    return cudaSuccess;
  }
  event->capture = nullptr;
  if (observer) observer->recorded(event, s);
  if (!event->point || event->point.use_count() > 1) event->point = std::make_shared<Point>();
  event->point->done = false;
  event->point->stream = s;
  if (options().streams == Streams::immediate || s->entries.empty()) {
    event->point->done = true;
    event->point->when = std::chrono::steady_clock::now();
  } else {
    s->entries.push_back({[p = event->point] {
                            p->done = true;
                            p->when = std::chrono::steady_clock::now();
                          },
                          nullptr});
  }
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Lock lock;
  if (!runtime().events.count(event))
    return report(cudaErrorInvalidResourceHandle, "cudaEventSynchronize: expected an event, got none that is alive");
  if (event->capture)
    return invalidate(event->capture->origin, cudaErrorCapturedEvent,
                      "cudaEventSynchronize of an event that is captured");
  if (event->point && !event->point->done && event->point->stream) drain(event->point->stream, event->point.get());
  if (observer) observer->host_waits_for_event(event);
  return runtime().stuck;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  Lock lock;
  if (!runtime().events.count(event))
    return report(cudaErrorInvalidResourceHandle, "cudaEventQuery: expected an event, got none that is alive");
  if (event->capture)
    return invalidate(event->capture->origin, cudaErrorCapturedEvent, "cudaEventQuery of an event that is captured");
  if (runtime().stuck) return runtime().stuck;
  if (!event->point || event->point->done) {
    if (observer) observer->host_waits_for_event(event);
    return cudaSuccess;
  }
  if (event->point->stream) drain(event->point->stream, event->point.get());
  return cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  Lock lock;
  Runtime& r = runtime();
  if (r.stuck) return r.stuck;
  if (!r.events.count(start) || !r.events.count(end) || !start->point || !end->point ||
      ((start->flags | end->flags) & cudaEventDisableTiming))
    return report(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime: expected two recorded events that keep time");
  if (!start->point->done || !end->point->done) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(end->point->when - start->point->when).count();
  return cudaSuccess;
}

// --- graphs -------------------------------------------------------------------------------------------------------------
cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned int) {
  Lock lock;
  *graph = new CUgraph_st;
  return runtime().stuck;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return runtime().stuck;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* n) {
  if (nodes)
    for (std::size_t i = 0; i < *n; ++i) nodes[i] = i < graph->nodes.size() ? graph->nodes[i].get() : nullptr;
  *n = nodes ? std::min(*n, graph->nodes.size()) : graph->nodes.size();
  return runtime().stuck;
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  *type = node->type;
  return runtime().stuck;
}
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                       std::size_t n, cudaGraph_t child) {
  Lock lock;
  std::vector<std::size_t> after;
  for (std::size_t i = 0; i < n; ++i) {
    const auto it = std::find_if(graph->nodes.begin(), graph->nodes.end(),
                                 [&](const auto& have) { return have.get() == dependencies[i]; });
    if (it == graph->nodes.end())
      return report(cudaErrorInvalidValue, "cudaGraphAddChildGraphNode: expected dependencies of the same graph");
    after.push_back(static_cast<std::size_t>(it - graph->nodes.begin()));
  }
  CUgraphNode_st* const made = add_node(*graph, cudaGraphNodeTypeGraph, {}, std::move(after));
  made->child = clone(child->nodes);
  *node = made;
  return runtime().stuck;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  Lock lock;
  if (runtime().stuck) return runtime().stuck;
  ++count().graphs;
  *exec = new CUgraphExec_st;
  flatten(graph->nodes, {}, (*exec)->nodes);
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return runtime().stuck; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  Lock lock;
  if (runtime().stuck) return runtime().stuck;
  CUstream_st* const s = stream_of(stream);
  if (s && s->capture) {  // becomes a child graph
    if (s->capture->invalid)
      return report(cudaErrorStreamCaptureInvalidated, "cudaGraphLaunch: the capture has failed before");
    CUgraphNode_st* const made = add_node(*s->capture->graph, cudaGraphNodeTypeGraph, {}, s->tail);
    made->child = clone(exec->nodes);
    for (std::size_t i = 1; i < made->child.size(); ++i) made->child[i]->after = {i - 1};
    s->tail = {s->capture->graph->nodes.size() - 1};
    return cudaSuccess;
  }
  return submit(
      stream, "cudaGraphLaunch", cudaGraphNodeTypeGraph, [&] { run_exec(*exec); },
      [&]() -> Run { return [exec] { run_exec(*exec); }; });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  Lock lock;
  drain_all(true);  // it may still be queued
  delete exec;
  return runtime().stuck;
}

// --- kernels ------------------------------------------------------------------------------------------------------------
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  Lock lock;
  if (runtime().stuck) return runtime().stuck;
  if (cudaError_t e = refuse_without_code("cudaFuncSetAttribute")) return e;
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > static_cast<int>(shared_max))
    return report(cudaErrorInvalidValue, "cudaFuncSetAttribute: expected at most " + std::to_string(shared_max) +
                                             " bytes of shared memory, got " + std::to_string(value));
  runtime().dynamic_shared[{current_device, function}] = value;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void* function) {
  Lock lock;
  *a = {};
  if (cudaError_t e = refuse_without_code("cudaFuncGetAttributes")) return e;
  a->maxThreadsPerBlock = static_cast<int>(max_threads);
  a->numRegs = 32;
  a->ptxVersion = a->binaryVersion = compiled_for;
  const auto raised = runtime().dynamic_shared.find({current_device, function});
  a->maxDynamicSharedSizeBytes =
      raised == runtime().dynamic_shared.end() ? static_cast<int>(shared_default) : raised->second;
  return runtime().stuck;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads, std::size_t shared) {
  if (threads < 1) return report(cudaErrorInvalidValue, "occupancy: expected at least 1 thread a block");
  *blocks = threads > static_cast<int>(max_threads) || shared > shared_max ? 0 : blocks_of(threads, shared);
  return runtime().stuck;
}
