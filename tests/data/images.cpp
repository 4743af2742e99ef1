// Datasets: four files in a folder, with any of their names; every disagreement between them is reported.
// SPDX-License-Identifier: MIT
#include "tenon/data/images.hpp"

#include <zlib.h>

#include <filesystem>

#include "catch.hpp"
#include "files.hpp"
#include "tenon/data/gz.hpp"

using namespace tenon;

namespace {

ImageSet some_images(int count, int height = 4, int width = 3) {
  ImageSet set{count, 1, height, width, {}, {}};
  for (std::size_t i = 0; i < count * set.image_size(); ++i) set.pixels.push_back(static_cast<std::uint8_t>(i * 7));
  for (int i = 0; i < count; ++i) set.labels.push_back(static_cast<std::uint8_t>(i % 10));
  return set;
}

void zip(const std::string& from, const std::string& to) {
  const std::string text = get(from);
  const gzFile file = ::gzopen(to.c_str(), "wb");
  REQUIRE(::gzwrite(file, text.data(), static_cast<unsigned>(text.size())) == static_cast<int>(text.size()));
  ::gzclose(file);
  std::filesystem::remove(from);
}

// Writes the four files of a dataset with 12 training and 5 test images.
void make_folder(const std::string& folder, const std::string& images = "-images-idx3-ubyte",
                 const std::string& labels = "-labels-idx1-ubyte") {
  std::filesystem::create_directories(folder);
  for (const auto& [part, count] : {std::pair("train", 12), std::pair("t10k", 5)}) {
    save_images(folder + "/" + part + images, some_images(count));
    save_labels(folder + "/" + part + labels, some_images(count).labels);
  }
}

}  // namespace

TEST_CASE("images: saved and loaded, the same") {
  const Folder folder;
  const ImageSet set = some_images(12);
  save_images(folder / "i", set);
  save_labels(folder / "l", set.labels);
  const ImageSet back = load_image_set(folder / "i", folder / "l", 10);
  CHECK(back.count == 12);
  CHECK(back.channels == 1);
  CHECK(back.height == 4);
  CHECK(back.width == 3);
  CHECK(back.pixels == set.pixels);
  CHECK(back.labels == set.labels);
  CHECK(back.image(11).size() == 12);
  CHECK(back.image(11)[0] == static_cast<std::uint8_t>(11 * 12 * 7));
  CHECK(load_images(folder / "i").labels.empty());
  ImageSet colour = set;
  colour.channels = 3;
  CHECK(error_of([&] { save_images(folder / "i", colour); }) ==
        "[save_images] expected 1 channel, got 3 (" + folder / "i" + ")");
}

TEST_CASE("images: a folder in any spelling, plain or gzip, told by content") {
  const Folder folder;
  const auto check = [&](Decode decode) {
    const ImageFolder sets = load_image_folder(folder.path(), 10, decode);
    CHECK(sets.train.count == 12);
    CHECK(sets.train.pixels == some_images(12).pixels);
    CHECK(sets.test.labels == some_images(5).labels);
  };
  SECTION("dashes") {
    make_folder(folder.path());
    check(decode_nothing);
  }
  SECTION("dots") {
    make_folder(folder.path(), "-images.idx3-ubyte", "-labels.idx1-ubyte");
    check(decode_nothing);
  }
  SECTION("folders of the other spelling beside the files, as archives unpack") {
    make_folder(folder.path(), "-images.idx3-ubyte", "-labels.idx1-ubyte");
    for (const char* name :
         {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"})
      put(folder / (std::string(name) + "/" + name), "not read");
    check(decode_nothing);
    CHECK(image_files(folder.path()).size() == 4);
    std::filesystem::remove(folder / "t10k-labels.idx1-ubyte");
    CHECK(image_files(folder.path()).size() == 3);
  }
  SECTION("gzip") {
    make_folder(folder.path());
    for (const char* part : {"train", "t10k"})
      for (const char* kind : {"-images-idx3-ubyte", "-labels-idx1-ubyte"})
        zip(folder / part + kind, folder / part + kind + ".gz");
    check(inflate_if_gz);
    CHECK_THAT(error_of([&] { check(decode_nothing); }), ContainsSubstring("got a gzip file; inflate it"));
  }
  SECTION("names that lie about gzip") {
    make_folder(folder.path(), "-images-idx3-ubyte.gz", "-labels.idx1-ubyte");
    zip(folder / "train-labels.idx1-ubyte", folder / "zipped");
    std::filesystem::rename(folder / "zipped", folder / "train-labels.idx1-ubyte");
    check(inflate_if_gz);
  }
}

TEST_CASE("images: a folder that is none, or lacks a file") {
  const Folder folder;
  const auto refusal = [](const std::string& path) { return error_of([&] { return load_image_folder(path, 10); }); };
  make_folder(folder / "d");
  std::filesystem::remove(folder / "d/t10k-labels-idx1-ubyte");
  CHECK(refusal(folder / "d") ==
        "[load_image_folder] expected t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz, got neither (" +
            folder / "d" + ")");
  CHECK(refusal(folder / "none") ==
        "[load_image_folder] expected a folder with four IDX files, got no such folder (" + folder / "none" + ")");
  put(folder / "f", "");
  CHECK_THAT(refusal(folder / "f"), ContainsSubstring("got a file"));
  std::filesystem::create_directory(folder / "d/t10k-labels-idx1-ubyte");
  CHECK_THAT(refusal(folder / "d"), StartsWith("[read_file] this is a folder, not a file"));
}

TEST_CASE("images: labels that do not go with the images") {
  const Folder folder;
  save_images(folder / "i", some_images(12));
  const auto refusal = [&](std::vector<std::uint8_t> labels) {
    save_labels(folder / "l", labels);
    return error_of([&] { return load_image_set(folder / "i", folder / "l", 10); });
  };
  std::vector<std::uint8_t> labels(12, 9);
  CHECK(refusal(labels) == "no error");
  labels[7] = 10;
  CHECK(refusal(labels) == "[load_labels] expected labels from 0 to 9, got 10 for image 7 (" + folder / "l" + ")");
  labels.resize(11);
  CHECK(refusal(labels) == "[load_labels] expected 12 labels, one for each image, got 11 (" + folder / "l" + ")");
  labels.resize(13);
  CHECK_THAT(refusal(labels), ContainsSubstring("expected 12 labels, one for each image, got 13"));
  CHECK_THAT(error_of([&] { return load_image_set(folder / "l", folder / "i", 10); }),
             ContainsSubstring("expected an IDX file of images, got an IDX file of labels"));
}

TEST_CASE("images: test pictures of another size") {
  const Folder folder;
  make_folder(folder.path());
  save_images(folder / "t10k-images-idx3-ubyte", some_images(5, 3, 4));
  CHECK_THAT(error_of([&] { return load_image_folder(folder.path(), 10); }),
             ContainsSubstring("expected test pictures of 4 x 3 as in training, got 3 x 4"));
}

TEST_CASE("images: a dataset by name is found in the usual places, or it is said how to get it") {
  const Folder folder;
  const auto find = [&](const std::string& name) {  // a child: changes environment and folder
    return in_child([&] {
      ::setenv("TENON_DATA_HOME", (folder / "home").c_str(), 1);
      ::setenv("XDG_CACHE_HOME", (folder / "cache").c_str(), 1);
      if (::chdir(folder.path().c_str()) != 0) return std::string("chdir");
      return find_dataset(name);
    });
  };
  CHECK(find("mnist") == "[find_dataset] expected the four IDX files of mnist in one of " + folder / "home/mnist" +
                             ", data/mnist, " + folder / "cache/tenon/mnist" +
                             ", /usr/share/datasets/mnist, got none; fetch it with: tools/fetch-data mnist");
  make_folder(folder / "cache/tenon/mnist");
  CHECK(find("mnist") == folder / "cache/tenon/mnist");
  make_folder(folder / "data/mnist");
  CHECK(find("mnist") == "data/mnist");
  make_folder(folder / "home/mnist");
  CHECK(find("mnist") == folder / "home/mnist");
  std::filesystem::remove(folder / "home/mnist/train-images-idx3-ubyte");  // an incomplete dataset is not used
  CHECK(find("mnist") == "data/mnist");

  if (image_files("/usr/share/datasets/fashion-mnist").size() != 4)
    CHECK_THAT(find("fashion-mnist"), EndsWith("fetch it with: sudo apt-get install dataset-fashion-mnist (Debian, "
                                               "Ubuntu), or tools/fetch-data fashion-mnist"));
}

TEST_CASE("images: a folder called like a dataset is written with ./") {
  const Folder folder;
  make_folder(folder / "mnist");
  const auto find = [&](const std::string& name) {
    return in_child([&] {
      ::unsetenv("TENON_DATA_HOME");
      ::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
      if (::chdir(folder.path().c_str()) != 0) return std::string("chdir");
      return find_dataset(name);
    });
  };
  CHECK(find("./mnist") == "./mnist");
  CHECK(find(folder / "mnist") == folder / "mnist");
  if (image_files("/usr/share/datasets/mnist").size() != 4)
    CHECK_THAT(find("mnist"), EndsWith("; if the folder here is meant, write ./mnist"));
  CHECK(find("imagenet") ==
        "[find_dataset] expected fashion-mnist, mnist or a folder with four IDX files, got no such folder (imagenet)");
  CHECK_THAT(find("mnist/train-images-idx3-ubyte"), ContainsSubstring("got a file"));
}

TEST_CASE("images: plain files of any size are those that were saved") {
  const Folder folder;
  for (const int count : {1, 5000, 16384, 22000}) {  // fewer bytes than the buffer of the reader, as many, and more
    const ImageSet set = some_images(count, 4, 4);
    save_images(folder / "plain", set);
    const ImageSet read = load_images(folder / "plain");
    CHECK(read.count == set.count);
    CHECK(read.height == set.height);
    CHECK(read.width == set.width);
    CHECK(read.pixels == set.pixels);
  }
  std::filesystem::resize_file(folder / "plain", 16 + 16 * 22000 - 1);
  CHECK_THROWS_WITH(load_images(folder / "plain"),
                    ContainsSubstring("expected 352000 bytes for 22000 x 4 x 4 images, got 351999"));
  std::filesystem::resize_file(folder / "plain", 15);
  CHECK_THROWS_WITH(load_images(folder / "plain"), ContainsSubstring("expected a header of 16 bytes, got 15"));
}

TEST_CASE("images: the digest tells sets apart and not the files they came in") {
  const ImageSet set = some_images(12);
  CHECK(dataset_sha256(set) == dataset_sha256(some_images(12)));
  ImageSet other = set;
  other.pixels[5] ^= 1;
  CHECK(dataset_sha256(other) != dataset_sha256(set));
  other = set;
  other.labels[5] ^= 1;
  CHECK(dataset_sha256(other) != dataset_sha256(set));
  other = set;
  std::swap(other.height, other.width);
  CHECK(dataset_sha256(other) != dataset_sha256(set));
  other = set;
  other.labels.clear();
  other.pixels.insert(other.pixels.end(), set.labels.begin(), set.labels.end());
  CHECK(dataset_sha256(other) != dataset_sha256(set));
}

TEST_CASE("images: Fashion-MNIST as Debian ships it") {
  const std::string folder = "/usr/share/datasets/fashion-mnist";
  if (image_files(folder).size() != 4) return skip_test("no Fashion-MNIST here");
  const ImageFolder sets = load_image_folder(folder, 10, inflate_if_gz);
  CHECK(sets.train.count == 60000);
  CHECK(sets.test.count == 10000);
  CHECK(sets.train.image_size() == 784);
  CHECK(dataset_sha256(sets.train) == "0d14e8293f16206a842ae8b4aa9ce5470e94e1f67eacfaddf78c8d5fb8829110");
}
