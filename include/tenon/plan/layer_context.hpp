// The argument `at` of a layer's functions: views whose types have the layer's extents.
//
// forward    at.x  at.y             the input and the memory of the output
//            at.params()            auto [w, b] = at.params();    in the order of infer()
//            at.saved<T, I>()       memory that forward fills for backward
//            at.state<I>()          saved with the model, not trained (BatchNorm); the model increments counters
// backward   at.x  at.y  at.dy  at.dx   x and y if infer() requested them; dy may be overwritten; dx may be null (it is
//                                       if not at.has_dx, a constant), or accumulate
//            at.params()  at.grads()    auto [dw, db] = at.grads();    each null, or to be written or accumulated
// both       at.batch  at.training  at.epilogue  at.work  at.packed
//            at.step()              pointer to the StepState: numbers that change from step to step, read by kernels
//            at.layer               this layer's number in random keys: step->key(random::Use::user, layer)
// A Residual's Add also has x2 and dx2.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tenon/core/step_state.hpp"
#include "tenon/core/view.hpp"
#include "tenon/plan/memory.hpp"
#include "tenon/plan/pack.hpp"

namespace tenon::plan {

/// Everything on which an instance of a layer's code depends, except the layer's type. Equal keys share one instance.
struct KernelKey {
  Dims in{}, out{};
  kernels::Epilogue epilogue{};

  constexpr bool operator==(const KernelKey&) const = default;
};

/// The memory of one model on one device, and the state of the running step.
template <class Device, class T>
struct ModelContext {
  Device* dev = nullptr;
  long long capacity = 0;  // samples that the arena can hold
  int batch = 0;           // samples in the arena now
  T* arena = nullptr;
  const T* parameters = nullptr;
  T* gradients = nullptr;
  bool add_gradients = false;
  // In backward they replace at.x or at.y if infer() did not request them. Null: at.x is null and at.y has undefined
  // values. Tests of layers set them to memory full of NaN.
  const T *poison_x = nullptr, *poison_y = nullptr;
  T* states = nullptr;
  T* fixed = nullptr;
  T* packed = nullptr;
  Span<T> work{};
  const StepState* step = nullptr;  // memory of the device

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

}  // namespace detail

/// One sample's view: (B, F), (B, T, F), or channels-last (B, H, W, C).
template <class T, Dims D>
using View = typename detail::ViewOf<tenon::View, T, D>::type;
template <class T, Dims D>
using IntoView = typename detail::ViewOf<tenon::Into, T, D>::type;

template <class L, KernelKey K, bool Training, class Device, class T>
struct LayerContext {
  using value_type = T;
  static constexpr LayerSpec spec = L::infer(K.in);
  static constexpr Dims in = K.in, out = K.out;
  static constexpr WorkspaceSizes workspace_sizes = tenon::detail::workspace_sizes_of<L, Device>(K.in, K.epilogue);
  static constexpr bool training = Training;

  const ModelContext<Device, T>* context;
  const StepOffsets* row;
  int batch;
  kernels::EpilogueTag<K.epilogue> epilogue{};
  std::uint32_t layer;  // this layer's number in random keys
  Span<T> work;
  T* packed;

  explicit LayerContext(const ModelContext<Device, T>& c, const StepOffsets& r)
      : context(&c),
        row(&r),
        batch(c.batch),
        layer(static_cast<std::uint32_t>(r.node)),
        work(c.work),
        packed(c.packed ? c.packed + r.packed : nullptr) {}

  /// A pointer to the state of the running step. Kernels dereference it. On Cuda the host cannot.
  StepPointer<Device> step() const { return StepPointer<Device>(context->step); }

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

  /// Saved memory number I as type U. If it is per sample, it holds `batch` contiguous rows. Null outside training.
  template <class U, int I>
  U* saved() const {
    if (row->saved[I] < 0) return nullptr;
    if constexpr (I < spec.saved_count && !spec.saved[I < spec.saved_count ? I : 0].per_sample)
      return reinterpret_cast<U*>(context->fixed + row->saved[I]);
    else
      return reinterpret_cast<U*>(context->of(row->saved[I]));
  }

  /// Memory where a pooling stores the position of each maximum inside its window. Null outside training.
  auto argmax() const {
    constexpr int slot = spec.pools ? 0 : spec.saved_count;
    return View<std::uint8_t, out>(
        row->saved[slot] < 0 ? nullptr : reinterpret_cast<std::uint8_t*>(context->of(row->saved[slot])), batch);
  }
  auto argmax_view() const { return as_const(argmax()); }

  /// The memory of the rearranged weights. prepare() writes them and forward() reads them.
  Span<T> packed_span() const { return {packed, static_cast<std::size_t>(workspace_sizes.packed)}; }
  Span<const T> packed_view() const { return {packed, static_cast<std::size_t>(workspace_sizes.packed)}; }

  /// Parameter I, or a null view with its extents if the layer has no such parameter.
  template <int I, int... D>
  auto param_or_null() const {
    if constexpr (I < spec.param_count)
      return param<I>();
    else
      return tenon::View<const T, D...>();
  }

  // Other views of the same memory.
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
    return tenon::Into<U, Batch, (1 * ... * D)>(v.data, v.batch, v.accumulate);
  }
  /// Rows of the last extent: (B, F) is unchanged, (B, T, F) becomes (B * T, F).
  template <class U, int... D>
  static auto rows(tenon::View<U, Batch, D...> v) {
    constexpr int n = last<D...>();
    return tenon::View<U, Batch, n>(v.data, v.batch * ((1 * ... * D) / n));
  }
  template <class U, int... D>
  static auto rows(tenon::Into<U, Batch, D...> v) {
    constexpr int n = last<D...>();
    return tenon::Into<U, Batch, n>(v.data, v.batch * ((1 * ... * D) / n), v.accumulate);
  }
  /// A view of an image in PyTorch's order (B, C, H, W), for any type of `v`.
  template <class U, int... D>
  static auto planar(tenon::View<U, Batch, D...> v) {
    return tenon::View<U, Batch, in.d[0], in.d[1], in.d[2]>(v.data, v.batch);
  }
  template <class U, int... D>
  static auto planar(tenon::Into<U, Batch, D...> v) {
    return tenon::Into<U, Batch, in.d[0], in.d[1], in.d[2]>(v.data, v.batch, v.accumulate);
  }
  template <class U, int... D>
  static auto into(tenon::View<U, Batch, D...> v) {
    return tenon::Into<U, Batch, D...>(v.data, v.batch, false);
  }

 protected:
  template <int... I>
  auto params_of(std::integer_sequence<int, I...>) const {
    return Pack<decltype(param<I>())...>{{param<I>()}...};
  }
  template <int First, int... Rest>
  static constexpr int last() {
    int n = First;
    ((n = Rest), ...);
    return n;
  }
};

template <class L, KernelKey K, bool Training, class Device, class T>
struct ForwardContext : LayerContext<L, K, Training, Device, T> {
  View<const T, K.in> x, x2;
  View<T, K.out> y;

  ForwardContext(const ModelContext<Device, T>& c, const StepOffsets& r)
      : LayerContext<L, K, Training, Device, T>(c, r),
        x(c.of(r.x), c.batch),
        x2(c.of(r.x2), c.batch),
        y(c.of(r.y), c.batch) {}
};

template <class L, KernelKey K, class Device, class T, bool HasDx>
struct BackwardContext : LayerContext<L, K, true, Device, T> {
  using Base = LayerContext<L, K, true, Device, T>;
  using Base::spec;
  static constexpr bool has_dx = HasDx;  // false: dx is null
  static constexpr bool reads_output = spec.reads_output || K.epilogue.activation.kind != kernels::Activation::none;
  View<const T, K.in> x;
  View<const T, K.out> y;
  View<T, K.out> dy;
  IntoView<T, K.in> dx, dx2;

  BackwardContext(const ModelContext<Device, T>& c, const StepOffsets& r)
      : Base(c, r),
        x(spec.reads_input ? c.of(r.x) : c.poison_x, c.batch),
        y(c.poison_y && !reads_output ? c.poison_y : c.of(r.y), c.batch),
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
    return Pack<decltype(grad<I>())...>{{grad<I>()}...};
  }
};

}  // namespace tenon::plan
