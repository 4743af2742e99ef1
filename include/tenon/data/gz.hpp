// gzip, with zlib. This is the only header that needs zlib (CMake: tenon::gz). A file is recognized by its magic number,
// not by its name.
// SPDX-License-Identifier: MIT
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/core/bytes.hpp"
#include "tenon/core/error.hpp"
#include "tenon/core/resources.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

inline bool is_gz(Bytes bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

/// The content of a gzip file with one or more members. Checksums are verified. Zeros after a member are padding (tapes and
/// some downloads have it) and are skipped. Throws Error if the file is cut short, damaged or followed by other data, or if
/// the content is longer than `max_bytes` or than the memory that this process may use.
inline std::vector<std::byte> inflate_gz(Bytes bytes, std::string_view where, std::uint64_t max_bytes) {
  const auto fail = [&](const std::string& expected, const std::string& got) {
    throw Error("inflate_gz", "expected " + expected + ", got " + got, where);
  };
  struct Stream : z_stream {
    Stream() : z_stream{} {
      if (::inflateInit2(this, 15 + 16) != Z_OK) throw std::bad_alloc();  // 16: gzip, not zlib
    }
    ~Stream() { ::inflateEnd(this); }
  } stream;

  // The last four bytes contain the length, unless there is padding. It is only a hint. It is limited by max_bytes and by
  // what a file of this size can hold. With one byte more than the content, zlib reaches the end without a larger buffer.
  constexpr std::uint64_t densest = 1032;
  std::uint32_t claim = 0;
  if (bytes.size() >= 18) std::memcpy(&claim, bytes.data() + bytes.size() - 4, 4);
  const std::uint64_t bound = std::min(max_bytes, densest * bytes.size());
  require_memory(std::min<std::uint64_t>(claim, bound), "inflate_gz", where);
  std::vector<std::byte> out(static_cast<std::size_t>(std::min<std::uint64_t>(claim, bound)) + 1);

  std::size_t n = 0;
  for (bool ended = false; !ended || !bytes.empty();) {
    if (ended) {
      const auto padding = std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
      bytes = bytes.subspan(static_cast<std::size_t>(padding - bytes.begin()));
      if (bytes.empty()) break;
      // Otherwise another member follows.
      if (!is_gz(bytes)) fail("nothing after the end of the gzip data", std::to_string(bytes.size()) + " bytes more");
      ::inflateReset(&stream);
    }
    if (n == out.size()) {
      const std::uint64_t more = std::min<std::uint64_t>(bound, 2 * out.size() + 65536) + 1;
      require_memory(more, "inflate_gz", where);
      out.resize(static_cast<std::size_t>(more));
    }

    constexpr std::size_t step = std::size_t{1} << 30;  // zlib counts in 32 bits
    const std::size_t have = std::min(bytes.size(), step), room = std::min(out.size() - n, step);
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(have);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + n);
    stream.avail_out = static_cast<uInt>(room);
    const int code = ::inflate(&stream, Z_NO_FLUSH);
    bytes = bytes.subspan(have - stream.avail_in);
    n += room - stream.avail_out;

    if (n > max_bytes) fail("at most " + std::to_string(max_bytes) + " bytes once inflated", "more");
    if (code == Z_MEM_ERROR) throw std::bad_alloc();
    if (code == Z_BUF_ERROR || (code == Z_OK && bytes.empty() && stream.avail_out > 0))
      fail("a whole gzip file", "one cut short");
    if (code != Z_OK && code != Z_STREAM_END)
      fail("a gzip file", std::string("a damaged one (") + (stream.msg ? stream.msg : "no detail") + ")");
    ended = code == Z_STREAM_END;
  }
  out.resize(n);
  return out;
}

/// Inflates gzip data and returns other data unchanged. Pass it to loaders as the decoder.
///   tenon::load_image_folder("data/mnist", 10, tenon::inflate_if_gz)
inline std::vector<std::byte> inflate_if_gz(std::vector<std::byte> bytes, std::string_view where,
                                            std::uint64_t max_bytes) {
  return is_gz(bytes) ? inflate_gz(bytes, where, max_bytes) : std::move(bytes);
}

}  // namespace tenon

TENON_IEEE_MATH_END
