// Prediction by one network on one device.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include <tenon/cpu/gather.hpp>
#include <tenon/data/dataset.hpp>
#include <tenon/io/text.hpp>
#include <tenon/predict.hpp>

#include "finite.hpp"
#include "models.hpp"
#include "prediction.hpp"

namespace program {

template <class Net, class Device>
Outputs predict_with(const tenon::SafeTensors& file, const tenon::ImageSet& set, const ModelInfo& info, Device device) {
  static_assert(Net::output.count() == classes);
  Outputs out;
  for (const tenon::plan::NamedTensor& t : tenon::plan::tensors<Net>())
    if (t.kind == tenon::plan::NamedTensor::Kind::parameter) out.parameters += t.dims.count();

  constexpr int capacity = 256, inputs = static_cast<int>(Net::input.count());
  const tenon::ImageData data(set, {info.mean, info.deviation});
  data.require_input(Net::input);
  tenon::Predictor<Net, Device> predictor(tenon::Weights<Net, Device>::load(file, device),
                                          static_cast<int>(std::min<std::uint64_t>(data.size(), capacity)), device);
  tenon::Cpu here;  // gathers the batches, which is fast
  tenon::kernels::HostStage<Device, float> stage;
  const auto source = data.source<float, std::int32_t>(here);
  tenon::StepState at;
  std::vector<std::int32_t> labels(capacity);
  out.logits.reserve(data.size() * classes);
  for (std::uint64_t first = 0; first < data.size(); first += capacity) {
    stop_if_asked();
    const int batch = static_cast<int>(std::min<std::uint64_t>(data.size() - first, capacity));
    float* const x = stage.place(device, predictor.input().data(), static_cast<std::size_t>(batch) * inputs);
    at.first_sample = first;
    tenon::ImageData::gather(here, &source, &at, tenon::Pass::evaluation,
                             tenon::View<float, tenon::Batch, inputs>(x, batch), labels.data(), 1);
    stage.send(device);
    for (const float logit : predictor.run(batch)) {
      if (!is_finite(logit))
        throw tenon::Error(
            "predict",
            "expected finite logits, got NaN or infinity for image " + std::to_string(out.logits.size() / classes),
            file.where());
      out.logits.push_back(logit);
    }
  }
  return out;
}

/// Predicts with the network info.model.
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
