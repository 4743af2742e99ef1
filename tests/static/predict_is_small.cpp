// Inference includes no threads, no zlib, no JSON and nothing of the trainer.
#include <tenon/predict.hpp>

#if defined(_GLIBCXX_THREAD) || defined(_LIBCPP_THREAD)
#error "tenon/predict.hpp includes <thread>"
#endif
#if defined(ZLIB_H) || defined(INCLUDE_NLOHMANN_JSON_HPP_) || defined(_GLIBCXX_IOSTREAM) || defined(_GLIBCXX_REGEX)
#error "tenon/predict.hpp includes zlib, JSON, iostream or regex"
#endif

namespace tenon {
template <class, class, class, plan::Mode>
class Model;  // first declaration: the type is incomplete unless predict.hpp includes the trainer
}

template <class T>
concept complete = requires {
  sizeof(T);
};
using Net = tenon::Sequential<tenon::Input<4>, tenon::Linear<3>>;
static_assert(!complete<tenon::Model<Net, tenon::Cpu, float, tenon::plan::Mode::eval>>);

float first(const float* x) {
  tenon::Predictor<Net> predict(tenon::Weights<Net>::load("model.safetensors"));
  return predict(x)[0];
}
