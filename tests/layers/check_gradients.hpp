// Shared by the tests of gradients: checks the gradients of a network against central differences, on `Device`.
// SPDX-License-Identifier: MIT
#pragma once

#include <tenon/tenon.hpp>

#include "catch.hpp"
#include "devices.hpp"

using namespace tenon;
using namespace tenon::tests;

namespace {

template <class Net>
void check(double bound = 1e-6, GradientCheckOptions options = {}) {
  options.max = many<Device>(400, 16);
  const GradientCheck c = check_gradients<Net>(options, device<Device>());
  INFO(describe<Net>());
  INFO(c.where << ": computed " << c.computed << ", expected " << c.expected << ", error " << c.worst);
  CHECK(c.compared > 0);
  CHECK(c.worst < bound);
}

}  // namespace
