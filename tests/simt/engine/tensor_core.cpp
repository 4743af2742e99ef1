// mma, ldmatrix and cp.async. simt/tensor_core.hpp describes them.
// SPDX-License-Identifier: MIT
#include "simt/tensor_core.hpp"

#include <bit>
#include <cstring>

#include "engine.hpp"

#if SIMT_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace simt {
namespace {

struct Fragments {
  float* d;
  const std::uint32_t *a, *b;
  const float* c;
};

// A is (16, K) and B is (K, 8), gathered from the lanes.
template <int K>
void multiply(void* const* payloads, const float (&a)[16][K], const float (&b)[K][8]) {
  for (int lane = 0; lane < 32; ++lane) {
    const Fragments& f = *static_cast<Fragments*>(payloads[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), col = 2 * (lane % 4) + i % 2;
      float sum = f.c[i];
      for (int k = 0; k < K; ++k)
        sum = static_cast<float>(static_cast<double>(sum) + static_cast<double>(a[row][k]) * b[k][col]);
      f.d[i] = sum;
    }
  }
}

float tf32(std::uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000u); }
float low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

void combine_tf32(void* const* payloads, unsigned) {
  float a[16][8], b[8][8];
  for (int lane = 0; lane < 32; ++lane) {
    const Fragments& f = *static_cast<Fragments*>(payloads[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) a[g + 8 * (i % 2)][t + 4 * (i / 2)] = tf32(f.a[i]);
    for (int i = 0; i < 2; ++i) b[t + 4 * i][g] = tf32(f.b[i]);
  }
  multiply<8>(payloads, a, b);
}

void combine_bf16(void* const* payloads, unsigned) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const Fragments& f = *static_cast<Fragments*>(payloads[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      a[g + 8 * (i % 2)][2 * t + 8 * (i / 2)] = low(f.a[i]);
      a[g + 8 * (i % 2)][2 * t + 8 * (i / 2) + 1] = high(f.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * t + 8 * i][g] = low(f.b[i]);
      b[2 * t + 8 * i + 1][g] = high(f.b[i]);
    }
  }
  multiply<16>(payloads, a, b);
}

struct Rows {
  std::uint32_t* d;
  const void* row;
  bool transposed;
};

template <int Count>
void combine_rows(void* const* payloads, unsigned) {
  for (int i = 0; i < Count; ++i) {
    std::uint16_t m[8][8];
    for (int r = 0; r < 8; ++r) std::memcpy(m[r], static_cast<Rows*>(payloads[8 * i + r])->row, 16);
    for (int lane = 0; lane < 32; ++lane) {
      const Rows& p = *static_cast<Rows*>(payloads[lane]);
      const int g = lane / 4, t = lane % 4;
      const std::uint32_t first = p.transposed ? m[2 * t][g] : m[g][2 * t];
      const std::uint32_t second = p.transposed ? m[2 * t + 1][g] : m[g][2 * t + 1];
      p.d[i] = first | second << 16;
    }
  }
}

template <int Count>
void ldmatrix(const char* what, std::uint32_t* d, const void* row, bool transposed, Site site, const void* code) {
  const Aside aside;
  if (static_cast<int>(lane_index()) < 8 * Count) {  // the other lanes' addresses are ignored
    check_aligned(row, 16, site);
    if (!in_shared(row, 16)) {
      say(std::string(what) + " at " + text_of(site) + ": expected 16 bytes of the block's shared memory");
      fail_kernel(cudaErrorIllegalAddress);
    }
    if (observer) observer->matrix_row(row, code);
  }
  Rows payload{d, row, transposed};
  warp_collective(what, 0xffffffffu, &payload, combine_rows<Count>, site, true);
}

void finish(const AsyncCopies::One& c) {
  if (observer) observer->async_arrived(c.to, c.size);
#if SIMT_ASAN
  __asan_unpoison_memory_region(c.to, c.size);
#endif
  std::memcpy(c.to, c.from, c.bytes);
  std::memset(static_cast<char*>(c.to) + c.bytes, 0, c.size - c.bytes);
}

void finish_groups(int below) {
  AsyncCopies& a = async_copies();
  std::size_t left = 0;
  for (const AsyncCopies::One& c : a.copies) {
    if (c.group < below)
      finish(c);
    else
      a.copies[left++] = c;
  }
  a.copies.resize(left);
}

}  // namespace

void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const float (&c)[4],
                      Site site) {
  const Aside aside;
  if (observer && lane_index() == 0) observer->product(__builtin_return_address(0));
  Fragments payload{d, a, b, c};
  warp_collective("mma.m16n8k8.tf32", 0xffffffffu, &payload, combine_tf32, site, true);
}

void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const float (&c)[4],
                       Site site) {
  const Aside aside;
  if (observer && lane_index() == 0) observer->product(__builtin_return_address(0));
  Fragments payload{d, a, b, c};
  warp_collective("mma.m16n8k16.bf16", 0xffffffffu, &payload, combine_bf16, site, true);
}

std::uint32_t to_tf32(float v) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(v);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits & 0x007fffffu ? 0x7fffffffu : bits;
  return (bits + 0x1000u) & 0xffffe000u;
}

void ldmatrix_x1(std::uint32_t (&d)[1], const void* row, bool transposed, Site site) {
  ldmatrix<1>("ldmatrix.x1", d, row, transposed, site, __builtin_return_address(0));
}
void ldmatrix_x2(std::uint32_t (&d)[2], const void* row, bool transposed, Site site) {
  ldmatrix<2>("ldmatrix.x2", d, row, transposed, site, __builtin_return_address(0));
}
void ldmatrix_x4(std::uint32_t (&d)[4], const void* row, bool transposed, Site site) {
  ldmatrix<4>("ldmatrix.x4", d, row, transposed, site, __builtin_return_address(0));
}

void cp_async(void* shared, const void* global, unsigned size, unsigned bytes, Site site) {
  const Aside aside;
  check_aligned(shared, size, site);
  check_aligned(global, size, site);
  if (bytes > size || !in_shared(shared, size)) {
    say("cp.async at " + text_of(site) + ": expected up to " + std::to_string(size) +
        " bytes to the block's shared memory, got " + std::to_string(bytes) +
        (in_shared(shared, size) ? "" : " to memory that is none"));
    fail_kernel(cudaErrorIllegalAddress);
  }
  AsyncCopies& a = async_copies();
  a.copies.push_back({shared, global, size, bytes, a.closed});
  if (observer) observer->async_copy(shared, global, size, bytes, __builtin_return_address(0));
  std::memset(shared, 0xff, size);
#if SIMT_ASAN
  __asan_poison_memory_region(shared, size);
#endif
}

void cp_async_commit() {
  const Aside aside;
  ++async_copies().closed;
}
void cp_async_wait_group(int left) {
  const Aside aside;
  finish_groups(async_copies().closed - left);
}
void cp_async_wait_all() {
  const Aside aside;
  finish_groups(async_copies().closed + 1);
}

}  // namespace simt
