// Types of tenon must have the same layout with a C++ compiler and with nvcc. TENON_UNIT is one (with main) or two.
// SPDX-License-Identifier: MIT
#include <tenon/tenon.hpp>
#include <tenon/train/session.hpp>
#ifdef __CUDACC__
#include <tenon/cuda.cuh>
#include <tenon/train/session_impl.hpp>
#endif

#include <cstdio>
#include <vector>

struct Layout {
  const char* name;
  std::size_t size, align;
};

#define NAME_(unit) layout_##unit
#define NAME(unit) NAME_(unit)

std::vector<Layout> NAME(TENON_UNIT)() {
  using namespace tenon;
  using Net = Sequential<Input<1, 8, 8>, Conv2d<8, Kernel<3>>, BatchNorm<>, ReLU, Flatten, Dropout<>, Linear<4>>;
  using OnCpu = Model<Net>;
  using OnCuda = Model<Net, Cuda>;
  return {
#define OF(...) Layout{#__VA_ARGS__, sizeof(__VA_ARGS__), alignof(__VA_ARGS__)}
      OF(Net),
      OF(OnCpu),
      OF(OnCuda),
      OF(Model<Net, Cuda, Bf16>),
      OF(Model<Net, Cpu, Fp64>),
      OF(Trainer<OnCpu, Adam>),
      OF(Trainer<OnCuda, Adam>),
      OF(Trainer<OnCpu, AnyOptimizer>),
      OF(Trainer<OnCuda, AnyOptimizer>),
      OF(Trainer<OnCuda, Sgd, MeanSquaredError<float>>),
      OF(Weights<Net>),
      OF(Weights<Net, Cuda>),
      OF(Predictor<Net>),
      OF(Predictor<Net, Cuda>),
      OF(AnySession),
      OF(Session<Net>),
      OF(SessionOptions),
      OF(TrainerOptions),
      OF(Progress),
      OF(LossSums),
      OF(NonFinite),
      OF(Error),
      OF(Cpu),
      OF(Cuda),
      OF(CudaMath),
      OF(kernels::CudaBuffer<float>),
      OF(kernels::CudaRecorder),
      OF(kernels::EpochState),
      OF(StepState),
      OF(Buffer<float>),
      OF(Tensor<float, Batch, 8, 8>),
      OF(Tensor<double, 3>),
      OF(View<float, Batch, 8, 8>),
      OF(View<const double, 3, 3>),
      OF(Into<float, 8>),
      OF(Span<float>),
      OF(Sgd),
      OF(Adam),
      OF(AdamW),
      OF(AnyOptimizer),
      OF(Schedule),
      OF(CrossEntropy),
      OF(MeanSquaredError<float>),
      OF(BinaryCrossEntropy<float>),
      OF(kernels::CrossEntropyOptions),
      OF(ImageOptions),
      OF(ImageData),
      OF(ImageSet),
      OF(kernels::Images),
      OF(kernels::Order),
      OF(kernels::Augmentation),
      OF(kernels::Normalisation<float>),
      OF(Samples<float, std::int32_t>),
      OF(Seed),
      OF(random::Key),
      OF(random::Permutation),
      OF(FileLock),
      OF(SafeTensors),
      OF(TensorInfo),
      OF(Dims),
      OF(plan::NamedTensor),
      OF(plan::StepOffsets),
      OF(plan::ModelContext<Cuda, float>),
  };
}

#ifdef TENON_MAIN
std::vector<Layout> layout_two();

int main() {
  const std::vector<Layout> one = layout_one(), two = layout_two();
  int apart = one.size() == two.size() ? 0 : 1;
  for (std::size_t i = 0; i < one.size() && i < two.size(); ++i)
    if (one[i].size != two[i].size || one[i].align != two[i].align) {
      apart = 1;
      std::printf("%s: %zu bytes aligned to %zu, and %zu to %zu\n", one[i].name, one[i].size, one[i].align, two[i].size,
                  two[i].align);
    }
  std::printf("%zu types\n", one.size());
  return apart;
}
#endif
