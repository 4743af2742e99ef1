// Does not compile: a kernel's argument is copied byte by byte.
// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>

struct Owner {
  int* p = nullptr;
  Owner() = default;
  Owner(const Owner& o) : p(o.p) {}
};
template <class T>
__global__ void take(T) {}

int main() {
  cudaLaunchConfig_t config{};
  return cudaLaunchKernelEx(&config, take<Owner>, Owner());
}
