// Linear: y = f(x w^T + b), and its gradients.
//   x (B, I)   w (O, I)   b (O) or null   ->   y (B, O)
//   dz = dy f'(y) (B, O), which overwrites dy
//   dx = dz w (B, I)      dw = dz^T x (O, I)      db = sum over B of dz (O)
// Strategy  forward: one product whose epilogue adds the bias and applies the activation. Backward: dz and db in one launch
//           (derivative.cuh), dw and dx in another. cuBLAS computes large float products (cublas.cuh). w is not packed.
// Fits      any sizes. Floats are summed in float. dev.math sets the precision of the factors.
// Cost      2 B I O operations each for y, dx and dw; one launch forward and two backward.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/core/geometry.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/cublas.cuh"
#include "tenon/cuda/derivative.cuh"

TENON_IEEE_MATH_BEGIN

namespace tenon::kernels {

/// Does nothing: the weights are not packed.
template <class T, int I, int O>
void linear_prepare(Cuda&, In<T, O, I>, Span<T>) {}

template <class T, int I, int O, Epilogue F>
void linear_forward(Cuda& dev, In<T, Batch, I> x, std::type_identity_t<In<T, O, I>> w,
                    std::type_identity_t<Span<const T>>, std::type_identity_t<In<T, O>> b, EpilogueTag<F>,
                    Out<T, Batch, O> y) {
  cuda::Product<T> p;
  p.m = y.batch, p.n = O, p.k = I;
  p.a = x.data, p.a_ld = I;
  p.b = w.data, p.b_ld = I;
  p.c = y.data, p.c_ld = O;
  p.bias = b.data;
  cuda::multiply<cuda::ActivationFunction<F.activation>, true, true>(dev, p);
}

/// dw = dz^T x and dx = dz w, or += them. Either may be null. Sizes are run-time values, so all shapes share this code.
template <class T>
void linear_gradients(Cuda& dev, int batch, int in, int out, const T* x, const T* w, const T* dz, T* dx, bool add_dx,
                      T* dw, bool add_dw) {
  cuda::Product<T> by_w, by_x;
  by_w.m = out, by_w.n = in, by_w.k = batch;
  by_w.a = dz, by_w.a_ld = out;
  by_w.b = x, by_w.b_ld = in;
  by_w.c = dw, by_w.c_ld = in, by_w.accumulate = add_dw;
  by_x.m = batch, by_x.n = in, by_x.k = out;
  by_x.a = dz, by_x.a_ld = out;
  by_x.b = w, by_x.b_ld = in;
  by_x.c = dx, by_x.c_ld = in, by_x.accumulate = add_dx;
  cuda::multiply_pair(dev, by_w, by_x);
}

/// dz overwrites dy. dx, dw and db may each be null. y may be null if there is no activation. The workspace is not used.
template <class T, int I, int O, Epilogue F>
void linear_backward(Cuda& dev, std::type_identity_t<In<T, Batch, I>> x, std::type_identity_t<In<T, O, I>> w,
                     std::type_identity_t<In<T, Batch, O>> y, EpilogueTag<F>, Out<T, Batch, O> dy, Into<T, Batch, I> dx,
                     std::type_identity_t<Into<T, O, I>> dw, std::type_identity_t<Into<T, O>> db, Span<T>) {
  derivative_and_sums<F.activation>(dev, dy.data, y.data, dy.batch, O, db.data, db.accumulate);
  linear_gradients(dev, dy.batch, I, O, x.data, w.data, dy.data, dx.data, dx.accumulate, dw.data, dw.accumulate);
}

}  // namespace tenon::kernels

TENON_IEEE_MATH_END
