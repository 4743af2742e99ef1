// Schedule: the learning rate for each step, as a factor of the optimizer's rate. It is a value type. Steps count from 0.
//   constant     1
//   step_decay   gamma^k after k times `every` steps
//   cosine       from 1 down to `floor`, half a period                 (Loshchilov, Hutter, SGDR, ICLR 2017)
//   one_cycle    from 1/25 up to 1 over 30 % of the steps, then down to 1/250000, each by half a cosine
//                (Smith, Topin, 2018; the constants are those of torch.optim.lr_scheduler.OneCycleLR)
// Each may begin with a linear warm-up: step t < warmup has (t + 1) / warmup times the first factor after the warm-up.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tenon/core/error.hpp"
#include "tenon/core/math.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct Schedule {
  enum class Kind { constant, step_decay, cosine, one_cycle };

  Kind kind = Kind::constant;
  std::int64_t steps = 0;   // of the whole training, warm-up included; needed by cosine and one_cycle
  std::int64_t warmup = 0;  // steps of linear warm-up before the rest
  std::int64_t every = 0;   // step_decay
  double gamma = 0.1;       // step_decay
  double floor = 0;         // cosine

  /// These throw Error for invalid numbers, such as a training of 0 steps.
  [[nodiscard]] static Schedule constant(std::int64_t warmup = 0) { return checked({Kind::constant, 0, warmup}); }
  [[nodiscard]] static Schedule step_decay(std::int64_t every, double gamma = 0.1, std::int64_t warmup = 0) {
    return checked({Kind::step_decay, 0, warmup, every, gamma});
  }
  [[nodiscard]] static Schedule cosine(std::int64_t steps, std::int64_t warmup = 0, double floor = 0) {
    return checked({Kind::cosine, steps, warmup, 0, 0.1, floor});
  }
  [[nodiscard]] static Schedule one_cycle(std::int64_t steps, std::int64_t warmup = 0) {
    return checked({Kind::one_cycle, steps, warmup});
  }

  void check() const {
    const auto require = [](std::string_view what, std::string_view range, double got, bool holds) {
      detail::check_option("Schedule", what, range, got, holds);
    };
    require("a warmup", "of 0 or above", static_cast<double>(warmup), warmup >= 0);
    if (kind == Kind::step_decay) {
      require("every", "of 1 step or above", static_cast<double>(every), every >= 1);
      require("gamma", "above 0", gamma, gamma > 0);
    }
    if (!ends()) return;
    const std::int64_t least = kind == Kind::one_cycle ? 2 : 1;
    require("steps, without the warmup,", least == 2 ? "of 2 or above" : "of 1 or above",
            static_cast<double>(steps) - static_cast<double>(warmup), steps >= warmup && steps - warmup >= least);
    if (kind == Kind::cosine) require("a floor", "from 0 to 1", floor, floor >= 0 && floor <= 1);
  }

  /// True if the schedule has a fixed number of steps.
  bool ends() const { return kind == Kind::cosine || kind == Kind::one_cycle; }
  /// The number of steps from step t to the end of the schedule; the largest std::uint64_t if it does not end.
  std::uint64_t steps_from(std::uint64_t t) const {
    if (!ends()) return ~std::uint64_t{0};
    return static_cast<std::uint64_t>(steps) > t ? static_cast<std::uint64_t>(steps) - t : 0;
  }
  /// Throws Error if step t is past the last step, where the rate would be close to zero.
  void require_step(std::int64_t t) const {
    if (ends() && t >= steps)
      throw Error("Schedule", "expected at most " + std::to_string(steps) +
                                  " steps, for which it was made, got another one: give it the steps of the whole "
                                  "training (epochs times batches of an epoch)");
  }

  /// The factor for step t = 0, 1, ... After the last step the factor stays at its final value.
  double at(std::int64_t t) const {
    if (t < warmup) return after_warmup(0) * static_cast<double>(t + 1) / static_cast<double>(warmup);
    return after_warmup(t - warmup);
  }

 private:
  static Schedule checked(Schedule s) {
    s.check();
    return s;
  }
  double after_warmup(std::int64_t t) const {
    const std::int64_t all = steps > warmup ? steps - warmup : 1;
    switch (kind) {
      case Kind::constant: return 1;
      case Kind::step_decay: {
        double f = 1;
        std::int64_t k = every > 0 ? t / every : 0;
        for (; k > 0 && k <= 4096 && f > 0; --k) f *= gamma;  // the bits of trainings depend on this order
        return k > 0 ? math::pow(gamma, static_cast<double>(k)) : f;
      }
      case Kind::cosine: return between(1, floor, fraction(t, all));
      case Kind::one_cycle: {
        const double up = 0.3 * static_cast<double>(all) - 1, down = static_cast<double>(all) - 1 - up,
                     x = static_cast<double>(t);
        if (x <= up) return between(1.0 / 25, 1, up > 0 ? x / up : 1);
        return between(1, 1.0 / 25 / 1e4, down > 0 && x - up < down ? (x - up) / down : 1);
      }
    }
    return 1;
  }

  static double fraction(std::int64_t t, std::int64_t all) {
    return t >= all ? 1 : static_cast<double>(t) / static_cast<double>(all);
  }
  /// Half a cosine from a at x = 0 to b at x = 1.
  static double between(double a, double b, double x) {
    return b + (a - b) * 0.5 * (1 + math::cos(3.14159265358979323846 * x));
  }
};

}  // namespace tenon

TENON_IEEE_MATH_END
