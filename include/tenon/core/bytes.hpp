// Bytes: a read-only view of memory. The functions for files and hashes take it.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace tenon {

using Bytes = std::span<const std::byte>;

/// The bytes of a text.
inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

}  // namespace tenon
