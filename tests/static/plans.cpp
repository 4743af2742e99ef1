// What the plan promises at compile time: shapes, parameters, fusion and memory of the networks of the programs.
#include "../../examples/models.hpp"

using namespace tenon;

template <class Net>
using Train = plan::Plan<Net, plan::Mode::train>;
template <class Net>
using Eval = plan::Plan<Net, plan::Mode::eval>;

static_assert(models::Mlp::input == dims(1, 28, 28) && models::Mlp::output == dims(10));
static_assert(models::Mlp::parameter_count == 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10);
static_assert(models::Lenet::parameter_count == 61706);
static_assert(models::Cnn::parameter_count == 421642);

static_assert(Train<models::Mlp>::steps.count == 3, "each ReLU belongs to the Linear before it, and Flatten to nobody");
static_assert(Train<models::Cnn>::steps.count == 4, "conv + ReLU + pool, conv + ReLU + pool + Flatten, two Linear");
static_assert(Train<models::Cnn>::steps.step[1].fuse.channels_first,
              "the second convolution stores what Flatten wants");
static_assert(Eval<models::Cnn>::memory.arena < Train<models::Cnn>::memory.arena, "inference reuses memory as it goes");
static_assert(Train<models::Cnn>::memory.row[0].dx == plan::nowhere, "nobody asks for the gradient of the input");

// Training keeps what GELU needs for its derivative, so only inference fuses it.
using Gelu = Sequential<Input<8>, Linear<9>, GELU, Linear<3>>;
static_assert(Train<Gelu>::steps.count == 3 && Eval<Gelu>::steps.count == 2);

// Dropout vanishes at inference; then its neighbours may join.
using Drop = Sequential<Input<8>, Linear<9>, Dropout<>, ReLU, Linear<3>>;
static_assert(Train<Drop>::steps.count == 4 && Eval<Drop>::steps.count == 2);

// A value that is read twice is not swallowed: the convolution's output is the Residual's input.
using Skipped = Sequential<Input<2, 6, 6>, Conv2d<4, Kernel<3>, Padding<1>>, Residual<ReLU>, Flatten, Linear<3>>;
static_assert(Train<Skipped>::steps.step[1].fuse.act.kind == Activation::none);

// Pools that overlap, or a pool before the activation, stay their own steps.
using Overlap = Sequential<Input<1, 9, 9>, Conv2d<4, Kernel<3>>, MaxPool2d<3, Stride<2>>, ReLU>;
static_assert(Train<Overlap>::steps.count == 4, "conv, pool, ReLU, and the order of the output");

// A 512 layer network has a plan; examples of 16, 64 and 256 layers that run are in depth_*.cpp.
template <class>
struct Deep;
template <int... I>
struct Deep<std::integer_sequence<int, I...>> {
  using type = Sequential<Input<4>, std::conditional_t<I % 2 == 0, Linear<5 + I / 2>, ReLU>...>;
};
using Deep512 = Deep<std::make_integer_sequence<int, 512>>::type;
static_assert(Train<Deep512>::steps.count == 256);
static_assert(Train<Deep512>::memory.arena > 0);

// Names.
static_assert(LayerContract<ReLU> && LayerContract<Linear<3>> && !LayerContract<int>);
