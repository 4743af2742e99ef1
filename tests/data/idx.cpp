// IDX: a file is read only if its size matches its header exactly.
// SPDX-License-Identifier: MIT
#include "tenon/data/idx.hpp"

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

std::string idx(std::initializer_list<std::uint32_t> words, std::size_t values) {
  std::string s;
  for (const std::uint32_t w : words)
    for (int shift = 24; shift >= 0; shift -= 8) s += static_cast<char>(w >> shift & 255);
  for (std::size_t i = 0; i < values; ++i) s += static_cast<char>(i * 3);
  return s;
}
std::string images_refusal(const std::string& s) {
  return error_of([&] { return parse_idx_images(bytes_of(s), "f"); });
}
std::string labels_refusal(const std::string& s) {
  return error_of([&] { return parse_idx_labels(bytes_of(s), "f"); });
}

}  // namespace

TEST_CASE("idx: images") {
  const std::string s = idx({0x803, 2, 3, 5}, 30);
  const IdxImages images = parse_idx_images(bytes_of(s), "f");
  CHECK(images.count == 2);
  CHECK(images.height == 3);
  CHECK(images.width == 5);
  REQUIRE(images.pixels.size() == 30);
  CHECK(images.pixels[29] == 87);
  CHECK(static_cast<const void*>(images.pixels.data()) == s.data() + 16);
}

TEST_CASE("idx: labels") {
  const std::string s = idx({0x801, 4}, 4);
  const auto labels = parse_idx_labels(bytes_of(s), "f");
  REQUIRE(labels.size() == 4);
  CHECK(labels[3] == 9);
}

TEST_CASE("idx: a wrong file is called what it is") {
  CHECK(images_refusal(idx({0x801, 4}, 4)) ==
        "[load_images] expected an IDX file of images, got an IDX file of labels (f)");
  CHECK(labels_refusal(idx({0x803, 1, 1, 1}, 1)) ==
        "[load_labels] expected an IDX file of labels, got an IDX file of images (f)");
  CHECK(images_refusal("\x89PNG\r\n") == "[load_images] expected an IDX file of images, got magic 0x89504e47 (f)");
  CHECK_THAT(images_refusal("\x1f\x8b\x08\x08"),
             ContainsSubstring("got a gzip file; inflate it, or pass tenon::inflate_if_gz"));
  CHECK_THAT(images_refusal(idx({0xd03, 1, 1, 1}, 4)), ContainsSubstring("magic 0x00000d03"));
  CHECK(images_refusal("") == "[load_images] expected an IDX file of images, got a file of 0 bytes (f)");
}

TEST_CASE("idx: cut short at any byte, or longer by one, it is refused") {
  const std::string images = idx({0x803, 2, 3, 5}, 30), labels = idx({0x801, 4}, 4);
  for (std::size_t n = 0; n < images.size(); ++n)
    REQUIRE_THAT(images_refusal(images.substr(0, n)), StartsWith("[load_images] expected"));
  for (std::size_t n = 0; n < labels.size(); ++n)
    REQUIRE_THAT(labels_refusal(labels.substr(0, n)), StartsWith("[load_labels] expected"));
  CHECK(images_refusal(images.substr(0, 45)) == "[load_images] expected 30 bytes for 2 x 3 x 5 images, got 29 (f)");
  CHECK(images_refusal(images + "x") == "[load_images] expected 30 bytes for 2 x 3 x 5 images, got 31 (f)");
  CHECK(labels_refusal(labels + "x") == "[load_labels] expected 4 bytes for 4 labels, got 5 (f)");
  CHECK(images_refusal(images.substr(0, 12)) == "[load_images] expected a header of 16 bytes, got 12 (f)");
}

TEST_CASE("idx: dimensions of nothing and of too much") {
  for (const auto& s :
       {idx({0x803, 0, 28, 28}, 0), idx({0x803, 1, 0, 28}, 0), idx({0x803, 1, 28, 0}, 0), idx({0x803, 0, 0, 0}, 0)})
    CHECK_THAT(images_refusal(s), StartsWith("[load_images] expected at least one of the images, got "));
  CHECK(labels_refusal(idx({0x801, 0}, 0)) == "[load_labels] expected at least one of the labels, got 0 (f)");
  CHECK(images_refusal(idx({0x803, 0xffffffff, 1, 1}, 1)) ==
        "[load_images] expected dimensions that fit in memory, got 4294967295 x 1 x 1 (f)");
  // (2^31 - 1)^3 has 93 bits; the others wrap around in 64 and 32 bits
  for (const auto& s : {idx({0x803, 0x7fffffff, 0x7fffffff, 0x7fffffff}, 16),
                        idx({0x803, 0x40000000, 0x40000000, 0x40000000}, 0), idx({0x803, 0x80000000, 2, 1}, 0)})
    CHECK_THAT(images_refusal(s), ContainsSubstring("expected dimensions that fit in memory"));
  CHECK_THAT(images_refusal(idx({0x803, 65536, 65536, 1}, 0)), ContainsSubstring("expected 4294967296 bytes"));
}
