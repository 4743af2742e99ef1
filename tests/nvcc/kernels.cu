// Every kernel, also those that no program uses, compiled for each architecture and not run. The instances in float are
// those that a user may need; the instances in double are those of the gradient checks of every layer.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>
#include <tenon/optimizers/any_optimizer.hpp>
#include <tenon/predict.hpp>
#include <tenon/tenon.hpp>

namespace tenon {
namespace {

using Pictures = Sequential<Input<3, 16, 16>, Conv2d<32, Kernel<3>, Padding<1>>, BatchNorm<>, LeakyReLU<>, AvgPool2d<2>,
                            Conv2d<32, Kernel<3>, Padding<1>, Groups<4>>, GELU, MaxPool2d<3, Stride<2>, Padding<1>>,
                            Residual<Body<Conv2d<64, Kernel<3>, Stride<2>, Padding<1>>, BatchNorm<>, SiLU>,
                                     Skip<Conv2d<64, Kernel<1>, Stride<2>>>>,
                            Conv2d<64, Kernel<3>, Dilation<2>, Padding<2>>, Sigmoid, AvgPool2d<2, Stride<1>>,
                            GlobalAvgPool, Linear<1000>>;
using Rows =
    Sequential<Input<40>, Linear<1500>, LayerNorm<>, Tanh, Dropout<>, Linear<64>, BatchNorm<>, GELUTanh, Linear<10>>;
using LongRows = Sequential<Input<40>, Linear<9000>, LayerNorm<>, ReLU, Linear<33>, LayerNorm<>, Linear<3>>;
using Sequences = Sequential<Input<6, 20>, Linear<24>, LayerNorm<>, Flatten, Linear<10>>;
using Planes = Sequential<Input<3, 5, 4>, ReLU, Flatten>;

template <class Net, class Precision, class Loss>
double train(Loss loss) {
  using T = typename Precision::value;
  Model<Net, Cuda, Precision> model(Seed{1}, 2, Cuda());
  Trainer trainer(model, AnyOptimizer(Adam{}), loss);
  const Samples<T, typename Loss::Target> data({}, {}, 1);
  trainer.epoch(data);
  return trainer.evaluate(data).loss();
}

template <class Net>
double train_images() {
  Model<Net, Cuda> model(Seed{1}, 2, Cuda());
  Trainer trainer(model, AnyOptimizer(Sgd{}), CrossEntropy{});
  const ImageSet set;
  const ImageData data(set, {0.5, 0.25, true, true});
  trainer.prepare(data);
  trainer.epoch(data);
  return Predictor<Net, Cuda>(Weights<Net, Cuda>::load("model")).run(1)[0] + trainer.evaluate(data).loss();
}

}  // namespace

double every_kernel() {
  return train_images<Pictures>() + train_images<Rows>() + train<LongRows, Fp32>(MeanSquaredError<>{}) +
         train<Rows, Fp32>(BinaryCrossEntropy<>{}) + train<Sequences, Fp32>(CrossEntropy{}) +
         train<Planes, Fp32>(MeanSquaredError<>{}) + train<Sequences, Fp64>(CrossEntropy{}) +
         train<Rows, Fp64>(MeanSquaredError<double>{}) + train<Pictures, Fp64>(BinaryCrossEntropy<double>{});
}

}  // namespace tenon
