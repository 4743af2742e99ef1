// predict.hpp has no threads. The error for a Cpu with several threads names the header that has them.
// expect: error: static.assert.*tenon::Cpu\(threads\): include <tenon/core/thread_pool.hpp> or <tenon/tenon.hpp>
// errors: 1
// SPDX-License-Identifier: MIT
#include <tenon/predict.hpp>
#ifdef TENON_TWIN
#include <tenon/core/thread_pool.hpp>
#endif

int main() {
  tenon::Cpu dev(2);
  return dev.threads();
}
