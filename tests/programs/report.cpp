// The report and its parts: scores, PNG, base64, contrast, curves, and a page that escapes all input.
// SPDX-License-Identifier: MIT
#include "../../examples/programs/report.hpp"

#include <cstring>
#include <vector>

#include "catch.hpp"

using namespace program;
using namespace program::detail;

namespace {

Report small_report() {
  Report r{"cnn", "model.safetensors", "data", {"A", "B", "C"}, Scores(3), {}, {}, {{"Network", "cnn"}}};
  const auto add = [&](int label, float a, float b, float c) {
    const float logits[] = {a, b, c};
    r.scores.add(label, Decision(logits), logits);
  };
  add(0, 2, 1, 0);
  add(0, 0, 3, 0);
  add(1, 0, 3, 0);
  add(1, -1, 0.5f, 0);
  const std::vector<std::uint8_t> picture(28 * 28, 200);
  r.mistakes.push_back({1, 0, 1, 0.909, png(picture, 28, 28, 1)});
  r.epochs = {{1, 0.9, 0.8, 0.7, 1e-3, 12345}, {2, 0.5, 0.45, 0.81, 5e-4, 12345}};
  return r;
}

// Empty if every element of the page is closed in order, otherwise the first that is not.
std::string unbalanced(const std::string& page) {
  std::vector<std::string> open;
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    const std::size_t end = page.find('>', at);
    if (end == std::string::npos) return "no >";
    std::string tag = page.substr(at + 1, end - at - 1);
    const bool closes = tag[0] == '/', alone = tag.back() == '/';
    const std::string name = tag.substr(closes, tag.find_first_of(" />", closes) - closes);
    if (alone || name == "!doctype" || name == "meta" || name == "img" || name == "br") continue;
    if (!closes) {
      open.push_back(name);
      continue;
    }
    if (open.empty() || open.back() != name) return "</" + name + ">";
    open.pop_back();
  }
  return open.empty() ? "" : "<" + open.back() + ">";
}

std::uint32_t word(const std::string& s, std::size_t at) {
  std::uint32_t v = 0;
  for (std::size_t k = 0; k < 4; ++k) v = v << 8 | static_cast<unsigned char>(s[at + k]);
  return v;
}

}  // namespace

TEST_CASE("scores: counts, shares and the loss") {
  const Scores s = small_report().scores;
  CHECK(s.count() == 4);
  CHECK(s.right() == 3);
  CHECK(s.accuracy() == 0.75);
  CHECK(s.at(0, 1) == 1);
  CHECK(s.precision(1) == 2.0 / 3);
  CHECK(s.recall(1) == 1);
  CHECK(s.f1(1) == 0.8);
  CHECK(s.recall(0) == 0.5);
  CHECK(std::isnan(s.recall(2)));     // no label
  CHECK(std::isnan(s.precision(2)));  // no prediction
  CHECK(std::isnan(s.f1(2)));
  const double e = std::exp(1.0);
  const double loss = std::log(e * e + e + 1) - 2 + std::log(e * e * e + 2) - 0 + std::log(e * e * e + 2) - 3 +
                      std::log(std::exp(-1.0) + std::exp(0.5) + 1) - 0.5;
  CHECK(std::abs(s.loss() - loss / 4) < 1e-14);
}

TEST_CASE("scores: logits of 1e4 and ties") {
  const float logits[] = {1e4f, -1e4f, 1e4f};
  const Decision d(logits);
  CHECK(d.prediction == 0);
  CHECK(d.confidence == 0.5);
  Scores s(3);
  s.add(1, d, logits);
  CHECK(std::abs(s.loss() - (2e4 + std::log(2.0))) < 1e-9);
}

TEST_CASE("base64: the examples of RFC 4648") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe\xfd") == "//79");
}

TEST_CASE("png: chunks, checksums, and the pixels that went in") {
  for (const int channels : {1, 3}) {
    constexpr int width = 5, height = 3;
    std::vector<std::uint8_t> pixels;
    for (int i = 0; i < channels * width * height; ++i) pixels.push_back(static_cast<std::uint8_t>(i * 37));
    const std::string file = png(pixels, width, height, channels);
    REQUIRE(file.substr(0, 8) == "\x89PNG\r\n\x1a\n");
    std::string types, header, data;
    for (std::size_t at = 8; at < file.size();) {
      const std::size_t size = word(file, at);
      REQUIRE(at + 12 + size <= file.size());
      const std::string chunk = file.substr(at + 4, 4 + size);
      CHECK(word(file, at + 8 + size) ==
            ::crc32(0, reinterpret_cast<const Bytef*>(chunk.data()), static_cast<uInt>(chunk.size())));
      types += chunk.substr(0, 4) + " ";
      if (chunk.substr(0, 4) == "IHDR") header = chunk.substr(4);
      if (chunk.substr(0, 4) == "IDAT") data += chunk.substr(4);
      at += 12 + size;
    }
    CHECK(types == "IHDR IDAT IEND ");
    CHECK(word(header, 0) == width);
    CHECK(word(header, 4) == height);
    CHECK(header.substr(8) ==
          std::string("\x08", 1) + std::string(1, channels == 1 ? '\0' : '\2') + std::string(3, '\0'));

    std::vector<std::uint8_t> rows(height * (1 + width * channels));
    uLongf size = rows.size();
    REQUIRE(::uncompress(rows.data(), &size, reinterpret_cast<const Bytef*>(data.data()),
                         static_cast<uLong>(data.size())) == Z_OK);
    REQUIRE(size == rows.size());
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < channels; ++c)
          CHECK(rows[static_cast<std::size_t>(y * (1 + width * channels) + 1 + x * channels + c)] ==
                pixels[static_cast<std::size_t>((c * height + y) * width + x)]);
  }
  CHECK_THROWS_AS(png(std::vector<std::uint8_t>(3), 2, 2, 1), tenon::Error);
}

TEST_CASE("report: every number in the heat map is readable in both schemes") {
  CHECK(std::abs(contrast({0, 0, 0}, {255, 255, 255}) - 21) < 1e-9);
  CHECK(std::abs(contrast({118, 118, 118}, {255, 255, 255}) - 4.54) < 0.01);
  for (const Scheme& scheme : {light_scheme, dark_scheme})
    for (const bool right : {true, false})
      for (int step = 1; step < Scheme::steps; ++step) {
        const Colour background = scheme.cell(right, step);
        INFO(background.css() << " under " << scheme.text(background).css());
        CHECK(contrast(background, scheme.text(background)) >= 4.5);
      }
}

TEST_CASE("report: every colour of text is readable on page and surface in both schemes") {
  for (const std::string_view names : {light_names, dark_names}) {
    const auto colour = [&](const std::string& name) {
      const std::size_t at = names.find("--" + name + ":#");
      REQUIRE(at != std::string_view::npos);
      std::string hex(names.substr(at + name.size() + 4));
      hex = hex.substr(0, hex.find(';'));
      if (hex.size() == 3) hex = {hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]};
      const auto part = [&](std::size_t i) { return static_cast<double>(std::stoi(hex.substr(i, 2), nullptr, 16)); };
      return Colour{part(0), part(2), part(4)};
    };
    for (const char* text : {"ink", "soft", "right", "wrong"})
      for (const char* back : {"page", "surface"}) {
        INFO(text << " on " << back);
        CHECK(contrast(colour(text), colour(back)) >= 4.5);
      }
    CHECK(colour("surface").css() == (names == light_names ? light_scheme : dark_scheme).surface.css());
  }
}

TEST_CASE("report: the page is whole, complete in itself, without scripts, and the same each time") {
  const Report r = small_report();
  const std::string page = html(r);
  CHECK(unbalanced(page) == "");
  CHECK(page == html(r));
  for (const char* wanted : {"75.00%", "3 of 4 right", "prefers-color-scheme:dark", "A</em> <i>taken for</i> <em>B",
                             "data:image/png;base64,iVBORw0KGgo", "Label</span> <b>A</b>", "90.90% sure", "<svg ",
                             "train 0.500", "test 81.00%", "12,345", "66.7%"})
    CHECK_THAT(page, ContainsSubstring(wanted));
  for (const char* refused :
       {"<script", "<link", "http:", "https:", "@import", "url(", "onload", "onerror", "nan", "inf"})
    CHECK_THAT(page, !ContainsSubstring(refused));
}

TEST_CASE("report: text from files cannot become markup") {
  Report r = small_report();
  const std::string evil = "<script>alert('1')</script>\"&\n\x01\xff";
  r.model = r.file = r.data = r.classes[0] = r.classes[1] = evil;
  r.facts = {{evil, evil}};
  const std::string page = html(r);
  CHECK(unbalanced(page) == "");
  for (const std::string refused : {"<script", "alert('1')", "\"&\n", "\x01", "\xff"})
    CHECK_THAT(page, !ContainsSubstring(refused));
  CHECK_THAT(page, ContainsSubstring("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;&#xfffd;"));
  CHECK(escaped("Müller ü") == "Müller ü");
}

TEST_CASE("report: no mistakes, no metrics, one epoch, metrics that are null") {
  Report r{"mlp", "m", "d", {"A", "B"}, Scores(2), {}, {}, {}};
  const float logits[] = {1, 0};
  r.scores.add(0, Decision(logits), logits);
  std::string page = html(r);
  CHECK(unbalanced(page) == "");
  CHECK_THAT(page, ContainsSubstring("100.00%") && ContainsSubstring("None: every image"));
  CHECK_THAT(page, !ContainsSubstring("<svg ") && !ContainsSubstring("nan"));

  r.epochs = {{1, 0.5, NAN, 0.5, NAN, NAN}};
  page = html(r);
  CHECK(unbalanced(page) == "");
  CHECK_THAT(page, ContainsSubstring("<svg ") && ContainsSubstring("train 0.500"));
  CHECK_THAT(page, !ContainsSubstring("nan") && !ContainsSubstring("inf"));
}

TEST_CASE("report: ticks are round, and hold the values between them") {
  for (const double low : {-3.0, 0.0, 0.2906, 0.85, 0.99, 17.0})
    for (const double range : {1e-6, 0.003, 0.02, 0.19, 0.5, 0.99, 40.0, 1e6}) {
      const Ticks t = Ticks::around(low, low + range);
      INFO(low << " + " << range << ": " << t.at(t.first) << ", " << t.step << ", " << t.at(t.last));
      CHECK(t.at(t.first) <= low + 1e-6 * range);
      CHECK(t.at(t.last) >= low + range * (1 - 1e-6));
      CHECK(t.last - t.first >= 2);
      CHECK(t.last - t.first <= 7);
    }
  CHECK(Ticks::around(0.28, 0.49).step == 0.05);
  CHECK(Ticks::around(0.28, 0.49).decimals() == 2);
  CHECK(Ticks::around(0, 12).decimals() == 0);
  CHECK(Ticks::around(1e9, 1e9 + 1e-6).last > Ticks::around(1e9, 1e9 + 1e-6).first);
  CHECK(Ticks::around(0.5, 0.5).last > Ticks::around(0.5, 0.5).first);
}
