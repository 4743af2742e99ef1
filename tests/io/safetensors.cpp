// safetensors: tenon and the official library read each other's files and write the same bytes.
// SPDX-License-Identifier: MIT
#include "tenon/io/safetensors.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <cmath>

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

const std::string golden = test_file("golden/reference.safetensors");

const std::vector<float> weight = {0.5f, -1.25f, 3.0f, 1e-38f, 65504.0f, -0.0f};
const std::vector<std::int64_t> steps = {7};

std::vector<TensorInfo> some_tensors() {
  return {tensor_info<float>("0.weight", {2, 3}, weight), tensor_info<std::int64_t>("0.steps", {}, steps)};
}

}  // namespace

TEST_CASE("safetensors: a file of the format's own library") {
  const auto file = SafeTensors::open(golden);
  REQUIRE(file.tensors().size() == 9);
  CHECK(file.where() == golden);
  CHECK(file.metadata() == Metadata{{"made by", "safetensors, \\ / \x01 \xe2\x80\xa8 \xc3\xa9"}});
  CHECK(file.at("0.weight").shape == std::vector<std::int64_t>{2, 3});
  CHECK(file.read_as<float>("0.weight") == weight);
  CHECK(std::signbit(file.read_as<float>("0.weight")[5]));
  CHECK(file.read_as<float>("0.bias") == std::vector<float>{1, 2});
  CHECK(file.read_as<float>("10.half") == std::vector<float>{1.0f, -2.5f, 0x1p-24f, 65504.0f, INFINITY});
  CHECK(file.read_as<float>("10.brain") == std::vector<float>{1.0f, -2.5f, INFINITY});
  CHECK(file.at("2.num_batches_tracked").shape.empty());
  CHECK(file.read_as<std::int64_t>("2.num_batches_tracked") == std::vector<std::int64_t>{1234567890123});
  CHECK(file.read_as<float>("2.running_mean") == std::vector<float>{0.1f, -0.2f});
  CHECK(file.read_as<std::uint8_t>("\xc3\xa9 \"quoted\"\n") == std::vector<std::uint8_t>{1, 2, 255});
  CHECK(file.read_as<std::int32_t>("empty").empty());
  CHECK(file.read_as<std::uint8_t>("flags") == std::vector<std::uint8_t>{1, 0});
}

TEST_CASE("safetensors: saved again, the same bytes as the format's own library") {
  const Folder folder;
  const auto file = SafeTensors::open(golden);
  std::vector<TensorInfo> backwards(file.tensors().rbegin(), file.tensors().rend());
  save_safetensors(folder / "f", backwards, file.metadata());
  CHECK(get(folder / "f") == get(golden));
  CHECK(text_of(to_safetensors(backwards, file.metadata())) == get(golden));
}

TEST_CASE("safetensors: from memory, unaligned, nothing copied") {
  const auto bytes = to_safetensors(some_tensors(), {{"b", "2"}, {"a", "1"}});
  std::vector<std::byte> shifted(1);
  shifted.insert(shifted.end(), bytes.begin(), bytes.end());
  const auto file = SafeTensors::parse(Bytes(shifted).subspan(1), "weights in memory");
  CHECK(file.read_as<float>("0.weight") == weight);
  CHECK(file.read_as<double>("0.weight")[1] == -1.25);
  CHECK(file.read_as<std::int64_t>("0.steps") == steps);
  CHECK(file.at("0.weight").data.data() > shifted.data());
  CHECK(file.at("0.weight").data.data() + 24 == shifted.data() + shifted.size());
}

TEST_CASE("safetensors: an opened file can be moved") {
  const Folder folder;
  save_safetensors(folder / "f", some_tensors());
  auto first = SafeTensors::open(folder / "f");
  const SafeTensors second = std::move(first);
  CHECK(second.read_as<float>("0.weight") == weight);
}

TEST_CASE("safetensors: no tensors, empty tensors") {
  CHECK(SafeTensors::parse(to_safetensors({}), "m").tensors().empty());
  const TensorInfo empty{"e", Dtype::F32, {0, 4}, {}};
  const auto bytes = to_safetensors(std::span(&empty, 1));
  CHECK(SafeTensors::parse(bytes, "m").at("e").shape == std::vector<std::int64_t>{0, 4});
}

TEST_CASE("safetensors: a tensor of a type that is not read stands beside the others") {
  const std::vector<std::byte> eight(8);
  std::vector<TensorInfo> tensors = some_tensors();
  const std::size_t count = tensors.size();
  tensors.push_back({"scale", Dtype::F8_E8M0, {8}, eight});
  tensors.push_back({"packed", Dtype::F4, {4, 4}, eight});
  tensors.push_back({"phase", Dtype::C64, {}, eight});
  const auto bytes = to_safetensors(tensors);
  const auto file = SafeTensors::parse(bytes, "f");
  CHECK(file.tensors().size() == count + 3);
  CHECK(file.at("packed").size() == 16);
  CHECK(file.at("phase").size() == 1);
  CHECK(file.read_as<float>("0.weight") == weight);
  CHECK(error_of([&] { file.read_as<float>("packed"); }) ==
        "[load_safetensors] expected floating-point numbers, got F4 (f: tensor \"packed\")");
  CHECK(to_safetensors(file.tensors()) == bytes);
}

TEST_CASE("safetensors: a file can be reduced to some of its tensors") {
  const auto bytes = to_safetensors(some_tensors(), {{"k", "v"}});
  const auto steps_alone = SafeTensors::parse(bytes, "f").only([](std::string_view name) { return name == "0.steps"; });
  CHECK(steps_alone.tensors().size() == 1);
  CHECK(steps_alone.read_as<std::int64_t>("0.steps") == steps);
  CHECK(steps_alone.find("0.weight") == nullptr);
  CHECK(steps_alone.metadata() == Metadata{{"k", "v"}});
}

TEST_CASE("safetensors: absent, misshaped, of another type") {
  const auto bytes = to_safetensors(some_tensors());
  const auto file = SafeTensors::parse(bytes, "f");
  CHECK(file.find("0.bias") == nullptr);
  CHECK(file.find("") == nullptr);
  CHECK(file.find("z") == nullptr);
  CHECK(error_of([&] { file.at("0.bias"); }) ==
        "[load_safetensors] expected a tensor \"0.bias\", got none of that name (f)");
  std::vector<float> five(5);
  CHECK(error_of([&] { read_into<float>(file.at("0.weight"), five, "f"); }) ==
        "[load_safetensors] expected 5 values in tensor \"0.weight\", got shape (2, 3) (f)");
  CHECK(error_of([&] { file.read_as<float>("0.steps"); }) ==
        "[load_safetensors] expected floating-point numbers, got I64 (f: tensor \"0.steps\")");
}

TEST_CASE("safetensors: cut short at any byte, or longer by one, it is refused") {
  const Folder folder;
  const std::string whole = text_of(to_safetensors(some_tensors(), {{"k", "v"}}));
  for (std::size_t n = 0; n <= whole.size() + 1; ++n) {
    const std::string text = (whole + "x").substr(0, n);
    put(folder / "f", text);
    const std::string expected = n == whole.size() ? "no error" : "[load_safetensors] expected";
    REQUIRE_THAT(error_of([&] { return SafeTensors::open(folder / "f"); }), StartsWith(expected));
    REQUIRE_THAT(error_of([&] { return SafeTensors::parse(bytes_of(text), "f"); }), StartsWith(expected));
  }
}

TEST_CASE("safetensors: a header of a gigabyte is refused at once") {
  const Folder folder;
  const std::uint64_t gigabyte = 1 << 30;
  put(folder / "f", std::string_view(reinterpret_cast<const char*>(&gigabyte), 8));
  std::filesystem::resize_file(folder / "f", 2 * gigabyte);
  CHECK(error_of([&] { return SafeTensors::open(folder / "f"); }) ==
        "[load_safetensors] expected a header of 2 to 100000000 bytes, got a length of 1073741824; is this a "
        "safetensors file? (" +
            folder / "f" + ")");
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  CHECK(usage.ru_maxrss < 1 << 20);  // in kB: neither the header nor the file was loaded
}

TEST_CASE("safetensors: not a file") {
  const Folder folder;
  CHECK_THAT(error_of([&] { return SafeTensors::open(folder / "none"); }),
             StartsWith("[read_file] cannot open the file: No such"));
  CHECK_THAT(error_of([&] { return SafeTensors::open(folder.path()); }),
             StartsWith("[read_file] this is a folder, not a file"));
  CHECK_THAT(error_of([&] { return SafeTensors::open("/dev/zero"); }),
             StartsWith("[load_safetensors] expected a file, got a device or pipe"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0666) == 0);  // no process writes to it
  CHECK_THAT(error_of([&] { return SafeTensors::open(folder / "pipe"); }),
             StartsWith("[load_safetensors] expected a file, got a device or pipe"));
}

TEST_CASE("safetensors: what cannot be read back is not written") {
  const Folder folder;
  const auto refusal = [&](TensorInfo t, const Metadata& metadata = {}) {
    return error_of([&] { save_safetensors(folder / "f", std::span(&t, 1), metadata); });
  };
  const auto values = tensor_info<float>("a", {6}, weight);
  const auto with = [&](auto change) {
    TensorInfo t = values;
    change(t);
    return refusal(t);
  };
  CHECK(refusal(values) == "no error");
  CHECK_THAT(with([](auto& t) { t.shape = {5}; }),
             ContainsSubstring("tensor \"a\" of shape (5,) and type F32 to fill its data, got 24 bytes"));
  CHECK_THAT(with([](auto& t) { t.shape = {-6}; }), StartsWith("[save_safetensors] expected"));
  CHECK_THAT(with([](auto& t) { t.shape = {1ll << 62, 1ll << 62}; }), StartsWith("[save_safetensors] expected"));
  CHECK_THAT(with([](auto& t) { t.shape.insert(t.shape.end(), 32, 1); }), StartsWith("[save_safetensors] expected"));
  CHECK_THAT(with([](auto& t) { t.name = "__metadata__"; }), StartsWith("[save_safetensors] expected a tensor name"));
  CHECK_THAT(with([](auto& t) { t.name = "\xff"; }), StartsWith("[save_safetensors] expected a tensor name"));
  CHECK_THAT(refusal(values, {{"k", "\xff"}}), StartsWith("[save_safetensors] expected metadata in UTF-8"));
  const TensorInfo twice[] = {values, values};
  CHECK_THAT(error_of([&] { save_safetensors(folder / "f", twice); }),
             ContainsSubstring("expected each tensor once, got \"a\" twice"));
}

TEST_CASE("safetensors: saved under a lock") {
  const Folder folder;
  const FileLock lock(folder / "f");
  save_safetensors(lock, some_tensors());
  CHECK(SafeTensors::open(folder / "f").read_as<float>("0.weight") == weight);
  CHECK_THAT(error_of([&] { save_safetensors(folder / "f", some_tensors()); }),
             ContainsSubstring("is locked by another process"));
}
