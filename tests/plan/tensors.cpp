// Tensors by name: files that PyTorch's load_state_dict accepts are accepted. Loading an unsuitable file changes
// nothing.
// SPDX-License-Identifier: MIT
#include "tenon/plan/tensors.hpp"

#include <limits>

#include "catch.hpp"
#include "files.hpp"
#include "tenon/layers.hpp"
#include "tenon/train/checkpoint.hpp"

using namespace tenon;

namespace {

using Net = Sequential<Input<3>, Linear<4>, BatchNorm<>, ReLU, Linear<2>, BatchNorm<>>;
const std::string count = "1.num_batches_tracked", other_count = "4.num_batches_tracked";

// A file before it is written: tensors that a test may change, and the values that they point to.
struct File {
  std::vector<TensorInfo> tensors;
  std::vector<std::vector<std::byte>> values;
  Metadata metadata;

  explicit File(const Model<Net>& model) {
    std::vector<TensorInfo> list;
    auto& m = const_cast<Model<Net>&>(model);
    list_tensors<float>(m.tensors(), {m.parameters().data, m.states().data, m.counters().data()}, list);
    for (TensorInfo& t : list) {
      values.emplace_back(t.data.begin(), t.data.end());
      t.data = values.back();
      tensors.push_back(t);
    }
  }
  File(const File&) = delete;

  TensorInfo& at(const std::string& name) {
    const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
    REQUIRE(found != tensors.end());
    return *found;
  }
  template <class T>
  void set(const std::string& name, T value, Dtype dtype = dtype_of<T>()) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    values.emplace_back(bytes.begin(), bytes.end());
    at(name).data = values.back();
    at(name).dtype = dtype;
  }
  void remove(const std::string& name) {
    std::erase_if(tensors, [&](const auto& t) { return t.name == name; });
  }
  void add(const std::string& name) {
    tensors.push_back(tensors.front());
    tensors.back().name = name;
  }
  std::vector<std::byte> bytes() const { return to_safetensors(tensors, metadata); }
};

// A model whose weights and counters differ from those of a new model.
struct Trained {
  Model<Net> model{Seed{4}, 4};
  Trained() {
    model.counters() = {7, 8};
    for (std::size_t i = 0; i < model.states().size; ++i) model.states().data[i] = static_cast<float>(i) + 1;
  }
};

std::string refusal(const File& file, Model<Net>& into) {
  return error_of([&] { load_model(into, SafeTensors::parse(file.bytes(), "f")); });
}

// Loads into a model whose counters are 100 and 200. Returns the counters after that, or the error.
std::string counters_after(const File& file) {
  Model<Net> model(Seed{9}, 4);
  model.counters() = {100, 200};
  const std::string error = refusal(file, model);
  if (error == "no error") CHECK(model.parameters().data[0] == Trained().model.parameters().data[0]);
  if (error != "no error") return error;
  return std::to_string(model.counters()[0]) + " " + std::to_string(model.counters()[1]);
}

}  // namespace

TEST_CASE("tensors: num_batches_tracked of every type of number") {
  const Trained trained;
  File file(trained.model);
  CHECK(counters_after(file) == "7 8");
  const auto with = [&](auto value, auto... dtype) {
    file.set(count, value, dtype...);
    return counters_after(file);
  };
  CHECK(with(std::int8_t{5}) == "5 8");
  CHECK(with(std::uint8_t{200}) == "200 8");
  CHECK(with(std::int16_t{-5}) == "-5 8");
  CHECK(with(std::uint16_t{65535}) == "65535 8");
  CHECK(with(std::int32_t{70000}) == "70000 8");
  CHECK(with(std::uint32_t{4000000000u}) == "4000000000 8");
  CHECK(with(std::int64_t{5000000000}) == "5000000000 8");
  CHECK(with(std::uint64_t{5000000000}) == "5000000000 8");
  CHECK(with(3.0f) == "3 8");
  CHECK(with(3.75f) == "3 8");
  CHECK(with(9007199254740992.0) == "9007199254740992 8");
  CHECK(with(std::uint16_t{0x4900}, Dtype::F16) == "10 8");
  CHECK(with(std::uint16_t{0x4120}, Dtype::BF16) == "10 8");
  CHECK(with(std::uint8_t{0x48}, Dtype::F8_E4M3) == "4 8");
  CHECK(with(std::uint8_t{0x44}, Dtype::F8_E5M2) == "4 8");
  // F16 is infinite beyond 65504: the count of the model is kept.
  CHECK(with(std::uint16_t{0x7c00}, Dtype::F16) == "100 8");
  CHECK(with(std::numeric_limits<double>::infinity()) == "100 8");
  CHECK(with(std::numeric_limits<float>::quiet_NaN()) == "100 8");
  CHECK(with(1e30f) ==
        "[load_model] expected tensor \"1.num_batches_tracked\" to be a count below 2^63, got "
        "1000000015047466219876688855040.000000 (f)");
  CHECK_THAT(with(~std::uint64_t{0}), ContainsSubstring("expected values that fit I64"));
  CHECK(with(true) == "[load_model] expected tensor \"1.num_batches_tracked\" to be a number, got BOOL (f)");
  CHECK_THAT(with(std::int64_t{0}, Dtype::C64), ContainsSubstring("to be a number, got C64"));
  CHECK_THAT(with(std::uint8_t{0}, Dtype::F8_E8M0), ContainsSubstring("to be a number, got F8_E8M0"));
}

TEST_CASE("tensors: num_batches_tracked of shape (1,), or absent") {
  const Trained trained;
  File file(trained.model);
  file.at(count).shape = {1};
  CHECK(counters_after(file) == "7 8");
  file.set(count, 12.0f);
  CHECK(counters_after(file) == "12 8");
  file.at(count).shape = {1, 1};
  CHECK(counters_after(file) == "[load_model] expected tensor \"1.num_batches_tracked\" of shape (), got (1, 1) (f)");
  file.at(count).shape = {0};
  file.at(count).data = {};
  CHECK_THAT(counters_after(file), ContainsSubstring("of shape (), got (0,)"));
  file.remove(count);
  CHECK(counters_after(file) == "100 8");
  file.remove(other_count);
  CHECK(counters_after(file) == "100 200");
  file.remove("1.running_mean");
  CHECK_THAT(counters_after(file), ContainsSubstring("expected a tensor \"1.running_mean\" of shape (4)"));
}

TEST_CASE("tensors: all in half precision, as model.half() or a cast of everything saves them") {
  const Trained trained;
  for (const Dtype dtype : {Dtype::F16, Dtype::BF16}) {
    File file(trained.model);
    for (TensorInfo& t : file.tensors) {
      file.values.emplace_back(t.size() * 2);
      for (std::size_t i = 0; i < t.size(); ++i)  // 1, and 1.5 for BatchNorm
        file.values.back()[2 * i + 1] = dtype == Dtype::F16 ? std::byte{0x3c} : std::byte{0x3f};
      t.data = file.values.back();
      t.dtype = dtype;
    }
    Model<Net> model(Seed{9}, 4);
    CHECK(refusal(file, model) == "no error");
    CHECK(model.parameters().data[0] == (dtype == Dtype::F16 ? 1.0f : 0.5f));
    CHECK(model.counters()[0] == (dtype == Dtype::F16 ? 1 : 0));
  }
}

TEST_CASE("tensors: the prefixes of PyTorch's wrappers are left out where all names carry them") {
  const Trained trained;
  for (const std::string prefix : {"module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "module.module.",
                                   "_orig_mod._orig_mod.module."}) {
    INFO(prefix);
    File file(trained.model);
    for (TensorInfo& t : file.tensors) t.name = prefix + t.name;
    CHECK(counters_after(file) == "7 8");
    file.remove(prefix + count);
    CHECK(counters_after(file) == "100 8");

    file.add(prefix + "9.weight");
    CHECK_THAT(counters_after(file), ContainsSubstring("of the model alone, got \"" + prefix + "9.weight\" as well"));
    file.remove(prefix + "9.weight");
    file.add("n_averaged");  // this name has no prefix; `_orig_mod.` is still removed
    if (prefix == "_orig_mod.")
      CHECK_THAT(counters_after(file), ContainsSubstring("of the model alone, got \"n_averaged\" as well"));
    else
      CHECK_THAT(counters_after(file),
                 ContainsSubstring("expected a tensor \"0.weight\" of shape (4, 3), got a file with \"" + prefix +
                                   "0.weight\": rename its tensors"));
    file.remove("n_averaged");
    file.remove(prefix + "0.weight");
    CHECK_THAT(counters_after(file), ContainsSubstring("got a file without it: is it of another model?"));
  }
  // Names written after torch.compile of single layers.
  File compiled(trained.model);
  for (TensorInfo& t : compiled.tensors)
    if (const auto dot = t.name.find('.'); t.name[0] != '2') t.name.insert(dot + 1, "_orig_mod.");
  CHECK(counters_after(compiled) == "7 8");
  compiled.remove("0._orig_mod.weight");
  CHECK_THAT(counters_after(compiled), ContainsSubstring("got a file without it"));

  File file(trained.model);
  for (TensorInfo& t : file.tensors) t.name = "model." + t.name;
  CHECK_THAT(counters_after(file), ContainsSubstring("got a file with \"model.0.weight\": rename its tensors"));
}

TEST_CASE("tensors: all that a file has too much is named, and a part of it can be loaded") {
  const Trained trained;
  File file(trained.model);
  file.add("5.weight");
  CHECK(counters_after(file) == "[load_model] expected the tensors of the model alone, got \"5.weight\" as well (f)");
  file.add("6.weight");
  CHECK(counters_after(file) ==
        "[load_model] expected the tensors of the model alone, got \"5.weight\", \"6.weight\" as well (f)");
  for (const char* name : {"7.weight", "8.weight", "9.weight"}) file.add(name);
  CHECK(counters_after(file) ==
        "[load_model] expected the tensors of the model alone, got \"5.weight\", \"6.weight\", \"7.weight\", "
        "\"8.weight\" and 1 more as well (f)");

  const auto bytes = file.bytes();
  Model<Net> model(Seed{9}, 4);
  load_model(model, part_of<Net>(SafeTensors::parse(bytes, "f")));
  CHECK(model.counters() == std::vector<long long>{7, 8});

  using Front = Sequential<Input<3>, Linear<4>, BatchNorm<>>;
  Model<Front> body(Seed{9}, 4);
  load_model(body, part_of<Front>(SafeTensors::parse(bytes, "f")));
  CHECK(body.parameters().data[5] == trained.model.parameters().data[5]);
  CHECK(body.counters()[0] == 7);
  for (TensorInfo& t : file.tensors) t.name = "module." + t.name;
  body.counters()[0] = 0;
  const auto wrapped = file.bytes();
  load_model(body, part_of<Front>(SafeTensors::parse(wrapped, "f")));
  CHECK(body.counters()[0] == 7);

  using Other = Sequential<Input<3>, Linear<5>, BatchNorm<>>;
  Model<Other> other(Seed{9}, 4);
  CHECK_THAT(error_of([&] { load_model(other, part_of<Other>(SafeTensors::parse(bytes, "f"))); }),
             ContainsSubstring("expected tensor \"0.weight\" of shape (5, 3), got (4, 3)"));
}

TEST_CASE("tensors: those of a type that is not read do not disturb what is loaded in part") {
  const Trained trained;
  File file(trained.model);
  file.add("scale");
  file.tensors.back().dtype = Dtype::F8_E5M2FNUZ;
  file.tensors.back().shape = {static_cast<std::int64_t>(file.tensors.back().data.size())};
  CHECK_THAT(counters_after(file), ContainsSubstring("of the model alone, got \"scale\" as well"));
  const auto bytes = file.bytes();
  Model<Net> model(Seed{9}, 4);
  load_model(model, part_of<Net>(SafeTensors::parse(bytes, "f")));
  CHECK(model.counters()[0] == 7);
}

TEST_CASE("tensors: a file that is refused changes nothing") {
  const Trained trained;
  File file(trained.model);
  file.set(other_count, true);  // the last tensor
  Model<Net> model(Seed{9}, 4);
  model.counters() = {100, 200};
  const std::vector<float> before(model.parameters().data, model.parameters().data + model.parameters().size);
  CHECK_THAT(refusal(file, model), StartsWith("[load_model]"));
  CHECK(model.counters() == std::vector<long long>{100, 200});
  CHECK(before == std::vector<float>(model.parameters().data, model.parameters().data + model.parameters().size));
}
