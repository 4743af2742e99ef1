// tests/train/trainer.hpp on the Cpu.
// SPDX-License-Identifier: MIT
#include <tenon/core/device.hpp>

using Device = tenon::Cpu;
#include "train/trainer.hpp"

namespace {

Cpu cpu(int threads, Isa isa) {
  Cpu dev(threads);
  dev.set_isa(isa);
  return dev;
}

}  // namespace

TEST_CASE("trainer: the same bits for any number of threads") {
  const ImageSet set = quarters(107);  // not a multiple of 16
  for (const Isa isa : {Isa::portable, detect_isa()}) {
    const auto one = train(set, cpu(1, isa));
    CHECK(one == train(set, cpu(2, isa)));
    CHECK(one == train(set, cpu(3, isa)));
    CHECK(one == train(set, cpu(2, isa), 3));  // the epoch is left and continued
  }
}
