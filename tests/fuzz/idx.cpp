// Any bytes as an IDX file, plain or gzip, give a consistent set or a one-line Error.
// SPDX-License-Identifier: MIT
#include "tenon/data/idx.hpp"

#include <cstdlib>
#include <cstring>

#include "tenon/data/gz.hpp"

namespace {

void require(bool ok) {
  if (!ok) std::abort();
}

template <class F>
void one_line(F f) {
  try {
    f();
  } catch (const tenon::Error& e) {
    require(std::strchr(e.what(), '\n') == nullptr && std::strlen(e.what()) < 500);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t max = 1 << 20;
  one_line([&] {
    const tenon::Bytes input = std::as_bytes(std::span(data, size));
    const auto bytes = tenon::inflate_if_gz({input.begin(), input.end()}, "f", max);
    require(bytes.size() <= std::max<std::size_t>(max, size));
    one_line([&] {
      const auto images = tenon::parse_idx_images(bytes, "f");
      require(images.count > 0 && images.height > 0 && images.width > 0);
      require(images.pixels.size() ==
              std::size_t(images.count) * std::size_t(images.height) * std::size_t(images.width));
      require(images.pixels.size() + 16 == bytes.size());
    });
    one_line([&] { require(tenon::parse_idx_labels(bytes, "f").size() + 8 == bytes.size()); });
  });
  return 0;
}
