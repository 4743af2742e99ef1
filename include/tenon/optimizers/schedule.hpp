// Schedule: the learning rate over the steps, as a factor of the optimizer's own. A value; steps count from 0.
//   constant     1
//   step_decay   gamma^k after k times `every` steps
//   cosine       from 1 down to `floor`, half a period                 (Loshchilov, Hutter, SGDR, ICLR 2017)
//   one_cycle    from 1/25 up to 1 over 30 % of the steps, down to 1/250000, both by half a cosine     (Smith, Topin, 2018;
//                the constants are those of torch.optim.lr_scheduler.OneCycleLR)
// Each may begin with a linear warm-up: step t < warmup runs at (t + 1) / warmup of the factor's start.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tenon/core/math.hpp"

namespace tenon {

struct Schedule {
  enum class Kind { constant, step_decay, cosine, one_cycle };

  Kind kind = Kind::constant;
  std::int64_t steps = 0;   // of the whole training; cosine and one_cycle need it
  std::int64_t warmup = 0;  // steps of linear warm-up before the rest
  std::int64_t every = 0;   // step_decay
  double gamma = 0.1;       // step_decay
  double floor = 0;         // cosine

  static Schedule constant(std::int64_t warmup = 0) { return {Kind::constant, 0, warmup}; }
  static Schedule step_decay(std::int64_t every, double gamma = 0.1, std::int64_t warmup = 0) {
    return {Kind::step_decay, 0, warmup, every, gamma};
  }
  static Schedule cosine(std::int64_t steps, std::int64_t warmup = 0, double floor = 0) {
    return {Kind::cosine, steps, warmup, 0, 0.1, floor};
  }
  static Schedule one_cycle(std::int64_t steps, std::int64_t warmup = 0) { return {Kind::one_cycle, steps, warmup}; }

  /// The factor for step t = 0, 1, ...
  double at(std::int64_t t) const {
    if (t < warmup) return after_warmup(0) * static_cast<double>(t + 1) / static_cast<double>(warmup);
    return after_warmup(t - warmup);
  }

 private:
  double after_warmup(std::int64_t t) const {
    const std::int64_t all = steps > warmup ? steps - warmup : 1;
    switch (kind) {
      case Kind::constant: return 1;
      case Kind::step_decay: {
        double f = 1;
        for (std::int64_t k = every > 0 ? t / every : 0; k > 0 && f > 0; --k) f *= gamma;
        return f;
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
