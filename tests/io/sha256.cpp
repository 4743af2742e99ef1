// Sha256 against the test vectors of FIPS 180-4 and the examples of NIST.
// SPDX-License-Identifier: MIT
#include "tenon/io/sha256.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

using tenon::bytes_of;
using tenon::Sha256;

TEST_CASE("sha256: standard vectors") {
  const auto hex = [](std::string_view text) { return Sha256().update(bytes_of(text)).hex(); };
  CHECK(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hex("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstno"
            "pqrst"
            "u") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(hex(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: pieces of any length give the digest of the whole") {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 37 + i / 7);
  for (std::size_t length = 0; length <= 300; ++length) {  // every position of the padding in a block
    const std::string_view whole = std::string_view(text).substr(0, length);
    const std::string expected = Sha256().update(bytes_of(whole)).hex();
    for (const std::size_t piece : {1u, 7u, 63u, 64u, 65u}) {
      Sha256 sha;
      for (std::size_t at = 0; at < length; at += piece) sha.update(bytes_of(whole.substr(at, piece)));
      REQUIRE(sha.hex() == expected);
    }
  }
}

TEST_CASE("sha256: a digest may be taken on the way") {
  Sha256 sha;
  sha.update(bytes_of("ab"));
  CHECK(sha.hex() == Sha256().update(bytes_of("ab")).hex());
  sha.update(bytes_of("c"));
  CHECK(sha.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("sha256: the processor's instructions compute what portable code computes") {
  if (!tenon::detail::has_sha256_hardware()) return skip_test("this processor has no instructions for SHA-256");
  std::vector<std::byte> bytes(64 * 5 + 1);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 73 ^ i >> 3);
  for (std::size_t blocks = 0; blocks <= 5; ++blocks) {
    std::uint32_t a[8] = {1, 0xffffffff, 3, 0x80000000, 5, 6, 0x7fffffff, 8}, b[8];
    std::copy(a, a + 8, b);
    tenon::detail::sha256_portable(a, bytes.data() + 1, blocks);  // not aligned
    tenon::detail::sha256_hardware(b, bytes.data() + 1, blocks);
    CHECK(std::equal(a, a + 8, b));
  }
}
