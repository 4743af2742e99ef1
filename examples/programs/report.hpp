// The report of an evaluation: one HTML page that needs no other file, no network and no script. It follows the light
// or dark mode of the reader's system. The same evaluation gives the same bytes. Text from files is escaped.
// SPDX-License-Identifier: MIT
#pragma once

#include "finite.hpp"
#include "png.hpp"
#include "scores.hpp"

#include <tenon/io/text.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program {

/// A sample whose prediction differs from its label.
struct Mistake {
  std::uint64_t index = 0;
  int label = 0, prediction = 0;
  double confidence = 0;
  std::string picture;  // a PNG file
};

/// A line of tenon-train's --metrics. NaN stands for an absent value.
struct EpochMetrics {
  double epoch = 0, train_loss = 0, test_loss = 0, test_accuracy = 0, lr = 0, images_per_second = 0;
};

struct Report {
  std::string model, file, data;     // "cnn", "model.safetensors", "fashion-mnist"
  std::vector<std::string> classes;  // as many as the scores have
  Scores scores;
  std::vector<Mistake> mistakes;     // the most confident first
  std::vector<EpochMetrics> epochs;  // empty: no curves
  std::vector<std::pair<std::string, std::string>> facts;
};

std::string html(const Report& report);

namespace detail {

inline std::string escaped(std::string_view text) {
  const bool readable = tenon::is_utf8(text);
  std::string s;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '&')
      s += "&amp;";
    else if (c == '<')
      s += "&lt;";
    else if (c == '>')
      s += "&gt;";
    else if (c == '"')
      s += "&quot;";
    else if (c == '\'')
      s += "&#39;";
    else if (u < 32 || u == 127 || (u > 127 && !readable))
      s += "&#xfffd;";  // replaced, never written unchanged
    else
      s += c;
  }
  return s;
}

inline std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}
inline std::string percent(double share, int digits = 1) {
  if (!is_finite(share)) return "–";
  return format(digits == 2 ? "%.2f%%" : "%.1f%%", 100 * share);
}
inline std::string fixed(double value) { return is_finite(value) ? format("%.4f", value) : "–"; }
inline std::string grouped(std::int64_t n) {  // 60,000
  std::string s = std::to_string(n);
  for (std::size_t i = s.size(); i > 3; i -= 3) s.insert(i - 3, ",");
  return s;
}

// --- colors -----------------------------------------------------------------------------------------------------------

struct Colour {
  double r, g, b;  // 0 to 255

  std::string css() const {
    char text[8];
    std::snprintf(text, sizeof text, "#%02x%02x%02x", static_cast<unsigned>(std::lround(r)),
                  static_cast<unsigned>(std::lround(g)), static_cast<unsigned>(std::lround(b)));
    return text;
  }
};

inline Colour mix(Colour a, Colour b, double t) {
  return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

// Contrast as defined by WCAG 2, from 1 to 21. Text needs at least 4.5.
inline double luminance(Colour c) {
  const auto linear = [](double v) { return v <= 10.31475 ? v / 3294.6 : std::pow((v / 255 + 0.055) / 1.055, 2.4); };
  return 0.2126 * linear(c.r) + 0.7152 * linear(c.g) + 0.0722 * linear(c.b);
}
inline double contrast(Colour a, Colour b) {
  const double x = luminance(a), y = luminance(b);
  return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

/// The heat map's colors in one scheme: steps from the page's surface to a full hue, each with its text color.
struct Scheme {
  Colour surface, right, wrong, dark, bright;

  static constexpr int steps = 9;  // step 0 is no color
  Colour cell(bool is_right, int step) const {
    return mix(surface, is_right ? right : wrong, static_cast<double>(step) / (steps - 1));
  }
  Colour text(Colour background) const {
    return contrast(dark, background) > contrast(bright, background) ? dark : bright;
  }
};

inline constexpr Scheme light_scheme{{255, 255, 255}, {21, 84, 158}, {176, 58, 10}, {0, 0, 0}, {255, 255, 255}};
inline constexpr Scheme dark_scheme{{25, 29, 36}, {120, 184, 255}, {255, 152, 94}, {8, 10, 14}, {238, 241, 245}};

inline std::string heat_rules(const Scheme& scheme) {
  std::string css;
  for (const bool is_right : {true, false})
    for (int step = 1; step < Scheme::steps; ++step) {
      const Colour c = scheme.cell(is_right, step);
      css += std::string(is_right ? ".r" : ".w") + std::to_string(step) + "{background:" + c.css() +
             ";color:" + scheme.text(c).css() + "}";
    }
  return css;
}

// --- curves -----------------------------------------------------------------------------------------------------------

struct Curve {
  const char* name;
  const char* style;
  std::vector<double> y;  // one for each epoch
};

/// Round numbers that enclose the values: multiples of 1, 2 or 5 times a power of ten, at most seven of them.
struct Ticks {
  double step = 1;
  int first = 0, last = 1;

  static Ticks around(double low, double high) {
    if (!(high - low > 1e-6 * std::abs(high))) high = low + std::max(std::abs(low) * 0.01, 1e-3);  // nearly flat
    Ticks t;
    const double min = (high - low) / 5, power = std::pow(10, std::floor(std::log10(min)));
    t.step = power * (min / power <= 1 ? 1 : min / power <= 2 ? 2 : min / power <= 5 ? 5 : 10);
    t.first = static_cast<int>(std::floor(low / t.step + 1e-9));
    t.last = static_cast<int>(std::ceil(high / t.step - 1e-9));
    return t;
  }
  double at(int k) const { return k * step; }
  int decimals() const { return std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9))); }
};

inline std::string chart(const std::string& title, const std::vector<EpochMetrics>& epochs, std::vector<Curve> curves,
                         bool shares) {
  constexpr double width = 440, height = 250, left = 50, right = 98, top = 14, bottom = 38;
  double low = INFINITY, high = -INFINITY;
  for (const Curve& c : curves)
    for (const double y : c.y)
      if (is_finite(y)) low = std::min(low, y), high = std::max(high, y);
  if (!(low <= high)) return {};
  const Ticks ticks = Ticks::around(low, high);
  const double from = ticks.at(ticks.first), to = ticks.at(ticks.last);
  const double first = epochs.front().epoch, last = epochs.back().epoch;
  const auto x_of = [&](double e) {
    return left + (last > first ? (e - first) / (last - first) : 0.5) * (width - left - right);
  };
  const auto y_of = [&](double y) { return top + (to - y) / (to - from) * (height - top - bottom); };
  const auto at = [](double v) { return format("%.1f", v); };
  const auto label = [&](double y) {
    char text[32];
    std::snprintf(text, sizeof text, shares ? "%.*f%%" : "%.*f",
                  shares ? std::max(0, ticks.decimals() - 2) : ticks.decimals(), shares ? 100 * y : y);
    return std::string(text);
  };

  std::string spoken = title;
  for (const Curve& c : curves)
    if (is_finite(c.y.front()) && is_finite(c.y.back()))
      spoken += std::string(", ") + c.name + " from " + label(c.y.front()) + " to " + label(c.y.back());
  std::string s = "<figure><figcaption>" + escaped(title) +
                  "</figcaption><svg viewBox=\"0 0 440 250\" role=\"img\" aria-label=\"" + escaped(spoken) + "\">";
  for (int k = ticks.first; k <= ticks.last; ++k) {
    const std::string y = at(y_of(ticks.at(k)));
    s += "<path class=\"grid\" d=\"M" + at(left) + " " + y + "H" + at(width - right) + "\"/><text class=\"end\" x=\"" +
         at(left - 8) + "\" y=\"" + y + "\" dy=\".35em\">" + label(ticks.at(k)) + "</text>";
  }
  const Ticks along = Ticks::around(first, std::max(last, first + 1));
  const int stride = std::max(1, static_cast<int>(along.step));  // epochs are integers
  for (int e = static_cast<int>(std::ceil(first)); e <= last; ++e)
    if (e % stride == 0 || last - first < 8)
      s += "<text class=\"mid\" x=\"" + at(x_of(e)) + "\" y=\"" + at(height - bottom + 18) + "\">" + std::to_string(e) +
           "</text>";
  s += "<text class=\"mid\" x=\"" + at((left + width - right) / 2) + "\" y=\"" + at(height - 3) + "\">epoch</text>";

  // Names are placed at the ends of the curves, without overlap.
  const auto end_of = [](const Curve& c) { return is_finite(c.y.back()) ? c.y.back() : -INFINITY; };
  std::sort(curves.begin(), curves.end(), [&](const Curve& a, const Curve& b) { return end_of(a) > end_of(b); });
  double free = top;
  for (const Curve& c : curves) {
    std::string path, points;
    bool pen_down = false;
    for (std::size_t i = 0; i < c.y.size(); ++i) {
      if (!is_finite(c.y[i])) {
        pen_down = false;
        continue;
      }
      const std::string x = at(x_of(epochs[i].epoch)), y = at(y_of(c.y[i]));
      path += (pen_down ? "L" : "M") + x + " " + y;
      pen_down = true;
      if (c.y.size() <= 40) points += "<circle cx=\"" + x + "\" cy=\"" + y + "\" r=\"2.6\"/>";
    }
    s += std::string("<g class=\"") + c.style + "\"><path d=\"" + path + "\"/>" + points;
    if (is_finite(c.y.back())) {
      const double y = std::max(free, y_of(c.y.back()));
      free = y + 17;
      s += "<text x=\"" + at(x_of(last) + 8) + "\" y=\"" + at(y) + "\" dy=\".35em\">" + c.name + " " +
           (shares ? percent(c.y.back(), 2) : format("%.3f", c.y.back())) + "</text>";
    }
    s += "</g>";
  }
  return s + "</svg></figure>";
}

// --- the sections -----------------------------------------------------------------------------------------------------

/// Half the width of Wilson's 95 % interval for a proportion of n.
inline double uncertainty(double share, std::int64_t n) {
  constexpr double z = 1.959964;
  const double count = static_cast<double>(n);
  return z / (1 + z * z / count) * std::sqrt(share * (1 - share) / count + z * z / (4 * count * count));
}

inline std::string figure(const std::string& name, const std::string& value, const std::string& note) {
  return "<div><dt>" + name + "</dt><dd><b>" + value + "</b><span>" + note + "</span></dd></div>";
}

inline std::string summary(const Report& r) {
  const Scores& s = r.scores;
  std::string cards = figure("Accuracy", percent(s.accuracy(), 2),
                             grouped(s.right()) + " of " + grouped(s.count()) + " right; ±" +
                                 format("%.2f", 100 * uncertainty(s.accuracy(), s.count())) + " points (95% interval)");
  cards += figure("Loss", fixed(s.loss()), "mean cross-entropy");
  int weakest = -1, label = -1, prediction = -1;
  for (int c = 0; c < s.classes(); ++c) {
    if (is_finite(s.recall(c)) && (weakest < 0 || s.recall(c) < s.recall(weakest))) weakest = c;
    for (int k = 0; k < s.classes(); ++k)
      if (c != k && s.at(c, k) > (label < 0 ? 0 : s.at(label, prediction))) label = c, prediction = k;
  }
  const auto name = [&](int c) { return "<em>" + escaped(r.classes[static_cast<std::size_t>(c)]) + "</em>"; };
  if (weakest >= 0)
    cards += figure("Hardest class", name(weakest),
                    percent(s.recall(weakest)) + " of " + grouped(s.labelled(weakest)) + " found");
  if (label >= 0)
    cards += figure("Most frequent mistake", name(label) + " <i>taken for</i> " + name(prediction),
                    grouped(s.at(label, prediction)) + " times");
  return "<dl class=\"figures\">" + cards + "</dl>";
}

inline std::string curves(const Report& r) {
  if (r.epochs.empty()) return {};
  const auto column = [&](double EpochMetrics::*member) {
    std::vector<double> y;
    for (const EpochMetrics& e : r.epochs) y.push_back(e.*member);
    return y;
  };
  std::string s = "<section aria-labelledby=\"curves\"><h2 id=\"curves\">Training</h2><div class=\"charts\">";
  s += chart("Loss", r.epochs,
             {{"train", "a", column(&EpochMetrics::train_loss)}, {"test", "b", column(&EpochMetrics::test_loss)}},
             false);
  s += chart("Test accuracy", r.epochs, {{"test", "b", column(&EpochMetrics::test_accuracy)}}, true);
  s += "</div><details><summary>The numbers behind the curves</summary><div class=\"scroll\"><table><thead><tr>";
  for (const char* head : {"Epoch", "Train loss", "Test loss", "Test accuracy", "Learning rate", "Images a second"})
    s += std::string("<th scope=\"col\">") + head + "</th>";
  s += "</tr></thead><tbody>";
  for (const EpochMetrics& e : r.epochs) {
    s += "<tr><th scope=\"row\">" + format("%.0f", e.epoch) + "</th>";
    for (const std::string& cell : {fixed(e.train_loss), fixed(e.test_loss), percent(e.test_accuracy, 2),
                                    is_finite(e.lr) ? format("%.3g", e.lr) : "–",
                                    is_finite(e.images_per_second) ? grouped(std::llround(e.images_per_second)) : "–"})
      s += "<td>" + cell + "</td>";
    s += "</tr>";
  }
  return s + "</tbody></table></div></details></section>";
}

inline std::string per_class(const Report& r) {
  const Scores& s = r.scores;
  std::string html =
      "<section aria-labelledby=\"classes\"><h2 id=\"classes\">Class by class</h2>"
      "<p>Precision: of those given a class, how many belong there. Recall: of those that belong there, how many were "
      "found. F1 is their harmonic mean.</p><div class=\"scroll\"><table class=\"classes\"><thead><tr>";
  for (const char* head : {"Class", "Images", "Precision", "Recall", "F1"})
    html += std::string("<th scope=\"col\">") + head + "</th>";
  html += "</tr></thead><tbody>";
  const auto row = [&](const std::string& name, std::int64_t images, std::array<double, 3> shares) {
    html += "<tr><th scope=\"row\">" + name + "</th><td>" + grouped(images) + "</td>";
    for (const double share : shares)
      html += "<td class=\"bar\" style=\"--v:" + format("%.4f", is_finite(share) ? share : 0) + "\">" + percent(share) +
              "</td>";
    html += "</tr>";
  };
  std::array<double, 3> mean{};
  int known = 0;
  for (int c = 0; c < s.classes(); ++c) {
    const std::array<double, 3> shares{s.precision(c), s.recall(c), s.f1(c)};
    row(escaped(r.classes[static_cast<std::size_t>(c)]), s.labelled(c), shares);
    if (s.labelled(c) == 0) continue;  // a class without images is not in the mean
    ++known;
    for (std::size_t k = 0; k < 3; ++k) mean[k] += is_finite(shares[k]) ? shares[k] : 0;
  }
  for (double& m : mean) m /= known;
  html += "</tbody><tfoot>";
  row("Mean of the classes", s.count(), mean);
  return html + "</tfoot></table></div></section>";
}

inline std::string confusion(const Report& r) {
  const Scores& s = r.scores;
  double max = 0;  // the largest share of a row in one wrong cell
  for (int c = 0; c < s.classes(); ++c)
    for (int k = 0; k < s.classes(); ++k)
      if (c != k && s.labelled(c) > 0)
        max = std::max(max, static_cast<double>(s.at(c, k)) / static_cast<double>(s.labelled(c)));

  std::string html =
      "<section aria-labelledby=\"confusion\"><h2 id=\"confusion\">What was taken for what</h2>"
      "<p>Each row holds the images of one class, each column what they were predicted to be. "
      "<span class=\"key r6\">right</span> lies on the diagonal, <span class=\"key w5\">wrong</span> beside it; a "
      "stronger colour is a larger share of the row (of wrong ones, against the largest).</p>"
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"confusion\"><table "
      "class=\"confusion\"><thead><tr><td class=\"corner\"><span>label ↓</span> "
      "<span>prediction →</span></td>";
  for (const std::string& name : r.classes) html += "<th scope=\"col\"><span>" + escaped(name) + "</span></th>";
  html += "</tr></thead><tbody>";
  for (int c = 0; c < s.classes(); ++c) {
    html += "<tr><th scope=\"row\">" + escaped(r.classes[static_cast<std::size_t>(c)]) + "</th>";
    for (int k = 0; k < s.classes(); ++k) {
      const double share = s.labelled(c) > 0 ? static_cast<double>(s.at(c, k)) / static_cast<double>(s.labelled(c)) : 0;
      const double strength =
          c == k ? share * share : std::sqrt(share / std::max(max, 1e-9));  // both spread dense values
      const int step = s.at(c, k) == 0 ? 0
                                       : std::clamp(static_cast<int>(std::lround(strength * (Scheme::steps - 1))), 1,
                                                    Scheme::steps - 1);
      const std::string style = step == 0 ? "none" : (c == k ? "r" : "w") + std::to_string(step);
      html += "<td class=\"" + style + "\" title=\"" + percent(share) + " of " +
              escaped(r.classes[static_cast<std::size_t>(c)]) + "\">" + grouped(s.at(c, k)) + "</td>";
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div></section>";
}

inline std::string mistakes(const Report& r) {
  const std::int64_t wrong = r.scores.count() - r.scores.right();
  std::string html = "<section aria-labelledby=\"mistakes\"><h2 id=\"mistakes\">The most confident mistakes</h2>";
  if (r.mistakes.empty()) return html + "<p>None: every image was predicted as its label says.</p></section>";
  html += "<p>Of " + grouped(wrong) + " mistakes, the " + grouped(static_cast<std::int64_t>(r.mistakes.size())) +
          " that the network was surest of. Some are its own; some may be labels worth a second look. # is the place "
          "in the data, from 0.</p><div "
          "class=\"mistakes\">";
  for (const Mistake& m : r.mistakes) {
    const std::string label = escaped(r.classes[static_cast<std::size_t>(m.label)]);
    const std::string prediction = escaped(r.classes[static_cast<std::size_t>(m.prediction)]);
    const std::string index = std::to_string(m.index);
    html += "<figure><img src=\"" + data_uri("image/png", m.picture) + "\" alt=\"Image " + index + ", labelled " +
            label + "\"><figcaption><span>Label</span> <b>" + label +
            "</b><br><span>Predicted</span> <b class=\"wrong\">" + prediction + "</b><small>" +
            (m.confidence > 0.9999 ? "&gt;99.99%" : percent(m.confidence, 2)) + " sure, #" + index +
            "</small></figcaption></figure>";
  }
  return html + "</div></section>";
}

inline std::string facts(const Report& r) {
  std::string html =
      "<section aria-labelledby=\"facts\"><h2 id=\"facts\">Where this comes from</h2><dl class=\"facts\">";
  for (const auto& [key, value] : r.facts)
    html += "<div><dt>" + escaped(key) + "</dt><dd>" + escaped(value) + "</dd></div>";
  return html + "</dl></section>";
}

// Each scheme defines the named colors. Everything else is the same in both.
inline constexpr std::string_view light_names =
    "--page:#f5f6f8;--surface:#fff;--ink:#14181f;--soft:#525b69;--line:#dde1e7;--right:#15549e;--wrong:#a63509;";
inline constexpr std::string_view dark_names =
    "--page:#101318;--surface:#191d24;--ink:#eef1f5;--soft:#a7b0bd;--line:#2f3641;--right:#78b8ff;--wrong:#ff985e;";

inline constexpr std::string_view style = R"(
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:66rem;margin:0 auto;padding:clamp(1.25rem,4vw,3.5rem) clamp(1rem,4vw,2.5rem)}
h1{font-size:clamp(1.7rem,1.2rem + 2.4vw,2.6rem);line-height:1.15;letter-spacing:-.02em;margin:0;
  overflow-wrap:anywhere}
h1 i{font-style:normal;font-weight:400;color:var(--soft)}
h2{font-size:1.25rem;letter-spacing:-.01em;line-height:1.3;margin:0 0 .6rem}
h2+p{margin-top:-.25rem}
p{margin:0 0 1rem;max-width:44rem;color:var(--soft)}
.lead{margin:.5rem 0 0;overflow-wrap:anywhere}
section{margin-top:clamp(2rem,5vw,3.25rem)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:1px;margin:1.75rem 0 0;
  background:var(--line);border:1px solid var(--line);border-radius:12px;overflow:hidden}
.figures div{background:var(--surface);padding:1rem 1.15rem 1.1rem}
.figures dt{color:var(--soft);font-size:.875rem}
.figures dd{margin:0}
.figures b{display:block;font-size:1.6rem;line-height:1.25;letter-spacing:-.02em;font-weight:650;
  font-variant-numeric:tabular-nums;margin:.1rem 0 .15rem;overflow-wrap:anywhere}
.figures div:nth-child(n+3) b{font-size:1.2rem;line-height:1.3;padding:.3rem 0 .2rem}
.figures em{font-style:normal;display:inline-block;max-width:100%}
.figures i{font-style:normal;font-weight:400;color:var(--soft)}
.figures span{color:var(--soft);font-size:.875rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
.charts figure{margin:0;background:var(--surface);border:1px solid var(--line);border-radius:12px;
  padding:.9rem .9rem .5rem}
.charts figcaption{font-weight:600;margin:0 0 .25rem .25rem}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--soft);font-size:13px;font-variant-numeric:tabular-nums}
svg .end{text-anchor:end}svg .mid{text-anchor:middle}
svg .grid{stroke:var(--line);fill:none}
svg g path{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
svg g text{font-weight:600}
.a path{stroke:var(--right)}.a circle,.a text{fill:var(--right)}
.b path{stroke:var(--wrong);stroke-dasharray:6 4}.b circle,.b text{fill:var(--wrong)}
details{margin-top:1rem}summary{cursor:pointer;color:var(--soft)}
details .scroll{margin-top:.75rem}
.scroll{overflow-x:auto;background:var(--surface);border:1px solid var(--line);border-radius:12px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.42rem .8rem;text-align:right;white-space:nowrap}
th:first-child{text-align:left}
thead th{font-size:.875rem;font-weight:600;color:var(--soft)}
tbody th{font-weight:500}
tbody tr>*,tfoot tr>*{border-top:1px solid var(--line)}
tfoot tr>*{border-top-width:2px;font-weight:650}
.classes .bar{width:21%;
  background:linear-gradient(var(--right) 0 0) .8rem 50%/calc((100% - 6rem)*var(--v)) .45rem no-repeat,
  linear-gradient(var(--line) 0 0) .8rem 50%/calc(100% - 6rem) .45rem no-repeat}
.confusion{width:auto;min-width:100%;border-collapse:separate;border-spacing:2px;padding:.4rem}
.confusion tr>*{border:0}
.confusion td{text-align:center;padding:.5rem .35rem;min-width:3.1rem;border-radius:5px}
.confusion th[scope=row]{position:sticky;left:0;background:var(--surface);padding:.3rem .7rem .3rem .5rem;
  font-size:.9rem}
.confusion thead th{vertical-align:bottom;text-align:center;padding:.4rem 0;height:7.2rem}
.confusion thead span{writing-mode:vertical-rl;transform:rotate(180deg)}
.confusion .corner{position:sticky;left:0;background:var(--surface);vertical-align:bottom;text-align:left;
  color:var(--soft);font-size:.8rem;padding:.4rem .5rem}
.confusion .corner span{display:block;writing-mode:horizontal-tb;transform:none}
.none{color:var(--soft)}
.key{padding:.05rem .45rem;border-radius:5px}
.mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(clamp(9.25rem,18%,11rem),1fr));gap:1rem}
.mistakes figure{margin:0;background:var(--surface);border:1px solid var(--line);border-radius:12px;overflow:hidden}
.mistakes img{display:block;width:100%;aspect-ratio:1;object-fit:contain;image-rendering:pixelated;background:#000}
.mistakes figcaption{padding:.6rem .75rem .7rem;font-size:.9rem;line-height:1.4;overflow-wrap:anywhere}
.mistakes span{color:var(--soft);font-size:.8rem}
.mistakes b{display:inline-block;max-width:100%;font-weight:600}.mistakes .wrong{color:var(--wrong)}
.mistakes small{display:block;color:var(--soft);font-size:.8rem;margin-top:.15rem;font-variant-numeric:tabular-nums}
.facts{margin:0;display:grid;gap:.35rem}
.facts div{display:grid;grid-template-columns:minmax(7rem,15rem) 1fr;gap:1rem}
.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
@media (max-width:44rem){th,td{padding:.42rem .4rem}.classes{font-size:.875rem}.classes .bar{background:none;
  width:auto}}
@media print{body{background:none}section,figure,tr{break-inside:avoid}*{print-color-adjust:exact;
  -webkit-print-color-adjust:exact}}
)";

}  // namespace detail

inline std::string html(const Report& r) {
  using namespace detail;
  const std::string title = escaped(r.model) + " <i>on</i> " + escaped(r.data);
  std::string page = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  // Even if the escaping had a gap, the browser would run and fetch nothing.
  page +=
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n";
  page +=
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" "
      "content=\"light dark\">\n";
  page += "<title>" + escaped(r.model) + " on " + escaped(r.data) + ": " + percent(r.scores.accuracy(), 2) +
          "</title>\n<style>\n";
  page.append(":root{color-scheme:light dark;").append(light_names).append("}\n").append(heat_rules(light_scheme));
  page.append("\n@media (prefers-color-scheme:dark){:root{")
      .append(dark_names)
      .append("}\n")
      .append(heat_rules(dark_scheme))
      .append("}");
  page.append(style).append("</style>\n</head>\n<body>\n<main>\n");
  page += "<header><h1>" + title + "</h1><p class=\"lead\">" + escaped(r.file) + ", evaluated on " +
          grouped(r.scores.count()) + " labelled images</p></header>\n";
  page +=
      summary(r) + "\n" + curves(r) + "\n" + per_class(r) + "\n" + confusion(r) + "\n" + mistakes(r) + "\n" + facts(r);
  return page + "\n</main>\n</body>\n</html>\n";
}

}  // namespace program
