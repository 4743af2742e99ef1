// Images: a convolutional network on a folder of IDX files, the format of MNIST. This is the program in the README.
//   02_images FOLDER        gz files need <tenon/data/gz.hpp> and zlib, or gunzip
#include <cstdio>
// [doc:readme]
#include <tenon/tenon.hpp>

using namespace tenon;
using Net = Sequential<Input<1, 28, 28>, Conv2d<32, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>, Flatten, Linear<128>,
                       ReLU, Linear<10>>;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto data = load_image_folder(argv[1], 10);
  Model<Net> model(Seed{1}, 128);
  Trainer trainer(model, Adam{1e-3});
  const ImageData train(data.train), test(data.test);
  for (int epoch = 0; epoch < 5; ++epoch) trainer.epoch(train);
  std::printf("accuracy %.4f\n", trainer.evaluate(test).accuracy());
  save_model("model.safetensors", model);  // loads in PyTorch, and back
}
// [end]
