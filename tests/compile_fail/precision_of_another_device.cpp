// Bf16 and Tf32 are ways to compute products on Cuda. (nvcc names the template parameter, not the type.)
// expect: model<.*Cpu, (tenon::Bf16|Precision)>
// expect: the_device_Cuda_for_Tf32_and_Bf16
// expect: Fp32_or_Fp64_or_the_device_Cuda
// errors: 1
// nvcc
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>

using namespace tenon;

#ifndef TENON_TWIN
using Precision = Bf16;
#else
using Precision = Fp32;
#endif

int main() {
  Model<Sequential<Input<4>, Linear<3>>, Cpu, Precision> model;
  Trainer trainer(model, Adam{});
  return model.predict(1).batch;
}
