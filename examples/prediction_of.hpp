// Prediction by one network on one device.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include <tenon/data/dataset.hpp>
#include <tenon/io/text.hpp>
#include <tenon/predict.hpp>

#include "models.hpp"
#include "prediction.hpp"

namespace program {

template <class Net, class Device>
Outputs predict_with(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info, Device device) {
  static_assert(Net::output.count() == classes);
  Outputs out;
  for (const tenon::plan::Tensor& t : tenon::plan::tensors<Net>())
    if (t.kind == tenon::plan::Tensor::Kind::parameter) out.parameters += t.dims.count();

  constexpr int capacity = 256, inputs = static_cast<int>(Net::input.count());
  const tenon::ImageData data(set, {info.mean, info.deviation});
  // Rearranging the weights takes no threads; on a GPU it takes the same stream.
  using Weights = tenon::Weights<Net, Device>;
  typename Weights::Shared weights;
  if constexpr (Device::host_memory)
    weights = Weights::load(file);
  else
    weights = Weights::load(file, device);
  tenon::Predictor<Net, Device> predictor(
      std::move(weights), static_cast<int>(std::min<std::uint64_t>(data.size(), capacity)), std::move(device));
  tenon::Cpu here;  // gathering a batch is next to nothing, so the calling thread does it
  std::vector<float> rows;
  if constexpr (!Device::host_memory) rows.resize(static_cast<std::size_t>(capacity) * inputs);
  std::vector<std::int32_t> labels(capacity);
  out.logits.reserve(data.size() * classes);
  for (std::uint64_t first = 0; first < data.size(); first += capacity) {
    stop_if_asked();
    const int batch = static_cast<int>(std::min<std::uint64_t>(data.size() - first, capacity));
    float* const x = Device::host_memory ? predictor.input().data() : rows.data();
    data.in_order(here, first, tenon::View<float, tenon::Batch, inputs>(x, batch), labels.data());
    for (const float logit : Device::host_memory ? predictor.run(batch) : predictor(x, batch)) {
      if (!std::isfinite(logit))
        throw tenon::Error(
            "predict",
            "expected finite logits, got NaN or infinity for image " + std::to_string(out.logits.size() / classes),
            file.where());
      out.logits.push_back(logit);
    }
  }
  return out;
}

/// With the network that info.model names.
template <class Device>
Outputs predict_on(Device device, const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info) {
  Outputs out;
  if (!models::with_model(info.model,
                          [&]<class Net>(const Net*) { out = predict_with<Net>(file, set, info, std::move(device)); }))
    throw tenon::Error("load_model", "expected a model mlp, lenet, cnn or resnet, got " + tenon::in_quotes(info.model),
                       file.where());
  return out;
}

}  // namespace program
