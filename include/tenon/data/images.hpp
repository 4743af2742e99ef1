// Labeled images in memory, and functions that load them: from IDX files, from folders of four IDX files, and known
// datasets by name.
//
// Files may be gzip if the caller passes a decoder (tenon::inflate_if_gz of data/gz.hpp). This header does not need zlib.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/core/file.hpp"
#include "tenon/core/write_file.hpp"
#include "tenon/data/idx.hpp"
#include "tenon/io/sha256.hpp"

TENON_IEEE_MATH_BEGIN

namespace tenon {

struct ImageSet {
  int count = 0, channels = 1, height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  // (count, channels, height, width)
  std::vector<std::uint8_t> labels;  // (count), or empty

  std::size_t image_size() const {
    return static_cast<std::size_t>(channels) * static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
  std::span<const std::uint8_t> image(int i) const {
    return {pixels.data() + static_cast<std::size_t>(i) * image_size(), image_size()};
  }
};

/// Computes a file's content from its bytes. `max_bytes` limits the result, and `where` is the file's name in errors.
using Decode = std::vector<std::byte> (*)(std::vector<std::byte> bytes, std::string_view where,
                                          std::uint64_t max_bytes);

inline std::vector<std::byte> decode_nothing(std::vector<std::byte> bytes, std::string_view, std::uint64_t) {
  return bytes;
}

/// Two gigabytes: 2.7 million images of MNIST's size.
inline constexpr std::uint64_t max_idx_bytes = std::uint64_t{1} << 31;

namespace detail {

// Whether a file of `total` bytes that begins with `head` is an IDX file of images that nothing has compressed.
inline bool is_plain_idx(Bytes head, std::uint64_t total) {
  return head.size() == idx_header_bytes(3) && idx_word(head, 0) == idx_images_magic && total <= max_idx_bytes;
}

// Reads the images after the header `head` of a regular file. They pass through a buffer that fits in the processor's
// cache, so each pixel is written to main memory once.
inline ImageSet read_plain_images(InputFile& file, Bytes head) {
  const std::size_t values = idx_values(head, file.size(), idx_images_magic, 3, "load_images", file.path());
  require_memory(values, "load_images", file.path());
  const auto word = [&](std::size_t i) { return static_cast<int>(idx_word(head, i)); };
  ImageSet set{word(1), 1, word(2), word(3), {}, {}};
  set.pixels.reserve(values);
  std::vector<std::uint8_t> buffer(std::min<std::size_t>(values, 1 << 18));
  while (set.pixels.size() < values) {
    const std::size_t wanted = std::min(buffer.size(), values - set.pixels.size());
    const std::size_t got = file.read(std::as_writable_bytes(std::span(buffer).first(wanted)));
    set.pixels.insert(set.pixels.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(got));
    if (got < wanted)
      throw Error("load_images",
                  "expected " + std::to_string(values) + " pixels, got " + std::to_string(set.pixels.size()) +
                      ": the file has become shorter while it was read",
                  file.path());
  }
  return set;
}

}  // namespace detail

[[nodiscard]] inline ImageSet load_images(const std::string& path, Decode decode = decode_nothing) {
  InputFile file(path);
  std::vector<std::byte> bytes(detail::idx_header_bytes(3));
  bytes.resize(file.read(bytes));
  if (detail::is_plain_idx(bytes, file.size())) return detail::read_plain_images(file, bytes);
  file.read_rest(bytes, max_idx_bytes);
  bytes = decode(std::move(bytes), path, max_idx_bytes);
  const IdxImages idx = parse_idx_images(bytes, path);
  require_memory(idx.pixels.size(), "load_images", path);  // a copy
  return {idx.count, 1, idx.height, idx.width, {idx.pixels.begin(), idx.pixels.end()}, {}};
}

[[nodiscard]] inline std::vector<std::uint8_t> load_labels(const std::string& path, Decode decode = decode_nothing) {
  const auto bytes = decode(read_file(path, max_idx_bytes), path, max_idx_bytes);
  const auto labels = parse_idx_labels(bytes, path);
  return {labels.begin(), labels.end()};
}

/// Loads images with their labels. Throws Error unless there is one label for each image and each is below `classes`.
[[nodiscard]] inline ImageSet load_image_set(const std::string& images, const std::string& labels, int classes,
                                             Decode decode = decode_nothing) {
  ImageSet set = load_images(images, decode);
  set.labels = load_labels(labels, decode);
  if (set.labels.size() != static_cast<std::size_t>(set.count))
    throw Error("load_labels",
                "expected " + std::to_string(set.count) + " labels, one for each image, got " +
                    std::to_string(set.labels.size()),
                labels);
  const auto wrong = std::find_if(set.labels.begin(), set.labels.end(), [&](std::uint8_t l) { return l >= classes; });
  if (wrong != set.labels.end())
    throw Error("load_labels",
                "expected labels from 0 to " + std::to_string(classes - 1) + ", got " + std::to_string(*wrong) +
                    " for image " + std::to_string(wrong - set.labels.begin()),
                labels);
  return set;
}

struct ImageFolder {
  ImageSet train, test;
};

namespace detail {

// The path of a file in a dataset folder, with any of its spellings, plain before gzip. If there is no such file, the path
// of a folder with that name, so that reading it gives an error; else empty.
inline std::string idx_file(const std::string& folder, const std::string& stem, int dimensions) {
  std::string instead;
  for (const char* gz : {"", ".gz"})
    for (const char* joint : {"-", "."}) {
      const std::string path = folder + "/" + stem + joint + "idx" + std::to_string(dimensions) + "-ubyte" + gz;
      const PathKind kind = path_kind(path);
      if (kind == PathKind::file) return path;
      if (kind == PathKind::folder) instead = path;
    }
  return instead;
}

}  // namespace detail

/// The files of a folder that load_image_folder reads: four if all exist.
inline std::vector<std::string> image_files(const std::string& folder) {
  std::vector<std::string> files;
  for (const std::string part : {"train", "t10k"})
    for (const auto& [kind, dimensions] : {std::pair<const char*, int>{"-images", 3}, {"-labels", 1}})
      if (const std::string file = detail::idx_file(folder, part + kind, dimensions); path_kind(file) == PathKind::file)
        files.push_back(file);
  return files;
}

/// Loads one part, "train" or "t10k", of a folder for load_image_folder.
[[nodiscard]] inline ImageSet load_image_part(const std::string& folder, const std::string& part, int classes,
                                              Decode decode = decode_nothing) {
  if (const std::string got = folder_problem(folder); !got.empty())
    throw Error("load_image_folder", "expected a folder with four IDX files, got " + got, folder);
  const auto file = [&](const std::string& kind, int dimensions) {
    const std::string path = detail::idx_file(folder, part + kind, dimensions);
    const std::string name = part + kind + "-idx" + std::to_string(dimensions) + "-ubyte";
    if (path.empty()) throw Error("load_image_folder", "expected " + name + " or " + name + ".gz, got neither", folder);
    return path;
  };
  const std::string images = file("-images", 3);
  return load_image_set(images, file("-labels", 1), classes, decode);
}

/// Loads a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the same files of t10k. The names may have a
/// dot in place of the dash before idx, and may end in .gz. The content decides whether a file is gzip. Throws Error if the
/// sizes of training and test images differ.
[[nodiscard]] inline ImageFolder load_image_folder(const std::string& folder, int classes,
                                                   Decode decode = decode_nothing) {
  ImageFolder sets;
  sets.train = load_image_part(folder, "train", classes, decode);
  sets.test = load_image_part(folder, "t10k", classes, decode);
  const auto size = [](const ImageSet& s) { return std::to_string(s.height) + " x " + std::to_string(s.width); };
  if (size(sets.train) != size(sets.test))
    throw Error("load_image_folder",
                "expected test pictures of " + size(sets.train) + " as in training, got " + size(sets.test), folder);
  return sets;
}

/// The folder of the dataset `name`. `fashion-mnist` and `mnist` are searched for in the usual places. Any other name is a
/// path (write ./mnist for a folder called mnist). tools/find-data searches the same places. Throws Error if it finds none.
[[nodiscard]] inline std::string find_dataset(const std::string& name) {
  if (name != "fashion-mnist" && name != "mnist") {
    const std::string got = folder_problem(name);
    if (got.empty()) return name;
    throw Error("find_dataset", "expected fashion-mnist, mnist or a folder with four IDX files, got " + got, name);
  }
  const auto variable = [](const char* key) {
    const char* value = std::getenv(key);
    return std::string(value ? value : "");
  };
  std::string cache = variable("XDG_CACHE_HOME");
  if (cache.empty() && !variable("HOME").empty()) cache = variable("HOME") + "/.cache";
  std::string tried;
  for (const std::string& place : {variable("TENON_DATA_HOME"), std::string("data"),
                                   cache.empty() ? cache : cache + "/tenon", std::string("/usr/share/datasets")}) {
    if (place.empty()) continue;
    const std::string folder = place + "/" + name;
    if (image_files(folder).size() == 4) return folder;
    tried.append(tried.empty() ? "" : ", ").append(folder);
  }
  std::string advice = "; fetch it with: ";
  if (name == "fashion-mnist") advice += "sudo apt-get install dataset-fashion-mnist (Debian, Ubuntu), or ";
  advice += "tools/fetch-data " + name;
  if (path_kind(name) == PathKind::folder) advice += "; if the folder here is meant, write ./" + name;
  throw Error("find_dataset", "expected the four IDX files of " + name + " in one of " + tried + ", got none" + advice);
}

/// SHA-256 of the decoded set: its dimensions, pixels and labels. It does not depend on the format of the files.
inline std::string dataset_sha256(const ImageSet& set) {
  const std::uint64_t head[] = {static_cast<std::uint64_t>(set.count), static_cast<std::uint64_t>(set.channels),
                                static_cast<std::uint64_t>(set.height), static_cast<std::uint64_t>(set.width),
                                set.labels.size()};
  return Sha256()
      .update(std::as_bytes(std::span(head)))
      .update(std::as_bytes(std::span(set.pixels)))
      .update(std::as_bytes(std::span(set.labels)))
      .hex();
}

/// Writes the images as an IDX file. Throws Error unless they have one channel.
inline void save_images(const std::string& path, const ImageSet& set) {
  if (set.channels != 1) throw Error("save_images", "expected 1 channel, got " + std::to_string(set.channels), path);
  std::string head;
  for (const std::uint32_t word :
       {idx_images_magic, std::uint32_t(set.count), std::uint32_t(set.height), std::uint32_t(set.width)})
    for (int shift = 24; shift >= 0; shift -= 8) head += static_cast<char>(word >> shift & 255);
  const Bytes pieces[] = {bytes_of(head), std::as_bytes(std::span(set.pixels))};
  write_file_atomically(path, pieces);
}

/// Writes the labels as an IDX file.
inline void save_labels(const std::string& path, std::span<const std::uint8_t> labels) {
  std::string head;
  for (const std::uint32_t word : {idx_labels_magic, std::uint32_t(labels.size())})
    for (int shift = 24; shift >= 0; shift -= 8) head += static_cast<char>(word >> shift & 255);
  const Bytes pieces[] = {bytes_of(head), std::as_bytes(labels)};
  write_file_atomically(path, pieces);
}

}  // namespace tenon

TENON_IEEE_MATH_END
