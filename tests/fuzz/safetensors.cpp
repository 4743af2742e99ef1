// Any bytes as a safetensors file give tensors that read the same after writing, or a one-line Error.
// SPDX-License-Identifier: MIT
#include "tenon/io/safetensors.hpp"

#include <cstdlib>
#include <cstring>

namespace {

void require(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tenon;
  try {
    const Bytes bytes = std::as_bytes(std::span(data, size));
    const SafeTensors file = SafeTensors::parse(bytes, "f");
    std::size_t total = 0;
    for (const TensorInfo& t : file.tensors()) {
      require(file.find(t.name) == &t);
      require(t.data.empty() || (t.data.data() > bytes.data() && t.data.data() + t.data.size() <= bytes.data() + size));
      total += t.data.size();
      if (is_floating(t.dtype))
        require(read_as<float>(t, "f").size() == t.size());
      else if (is_integer(t.dtype) && t.dtype != Dtype::U64)
        require(read_as<std::int64_t>(t, "f").size() == t.size());
    }
    const auto written = to_safetensors(file.tensors(), file.metadata());
    const SafeTensors again = SafeTensors::parse(written, "f");
    require(again.tensors().size() == file.tensors().size() && again.metadata() == file.metadata());
    for (std::size_t i = 0; i < file.tensors().size(); ++i) {
      const TensorInfo &a = file.tensors()[i], &b = again.tensors()[i];
      require(a.name == b.name && a.dtype == b.dtype && a.shape == b.shape);
      require(std::equal(a.data.begin(), a.data.end(), b.data.begin(), b.data.end()));
    }
    require(total < size);
    require(to_safetensors(again.tensors(), again.metadata()) == written);
  } catch (const Error& e) {
    require(std::strchr(e.what(), '\n') == nullptr && std::strlen(e.what()) < 1000);
  }
  return 0;
}
