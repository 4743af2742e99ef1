// A nested Sequential has the same plan and the same bits as the flat list of its layers, and PyTorch's names. Networks
// may be nested deeply, and layers may own many tensors.
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

#include <cstring>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace tenon;

namespace {

using Block = Sequential<Linear<8>, ReLU>;
using Nested = Sequential<Input<4>, Block, Sequential<Sequential<>, Block, Dropout<>>, Linear<3>>;
using Unnested = Sequential<Input<4>, Linear<8>, ReLU, Linear<8>, ReLU, Dropout<>, Linear<3>>;

static_assert(sizeof(Block) > 0, "a part of a network is a complete type");

template <class Net>
std::vector<std::string> names() {
  std::vector<std::string> list;
  for (const auto& t : plan::tensors<Net>()) list.push_back(t.name);
  return list;
}

/// Trains a few steps. Returns the weights and the outputs.
template <class Net>
std::vector<float> train() {
  Model<Net> model(Seed{3}, 8, Cpu{});
  Trainer trainer(model, Adam{1e-2});
  std::vector<float> x(8 * 4);
  std::vector<std::int32_t> labels(8);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 19) / 9 - 1;
  for (std::size_t b = 0; b < labels.size(); ++b) labels[b] = static_cast<std::int32_t>(b % 3);
  for (int i = 0; i < 5; ++i) trainer.step(x.data(), labels.data(), 8);
  std::vector<float> values(model.parameters().begin(), model.parameters().end());
  std::copy(x.begin(), x.end(), model.input(8).data);
  const auto y = model.predict(8);
  values.insert(values.end(), y.data, y.data + y.size());
  return values;
}

template <int N>
struct Nest {
  using type = Residual<Linear<8>, Tanh, typename Nest<N - 1>::type>;
};
template <>
struct Nest<0> {
  using type = Linear<8>;
};

}  // namespace

TEST_CASE("nested: a Sequential inside of a Sequential has PyTorch's names") {
  CHECK(names<Nested>() ==
        std::vector<std::string>{"0.0.weight", "0.0.bias", "1.1.0.weight", "1.1.0.bias", "2.weight", "2.bias"});
}

TEST_CASE("nested: a Sequential in a Residual, and a Residual in a Sequential") {
  using Net = Sequential<Input<8>, Residual<Body<Block, Linear<5>>, Skip<Sequential<Linear<5>>>>,
                         Sequential<Residual<Linear<5, NoBias>>>>;
  CHECK(names<Net>() == std::vector<std::string>{"0.body.0.0.weight", "0.body.0.0.bias", "0.body.1.weight",
                                                 "0.body.1.bias", "0.skip.0.0.weight", "0.skip.0.0.bias",
                                                 "1.0.body.0.weight"});
  CHECK(check_gradients<Net>({}, Cpu{}).worst < 1e-6);
}

TEST_CASE("nested: the plan and the bits are those of the flat list") {
  constexpr auto mode = plan::Mode::train;
  using A = plan::Plan<Nested, Cpu, mode>;
  using B = plan::Plan<Unnested, Cpu, mode>;
  static_assert(A::steps.count == B::steps.count && A::memory.arena == B::memory.arena);
  static_assert(Nested::parameter_count == Unnested::parameter_count);
  const std::vector<float> nested = train<Nested>(), flat = train<Unnested>();
  REQUIRE(nested.size() == flat.size());
  CHECK(std::memcmp(nested.data(), flat.data(), nested.size() * sizeof(float)) == 0);
}

TEST_CASE("nested: messages and describe name the path") {
  CHECK(plan::name_of(Nested::graph.frames, Nested::graph.nodes[2]) == "layer 1.1.0 (Linear)");
  CHECK_THAT(describe<Nested>(), ContainsSubstring("1.1.0 Linear"));
}

TEST_CASE("nested: 32 Residuals inside of each other") {
  using Net = Sequential<Input<8>, Nest<32>::type, Linear<3>>;
  const auto list = names<Net>();
  CHECK(list.size() == 2 * (32 + 1 + 1));
  std::string innermost = "0";
  for (int i = 0; i < 31; ++i) innermost += ".body.2";
  CHECK(list[2 * 32] == innermost + ".body.2.weight");
  CHECK(check_gradients<Net>({.max = 4}, Cpu{}).worst < 1e-6);
}

namespace {

// y = (the product of 16 parameters) x. It saves 8 values for each sample and counts in 8 states.
struct Product {
  static constexpr const char* name = "Product";
  static constexpr const char* names[16] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                            "i", "j", "k", "l", "m", "n", "o", "p"};

  static constexpr LayerSpec infer(Dims in) {
    LayerSpec s = LayerSpec::to(in).backward_reads_input();
    for (int i = 0; i < 16; ++i) s = s.param(names[i], dims(1), constant(1));
    for (int i = 0; i < 8; ++i) s = s.state(names[i], dims(1), constant(i)).save(1);
    return s;
  }
  template <class Context>
  static void forward(auto&, const Context& at) {
    using T = typename Context::value_type;
    const auto [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = at.params();
    const T product =
        a[0] * b[0] * c[0] * d[0] * e[0] * f[0] * g[0] * h[0] * i[0] * j[0] * k[0] * l[0] * m[0] * n[0] * o[0] * p[0];
    for (std::size_t z = 0; z < at.x.size(); ++z) at.y[z] = product * at.x[z];
    if (T* const last = at.template saved<T, 7>()) {
      for (int sample = 0; sample < at.batch; ++sample) last[sample] = product;
      at.template state<7>()[0] += 1;
    }
  }
  template <class Context>
  static void backward(auto&, const Context& at) {
    using T = typename Context::value_type;
    const auto [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = at.params();
    const auto [da, db, dc, dd, de, df, dg, dh, di, dj, dk, dl, dm, dn, d_o, dp] = at.grads();
    T sum = 0;
    for (std::size_t z = 0; z < at.x.size(); ++z) sum += at.dy[z] * at.x[z] * at.template saved<T, 7>()[0];
    const auto write = [&](auto gradient, auto parameter) {
      gradient[0] = sum / parameter[0] + (gradient.accumulate ? gradient[0] : T(0));
    };
    write(da, a), write(db, b), write(dc, c), write(dd, d), write(de, e), write(df, f), write(dg, g), write(dh, h);
    write(di, i), write(dj, j), write(dk, k), write(dl, l), write(dm, m), write(dn, n), write(d_o, o), write(dp, p);
    if (at.dx)
      for (std::size_t z = 0; z < at.x.size(); ++z)
        at.dx[z] = at.dy[z] * at.template saved<T, 7>()[0] + (at.dx.accumulate ? at.dx[z] : T(0));
  }
};

}  // namespace

TEST_CASE("nested: a layer with 16 parameters, 8 states and 8 saved values") {
  using Net = Sequential<Input<4>, Linear<3>, Product, Linear<2>>;
  CHECK(check_gradients<Net>({}, Cpu{}).worst < 1e-6);
  Model<Net> model(Seed{1}, 2, Cpu{});
  model.forward(2);
  const auto& tensors = model.tensors();
  CHECK(tensors.size() == 2 + 16 + 8 + 2);
  CHECK(tensors[17].name == "1.p");
  CHECK(tensors[25].name == "1.h");
  CHECK(model.states()[static_cast<std::size_t>(tensors[24].offset)] == 6.0f);
  CHECK(model.states()[static_cast<std::size_t>(tensors[25].offset)] == 8.0f);
}
