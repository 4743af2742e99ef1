// A device that the library has never heard of, defined after everything is included: layers find its kernels by ADL.
#include <tenon/tenon.hpp>

#include "catch.hpp"

namespace elsewhere {

struct Abacus {
  int calls = 0;
  void reserve_scratch(std::size_t) {}
};

using namespace tenon;

template <class T, int I, int O>
void linear_prepare(Abacus& dev, In<T, O, I> w, Span<T> packed) {
  ++dev.calls;
  for (int i = 0; i < O * I; ++i) packed[static_cast<std::size_t>(i)] = w[static_cast<std::size_t>(i)];
}

template <class T, int I, int O, Fuse F>
void linear_forward(Abacus& dev, In<T, Batch, I> x, In<T, O, I>, Span<const T> w, In<T, O> b, Epilogue<F>,
                    Out<T, Batch, O> y) {
  ++dev.calls;
  for (int n = 0; n < x.batch; ++n)
    for (int o = 0; o < O; ++o) {
      T sum = b[static_cast<std::size_t>(o)];
      for (int i = 0; i < I; ++i) sum += x.row(n)[i] * w[static_cast<std::size_t>(o * I + i)];
      y.row(n)[o] = kernels::Activate<F.act>::of(sum);
    }
}

}  // namespace elsewhere

TEST_CASE("third device: layers find its kernels") {
  using namespace tenon;
  using Net = Sequential<Input<3>, Linear<4>, ReLU, Linear<2>>;
  using P = plan::Plan<Net, plan::Mode::eval>;
  constexpr auto ops = plan::Program<P, elsewhere::Abacus, float>::table<Net>();

  Model<Net> cpu(Seed{1}, 2, Cpu{});
  const float x[] = {1, -2, 3, 0.5f, 0, -1};
  std::copy(x, x + 6, cpu.input(2).data);
  const auto expected = cpu.predict(2);

  elsewhere::Abacus dev;
  std::vector<float> arena(P::memory.arena * 2), packed(P::memory.packed);
  plan::Context<elsewhere::Abacus, float> c;
  c.dev = &dev;
  c.capacity = c.batch = 2;
  c.arena = arena.data();
  c.parameters = cpu.parameters().data;
  c.packed = packed.data();
  std::copy(x, x + 6, c.of(P::memory.input));
  for (int i = 0; i < P::memory.rows; ++i) {
    ops.op[i].prepare(c, P::memory.row[i]);
    ops.op[i].forward(c, P::memory.row[i]);
  }
  CHECK(dev.calls == 4);
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(c.of(P::memory.output)[i] == Approx(expected[i]).margin(1e-6));
}
