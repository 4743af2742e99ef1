// The safetensors header: headers that the official library reads are read; all others give a one-line error.
// SPDX-License-Identifier: MIT
#include "tenon/io/safetensors_header.hpp"

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

SafeTensorsHeader parse(std::string_view text, std::uint64_t data = 0) {
  return parse_safetensors_header(text, data, "f");
}
std::string refusal(std::string_view text, std::uint64_t data = 0) {
  return error_of([&] { parse(text, data); });
}
const std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";

}  // namespace

TEST_CASE("header: fields in any order, white space anywhere, padding") {
  CHECK(parse("{}").tensors.empty());
  CHECK(parse("{ \n\r\t}   ").tensors.empty());
  CHECK(parse(" \n{}\n\t ").tensors.empty());
  const auto h = parse(
      "{ \"w\" : { \"data_offsets\" : [ 4 , 28 ] , \"shape\" : [ 2 , 3 ] , \"dtype\" : \"F32\" } ,"
      "\"__metadata__\":{\"k\":\"v\",\"\":\"\"},\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}  ",
      28);
  REQUIRE(h.tensors.size() == 2);
  CHECK(h.tensors[0].name == "b");
  CHECK(h.tensors[0].shape.empty());
  CHECK(h.tensors[1].name == "w");
  CHECK(h.tensors[1].shape == std::vector<std::int64_t>{2, 3});
  CHECK(h.tensors[1].begin == 4);
  CHECK(h.tensors[1].end == 28);
  CHECK(h.metadata == Metadata{{"", ""}, {"k", "v"}});
}

TEST_CASE("header: escapes, surrogate pairs, UTF-8") {
  const auto h = parse(R"({"__metadata__":{"k":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\uDE00é\u0000"}})");
  CHECK(h.metadata.at("k") == std::string("\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9\0", 21));
  CHECK_THAT(refusal(R"({"\ud83d":1})"), ContainsSubstring("expected the second half of a surrogate pair"));
  CHECK_THAT(refusal(R"({"\ud83dx":1})"), ContainsSubstring("expected the second half of a surrogate pair"));
  CHECK_THAT(refusal(R"({"\ud83d\u0041":1})"), ContainsSubstring("expected the second half of a surrogate pair"));
  CHECK_THAT(refusal(R"({"\ud83d\n":1})"), ContainsSubstring("expected the second half of a surrogate pair"));
  CHECK_THAT(refusal(R"({"\ude00":1})"), ContainsSubstring("expected the first half of a surrogate pair"));
  CHECK_THAT(refusal(R"({"\u12g4":1})"), ContainsSubstring("expected four hexadecimal digits, got \"g\" at byte 6"));
  CHECK_THAT(refusal(R"({"\x":1})"), ContainsSubstring("expected an escape sequence, got \"x\""));
  CHECK_THAT(refusal("{\"\xc3\":1}"), ContainsSubstring("expected a string in UTF-8, got \"\\xc3\""));
  CHECK_THAT(refusal("{\"a\nb\":1}"), ContainsSubstring("expected the rest of a string, got \"\\x0a\" at byte 3"));
}

TEST_CASE("header: cut short at any byte, it is refused") {
  const std::string whole = "{\"__metadata__\":{\"k\":\"\\ud83d\\ude00\\n\"}," + a + "}";
  CHECK(parse(whole, 1).tensors.size() == 1);
  for (std::size_t n = 0; n < whole.size(); ++n)
    CHECK_THAT(refusal(whole.substr(0, n), 1), StartsWith("[load_safetensors] expected"));
}

TEST_CASE("header: what JSON or the format does not allow is refused") {
  CHECK(refusal("") == "[load_safetensors] expected '{', got its end at byte 0 of the header (f)");
  for (const char* bad :
       {"[]", "{} x", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":null}", "{\"a\":1}", "{\"a\":[]}", "{a:1}", "{'a':1}",
        "{\"__metadata__\":nul}", "{\"__metadata__\":{\"a\":null}}", "{\"__metadata__\":[]}",
        "{\"__metadata__\":{\"a\":1}}", "{\"__metadata__\":{\"a\":\"b\",}}", "{}{}", "{}\v", "{}\xff", "{\"a\":{}}"})
    CHECK_THAT(refusal(bad), StartsWith("[load_safetensors] expected"));
  CHECK_THAT(refusal("{" + a + ",}", 1), StartsWith("[load_safetensors] expected '\"'"));
  CHECK_THAT(refusal("{" + a + " " + a + "}", 1), StartsWith("[load_safetensors] expected ','"));
  CHECK_THAT(refusal(std::string_view("{}\0", 3)), StartsWith("[load_safetensors] expected the end of the header"));
}

TEST_CASE("header: twice is refused") {
  CHECK_THAT(refusal("{" + a + "," + a + "}", 1), ContainsSubstring("expected each tensor once, got \"a\" twice"));
  CHECK_THAT(refusal(R"({"a":{"dtype":"U8","dtype":"U8"}})"),
             ContainsSubstring("expected each field once, got \"dtype\" twice in tensor \"a\""));
  CHECK_THAT(refusal(R"({"a":{"shape":[],"shape":[]}})"), ContainsSubstring("expected each field once"));
  CHECK_THAT(refusal(R"({"a":{"data_offsets":[0,0],"data_offsets":[0,0]}})"),
             ContainsSubstring("expected each field once"));
  CHECK_THAT(refusal(R"({"__metadata__":{"k":"1","\u006b":"2"}})"), ContainsSubstring("got \"k\" twice"));
  CHECK_THAT(refusal(R"({"__metadata__":{},"__metadata__":{}})"), ContainsSubstring("got it twice"));
}

TEST_CASE("header: a tensor's fields") {
  CHECK_THAT(refusal(R"({"a":{"shape":[],"data_offsets":[0,0]}})"), ContainsSubstring("got no dtype in tensor \"a\""));
  CHECK_THAT(refusal(R"({"a":{"dtype":"U8","data_offsets":[0,0]}})"),
             ContainsSubstring("got no shape in tensor \"a\""));
  CHECK_THAT(refusal(R"({"a":{"dtype":"U8","shape":[]}})"), ContainsSubstring("got no data_offsets in tensor \"a\""));
  for (const char* type : {"F8", "C128", "f32", "float32", ""})
    CHECK_THAT(refusal("{\"a\":{\"dtype\":\"" + std::string(type) + "\"}}"),
               ContainsSubstring("expected a dtype that tenon reads") &&
                   ContainsSubstring("got \"" + std::string(type) + "\""));
  for (const char* n : {"1", "1,2,3", "-1,2", "01,2", "1.0,2", "1e3,2", "\"1\",2", "9223372036854775808,2",
                        "99999999999999999999999,2", "+1,2"})
    CHECK_THAT(refusal("{\"a\":{\"data_offsets\":[" + std::string(n) + "]}}"),
               StartsWith("[load_safetensors] expected"));
  std::string shape = "1";
  for (int i = 1; i < 32; ++i) shape += ",1";
  const auto with_shape = [](const std::string& s) {
    return "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1],\"shape\":[" + s + "]}}";
  };
  CHECK(parse(with_shape(shape), 1).tensors[0].shape.size() == 32);
  CHECK_THAT(refusal(with_shape(shape + ",1"), 1), ContainsSubstring("expected at most 32 dimensions"));
}

TEST_CASE("header: metadata that are null are none") {
  const auto h = parse("{\"__metadata__\": null ," + a + "}", 1);
  CHECK(h.metadata.empty());
  CHECK(h.tensors.size() == 1);
  CHECK(parse("{" + a + ",\"__metadata__\":null}", 1).tensors.size() == 1);
  CHECK_THAT(refusal(R"({"__metadata__":null,"__metadata__":{}})"), ContainsSubstring("got it twice"));
}

TEST_CASE("header: further fields of a tensor are ignored, whatever they hold") {
  const auto with = [](const std::string& value) {
    return R"({"a":{"dtype":"U8","x":)" + value + R"(,"shape":[1],"data_offsets":[0,1]}})";
  };
  for (const char* value : {"true",
                            "false",
                            "null",
                            "0",
                            "-0",
                            "12",
                            "-3",
                            "1.5",
                            "-0.25e-3",
                            "1E+9",
                            "123456789012345678901234567890",
                            "\"\"",
                            "\"\\u00e9\\n\"",
                            "[]",
                            "[ ]",
                            "[1, 2]",
                            "{}",
                            "{ }",
                            "{\"y\":{\"z\":[null,{\"k\":-1}]},\"y\":2}",
                            "[[[]],[{}]]",
                            "{\"dtype\":\"F32\"}"}) {
    INFO(value);
    const auto h = parse(with(value), 1);
    REQUIRE(h.tensors.size() == 1);
    CHECK(h.tensors[0].dtype == Dtype::U8);
  }
  CHECK(parse(R"({"a":{"":1,"x":2,"x":3,"dtype":"U8","shape":[1],"data_offsets":[0,1],"y":[]}})", 1).tensors.size() ==
        1);
  for (const char* value :
       {"",        "tru",      "nul", "True",    "01",          "-",    "+1",       ".5",      "1.", "1e",
        "1e+",     "-01",      "nan", "0x1",     "'a'",         "[1,]", "[1 2]",    "[",       "]",  "{1:2}",
        "{\"a\"}", "{\"a\":}", "\"a", "\"\\q\"", "\"\\ud800\"", "1 2",  "\"\x01\"", "\"\xc3\""}) {
    INFO(value);
    CHECK_THAT(refusal(with(value), 1), StartsWith("[load_safetensors] expected"));
  }
  const auto nested = [&](int levels) {
    return with(std::string(static_cast<std::size_t>(levels), '[') + "1" +
                std::string(static_cast<std::size_t>(levels), ']'));
  };
  CHECK(parse(nested(125), 1).tensors.size() == 1);
  CHECK_THAT(refusal(nested(126), 1), ContainsSubstring("expected at most 127 levels of nesting"));
  CHECK_THAT(refusal(nested(10000000), 1), ContainsSubstring("expected at most 127 levels of nesting"));
}

TEST_CASE("header: tensors of every type of the format") {
  for (int i = 0; i < dtype_count; ++i) {
    const auto t = static_cast<Dtype>(i);
    const std::string type(dtype_name(t)), bytes = std::to_string(dtype_bits(t));  // bytes of 8 elements
    INFO(type);
    const auto h =
        parse("{\"a\":{\"dtype\":\"" + type + "\",\"shape\":[4,2],\"data_offsets\":[0," + bytes + "]}}", dtype_bits(t));
    CHECK(h.tensors[0].dtype == t);
  }
  CHECK_THAT(refusal(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2),
             ContainsSubstring("tensor \"a\" to have a whole number of bytes, fewer than 2^61, got shape (3,)"));
  CHECK(parse(R"({"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", 3).tensors.size() == 1);
}

TEST_CASE("header: a tensor must be as long as its shape says") {
  const auto with = [](const char* shape, const char* offsets) {
    return std::string("{\"a\":{\"dtype\":\"F32\",\"shape\":[") + shape + "],\"data_offsets\":[" + offsets + "]}}";
  };
  CHECK(refusal(with("2,3", "0,24"), 24) == "no error");
  CHECK(refusal(with("0,3", "0,0"), 0) == "no error");
  CHECK(refusal(with("2,3", "0,20"), 20) ==
        "[load_safetensors] expected tensor \"a\" of shape (2, 3) to take 24 bytes, got data_offsets 0 to 20 (f)");
  CHECK_THAT(refusal(with("2,3", "24,0"), 24), ContainsSubstring("to take 24 bytes, got data_offsets 24 to 0"));
  CHECK_THAT(refusal(with("2,3", "0,24"), 23),
             ContainsSubstring("to end within the 23 bytes of data") && ContainsSubstring("cut short?"));
  CHECK_THAT(refusal(with("2,3", "0,24"), 25), ContainsSubstring("expected 24 bytes of data, got 25"));
  for (const char* huge : {"4611686018427387904", "4294967296,4294967296", "9223372036854775807,2",
                           "3037000500,3037000500", "4294967296,4294967296,0"})
    CHECK_THAT(refusal(with(huge, "0,0"), 0), ContainsSubstring("to have fewer than 2^61 bytes, got shape"));
}

TEST_CASE("header: tensors lie one after another") {
  const auto two = [](const char* first, const char* second) {
    return std::string("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[") + first +
           "]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" + second + "]}}";
  };
  CHECK(refusal(two("0,4", "4,8"), 8) == "no error");
  CHECK(refusal(two("4,8", "0,4"), 8) == "no error");
  CHECK_THAT(refusal(two("0,4", "3,7"), 7),
             ContainsSubstring("tensor \"b\" to begin at byte 4 of the data, got 3: it overlaps another"));
  CHECK_THAT(refusal(two("0,4", "0,4"), 4), ContainsSubstring("it overlaps another"));
  CHECK_THAT(refusal(two("0,4", "5,9"), 9),
             ContainsSubstring("tensor \"b\" to begin at byte 4 of the data, got 5: nothing lies between"));
  CHECK_THAT(refusal(two("1,5", "5,9"), 9), ContainsSubstring("tensor \"a\" to begin at byte 0"));
}

TEST_CASE("header: the length in front is checked before anything is allocated") {
  const auto size = [](std::uint64_t n, std::uint64_t file, std::size_t have = 8) {
    std::byte first[8];
    std::memcpy(first, &n, 8);
    return error_of([&] { safetensors_header_size(std::span(first, have), file, "f"); });
  };
  CHECK(size(2, 10) == "no error");
  CHECK(size(100'000'000, 200'000'000) == "no error");
  CHECK(size(0, 3, 3) == "[load_safetensors] expected a safetensors file, got one of 3 bytes (f)");
  CHECK(size(1, 100) ==
        "[load_safetensors] expected a header of 2 to 100000000 bytes, got a length of 1; is this a safetensors file? "
        "(f)");
  CHECK_THAT(size(1'000'000'000, 2'000'000'000), ContainsSubstring("got a length of 1000000000"));
  CHECK_THAT(size(~std::uint64_t{0}, 100), ContainsSubstring("got a length of 18446744073709551615"));
  CHECK(size(93, 100) == "[load_safetensors] expected 93 bytes of header, got a file that ends after 92 of them (f)");
}

TEST_CASE("header: a name from a file cannot break the line") {
  CHECK_THAT(refusal("{\"a\\n\\u001b[2J\":{\"dtype\":\"X\"}}"), ContainsSubstring("\"a\\x0a\\x1b[2J\""));
}

TEST_CASE("header: what is written reads back the same") {
  const SafeTensorsHeader::Entry x{"x\"\\\n\x01\xc3\xa9", Dtype::BF16, {3, 0}, 0, 0}, y{"{", Dtype::I64, {}, 0, 8};
  const SafeTensorsHeader::Entry* entries[] = {&y, &x};
  SafeTensorsHeader h;
  const Metadata metadata = {{"{\x1f", "\b\f\r\t/"}, {"z", ""}};
  auto shifted = x;
  shifted.begin = shifted.end = 8;
  entries[1] = &shifted;
  const std::string text = write_safetensors_header(entries, metadata);
  CHECK(text.size() % 8 == 0);
  h = parse(text, 8);
  REQUIRE(h.tensors.size() == 2);
  CHECK(h.metadata == metadata);
  CHECK(h.tensors[0].name == x.name);
  CHECK(h.tensors[0].shape == x.shape);
  CHECK(h.tensors[0].dtype == Dtype::BF16);
  CHECK(h.tensors[1].name == "{");
  CHECK(write_safetensors_header({}, {}) == "{}      ");
}
