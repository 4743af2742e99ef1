// Linear: y = f(x w^T + b), and its gradients.
//   x (B, I)   w (O, I)   b (O) or null   ->   y (B, O)
//   dz = dy f'(y), written over dy (B, O)
//   dx = dz w (B, I)      dw = dz^T x (O, I)      db = sum over B of dz (O)
// Strategy  forward: one product with bias and activation in its end. Backward: slopes and db in one launch (slope.cuh),
//           dw and dx in another. Large products of floats go to cuBLAS (cublas.cuh). w is read where it lies.
// Fits      any sizes; sums of floats in float, factors as dev.math says.
// Cost      2 B I O operations each; one launch forward and two backward.
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "tenon/core/geometry.hpp"
#include "tenon/core/view.hpp"
#include "tenon/cuda/cublas.cuh"
#include "tenon/cuda/slope.cuh"

namespace tenon::kernels {

/// Nothing: the weights are read where they lie.
template <class T, int I, int O>
void linear_prepare(Cuda&, In<T, O, I>, Span<T>) {}

template <class T, int I, int O, Fuse F>
void linear_forward(Cuda& dev, In<T, Batch, I> x, std::type_identity_t<In<T, O, I>> w,
                    std::type_identity_t<Span<const T>>, std::type_identity_t<In<T, O>> b, Epilogue<F>,
                    Out<T, Batch, O> y) {
  cuda::Product<T> p;
  p.m = y.batch, p.n = O, p.k = I;
  p.a = x.data, p.a_ld = I;
  p.b = w.data, p.b_ld = I;
  p.c = y.data, p.c_ld = O;
  p.bias = b.data;
  cuda::multiply<cuda::Activate<F.act>, true, true>(dev, p);
}

/// dw = dz^T x and dx = dz w, or added; either may be null. Sizes are run-time, so that all shapes share this code.
template <class T>
void linear_gradients(Cuda& dev, int batch, int in, int out, const T* x, const T* w, const T* dz, T* dx, bool add_dx,
                      T* dw, bool add_dw) {
  cuda::Product<T> by_w, by_x;
  by_w.m = out, by_w.n = in, by_w.k = batch;
  by_w.a = dz, by_w.a_ld = out;
  by_w.b = x, by_w.b_ld = in;
  by_w.c = dw, by_w.c_ld = in, by_w.add = add_dw;
  by_x.m = batch, by_x.n = in, by_x.k = out;
  by_x.a = dz, by_x.a_ld = out;
  by_x.b = w, by_x.b_ld = in;
  by_x.c = dx, by_x.c_ld = in, by_x.add = add_dx;
  cuda::multiply_pair(dev, by_w, by_x);
}

/// dy becomes dz. dx, dw and db may each be null; y may be where there is no activation. The workspace is not used.
template <class T, int I, int O, Fuse F>
void linear_backward(Cuda& dev, std::type_identity_t<In<T, Batch, I>> x, std::type_identity_t<In<T, O, I>> w,
                     std::type_identity_t<In<T, Batch, O>> y, Epilogue<F>, Out<T, Batch, O> dy, Into<T, Batch, I> dx,
                     std::type_identity_t<Into<T, O, I>> dw, std::type_identity_t<Into<T, O>> db, Span<T>) {
  slope_and_sums<F.act>(dev, dy.data, y.data, dy.batch, O, db.data, db.add);
  linear_gradients(dev, dy.batch, I, O, x.data, w.data, dy.data, dx.data, dx.add, dw.data, dw.add);
}

}  // namespace tenon::kernels
