// Emulation of the instructions in kernels/tenon/cuda/arch.cuh: mma, ldmatrix, cp.async. All 32 lanes of a warp call
// mma and ldmatrix together.
//
// Fragments as in the PTX manual, with g = lane / 4 and t = lane % 4:
//   m16n8k8 tf32    a[i]   row g + 8 (i % 2), k = t + 4 (i / 2)         b[i]   k = t + 4 i, column g
//   m16n8k16 bf16   a[i]   row g + 8 (i % 2), k = 2 t + 8 (i / 2) and the next k, the lower half first
//                   b[i]   k = 2 t + 8 i and the next k, column g
//   both            c[i], d[i]   row g + 8 (i / 2), column 2 t + i % 2
//   ldmatrix        lanes 8 i to 8 i + 7 point to the 8 rows of 16 bytes of matrix i; d[i] holds row g, columns 2 t and
//                   2 t + 1; transposed: column g, rows 2 t and 2 t + 1
// Sums start with c and follow the order of k. Each product is exact and each sum is rounded to float. Hardware sums in
// another order.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "simt.hpp"

namespace simt {

/// D (16, 8) = A (16, 8) B (8, 8) + C (16, 8). The lower 13 bits of a and b are ignored.
void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const float (&c)[4],
                      Site site = Site::here());
/// D (16, 8) = A (16, 16) B (16, 8) + C (16, 8).
void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const float (&c)[4],
                       Site site = Site::here());

/// cvt.rna.tf32.f32: rounds to 10 bits of mantissa, ties away from zero.
std::uint32_t to_tf32(float v);

/// `row` points to shared memory, aligned to 16 bytes.
void ldmatrix_x1(std::uint32_t (&d)[1], const void* row, bool transposed = false, Site site = Site::here());
void ldmatrix_x2(std::uint32_t (&d)[2], const void* row, bool transposed = false, Site site = Site::here());
void ldmatrix_x4(std::uint32_t (&d)[4], const void* row, bool transposed = false, Site site = Site::here());

/// Copies `bytes` (0 to `size`) from global to shared memory and fills the rest with zeros, at the latest when the
/// thread waits for the copy. Until then the destination is filled with 0xff and poisoned for AddressSanitizer.
void cp_async(void* shared, const void* global, unsigned size, unsigned bytes, Site site);
SIMT_THROUGH inline void cp_async16(void* shared, const void* global, int bytes = 16, Site site = Site::here()) {
  cp_async(shared, global, 16, static_cast<unsigned>(bytes), site);
}
SIMT_THROUGH inline void cp_async8(void* shared, const void* global, int bytes = 8, Site site = Site::here()) {
  cp_async(shared, global, 8, static_cast<unsigned>(bytes), site);
}
SIMT_THROUGH inline void cp_async4(void* shared, const void* global, int bytes = 4, Site site = Site::here()) {
  cp_async(shared, global, 4, static_cast<unsigned>(bytes), site);
}
/// Closes the group of this thread's copies so far.
void cp_async_commit();
/// Waits for this thread's groups except the last `left`.
void cp_async_wait_group(int left);
/// Waits for all of this thread's copies.
void cp_async_wait_all();

}  // namespace simt
