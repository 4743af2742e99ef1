// ProgressBar: the progress of an epoch. On a terminal it is redrawn in place; elsewhere a line appears now and then.
//   epoch 2/5 [##########----------] 47 %  loss 0.3120  accuracy 0.8890  5210 images/s  0:06 left
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "program.hpp"

class ProgressBar {
 public:
  enum class Style { redrawn, plain, quiet };

  explicit ProgressBar(Style style) : style_(style) {}
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Starts the time measurement; `done` of `all` images are already processed.
  void begin(std::string title, std::uint64_t done, std::uint64_t all) {
    title_ = std::move(title);
    first_ = done;
    all_ = all;
    started_ = last_ = Clock::now();
  }

  /// `done` images are processed. Updates the output if enough time has passed.
  void at(std::uint64_t done, double loss, double accuracy) {
    if (style_ == Style::quiet) return;
    const auto now = Clock::now();
    const double since = std::chrono::duration<double>(now - last_).count();
    if (since < (style_ == Style::redrawn ? 0.1 : 30)) return;
    last_ = now;
    const double rate = images_per_second(done);
    const long left = rate > 0 ? static_cast<long>(static_cast<double>(all_ - done) / rate + 0.5) : 0;
    const int percent = static_cast<int>(100 * done / all_);
    char text[160];
    std::snprintf(text, sizeof text, "%3d %%  loss %.4f  accuracy %.4f  %.0f images/s  %ld:%02ld left", percent, loss,
                  accuracy, rate, left / 60, left % 60);
    if (style_ == Style::plain) {
      say(title_ + " " + text);
      return;
    }
    // The bar fills the rest of the line, because a line that wraps could not be redrawn.
    const std::size_t columns = static_cast<std::size_t>(program::terminal_columns());
    const std::size_t rest = title_.size() + 5 + std::strlen(text);
    const std::size_t width = columns > rest ? std::min<std::size_t>(columns - rest, 20) : 0;
    const std::size_t full = width * static_cast<std::size_t>(percent) / 100;
    std::string line = title_ + " [" + std::string(full, '#') + std::string(width - full, '-') + "] " + text;
    if (line.size() >= columns) line.resize(columns - 1);
    std::printf("\r%s\x1b[K", line.c_str());
    std::fflush(stdout);
    drawn_ = true;
  }

  /// Prints a line that is not redrawn.
  void say(const std::string& line) {
    clear();
    std::printf("%s\n", program::one_line(line).c_str());
    std::fflush(stdout);
  }

  void clear() {
    if (!drawn_) return;
    std::fputs("\r\x1b[K", stdout);
    std::fflush(stdout);
    drawn_ = false;
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }
  double images_per_second(std::uint64_t done) const {
    const double s = seconds();
    return s > 0 ? static_cast<double>(done - first_) / s : 0;
  }

 private:
  using Clock = std::chrono::steady_clock;

  Style style_;
  std::string title_;
  std::uint64_t first_ = 0, all_ = 1;
  Clock::time_point started_{}, last_{};
  bool drawn_ = false;
};
