// ParameterRanges: the ranges of the flat parameters that an optimizer updates with one call each. Adjacent tensors with the
// same weight decay form one range. The padding between them contains zeros and stays zero.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include "tenon/core/view.hpp"
#include "tenon/plan/tensors.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon::detail {

class ParameterRanges {
 public:
  /// `decays_everything`: whether the optimizer's decay also applies to tensors without decay, such as biases.
  template <class Model>
  ParameterRanges(const Model& model, bool decays_everything) : decays_everything_(decays_everything) {
    std::size_t end = model.parameters().size;
    const auto& tensors = model.tensors();
    for (std::size_t i = tensors.size(); i-- > 0;) {
      const plan::NamedTensor& t = tensors[i];
      if (t.kind != plan::NamedTensor::Kind::parameter) continue;
      const bool decay = t.decay || decays_everything;
      const std::size_t begin = static_cast<std::size_t>(t.offset);
      if (!ranges_.empty() && ranges_.back().decay == decay) {
        ranges_.back().size += ranges_.back().begin - begin;
        ranges_.back().begin = begin;
      } else {
        ranges_.push_back({begin, end - begin, decay});
      }
      end = begin;
    }
  }

  bool decays_everything() const { return decays_everything_; }

  /// Launches the optimizer's update of each range. `buffers` are the optimizer's, of the parameters' size.
  template <class Optimizer, class Model, class Buffers>
  void update(Optimizer& optimizer, Model& model, Buffers& buffers) const {
    using T = typename Model::T;
    for (const Range& r : ranges_) {
      Span<T> states[Optimizer::states > 0 ? Optimizer::states : 1];
      for (int s = 0; s < Optimizer::states; ++s) states[s] = {buffers[s].data() + r.begin, r.size};
      optimizer.update(model.device(), StepPointer<typename Model::device_type>(model.step_address()),
                       Span<T>{model.parameters().data + r.begin, r.size},
                       Span<const T>{model.gradients().data + r.begin, r.size}, states, r.decay);
    }
  }

 private:
  struct Range {
    std::size_t begin, size;
    bool decay;
  };
  bool decays_everything_;
  std::vector<Range> ranges_;
};

}  // namespace tenon::detail

TENON_IEEE_MATH_END
