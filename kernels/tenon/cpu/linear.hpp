// Linear: y = f(x w^T + b), and its gradients.
//   x (B, I)   w (O, I)   b (O) or null   ->   y (B, O)
//   dz = dy f'(y) (B, O), overwrites dy
//   dx = dz w (B, I)      dw = dz^T x (O, I)      db = sum over B of dz (O)
// Strategy  products of 6 x 16 tiles (gemm.hpp). Forward reads w by columns, so linear_prepare transposes w into panels
//           whenever w has changed. The gradients read their operands in place. One parallel loop computes dw and dx.
// Cost      2 B I O operations each; linear_prepare 8 bytes per weight.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tenon/common/linear.hpp"
#include "tenon/core/geometry.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cpu/derivative.hpp"
#include "tenon/cpu/gemm.hpp"
#include "tenon/cpu/transpose.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Values of T: the panels of w, and the shared workspace of the backward.
constexpr std::size_t linear_packed(int in, int out) { return gemm_packed(out, in); }
constexpr std::size_t linear_workspace(int, int out) { return derivative_workspace(out); }
/// Bytes of a worker's scratch.
template <class T>
constexpr std::size_t linear_scratch(int, int out) {
  return gemm_scratch<T>(out);
}

/// dw = dz^T x and dx = dz w, or += them. Either may be null. Sizes are known at run time, so all shapes share this code.
template <class T>
void linear_gradients(Cpu& dev, int batch, int in, int out, const T* x, const T* w, const T* dz, T* dx, bool add_dx,
                      T* dw, bool add_dw) {
  const Gemm<T> by_w{out, in, batch, dz, 1, out, x, panel, in, dw, in, add_dw ? dw : nullptr, in};
  const Gemm<T> by_x{batch, in, out, dz, out, 1, w, panel, in, dx, in, add_dx ? dx : nullptr, in};
  const GemmTasks w_tasks(dw ? out : 0, in, batch), x_tasks(dx ? batch : 0, in, out);
  dev.parallel(w_tasks.count + x_tasks.count, [&](int task, int worker) {
    if (task < w_tasks.count)
      gemm_task<Activation{}>(dev, by_w, w_tasks, task, worker);
    else
      gemm_task<Activation{}>(dev, by_x, x_tasks, task - w_tasks.count, worker);
  });
}

/// Packs w (O, I) into the panels that linear_forward reads. linear_forward also receives w, which other devices may read.
template <class T, int I, int O>
void linear_prepare(Cpu& dev, In<T, O, I> w, Span<T> packed) {
  pack_rows(dev, w.data, O, I, packed.data);
}

template <class T, int I, int O, Epilogue F>
void linear_forward(Cpu& dev, In<T, Batch, I> x, std::type_identity_t<In<T, O, I>>,
                    std::type_identity_t<Span<const T>> packed, std::type_identity_t<In<T, O>> b, EpilogueTag<F>,
                    Out<T, Batch, O> y) {
  gemm<F.activation>(dev, Gemm<T>{y.batch, O, I, x.data, I, 1, packed.data, static_cast<std::ptrdiff_t>(I) * panel,
                                  panel, y.data, O, b.data, 0});
}

/// Overwrites dy with dz. Each of dx, dw and db may be null. y may be null if there is no activation.
template <class T, int I, int O, Epilogue F>
void linear_backward(Cpu& dev, std::type_identity_t<In<T, Batch, I>> x, std::type_identity_t<In<T, O, I>> w,
                     std::type_identity_t<In<T, Batch, O>> y, EpilogueTag<F>, Out<T, Batch, O> dy, Into<T, Batch, I> dx,
                     std::type_identity_t<Into<T, O, I>> dw, std::type_identity_t<Into<T, O>> db, Span<T> work) {
  static_assert(F.activation.from_output(),
                "tenon: an activation fused for training must give its slope from its value");
  if (F.activation.kind != Activation::none || db)
    derivative_and_sums<F.activation>(dev, dy.data, y.data, dy.batch, O, db.data, db.accumulate, work.data);
  linear_gradients(dev, dy.batch, I, O, x.data, w.data, dy.data, dx.data, dx.accumulate, dw.data, dw.accumulate);
}

constexpr WorkspaceSizes linear_workspace_sizes(DeviceTag<Cpu>, int in, int out) {
  return {static_cast<long long>(linear_packed(in, out)), static_cast<long long>(linear_workspace(in, out)),
          static_cast<long long>(linear_scratch<float>(in, out)),
          static_cast<long long>(linear_scratch<double>(in, out))};
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
