// CSV: numbers are read; errors name the line and column of anything else.
// SPDX-License-Identifier: MIT
#include "tenon/data/csv.hpp"

#include "catch.hpp"
#include "files.hpp"

using namespace tenon;

namespace {

using Values = std::vector<float>;
std::string refusal(std::string_view text, CsvHeader mode = CsvHeader::automatic) {
  return error_of([&] { return parse_csv(text, "f", ',', mode); });
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

TEST_CASE("csv: a first row with a bad field is an error, not a header") {
  CHECK(refusal("5.1,NaN,1.4\n4.9,3.0,1.4\n") ==
        "[load_csv] expected a finite number, got \"NaN\" in line 1, column 2; if this line names the columns, pass "
        "CsvHeader::present (f)");
  CHECK(refusal("5.1,NaN,1.4\n", CsvHeader::absent) ==
        "[load_csv] expected a finite number, got \"NaN\" in line 1, column 2 (f)");
  for (const char* bad : {"nan",
                          "-nan",
                          "nan(ind)",
                          "-nan(ind)",
                          "inf",
                          "-Inf",
                          "+inf",
                          "Infinity",
                          "",
                          "?",
                          "\"?\"",
                          "\"\"",
                          "NA",
                          "N/A",
                          "#N/A",
                          "<NA>",
                          "null",
                          "NULL",
                          "None",
                          "-",
                          "--",
                          ".",
                          "*",
                          "1e39",
                          "-1e999",
                          "+1e39",
                          "1.2.3",
                          "0x10",
                          "\"1,000\"",
                          "1d0",
                          "1 2",
                          "5%",
                          "$5",
                          "#DIV/0!",
                          "#NAME?",
                          "True",
                          "false",
                          "2024-01-31",
                          "\xe2\x88\x92"
                          "1",
                          "\xe2\x80\x94",
                          "\xc2\xa0",
                          "\xc2\xa0"
                          "2",
                          "abc",
                          "12a",
                          "\xff\xfe"}) {
    INFO("field " << bad);
    const std::string f = bad;
    for (const std::string& row : {"1," + f, f + ",1", "1," + f + ",2", f + "," + f + ",1,2"})
      CHECK_THAT(refusal(row + "\n" + (row.find(f + "," + f) == 0 ? "3,4,5,6\n" : "3,4\n")),
                 StartsWith("[load_csv] expected a finite number") && ContainsSubstring(" in line 1, column "));
    if (f != "abc") {  // one column, or all of them
      CHECK_THAT(refusal(f + "\n1\n2\n"), ContainsSubstring(" in line 1, column 1"));
      CHECK_THAT(refusal(f + "," + f + "\n1,2\n"), ContainsSubstring(" in line 1, column 1"));
    }
  }
}

TEST_CASE("csv: the first line is a header if most of it are names") {
  const auto header = [](std::string_view line, std::string_view row) {
    const CsvTable t = parse_csv(std::string(line) + "\n" + std::string(row) + "\n", "f");
    CHECK(t.rows == 1);
    return t.header;
  };
  using Names = std::vector<std::string>;
  CHECK(header("a", "1") == Names{"a"});
  CHECK(header("\"a\",\"b\"", "1,2") == Names{"a", "b"});
  CHECK(header(",a,b", "0,1,2") == Names{"", "a", "b"});  // the column of the index has no name
  CHECK(header(",a", "0,1") == Names{"", "a"});
  CHECK(header("x,y,2019", "1,2,3") == Names{"x", "y", "2019"});
  CHECK(header("x,y,\"2019\"", "1,2,3") == Names{"x", "y", "2019"});
  CHECK(header("a,nan,b", "1,2,3") == Names{"a", "nan", "b"});
  CHECK(header("x,inf,y,z", "1,2,3,4") == Names{"x", "inf", "y", "z"});
  CHECK(header("label,1x1,1x2,1x3", "7,0,0,0") == Names{"label", "1x1", "1x2", "1x3"});
  CHECK(header("sepal length (cm),sepal width (cm)", "1,2").size() == 2);
  CHECK(header("# x", "1") == Names{"# x"});
  CHECK(header("_1,_a", "1,2").size() == 2);
  CHECK(header("x1,e5", "1,2").size() == 2);
  CHECK(header("\xc3\xa9t\xc3\xa9,\xe6\xb8\xa9\xe5\xba\xa6", "1,2").size() == 2);
  CHECK(header("name,nanometres", "1,2").size() == 2);
  CHECK(header("#id,%fat", "1,2").size() == 2);
  CHECK_THAT(refusal("x,2019\n1,2\n"), ContainsSubstring("got \"x\" in line 1, column 1; if this line names"));
  CHECK(parse_csv("x,2019\n1,2\n", "f", ',', CsvHeader::present).header == Names{"x", "2019"});
  CHECK_THAT(refusal("5.1,3.5,setosa\n4.9,3.0,setosa\n"), ContainsSubstring("got \"setosa\" in line 1, column 3"));
  CHECK_THAT(refusal("\n1\n2\n"), ContainsSubstring("got \"\" in line 1, column 1"));
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
  CHECK(parse_csv("1,2\n2,1e-400", "f").values == Values{1, 2, 2, 0});  // rounded
  for (const char* bad :
       {"nan", "inf", "-inf", "1e999", "1e39", "1.2.3", "0x10", "1 2", "--1", "+-1", "+", "1,5,", "\"1"})
    CHECK_THAT(refusal("0\n" + std::string(bad)), StartsWith("[load_csv] expected") && ContainsSubstring("in line 2"));
  CHECK(refusal("1\n\"2") == "[load_csv] expected a closing quote, got the end of the line in line 2, column 1 (f)");
  CHECK(refusal("1\n\"2\"x") ==
        "[load_csv] expected a separator after the quoted field, got \"x\" in line 2, column 1 (f)");
  CHECK(refusal("") == "[load_csv] expected at least one row of numbers, got none (f)");
  CHECK(refusal("a,b\n") == "[load_csv] expected at least one row of numbers, got a header and none (f)");
  CHECK(refusal("1,2\n", CsvHeader::present) ==
        "[load_csv] expected at least one row of numbers, got a header and none (f)");
}

TEST_CASE("csv: from a file") {
  const Folder folder;
  put(folder / "f", "x,y\n1,2\n");
  CHECK(load_csv(folder / "f").values == Values{1, 2});
}
