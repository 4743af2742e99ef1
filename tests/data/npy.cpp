// .npy: files of NumPy are read, and files of tenon have the same bytes as those of NumPy.
// SPDX-License-Identifier: MIT
#include "tenon/data/npy.hpp"

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

std::string npy(const std::string& header, const std::string& values, int version = 1) {
  std::string s = "\x93NUMPY";
  s += static_cast<char>(version);
  s += '\0';
  const auto n = static_cast<std::uint32_t>(header.size());
  return s.append(reinterpret_cast<const char*>(&n), version == 1 ? 2 : 4) + header + values;
}
template <class T>
NpyArray<T> parse(const std::string& s) {
  return parse_npy<T>(bytes_of(s), "f");
}
std::string refusal(const std::string& s) {
  return error_of([&] { return parse<float>(s); });
}
std::string f4(const std::string& shape) {
  return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n";
}
const std::string one_two("\0\0\x80\x3f\0\0\0\x40", 8);

}  // namespace

TEST_CASE("npy: the bytes of numpy.save") {
  const Folder folder;
  const std::vector<float> values = {1, 2};
  const std::int64_t shape[] = {2};
  save_npy<float>(folder / "f", shape, values);
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" + std::string(60, ' ') + "\n";
  CHECK(get(folder / "f") == std::string("\x93NUMPY\x01\x00v\x00", 10) + header + one_two);
  CHECK(get(folder / "f").size() % 64 == 8);
}

TEST_CASE("npy: saved and loaded, the same") {
  const Folder folder;
  const auto check = [&](auto value, std::vector<std::int64_t> shape) {
    std::size_t n = 1;
    for (const auto d : shape) n *= static_cast<std::size_t>(d);
    std::vector<decltype(value)> values(n, value);
    if (n > 1) values[1] = 0;
    save_npy<decltype(value)>(folder / "f", shape, values);
    const auto back = load_npy<decltype(value)>(folder / "f");
    CHECK(back.shape == shape);
    CHECK(back.values == values);
  };
  check(1.5f, {2, 3});
  check(0.1, {});
  check(std::uint8_t{255}, {7});
  check(std::int32_t{-5}, {1, 1, 4});
  check(std::int64_t{1} << 40, {0, 5});
}

TEST_CASE("npy: version 2, other orders of keys, double quotes") {
  CHECK(parse<float>(npy(f4("(2,)"), one_two, 2)).values == std::vector<float>{1, 2});
  CHECK(parse<double>(npy("{\"shape\":(1, 2),\"descr\":\"<f4\",\"fortran_order\":False}", one_two)).shape ==
        std::vector<std::int64_t>{1, 2});
  CHECK(parse<float>(npy(f4("(2)"), one_two)).shape == std::vector<std::int64_t>{2});
  CHECK(parse<std::int64_t>(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", "\x01\xff")).values ==
        std::vector<std::int64_t>{1, 255});
}

TEST_CASE("npy: refused, in a sentence") {
  CHECK_THAT(
      refusal(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", one_two)),
      ContainsSubstring("expected an array in C order, got one in Fortran order; save numpy.ascontiguousarray(a)"));
  CHECK_THAT(refusal(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", one_two)),
             ContainsSubstring("expected little-endian values, got \">f4\"; save a.astype('<f4')"));
  CHECK_THAT(refusal(npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", one_two)),
             ContainsSubstring("expected a type among f4, f8, u1, i4, i8, got \"<c8\""));
  CHECK_THAT(refusal(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", one_two)),
             ContainsSubstring("expected a string"));
  CHECK(refusal(npy(f4("(3,)"), one_two)) == "[load_npy] expected 12 bytes of values for shape (3,), got 8 (f)");
  CHECK(refusal(npy(f4("(2,)"), one_two + "x")) == "[load_npy] expected 8 bytes of values for shape (2,), got 9 (f)");
  CHECK_THAT(refusal(npy(f4("(4294967296, 4294967296)"), "")), ContainsSubstring("expected fewer than 2^61 bytes"));
  CHECK(refusal(npy(f4("(2,)"), one_two, 3)) == "[load_npy] expected version 1 or 2, got version 3 (f)");
  CHECK(refusal("GIF89a......") == "[load_npy] expected a .npy file, got one that does not begin as such (f)");
  CHECK_THAT(error_of([] { return parse<std::int64_t>(npy(f4("(2,)"), one_two)); }),
             ContainsSubstring("expected integers, got F32"));
  for (const char* header :
       {"", "{", "{}", "{'descr': '<f4'}", "{'descr': '', 'fortran_order': False, 'shape': ()}", "{'shape': (-1,)}",
        "{'shape': (1 2)}", "{'shape': (,)}", "{'shape': (99999999999999999999,)}", "{'fortran_order': None}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "{'x': 1}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}"})
    CHECK_THAT(refusal(npy(header, one_two)), StartsWith("[load_npy] expected"));
  CHECK_THAT(refusal(npy(f4("(2,)") + "x", one_two)), ContainsSubstring("expected the end of the header"));
}

TEST_CASE("npy: cut short at any byte, it is refused") {
  const std::string whole = npy(f4("(2,)"), one_two);
  for (std::size_t n = 0; n < whole.size(); ++n)
    CHECK_THAT(refusal(whole.substr(0, n)), StartsWith("[load_npy] expected"));
}

TEST_CASE("npy: what cannot be read back is not written") {
  const Folder folder;
  const std::int64_t three[] = {3};
  const std::vector<float> two = {1, 2};
  CHECK_THAT(error_of([&] { save_npy<float>(folder / "f", three, two); }),
             ContainsSubstring("expected shape (3,) to hold 2 values"));
  const std::vector<std::uint16_t> words = {1, 2, 3};
  CHECK_THAT(error_of([&] { save_npy<std::uint16_t>(folder / "f", three, words); }),
             ContainsSubstring("expected a type among f4, f8, u1, i4, i8, got U16"));
}
