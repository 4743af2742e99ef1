// Against PyTorch, small networks: files read and written byte for byte, logits, losses, trained weights and statistics.
// SPDX-License-Identifier: MIT
#include "pytorch.hpp"

#include "files.hpp"
#include "tenon/losses/binary_cross_entropy.hpp"
#include "tenon/optimizers/adam.hpp"
#include "tenon/optimizers/sgd.hpp"

using namespace pytorch;

namespace {

template <class Net, class Optimizer, class Loss = CrossEntropy>
void check_network(const char* name, Optimizer optimizer, Loss loss = {}, TrainerOptions options = {}) {
  const SafeTensors file = golden(name);
  const auto x = file.read_as<float>("input");
  Model<Net> model(Seed{1}, 8, Cpu{});
  const std::string besides[] = {"input", "targets", "logits", "losses", "after"};
  read_tensors<float>(file, model.tensors(), flat(model), besides);
  check_logits(model, x, file, "logits");

  std::vector<TensorInfo> tensors;
  list_tensors<float>(model.tensors(), flat(model), tensors);
  Predictor<Net> predictor(Weights<Net>::load(to_safetensors(tensors, {})), 8);
  CHECK(distance(predictor(x.data(), 8).data(), file.read_as<float>("logits")) <= bound);

  // What we write is what PyTorch wrote, to the byte, so it reads ours as it reads its own.
  const std::size_t own = tensors.size();
  for (const TensorInfo& t : file.tensors()) {
    const bool listed = std::any_of(tensors.begin(), tensors.begin() + static_cast<std::ptrdiff_t>(own),
                                    [&](const auto& o) { return o.name == t.name; });
    if (!listed) tensors.push_back(t);
  }
  CHECK(text_of(to_safetensors(tensors, file.metadata())) == get(file.where()));

  Trainer<Model<Net>, Optimizer, Loss> trainer(model, optimizer, loss, {}, options);
  check_training(model, trainer, x, targets_of<typename Loss::Target>(file), file);
}

}  // namespace

TEST_CASE("pytorch: linear layers and every activation, Adam with weight decay in the gradient") {
  Adam adam(1e-2);
  adam.weight_decay = 0.01;
  check_network<Sequential<Input<11>, Linear<16>, ReLU, Linear<15>, LeakyReLU<>, Linear<14>, GELU, Linear<13>, GELUTanh,
                           Linear<12>, SiLU, Linear<11>, Sigmoid, Linear<9>, Tanh, Linear<5, NoBias>>>("activations",
                                                                                                       adam);
}

TEST_CASE("pytorch: BatchNorm and LayerNorm of vectors, AdamW that spares norms and biases, label smoothing") {
  AdamW adamw(1e-2);
  adamw.weight_decay = 0.1;
  CrossEntropy loss;
  loss.label_smoothing = 0.1f;
  check_network<Sequential<Input<9>, Linear<16, NoBias>, BatchNorm<>, LeakyReLU<Slope<1, 5>>, Linear<12>, LayerNorm<>,
                           GELU, Linear<4>>>("norms", adamw, loss);
}

TEST_CASE("pytorch: sequences, binary cross-entropy, AdamW that decays everything") {
  AdamW adamw(1e-2);
  adamw.weight_decay = 0.1;
  adamw.decay = Decay::everything;
  check_network<Sequential<Input<5, 6>, LayerNorm<>, Linear<8>, SiLU, Linear<7>, Tanh, Flatten, Linear<3>>>(
      "sequence", adamw, BinaryCrossEntropy<>{});
}

TEST_CASE("pytorch: convolutions with stride, padding, groups and dilation, pools, Nesterov's momentum") {
  Sgd sgd;
  sgd.nesterov = true;
  sgd.weight_decay = 1e-3;
  check_network<Sequential<Input<3, 11, 9>, Conv2d<8, Kernel<3>, Stride<2>, Padding<1>>, ReLU,
                           MaxPool2d<3, Stride<1>, Padding<1>>,
                           Conv2d<8, Kernel<3, 1>, Padding<1, 0>, Groups<4>, NoBias>, BatchNorm<>, SiLU,
                           Conv2d<12, Kernel<3>, Dilation<2>, Padding<2>>, Tanh, AvgPool2d<2>, Flatten, Linear<10>>>(
      "convs", sgd);
}

TEST_CASE("pytorch: residual blocks with identity and projected skips, clipping by norm") {
  check_network<Sequential<Input<2, 8, 8>, Conv2d<8, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU,
                           Residual<Conv2d<8, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>, ReLU,
                                    Conv2d<8, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>>,
                           ReLU,
                           Residual<Body<Conv2d<12, Kernel<3>, Stride<2>, Padding<1>, NoBias>, BatchNorm<>, ReLU,
                                         Conv2d<12, Kernel<3>, Padding<1>, NoBias>, BatchNorm<>>,
                                    Skip<Conv2d<12, Kernel<1>, Stride<2>, NoBias>, BatchNorm<>>>,
                           ReLU, GlobalAvgPool, Linear<10>>>("residual", Sgd{}, CrossEntropy{},
                                                             TrainerOptions{.clip_norm = 0.5});
}
