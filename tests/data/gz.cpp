// gzip: complete files inflate to the original; truncated, damaged or too long files are refused.
// SPDX-License-Identifier: MIT
#include "tenon/data/gz.hpp"

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

std::string deflated(std::string_view text, int level = 6) {
  z_stream s{};
  REQUIRE(::deflateInit2(&s, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(::deflateBound(&s, text.size()), '\0');
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s.avail_in = static_cast<uInt>(text.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = static_cast<uInt>(out.size());
  REQUIRE(::deflate(&s, Z_FINISH) == Z_STREAM_END);
  out.resize(s.total_out);
  ::deflateEnd(&s);
  return out;
}

std::string inflated(std::string_view gz, std::uint64_t max = 1 << 24) {
  return text_of(inflate_gz(bytes_of(gz), "f", max));
}
std::string refusal(std::string_view gz, std::uint64_t max = 1 << 24) {
  return error_of([&] { inflated(gz, max); });
}

std::string some_text(std::size_t n) {
  std::string s(n, ' ');
  for (std::size_t i = 0; i < n; ++i) s[i] = static_cast<char>(i * i % 251 + i / 1000);
  return s;
}

}  // namespace

TEST_CASE("gz: what went in comes out") {
  for (const std::size_t n : {0u, 1u, 1000u, 65536u, 300000u})
    for (const int level : {0, 1, 9}) CHECK(inflated(deflated(some_text(n), level)) == some_text(n));
  CHECK(inflated(deflated(std::string(5000000, 'z'))) == std::string(5000000, 'z'));  // compressed 1000 to 1
}

TEST_CASE("gz: a lying length at the end is found out") {
  for (const std::uint32_t claim : {0u, 1u, 299999u, 300001u, 0xffffffffu}) {
    std::string gz = deflated(some_text(300000));
    std::memcpy(gz.data() + gz.size() - 4, &claim, 4);
    CHECK_THAT(refusal(gz),
               StartsWith("[inflate_gz] expected a gzip file, got a damaged one (incorrect length check)"));
  }
}

TEST_CASE("gz: several members are one content") {
  CHECK(inflated(deflated("ab") + deflated("") + deflated(some_text(70000))) == "ab" + some_text(70000));
}

TEST_CASE("gz: cut short at any byte, it is refused") {
  const std::string gz = deflated(some_text(3000));
  for (std::size_t n = 0; n < gz.size(); ++n)
    REQUIRE(refusal(gz.substr(0, n)) == "[inflate_gz] expected a whole gzip file, got one cut short (f)");
  const std::string two = deflated("ab") + deflated("cd");
  CHECK_THAT(refusal(two.substr(0, two.size() - 1)), ContainsSubstring("cut short"));
}

TEST_CASE("gz: a changed bit is found out, or changes nothing") {
  const std::string gz = deflated(some_text(500));
  for (std::size_t i = 10; i < gz.size(); ++i) {
    std::string bad = gz;
    bad[i] = static_cast<char>(bad[i] ^ 4);
    const std::string answer = refusal(bad);  // bits between the last code and the checksum have no meaning
    REQUIRE((answer.rfind("[inflate_gz] expected a", 0) == 0 || inflated(bad) == some_text(500)));
  }
  std::string bad = gz;
  bad[gz.size() - 6] = static_cast<char>(bad[gz.size() - 6] ^ 1);
  CHECK(refusal(bad) == "[inflate_gz] expected a gzip file, got a damaged one (incorrect data check) (f)");
}

TEST_CASE("gz: zeros after a member are padding") {
  const std::string text = some_text(70000);
  for (const std::size_t zeros : {1u, 2u, 100u, 512u, 100000u}) {
    const std::string padding(zeros, '\0');
    CHECK(inflated(deflated(text) + padding) == text);
    CHECK(inflated(deflated("") + padding).empty());
    CHECK(inflated(deflated("ab") + padding + deflated(text) + padding) == "ab" + text);
    CHECK(refusal(deflated("ab") + padding + "garbage") ==
          "[inflate_gz] expected nothing after the end of the gzip data, got 7 bytes more (f)");
    CHECK_THAT(refusal(deflated("ab") + padding + deflated(text).substr(0, 500)), ContainsSubstring("cut short"));
    CHECK_THAT(refusal(deflated("ab") + padding + deflated(text).substr(0, 500) + padding), StartsWith("[inflate_gz]"));
  }
  CHECK(refusal(deflated("ab") + std::string(8, '\0'), 1) ==
        "[inflate_gz] expected at most 1 bytes once inflated, got more (f)");
  CHECK_THAT(refusal(std::string(100, '\0') + deflated("ab")), StartsWith("[inflate_gz] expected a gzip file"));
}

TEST_CASE("gz: nothing else may follow") {
  CHECK(refusal(deflated("ab") + "garbage") ==
        "[inflate_gz] expected nothing after the end of the gzip data, got 7 bytes more (f)");
  CHECK_THAT(refusal(deflated("ab") + "\x1f"), ContainsSubstring("got 1 bytes more"));
}

TEST_CASE("gz: longer than allowed is refused, and not inflated further") {
  const std::string gz = deflated(std::string(10000000, '\0'));
  CHECK(inflated(gz, 10000000).size() == 10000000);
  CHECK(refusal(gz, 9999999) == "[inflate_gz] expected at most 9999999 bytes once inflated, got more (f)");
  CHECK_THAT(refusal(gz, 0), ContainsSubstring("at most 0 bytes"));
}

TEST_CASE("gz: recognised by magic; anything else is handed back") {
  const auto decode = [](std::string_view text) {
    const Bytes b = bytes_of(text);
    return text_of(inflate_if_gz({b.begin(), b.end()}, "f", 1 << 20));
  };
  CHECK(decode(deflated("abc")) == "abc");
  CHECK(decode("abc") == "abc");
  CHECK(decode("\x1f") == "\x1f");
  CHECK(decode("").empty());
}
