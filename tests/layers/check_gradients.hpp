// What the files of gradients share: one network's gradients against central differences, on the test's Device.
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
  options.most = many<Device>(400, 16);
  const GradientCheck c = check_gradients<Net>(options, device<Device>());
  INFO(describe<Net>());
  INFO(c.where << ": computed " << c.computed << ", expected " << c.expected << ", error " << c.worst);
  CHECK(c.compared > 0);
  CHECK(c.worst < bound);
}

}  // namespace
