// With `using namespace tenon`, a user can define these names at global scope and use them unqualified.
#include <tenon/tenon.hpp>

#include <tenon/data/csv.hpp>
#include <tenon/data/npy.hpp>
#include <tenon/train/session.hpp>

using namespace tenon;

#define TENON_NAMES(each)                                                                                             \
  each(Act) each(Activate) each(Activation) each(Add) each(At) each(Block) each(Chunk) each(Concat) each(Config)      \
      each(Context) each(Conv) each(ConvDims) each(ConvTag) each(Counter) each(Cursor) each(Data) each(Decoder)       \
          each(Device) each(Edge) each(Encoder) each(Environment) each(Epilogue) each(Epoch) each(Flag) each(Flat)    \
              each(Format) each(Frame) each(Fuse) each(GradientTree) each(Graph) each(Guard) each(Head) each(Image)   \
                  each(Index) each(Init) each(Item) each(Keep) each(Key) each(Keys) each(Label) each(Layer)           \
                      each(LayerContext) each(Layout) each(Loss) each(Lower) each(Lowering) each(Matrix) each(Memory) \
                          each(Metric) each(Misfit) each(Mode) each(Net) each(Network) each(Node) each(Normal)        \
                              each(Ops) each(Optimizer) each(Options) each(Pack) each(Param) each(Parameter)          \
                                  each(ParameterRanges) each(Part) each(Path) each(ModelObserver) each(Plan)          \
                                      each(Point) each(Policy) each(Pool) each(PoolDims) each(PoolTag) each(Program)  \
                                          each(Range) each(Record) each(Recorder) each(Residents) each(Result)        \
                                              each(Reward) each(Room) each(Row) each(RunningEpoch) each(Sample)       \
                                                  each(Saved) each(Scratch) each(Shape) each(Size) each(Slot)         \
                                                      each(State) each(Step) each(StepOffsets) each(Steps)            \
                                                          each(Storage) each(Table) each(Tag) each(Task) each(Token)  \
                                                              each(Transform) each(Value) each(Vec) each(Window)      \
                                                                  each(Whole) each(WindowAt) each(Worker)

#define TENON_NAMES_OF_FUNCTIONS(each)                                                                                 \
  each(accumulate) each(activation) each(allocate) each(apply) each(batch) each(body) each(check) each(column)         \
      each(complain) each(count) each(copy) each(download) each(epoch) each(epilogue) each(expected) each(fits)        \
          each(fuse) each(gather) each(gemm) each(got) each(graph) each(initialize) each(label) each(layer) each(loss) \
              each(lower) each(misfit) each(model) each(normal) each(pack) each(path) each(pick) each(pool)            \
                  each(predict) each(range) each(round_up) each(ceil_div) each(run) each(sample) each(skip)            \
                      each(sliding) each(spell) each(step) each(sum) each(train) each(tiles_image) each(transpose)     \
                          each(try_this) each(upload) each(window) each(workspace)

#define TENON_DEFINE(name) \
  struct name {            \
    int value = 1;         \
  };
TENON_NAMES(TENON_DEFINE)
#define TENON_DEFINE_FUNCTION(name) \
  constexpr int name() { return 1; }
TENON_NAMES_OF_FUNCTIONS(TENON_DEFINE_FUNCTION)

#define TENON_USE(name) +name{}.value
#define TENON_USE_FUNCTION(name) +name()
static_assert((0 TENON_NAMES(TENON_USE) TENON_NAMES_OF_FUNCTIONS(TENON_USE_FUNCTION)) > 100);

// The library also works together with them.
double train_one_step(const float* x, const int* labels) {
  Model<Sequential<Input<1, 8, 8>, Conv2d<4, Kernel<3>>, ReLU, MaxPool2d<2>, Residual<ReLU>, Flatten, Linear<3>>> m;
  Trainer trainer(m, Adam{1e-3});
  return trainer.step(x, labels, 2).loss();
}
