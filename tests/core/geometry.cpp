// Geometry: output sizes of windows by PyTorch's formulas, and which activations read their output.
// SPDX-License-Identifier: MIT
#include "tenon/core/geometry.hpp"

#include "catch.hpp"

using namespace tenon;
using namespace tenon::kernels;

TEST_CASE("output sizes are those of counting the positions") {
  for (int size = 1; size <= 12; ++size)
    for (int kernel = 1; kernel <= 4; ++kernel)
      for (int stride = 1; stride <= 3; ++stride)
        for (int padding = 0; padding <= 2; ++padding)
          for (int dilation = 1; dilation <= 2; ++dilation) {
            const Window w{kernel, kernel, stride, stride, padding, padding, dilation, dilation};
            const int reach = dilation * (kernel - 1) + 1;
            int count = 0;
            for (int at = -padding; at + reach <= size + padding; at += stride) ++count;
            INFO("size " << size << ", kernel " << kernel << ", stride " << stride << ", padding " << padding
                         << ", dilation " << dilation);
            CHECK(w.fits(size, size) == (count > 0));
            if (count > 0) CHECK((w.out_h(size) == count && w.out_w(size) == count));
          }
}

TEST_CASE("vertical and horizontal are not mixed up") {
  const Window w{3, 1, 2, 1, 1, 0, 1, 1};
  CHECK((w.out_h(9) == 5 && w.out_w(9) == 9));
  const ConvDims c{4, 9, 7, 6, 1, w};
  CHECK((c.oh() == 5 && c.ow() == 7));
  const PoolDims p{4, 9, 7, w};
  CHECK((p.oh() == 5 && p.ow() == 7));
}

TEST_CASE("activations that are not monotonic need their input") {
  for (const Activation::Kind a : {Activation::gelu, Activation::gelu_tanh, Activation::silu})
    CHECK_FALSE(Activation{a, 0, 1}.from_output());
  for (const Activation::Kind a :
       {Activation::none, Activation::relu, Activation::leaky_relu, Activation::sigmoid, Activation::tanh})
    CHECK(Activation{a, 0, 1}.from_output());
}
