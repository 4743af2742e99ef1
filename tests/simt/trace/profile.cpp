// Counts the memory requests of warps: requests, sectors, wavefronts of shared memory.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>

#include "tracer.hpp"

namespace simt::trace {

void Counts::add(const Counts& o) {
  requests += o.requests;
  sectors += o.sectors;
  ideal_sectors += o.ideal_sectors;
  placed_sectors += o.placed_sectors;
  shared_requests += o.shared_requests;
  wavefronts += o.wavefronts;
  ideal_wavefronts += o.ideal_wavefronts;
  bytes_read += o.bytes_read;
  bytes_written += o.bytes_written;
  atomics += o.atomics;
  products += o.products;
}

void Tracer::ask(const void* at, unsigned size, Access kind, bool shared, Site site) {
  if (!counting) return;
  std::vector<std::unique_ptr<Open>>& all = warp_->open;
  const std::size_t i = 2 * static_cast<std::size_t>(site) + shared;
  if (all.size() <= i) all.resize(i + 256);
  if (!all[i]) {
    all[i] = std::make_unique<Open>();
    all[i]->site = site;
    all[i]->shared = shared;
  }
  Open& o = *all[i];
  if (!o.listed) {
    o.listed = true;
    warp_->touched.push_back(&o);
  }
  const std::uint32_t time = o.passed[lane_]++;
  if (o.requests.size() <= time) o.requests.emplace_back();
  Request& r = o.requests[time];
  r.lanes |= 1u << lane_;
  r.size = static_cast<std::uint8_t>(std::max<unsigned>(r.size, size));
  r.write = kind == Access::write;
  r.atomic = kind == Access::atomic;
  r.at[lane_] = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(at));
}

void Tracer::flush(Lanes& w) {
  for (Open* o : w.touched) {
    for (const Request& r : o->requests) count(*o, r);
    o->requests.clear();
    std::fill(std::begin(o->passed), std::end(o->passed), 0u);
    o->listed = false;
  }
  w.touched.clear();
}

namespace {

void count_device(Counts& c, const Request& r) {
  struct Sector {
    std::uint32_t number, bytes;  // bytes: one bit per byte
  };
  Sector sectors[64];
  unsigned n = 0;
  std::uint32_t lowest = 0xffffffffu;
  std::uint64_t asked = 0;
  for (unsigned l = 0; l < 32; ++l) {
    if (!(r.lanes >> l & 1u)) continue;
    lowest = std::min(lowest, r.at[l]);
    asked += r.size;
    for (std::uint32_t from = r.at[l], end = from + r.size; from != end;) {
      const std::uint32_t in = from % 32, bytes = std::min(32 - in, end - from);
      const std::uint32_t mask = (bytes == 32 ? 0xffffffffu : (1u << bytes) - 1) << in;
      unsigned k = n;
      while (k > 0 && sectors[k - 1].number != from / 32) --k;
      if (k == 0)
        sectors[n++] = {from / 32, mask};
      else
        sectors[k - 1].bytes |= mask;
      from += bytes;
    }
  }
  unsigned unique = 0;
  for (unsigned k = 0; k < n; ++k) unique += static_cast<unsigned>(std::popcount(sectors[k].bytes));
  ++c.requests;
  c.sectors += n;
  c.ideal_sectors += (unique + 31) / 32;
  c.placed_sectors += (lowest % 32 + unique + 31) / 32;
  if (!r.write || r.atomic) c.bytes_read += asked;
  if (r.write || r.atomic) c.bytes_written += asked;
  if (r.atomic) c.atomics += static_cast<unsigned>(std::popcount(r.lanes));
}

void count_shared(Counts& c, const Request& r) {
  const unsigned lanes = r.size <= 4 ? 32 : r.size <= 8 ? 16 : 8;
  ++c.shared_requests;
  if (r.atomic) c.atomics += static_cast<unsigned>(std::popcount(r.lanes));
  for (unsigned first = 0; first < 32; first += lanes) {
    std::uint32_t words[32][32];
    unsigned of_bank[32] = {}, max = 0;
    for (unsigned l = first; l < first + lanes; ++l) {
      if (!(r.lanes >> l & 1u)) continue;
      for (std::uint32_t w = r.at[l] / 4; w <= (r.at[l] + r.size - 1) / 4; ++w) {
        const unsigned bank = w % 32;
        unsigned& n = of_bank[bank];
        if (std::find(words[bank], words[bank] + n, w) == words[bank] + n) words[bank][n++] = w;
        max = std::max(max, n);
      }
    }
    c.wavefronts += max;
    c.ideal_wavefronts += max > 0;
  }
}

}  // namespace

void Tracer::count(const Open& o, const Request& r) {
  if (!kernel_) return;
  Counts& c = kernel_->lines[o.site];
  o.shared ? count_shared(c, r) : count_device(c, r);
}

}  // namespace simt::trace
