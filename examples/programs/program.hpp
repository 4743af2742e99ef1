// Code that tenon-train and tenon-evaluate share: options from flags and the environment, signals, errors as one line
// and an exit status, and the choice of data. Defined in program.cpp, so that CLI11 is compiled only once.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <tenon/core/error.hpp>
#include <tenon/io/safetensors_header.hpp>  // Metadata

namespace program {

// --- errors and the exit status ---------------------------------------------------------------------------------------

/// An invalid request of the user. Exit status 2.
class UsageError : public tenon::Error {
 public:
  UsageError(std::string_view expected, std::string_view got, std::string_view where = {})
      : Error("usage", std::string("expected ").append(expected).append(", got ").append(got), where) {}
};

/// A signal ended the program after everything was saved. Exit status 128 + signal.
struct Interrupted {
  int signal;
  std::string last_words;  // one line for the user, may be empty
};

/// A complete message "[operation] ...". Exit status 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Runs body(), which returns the exit status. An exception becomes one line on stderr, "NAME: [operation] ...", and
/// the status 1, 2, or 128 + signal.
int run(const char* name, int (*body)(int argc, char** argv), int argc, char** argv);

// --- signals ----------------------------------------------------------------------------------------------------------

/// Call this first in main. From here on SIGINT, SIGTERM, SIGHUP and SIGXCPU only set a flag, also in process 1 of a
/// container. A signal that the parent ignores stays ignored. Until end_by_itself() is called, a watchdog ends the
/// program one second after the signal if it has not read the flag.
void catch_signals();

/// The signal that has arrived, or 0.
int caught_signal();

/// Throws Interrupted if a signal has arrived. Call it between the parts of long work.
void stop_if_asked();

/// Disables the watchdog: from here on the program ends by itself after a signal, however long it takes to save results
/// and to free memory, perhaps gigabytes.
void end_by_itself();

// --- options ----------------------------------------------------------------------------------------------------------

/// Flags with their environment variables: --test-limit is TENON_TEST_LIMIT. A flag overrides its variable, and a
/// variable overrides the default. An empty variable counts as not set.
///   Options options("tenon-train", "Trains a network.");
///   options.add("--epochs", "N", "5", "times through the training set");
///   if (!options.parse(argc, argv)) return 0;      // --help or --version was printed
///   const int epochs = options.whole("--epochs", 1);
class Options {
 public:
  Options(std::string program, std::string about);
  Options(Options&&) noexcept;
  ~Options();

  /// A flag with a value; `type` and `initial` are shown in the help. An empty `initial` means "not given".
  void add(const std::string& flag, const std::string& type, const std::string& initial, const std::string& help);
  /// A flag without a value; its variable is 1, true, yes, on or 0, false, no, off.
  void add_switch(const std::string& flag, const std::string& help);
  /// A required value without a flag and without a variable.
  void add_argument(const std::string& name, const std::string& help);

  /// False if --help or --version was given and its text printed. Throws UsageError.
  bool parse(int argc, char** argv);

  /// Whether the user gave the value, by flag or variable.
  bool given(std::string_view flag) const;
  /// Replaces the value, even a given one, as if it were the default.
  void set(std::string_view flag, std::string value);

  const std::string& text(std::string_view flag) const;
  bool on(std::string_view flag) const;  // of a switch
  std::int64_t whole(std::string_view flag, std::int64_t min, std::int64_t max = INT32_MAX) const;
  double number(std::string_view flag) const;    // finite
  double positive(std::string_view flag) const;  // finite and above 0
  const std::string& one_of(std::string_view flag, std::initializer_list<std::string_view> choices) const;

  /// The option's name for messages: "--batch", or "--batch (TENON_BATCH)" if the value comes from the variable.
  std::string name(std::string_view flag) const;

  /// Throws if an output file would destroy another file: each file of `written` must differ from all other files of
  /// `written` and from those of `read`. An empty value names no file.
  void require_separate_files(std::initializer_list<const char*> written,
                              std::initializer_list<const char*> read) const;
  /// The same check for the files of an image folder.
  void require_no_data_written(std::initializer_list<const char*> written, const std::string& folder) const;

  /// Throws UsageError for values that only the program can check: "expected --augment EXPECTED, got "VALUE"".
  [[noreturn]] void refuse(std::string_view flag, std::string_view expected) const;

 private:
  void require_not(const char* flag, const std::string& file, const std::string& what) const;

  struct Option;
  const Option& find(std::string_view flag) const;

  std::string program_, about_;
  std::vector<std::unique_ptr<Option>> options_;
};

// --- output -----------------------------------------------------------------------------------------------------------

/// Whether stdout is a terminal on which lines may be redrawn. False with NO_COLOR or TERM=dumb.
bool can_redraw();
/// The terminal's width in characters.
int terminal_columns();

/// The text as one line without control characters: line ends and tabs become spaces, other control characters "?".
std::string one_line(std::string text);

/// The shortest decimal that reads back as the same number: "0.001", "1e-05".
std::string decimal(double value);

/// Sentences for the user. Each is printed only once.
class Notes {
 public:
  /// Calls print(sentence) for each sentence that has not been printed yet.
  template <class Print>
  void add(const std::vector<std::string>& sentences, Print print) {
    for (const std::string& s : sentences) {
      if (std::find(printed_.begin(), printed_.end(), s) != printed_.end()) continue;
      printed_.push_back(s);
      print(s);
    }
  }

 private:
  std::vector<std::string> printed_;
};

// --- data and models --------------------------------------------------------------------------------------------------

/// The data that --data names: a folder, or the usual place of fashion-mnist or mnist.
struct DataChoice {
  std::string name;  // "fashion-mnist", "mnist", or the folder
  std::string folder;
  std::vector<std::string> classes;  // names if known, else numbers
};

/// Throws tenon::Error if the data are not found. For fashion-mnist and mnist the error says how to fetch them.
DataChoice choose_data(const std::string& argument);

inline constexpr int classes = 10;  // of all four models

/// The metadata in a model's file, so that evaluation needs no flags.
struct ModelInfo {
  std::string model;                 // its name in examples/programs/models.hpp
  std::vector<std::string> classes;  // names
  double mean = 0, deviation = 1;    // of pixel / 255 in training

  /// "model"; "classes", separated by commas; "input.mean" and "input.std" as decimals that read back exactly.
  tenon::Metadata to_metadata() const;
  /// Absent keys leave their values unchanged. Invalid values throw an Error.
  void take(const tenon::Metadata& metadata, const std::string& where);
};

}  // namespace program
