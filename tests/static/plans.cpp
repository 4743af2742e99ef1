// Compile-time properties of plans: shapes, parameters, fusion and memory of the programs' networks.
#include "../../examples/programs/models.hpp"

using namespace tenon;
using namespace tenon::kernels;

template <class Net>
using Train = plan::Plan<Net, Cpu, plan::Mode::train>;
template <class Net>
using Eval = plan::Plan<Net, Cpu, plan::Mode::eval>;

static_assert(models::Mlp::input == dims(1, 28, 28) && models::Mlp::output == dims(10));
static_assert(models::Mlp::parameter_count == 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10);
static_assert(models::Lenet::parameter_count == 61706);
static_assert(models::Cnn::parameter_count == 421642);

static_assert(Train<models::Mlp>::steps.count == 3, "each ReLU belongs to the Linear before it, and Flatten to nobody");
static_assert(Train<models::Cnn>::steps.count == 4, "conv + ReLU + pool, conv + ReLU + pool + Flatten, two Linear");
static_assert(Train<models::Cnn>::steps.step[1].epilogue.channels_first,
              "the second convolution stores what Flatten wants");
static_assert(Eval<models::Cnn>::memory.arena < Train<models::Cnn>::memory.arena, "inference reuses memory as it goes");
static_assert(Train<models::Cnn>::memory.row[0].dx == plan::no_offset, "nobody asks for the gradient of the input");

// Training keeps the input of GELU for its derivative, so only inference fuses GELU.
using Gelu = Sequential<Input<8>, Linear<9>, GELU, Linear<3>>;
static_assert(Train<Gelu>::steps.count == 3 && Eval<Gelu>::steps.count == 2);

// Inference removes Dropout; then the layers before and after it may be fused.
using Drop = Sequential<Input<8>, Linear<9>, Dropout<>, ReLU, Linear<3>>;
static_assert(Train<Drop>::steps.count == 4 && Eval<Drop>::steps.count == 2);

// A value that is read twice is not fused away: the convolution's output is the Residual's input.
using Skipped = Sequential<Input<2, 6, 6>, Conv2d<4, Kernel<3>, Padding<1>>, Residual<ReLU>, Flatten, Linear<3>>;
static_assert(Train<Skipped>::steps.step[1].epilogue.activation.kind == Activation::none);

// Overlapping pools and a pool before the activation are separate steps.
using Overlap = Sequential<Input<1, 9, 9>, Conv2d<4, Kernel<3>>, MaxPool2d<3, Stride<2>>, ReLU>;
static_assert(Train<Overlap>::steps.count == 4, "conv, pool, ReLU, and the order of the output");

// The window of a pool is a number or a Kernel; the stride is the window unless given.
static_assert(MaxPool2d<2>::window == MaxPool2d<Kernel<2>>::window && MaxPool2d<2u>::window == MaxPool2d<2>::window);
static_assert(MaxPool2d<Kernel<2, 3>>::window.kh == 2 && MaxPool2d<Kernel<2, 3>>::window.kw == 3 &&
              MaxPool2d<Kernel<2, 3>>::window.sw == 3 && AvgPool2d<Kernel<2, 3>, Stride<1>>::window.sw == 1);
static_assert(Sequential<Input<3, 8, 9>, MaxPool2d<Kernel<2, 3>>>::output == dims(3, 4, 3));
static_assert(Sequential<Input<3, 8, 9>, AvgPool2d<Kernel<2, 3>, Stride<1>>>::output == dims(3, 7, 7));

// A network of 512 layers has a plan. depth_*.cpp compiles networks of 16, 64 and 256 layers with their trainers.
template <class>
struct Deep;
template <int... I>
struct Deep<std::integer_sequence<int, I...>> {
  using type = Sequential<Input<4>, std::conditional_t<I % 2 == 0, Linear<5 + I / 2>, ReLU>...>;
};
using Deep512 = Deep<std::make_integer_sequence<int, 512>>::type;
static_assert(Train<Deep512>::steps.count == 256);
static_assert(Train<Deep512>::memory.arena > 0);

// The contract of layers.
static_assert(LayerContract<ReLU> && LayerContract<Linear<3>> && !LayerContract<int>);
