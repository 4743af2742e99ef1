// CSV: numbers come in; anything else is named by line and column.
// SPDX-License-Identifier: MIT
#include "tenon/data/csv.hpp"

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

using Values = std::vector<float>;
std::string refusal(std::string_view text, CsvHeader mode = CsvHeader::automatic) {
  return error_of([&] { parse_csv(text, "f", ',', mode); });
}

}  // namespace

TEST_CASE("csv: numbers in every spelling") {
  const auto t = parse_csv("1,-2.5,+3e2\n .5 ,0,1e-3\n", "f");
  CHECK(t.rows == 2);
  CHECK(t.columns == 3);
  CHECK(t.header.empty());
  CHECK(t.values == Values{1, -2.5f, 300, 0.5f, 0, 0.001f});
  CHECK(t.row(1)[0] == 0.5f);
}

TEST_CASE("csv: a header is found, asked for, or denied") {
  CHECK(parse_csv("a,\"b, c\"\n1,2\n", "f").header == std::vector<std::string>{"a", "b, c"});
  CHECK(parse_csv("1,2\n3,4", "f", ',', CsvHeader::present).header == std::vector<std::string>{"1", "2"});
  CHECK(parse_csv("1,2\n3,4", "f", ',', CsvHeader::present).values == Values{3, 4});
  CHECK(refusal("a,b\n1,2", CsvHeader::absent) ==
        "[load_csv] expected a finite number, got \"a\" in line 1, column 1 (f)");
  CHECK(parse_csv("\xef\xbb\xbf"
                  "1\n",
                  "f")
            .values == Values{1});
}

TEST_CASE("csv: line ends, quotes, other separators") {
  CHECK(parse_csv("1,2\r\n3,4\r\n\r\n", "f").values == Values{1, 2, 3, 4});
  CHECK(parse_csv("\"1\", \"2\" \n3,4", "f").values == Values{1, 2, 3, 4});
  CHECK(parse_csv("1;2\n3;4", "f", ';').values == Values{1, 2, 3, 4});
  CHECK(parse_csv("1\t2\n3\t4", "f", '\t').values == Values{1, 2, 3, 4});
  CHECK(parse_csv("\"a \"\"b\"\"\",c\n1,2", "f").header == std::vector<std::string>{"a \"b\"", "c"});
}

TEST_CASE("csv: an error names line and column") {
  CHECK(refusal("1,2\n3,x\n") == "[load_csv] expected a finite number, got \"x\" in line 2, column 2 (f)");
  CHECK(refusal("a,b\n1,2\n3,\n") == "[load_csv] expected a finite number, got \"\" in line 3, column 2 (f)");
  CHECK(refusal("1,2\n3\n") == "[load_csv] expected 2 fields, got 1 in line 2 (f)");
  CHECK(refusal("1,2\n3,4,5\n") == "[load_csv] expected 2 fields, got 3 in line 2 (f)");
  CHECK(refusal("1,2\n\n3,4\n") == "[load_csv] expected 2 fields, got 1 in line 2 (f)");
  for (const char* bad :
       {"nan", "inf", "-inf", "1e999", "1e39", "1.2.3", "0x10", "1 2", "--1", "+-1", "+", "1,5,", "\"1"})
    CHECK_THAT(refusal("0\n" + std::string(bad)), StartsWith("[load_csv] expected") && ContainsSubstring("in line 2"));
  CHECK(refusal("1\n\"2") == "[load_csv] expected a closing quote, got the end of the line in line 2, column 1 (f)");
  CHECK(refusal("1\n\"2\"x") ==
        "[load_csv] expected a separator after the quoted field, got \"x\" in line 2, column 1 (f)");
  CHECK(refusal("") == "[load_csv] expected at least one row of numbers, got none (f)");
  CHECK(refusal("a,b\n") == "[load_csv] expected at least one row of numbers, got none (f)");
}

TEST_CASE("csv: from a file") {
  const Folder folder;
  put(folder / "f", "x,y\n1,2\n");
  CHECK(load_csv(folder / "f").values == Values{1, 2});
}
