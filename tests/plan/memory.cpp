// The memory plan: no two values that are live at the same time share memory, and gradients are written before they are
// accumulated. The checks follow the schedule independently of the planner.
#include <map>
#include <string>
#include <vector>

#include "../../examples/programs/models.hpp"
#include "catch.hpp"
#include "tenon/core/cuda.hpp"
#include "tenon/plan/describe.hpp"

using namespace tenon;
using namespace tenon::kernels;
using plan::Mode;
using plan::no_offset;

namespace {

struct Piece {
  std::string what;
  long long begin, size;
};

// The memory of all live values. Values that are live at the same time must not overlap.
struct Claims {
  std::vector<Piece> live;

  void take(const std::string& what, long long begin, long long size) {
    REQUIRE(begin >= 0);
    REQUIRE(begin % plan::granule == 0);
    for (const Piece& p : live) {
      INFO(what << " at " << begin << " + " << size << " against " << p.what << " at " << p.begin << " + " << p.size);
      REQUIRE((begin + size <= p.begin || p.begin + p.size <= begin));
    }
    live.push_back({what, begin, size});
  }
  void drop(const std::string& what) {
    for (std::size_t i = 0; i < live.size(); ++i)
      if (live[i].what == what) return void(live.erase(live.begin() + static_cast<std::ptrdiff_t>(i)));
    FAIL("nothing called " << what << " is alive");
  }
};

template <class Net, Mode M>
void follow() {
  using P = plan::Plan<Net, Cpu, M>;
  const auto& g = Net::graph;
  const auto& s = P::steps;
  const auto& m = P::memory;
  const int S = s.count;
  const auto values = [&](int v) { return v == 0 ? g.input.count() : g.nodes[v - 1].spec.out.count(); };
  const auto name = [](const char* what, int v) { return std::string(what) + std::to_string(v); };

  // The last time at which a value is read. Time of forward step k: k; of the loss: S; of backward step k: 2S - k.
  std::map<int, int> last;
  for (int k = 0; k < S; ++k) {
    const auto& spec = g.nodes[s.step[k].node].spec;
    const bool back = m.row[k].backward;
    for (const int v : {s.step[k].in, s.step[k].in2})
      if (v >= 0) last[v] = std::max(last[v], back && spec.reads_input ? 2 * S - k : k);
    const bool reads_output = spec.reads_output || s.step[k].epilogue.activation.kind != Activation::none;
    last[s.step[k].out] = std::max(last[s.step[k].out], back && reads_output ? 2 * S - k : k);
  }
  last[s.output] = std::max(last[s.output], S);

  Claims claims;
  std::map<int, bool> written;  // gradients
  claims.take("value 0", m.input, values(0));
  const auto bury = [&](int t) {
    for (const auto& [v, when] : last)
      if (when == t) claims.drop(name("value ", v));
  };
  for (int k = 0; k < S; ++k) {
    const auto& row = m.row[k];
    CHECK(row.node == s.step[k].node);
    claims.take(name("value ", s.step[k].out), row.y, values(s.step[k].out));
    const auto& spec = g.nodes[row.node].spec;
    for (int i = 0; i <= LayerSpec::max_saved; ++i)
      if (row.backward && row.saved[i] != no_offset && (i >= spec.saved_count || spec.saved[i].per_sample))
        claims.take(name("saved ", 100 * k + i), row.saved[i], i < spec.saved_count ? spec.saved[i].values : 1);
    bury(k);
  }
  if (M == Mode::eval) {
    for (int k = 0; k < S; ++k) CHECK_FALSE(m.row[k].backward);
    return;
  }
  bool wanted = M == Mode::train_with_input_gradient;
  for (int k = 0; k < S; ++k) wanted = wanted || m.row[k].backward;
  CHECK((m.output_gradient != no_offset) == wanted);  // without trained values no output gradient is needed
  if (!wanted) return;
  claims.take(name("gradient ", s.output), m.output_gradient, values(s.output));
  written[s.output] = true;
  bury(S);
  for (int k = S - 1; k >= 0; --k) {
    const auto& row = m.row[k];
    if (!row.backward) {
      bury(2 * S - k);
      continue;
    }
    INFO("step " << k);
    REQUIRE(written[s.step[k].out]);
    REQUIRE(row.dy >= 0);
    const auto write = [&](int v, long long at, bool add) {
      if (v < 0 || at == no_offset) return;
      CHECK(add == written[v]);  // the first writer overwrites, the others accumulate
      if (!written[v]) claims.take(name("gradient ", v), at, values(v));
      written[v] = true;
    };
    write(s.step[k].in, row.dx, row.dx_add);
    write(s.step[k].in2, row.dx2, row.dx2_add);
    claims.drop(name("gradient ", s.step[k].out));
    const auto& spec = g.nodes[row.node].spec;
    for (int i = 0; i <= LayerSpec::max_saved; ++i)
      if (row.saved[i] != no_offset && (i >= spec.saved_count || spec.saved[i].per_sample))
        claims.drop(name("saved ", 100 * k + i));
    bury(2 * S - k);
  }
  if (M == Mode::train_with_input_gradient) CHECK(written[0]);
}

template <class Net>
void follow_all() {
  follow<Net, Mode::eval>();
  follow<Net, Mode::train>();
  follow<Net, Mode::train_with_input_gradient>();
}

}  // namespace

TEST_CASE("memory: nothing overlaps while it is alive") {
  follow_all<models::Mlp>();
  follow_all<models::Lenet>();
  follow_all<models::Cnn>();
  follow_all<models::Resnet>();
  follow_all<Sequential<Input<7>, Tanh>>();
  follow_all<Sequential<Input<3, 5, 4>, ReLU>>();
  follow_all<Sequential<Input<7>, Residual<Residual<Tanh, Linear<7>>, SiLU>, GELU, Residual<>, Linear<2>>>();
  follow_all<Sequential<Input<7>, Linear<5>, Residual<Body<Tanh, Dropout<>, Linear<9>>, Skip<BatchNorm<>, Linear<9>>>,
                        ReLU>>();
}

TEST_CASE("memory: parameters lie apart, each on a cache line") {
  const auto tensors = plan::tensors<models::Resnet>();
  long long end = 0;
  for (const auto& t : tensors) {
    if (t.kind != plan::NamedTensor::Kind::parameter) continue;
    CHECK(t.offset % plan::granule == 0);
    CHECK(t.offset >= end);
    end = t.offset + t.dims.count();
  }
  CHECK(end <= models::Resnet::layout.parameters);
}

TEST_CASE("memory: first fit takes the lowest hole, and holes that touch become one") {
  plan::FirstFit<8> fit;
  const auto a = fit.take(16), b = fit.take(32), c = fit.take(16), d = fit.take(16);
  CHECK((a == 0 && b == 16 && c == 48 && d == 64));
  fit.give(a, 16);
  fit.give(c, 16);
  CHECK(fit.take(32) == 80);  // no hole is large enough
  fit.give(b, 32);            // 0 .. 64 is now one hole
  CHECK(fit.take(64) == 0);
  CHECK(fit.top() == 112);
  fit.give(80, 32);
  CHECK(fit.take(48) == 80);  // the hole at the end grows
  CHECK(fit.top() == 128);
}

TEST_CASE("names: as PyTorch's state_dict") {
  std::vector<std::string> names;
  for (const auto& t :
       plan::tensors<Sequential<Input<1, 8, 8>, Conv2d<4, Kernel<3>>, BatchNorm<>, ReLU,
                                Residual<Body<Conv2d<6, Kernel<3>>, ReLU>, Skip<Conv2d<6, Kernel<3>, NoBias>>>, Flatten,
                                Linear<2>>>())
    names.push_back(t.name);
  CHECK(names == std::vector<std::string>{"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
                                          "1.num_batches_tracked", "3.body.0.weight", "3.body.0.bias",
                                          "3.skip.0.weight", "5.weight", "5.bias"});
}

TEST_CASE("names: with several channels at the input, indices stay PyTorch's") {
  const auto tensors = plan::tensors<Sequential<Input<3, 8, 8>, Conv2d<4, Kernel<3>>, Flatten, Linear<2>>>();
  CHECK(tensors.front().name == "0.weight");
  CHECK(tensors.back().name == "2.bias");
}

TEST_CASE("describe: says what runs") {
  const std::string text = describe<models::Cnn>();
  INFO(text);
  CHECK_THAT(text, ContainsSubstring("0 Conv2d + ReLU + MaxPool2d "));
  CHECK_THAT(text, ContainsSubstring("3 Conv2d + ReLU + MaxPool2d + Flatten"));
  CHECK_THAT(text, ContainsSubstring("(3136)"));
  CHECK_THAT(text, ContainsSubstring("arena: "));
  CHECK_THAT((describe<models::Cnn, Mode::eval>()), ContainsSubstring("9 Linear"));
}

namespace {

// ForAll gives the same sizes for all devices. ForOne gives sizes by device and needs scratch on the Cpu only.
struct ForAll {
  static constexpr const char* name = "ForAll";
  static constexpr LayerSpec infer(Dims in) { return LayerSpec::to(in); }
  static constexpr WorkspaceSizes workspace_sizes(Dims in, Epilogue) { return {.workspace = 10 * in[0]}; }
  static void forward(auto&, const auto&) {}
  static void backward(auto&, const auto&) {}
};
struct ForOne : ForAll {
  template <class D>
  static constexpr WorkspaceSizes workspace_sizes(kernels::DeviceTag<D>, Dims in, Epilogue) {
    return {.scratch_float = std::is_same_v<D, Cpu> ? in[0] : 0};
  }
};

}  // namespace

TEST_CASE("memory: sizes are those that the kernels of the device ask for") {
  using Gpu = plan::Plan<models::Cnn, Cuda, Mode::train>;
  using Host = plan::Plan<models::Cnn, Cpu, Mode::train>;
  long long filters = 0;
  for (const auto& node : models::Cnn::graph.nodes)
    if (node.spec.param_count > 0 && node.spec.params[0].dims.rank == 4)
      filters += plan::granules(node.spec.params[0].dims.count());
  CHECK(filters > 0);
  CHECK(Gpu::memory.packed == filters);  // the weights of Linear are not packed
  CHECK(Gpu::memory.workspace == 0);
  CHECK(Gpu::memory.scratch_float == 0);
  CHECK(Host::memory.packed > filters);
  CHECK(Host::memory.workspace > 0);
  CHECK(Host::memory.scratch_float > 0);
  CHECK(Gpu::memory.arena == Host::memory.arena);
  CHECK(Gpu::memory.parameters == Host::memory.parameters);
  for (int k = 0; k < Gpu::memory.rows; ++k) CHECK(Gpu::memory.row[k].y == Host::memory.row[k].y);
}

TEST_CASE("memory: a layer gives its sizes for all devices, or for each") {
  using Net = Sequential<Input<7>, Residual<Body<ForAll>, Skip<Residual<ForOne>>>>;
  CHECK(plan::Plan<Net, Cpu, Mode::eval>::memory.workspace == 70);
  CHECK(plan::Plan<Net, Cuda, Mode::eval>::memory.workspace == 70);
  CHECK(plan::Plan<Net, Cpu, Mode::eval>::memory.scratch_float == 7);
  CHECK(plan::Plan<Net, Cuda, Mode::eval>::memory.scratch_float == 0);
}
