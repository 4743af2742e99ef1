// tests/train/allocations.hpp on Cuda.
// SPDX-License-Identifier: MIT
#include <tenon/cuda.cuh>

#include "cuda/support.hpp"
#include "train/small_images.hpp"

using Device = tenon::Cuda;
#include "train/allocations.hpp"

#if TENON_SIMT
TEST_CASE("cuda: nothing is allocated once a training is prepared, whatever data of that size it is given") {
  const ImageSet set = quarters(107), same_size = quarters(107), test = quarters(40), odd = quarters(45);
  Model<NetOfAll, Cuda> model(Seed{5}, 16, cuda());
  Trainer trainer(model, AdamW{}, CrossEntropy{},
                  {.schedule = Schedule::one_cycle(60), .clip_norm = 1.0, .steps_per_launch = 4});
  const ImageData data(set, {0.5, 0.25, true, true}), others(same_size, {0.4, 0.2}), tests(test, {0.5, 0.25});
  trainer.prepare(data);
  trainer.prepare(others);
  trainer.prepare(tests);
  trainer.prepare(data);
  const simt::Counters before = simt::counters();
  [[maybe_unused]] const Allocations host;
  int losses = 0;
  // The launches of each epoch have other lengths: 4 2 + 1, 1 4 1 + 1, 2 4 + 1, 3 3 + 1.
  for (const ImageData* d : {&data, &others, &data, &others}) {
    trainer.epoch(*d, [&](const LossSums&) { return ++losses > 0; });
    static_cast<void>(trainer.evaluate(tests));
    trainer.evaluate(*d, [&](std::uint64_t, const auto&) { return ++losses > 0; });
  }
  trainer.optimizer().lr /= 2;
  trainer.epoch(data);
#if !SIMT_TRACED  // the tracer also allocates
  CHECK(host.host_since() == 0);
#endif
  CHECK(simt::counters().allocations == before.allocations);
  CHECK(simt::counters().host_allocations == before.host_allocations);
  CHECK(simt::counters().graphs == before.graphs);
  CHECK(before.graphs > 0);
  CHECK(trainer.progress().epoch == 5);

  // Another size of the last batch needs another graph. Other optimizer options need new recordings.
  static_cast<void>(trainer.evaluate(ImageData(odd, {0.5, 0.25})));
  CHECK(simt::counters().graphs == before.graphs + 1);
  trainer.optimizer().weight_decay = 0.5;
  trainer.epoch(data);
  CHECK(simt::counters().graphs > before.graphs + 1);
}
#endif
