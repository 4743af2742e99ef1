// What a recorded step's kernels see in tests: a cursor and the sums of the epoch in device memory.
// SPDX-License-Identifier: MIT
#pragma once

#include "cuda/support.hpp"

namespace tenon::tests {

/// While this lives, kernels take themselves for a recorded step's.
class Recorded {
 public:
  explicit Recorded(const kernels::CudaCursor& at, const LossSums& sums = {}) : cursor_(1), sums_(1) {
    upload(cuda(), &at, cursor_.data(), 1);
    upload(cuda(), &sums, sums_.data(), 1);
    cuda().state().cursor = cursor_.data();
    cuda().state().loss_sums = sums_.data();
  }
  Recorded(const Recorded&) = delete;
  ~Recorded() {
    cuda().state().cursor = nullptr;
    cuda().state().loss_sums = nullptr;
  }

  kernels::CudaCursor cursor() const {
    kernels::CudaCursor c;
    download(cuda(), cursor_.data(), &c, 1);
    return c;
  }
  LossSums sums() const {
    LossSums s;
    download(cuda(), sums_.data(), &s, 1);
    return s;
  }

 private:
  kernels::CudaBuffer<kernels::CudaCursor> cursor_;
  kernels::CudaBuffer<LossSums> sums_;
};

}  // namespace tenon::tests
