// What a layer is handed when it runs: its views, typed with its own extents.
//
// forward    at.x  at.y             the input, and where the output goes
//            at.params()            auto [w, b] = at.params();    in the order of infer()
//            at.keep<T, I>()        what backward will want again
//            at.state<I>()          saved, not trained (BatchNorm); the model raises counters
// backward   at.x  at.y  at.dy  at.dx   x and y if infer() asked for them; dy may be overwritten; dx may be null, or add
//            at.params()  at.grads()    auto [dw, db] = at.grads();    each null, or to be written or added to
// both       at.batch  at.training  at.epilogue  at.random  at.first_sample  at.work  at.packed
// A Residual's Add has x2 and dx2 besides.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tenon/core/random.hpp"
#include "tenon/core/view.hpp"
#include "tenon/plan/memory.hpp"

namespace tenon::plan {

/// Everything an instance of a layer's code depends on, besides its type: equal keys share one instance.
struct Key {
  Dims in{}, out{};
  Fuse fuse{};

  constexpr bool operator==(const Key&) const = default;
};

/// The memory of one model on one device, and the step that is being run.
template <class Device, class T>
struct Context {
  Device* dev = nullptr;
  long long capacity = 0;  // samples that the arena holds
  int batch = 0;           // samples in it now
  T* arena = nullptr;
  const T* parameters = nullptr;
  T* gradients = nullptr;
  bool add_gradients = false;
  T* states = nullptr;
  T* fixed = nullptr;
  T* packed = nullptr;
  Span<T> work{};
  std::uint64_t seed = 0, first_sample = 0;
  std::uint32_t step = 0;

  T* of(long long offset) const { return offset < 0 ? nullptr : arena + offset * capacity; }
};

namespace detail {

template <template <class, int...> class V, class T, Dims D>
struct ViewOf;
template <template <class, int...> class V, class T, Dims D>
  requires(D.rank == 1)
struct ViewOf<V, T, D> {
  using type = V<T, Batch, D.d[0]>;
};
template <template <class, int...> class V, class T, Dims D>
  requires(D.rank == 2)
struct ViewOf<V, T, D> {
  using type = V<T, Batch, D.d[0], D.d[1]>;
};
template <template <class, int...> class V, class T, Dims D>
  requires(D.rank == 3)
struct ViewOf<V, T, D> {
  using type = V<T, Batch, D.d[1], D.d[2], D.d[0]>;  // channels-last
};

template <template <class, int...> class V, class T, Dims D>
struct TensorOf;
template <template <class, int...> class V, class T, Dims D>
  requires(D.rank == 1)
struct TensorOf<V, T, D> {
  using type = V<T, D.d[0]>;
};
template <template <class, int...> class V, class T, Dims D>
  requires(D.rank == 2)
struct TensorOf<V, T, D> {
  using type = V<T, D.d[0], D.d[1]>;
};
template <template <class, int...> class V, class T, Dims D>
  requires(D.rank == 3)
struct TensorOf<V, T, D> {
  using type = V<T, D.d[0], D.d[1], D.d[2]>;
};
template <template <class, int...> class V, class T, Dims D>
  requires(D.rank == 4)
struct TensorOf<V, T, D> {
  using type = V<T, D.d[0], D.d[1], D.d[2], D.d[3]>;
};

// Plain aggregates, so that structured bindings need no tuple.
template <class... V>
struct Pack {};
template <class A>
struct Pack<A> {
  A a;
};
template <class A, class B>
struct Pack<A, B> {
  A a;
  B b;
};
template <class A, class B, class C>
struct Pack<A, B, C> {
  A a;
  B b;
  C c;
};
template <class A, class B, class C, class D>
struct Pack<A, B, C, D> {
  A a;
  B b;
  C c;
  D d;
};

}  // namespace detail

/// One sample's view: (B, F), (B, T, F), or channels-last (B, H, W, C).
template <class T, Dims D>
using View = typename detail::ViewOf<tenon::View, T, D>::type;
template <class T, Dims D>
using IntoView = typename detail::ViewOf<tenon::Into, T, D>::type;

template <class L, Key K, bool Training, class Device, class T>
struct At {
  using value_type = T;
  static constexpr LayerSpec spec = L::infer(K.in);
  static constexpr Dims in = K.in, out = K.out;
  static constexpr Room room = tenon::detail::room_of<L>(K.in, K.fuse);
  static constexpr bool training = Training;

  const Context<Device, T>* context;
  const Row* row;
  int batch;
  Epilogue<K.fuse> epilogue{};
  random::Key random;          // at.random.use and .layer are set; a layer draws by sample and element
  std::uint64_t first_sample;  // position in the epoch of the batch's first sample
  Span<T> work;
  T* packed;

  explicit At(const Context<Device, T>& c, const Row& r)
      : context(&c),
        row(&r),
        batch(c.batch),
        random{c.seed, tenon::random::Use::dropout, static_cast<std::uint32_t>(r.node), c.step},
        first_sample(c.first_sample),
        work(c.work),
        packed(c.packed ? c.packed + r.packed : nullptr) {}

  template <int I>
  auto param() const {
    return
        typename detail::TensorOf<tenon::View, const T, spec.params[I].dims>::type(context->parameters + row->param[I]);
  }
  auto params() const { return params_of(std::make_integer_sequence<int, spec.param_count>{}); }

  template <int I>
  auto state() const {
    return typename detail::TensorOf<tenon::View, T, spec.states[I].dims>::type(context->states + row->state[I]);
  }

  /// Keep number I as U; per sample it holds `batch` rows, back to back. Null outside training.
  template <class U, int I>
  U* keep() const {
    if (row->keep[I] < 0) return nullptr;
    if constexpr (I < spec.keep_count && !spec.keeps[I < spec.keep_count ? I : 0].per_sample)
      return reinterpret_cast<U*>(context->fixed + row->keep[I]);
    else
      return reinterpret_cast<U*>(context->of(row->keep[I]));
  }

  /// Where a pooling notes the position of each maximum inside its window; null outside training.
  auto argmax() const {
    constexpr int slot = spec.pools ? 0 : spec.keep_count;
    return View<std::uint8_t, out>(
        row->keep[slot] < 0 ? nullptr : reinterpret_cast<std::uint8_t*>(context->of(row->keep[slot])), batch);
  }
  auto argmax_view() const { return as_const(argmax()); }

  /// Rearranged weights: to be written by prepare(), read by forward().
  Span<T> packed_span() const { return {packed, static_cast<std::size_t>(room.packed)}; }
  Span<const T> packed_view() const { return {packed, static_cast<std::size_t>(room.packed)}; }

  /// Parameter I, or a null view of its extents where the layer was made without it.
  template <int I, int... D>
  auto param_or_null() const {
    if constexpr (I < spec.param_count)
      return param<I>();
    else
      return tenon::View<const T, D...>();
  }

  // The same memory seen otherwise.
  template <class U, int... D>
  static auto as_const(tenon::View<U, D...> v) {
    return tenon::View<const U, D...>(v.data, v.batch);
  }
  template <class U, int... D>
  static auto flat(tenon::View<U, Batch, D...> v) {
    return tenon::View<U, Batch, (1 * ... * D)>(v.data, v.batch);
  }
  template <class U, int... D>
  static auto flat(tenon::Into<U, Batch, D...> v) {
    return tenon::Into<U, Batch, (1 * ... * D)>(v.data, v.batch, v.add);
  }
  /// Rows of the last extent: (B, F) as it is, (B, T, F) as (B * T, F).
  template <class U, int... D>
  static auto rows(tenon::View<U, Batch, D...> v) {
    constexpr int n = last<D...>();
    return tenon::View<U, Batch, n>(v.data, v.batch * ((1 * ... * D) / n));
  }
  template <class U, int... D>
  static auto rows(tenon::Into<U, Batch, D...> v) {
    constexpr int n = last<D...>();
    return tenon::Into<U, Batch, n>(v.data, v.batch * ((1 * ... * D) / n), v.add);
  }
  /// An image in PyTorch's order (B, C, H, W), whatever the type of `v` says.
  template <class U, int... D>
  static auto planar(tenon::View<U, Batch, D...> v) {
    return tenon::View<U, Batch, in.d[0], in.d[1], in.d[2]>(v.data, v.batch);
  }
  template <class U, int... D>
  static auto planar(tenon::Into<U, Batch, D...> v) {
    return tenon::Into<U, Batch, in.d[0], in.d[1], in.d[2]>(v.data, v.batch, v.add);
  }
  template <class U, int... D>
  static auto into(tenon::View<U, Batch, D...> v) {
    return tenon::Into<U, Batch, D...>(v.data, v.batch, false);
  }

 protected:
  template <int... I>
  auto params_of(std::integer_sequence<int, I...>) const {
    return detail::Pack<decltype(param<I>())...>{param<I>()...};
  }
  template <int First, int... Rest>
  static constexpr int last() {
    int n = First;
    ((n = Rest), ...);
    return n;
  }
};

template <class L, Key K, bool Training, class Device, class T>
struct ForwardAt : At<L, K, Training, Device, T> {
  View<const T, K.in> x, x2;
  View<T, K.out> y;

  ForwardAt(const Context<Device, T>& c, const Row& r)
      : At<L, K, Training, Device, T>(c, r), x(c.of(r.x), c.batch), x2(c.of(r.x2), c.batch), y(c.of(r.y), c.batch) {}
};

template <class L, Key K, class Device, class T>
struct BackwardAt : At<L, K, true, Device, T> {
  using Base = At<L, K, true, Device, T>;
  using Base::spec;
  View<const T, K.in> x;
  View<const T, K.out> y;
  View<T, K.out> dy;
  IntoView<T, K.in> dx, dx2;

  BackwardAt(const Context<Device, T>& c, const Row& r)
      : Base(c, r),
        x(spec.reads_input ? c.of(r.x) : nullptr, c.batch),
        y(c.of(r.y), c.batch),
        dy(c.of(r.dy), c.batch),
        dx(c.of(r.dx), c.batch, r.dx_add),
        dx2(c.of(r.dx2), c.batch, r.dx2_add) {}

  template <int I>
  auto grad() const {
    const auto& c = *this->context;
    return typename detail::TensorOf<tenon::Into, T, spec.params[I].dims>::type(c.gradients + this->row->param[I], 1,
                                                                                c.add_gradients);
  }
  template <int I, int... D>
  auto grad_or_null() const {
    if constexpr (I < spec.param_count)
      return grad<I>();
    else
      return tenon::Into<T, D...>();
  }
  auto grads() const { return grads_of(std::make_integer_sequence<int, spec.param_count>{}); }

 private:
  template <int... I>
  auto grads_of(std::integer_sequence<int, I...>) const {
    return detail::Pack<decltype(grad<I>())...>{grad<I>()...};
  }
};

}  // namespace tenon::plan
