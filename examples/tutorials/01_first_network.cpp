// A first network. It learns to distinguish the two arms of a spiral.
#include <tenon/tenon.hpp>

#include <cmath>
#include <cstdio>

using namespace tenon;

// The network is a type. The compiler derives shapes, memory and fusion. A layer that does not fit is a compile error.
using Net = Sequential<Input<2>, Linear<32>, Tanh, Linear<32>, Tanh, Linear<2>>;

int main() {
  std::vector<float> points;         // (400, 2)
  std::vector<std::int32_t> labels;  // (400)
  for (int i = 0; i < 400; ++i) {
    const float t = 0.25f + 1.5f * static_cast<float>(i / 2) / 200,
                turn = 6.2831853f * t + 3.1415927f * static_cast<float>(i % 2);
    points.insert(points.end(), {t * std::cos(turn), t * std::sin(turn)});
    labels.push_back(i % 2);
  }
  const Samples<float, std::int32_t> data(points, labels, 400);

  Model<Net> model(Seed{1}, 32);  // batches of up to 32
  Trainer trainer(model, Adam{0.01});
  for (int epoch = 1; epoch <= 100; ++epoch) {
    const LossSums sums = trainer.epoch(data);
    if (epoch % 20 == 0) std::printf("epoch %3d   loss %.4f   accuracy %.3f\n", epoch, sums.loss(), sums.accuracy());
  }
  return trainer.evaluate(data).accuracy() > 0.95 ? 0 : 1;
}
