// Any bytes as .npy and as CSV give an array of the size of its shape, or a one-line Error.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "tenon/data/csv.hpp"
#include "tenon/data/npy.hpp"

namespace {

void require(bool ok) {
  if (!ok) std::abort();
}

template <class F>
void one_line(F f) {
  try {
    f();
  } catch (const tenon::Error& e) {
    require(std::strchr(e.what(), '\n') == nullptr && std::strlen(e.what()) < 1000);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tenon::Bytes bytes = std::as_bytes(std::span(data, size));
  one_line([&] {
    const auto array = tenon::parse_npy<float>(bytes, "f");
    std::int64_t n = 1;
    for (const std::int64_t d : array.shape) n *= d;
    require(array.values.size() == static_cast<std::size_t>(n));
  });
  one_line([&] { tenon::parse_npy<std::int64_t>(bytes, "f"); });
  one_line([&] {
    const auto table = tenon::parse_csv({reinterpret_cast<const char*>(data), size}, "f");
    require(table.values.size() == static_cast<std::size_t>(table.rows * table.columns));
    require(table.header.empty() || table.header.size() == static_cast<std::size_t>(table.columns));
    for (const float v : table.values) require(std::isfinite(v));
  });
  return 0;
}
