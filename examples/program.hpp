// What tenon-train and tenon-evaluate have in common: options from flags and the environment, signals, errors that
// become one line and an exit status, and the choice of data. Defined in program.cpp, so that CLI11 is compiled once.
// SPDX-License-Identifier: MIT
#pragma once

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

/// What the user asked for cannot be asked for: exit status 2.
class UsageError : public tenon::Error {
 public:
  UsageError(std::string_view expected, std::string_view got, std::string_view where = {})
      : Error("usage", std::string("expected ").append(expected).append(", got ").append(got), where) {}
};

/// A signal asked the program to end; whoever throws it has put everything in order. Exit status 128 + signal.
struct Interrupted {
  int signal;
  std::string last_words;  // one line for the user, may be empty
};

/// A sentence "[operation] expected ..., got ..." that is complete already. Exit status 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Runs body() -> exit status. What it throws becomes one line on stderr, "NAME: [operation] expected ..., got ...",
/// and the status 1, 2, or 128 + signal.
int run(const char* name, int (*body)(int argc, char** argv), int argc, char** argv);

// --- signals ----------------------------------------------------------------------------------------------------------

/// The first thing in main: from here on SIGINT and SIGTERM only set a flag, also for process 1 of a container.
/// Whoever does not look at the flag in time is ended by a watchdog a second later, until end_by_itself() is called.
void catch_signals();

/// The signal that has arrived, or 0.
int caught_signal();

/// Throws Interrupted if a signal has arrived. Call it between pieces of work that take long together.
void stop_if_asked();

/// From here on the program ends by itself after a signal, however long it takes: it has something to save, and what it
/// holds, gigabytes of it, perhaps, to let go of.
void end_by_itself();

// --- options ----------------------------------------------------------------------------------------------------------

/// Flags with their environment variables: --test-limit is TENON_TEST_LIMIT. A flag wins over its variable, a variable
/// over the default; an empty variable is none.
///   Options options("tenon-train", "Trains a network.");
///   options.add("--epochs", "N", "5", "times through the training set");
///   if (!options.parse(argc, argv)) return 0;      // --help or --version was answered
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
  /// A value without a flag, and without a variable; required.
  void add_argument(const std::string& name, const std::string& help);

  /// False if --help or --version was asked for, and printed. Throws UsageError.
  bool parse(int argc, char** argv);

  /// Whether the user gave it, by flag or variable.
  bool given(std::string_view flag) const;
  /// Replaces the value as if it were the default, whatever was given.
  void set(std::string_view flag, std::string value);

  const std::string& text(std::string_view flag) const;
  bool on(std::string_view flag) const;  // of a switch
  std::int64_t whole(std::string_view flag, std::int64_t least, std::int64_t most = INT32_MAX) const;
  double number(std::string_view flag) const;    // finite
  double positive(std::string_view flag) const;  // finite and above 0
  const std::string& one_of(std::string_view flag, std::initializer_list<std::string_view> choices) const;

  /// As messages name it: "--batch", or "--batch (TENON_BATCH)" where the value comes from there.
  std::string name(std::string_view flag) const;

  /// Refuses to write what would be lost: each file of `written` must be another than the rest of them and than those of
  /// `read`. No value names no file.
  void require_separate_files(std::initializer_list<const char*> written,
                              std::initializer_list<const char*> read) const;
  /// The same for the files of a folder of images.
  void require_no_data_written(std::initializer_list<const char*> written, const std::string& folder) const;

  /// For values that only the program can judge: "expected --augment EXPECTED, got "VALUE"".
  [[noreturn]] void refuse(std::string_view flag, std::string_view expected) const;

 private:
  void require_not(const char* flag, const std::string& file, const std::string& what) const;

  struct Option;
  const Option& find(std::string_view flag) const;

  std::string program_, about_;
  std::vector<std::unique_ptr<Option>> options_;
};

// --- output -----------------------------------------------------------------------------------------------------------

/// Whether stdout is a terminal on which lines may be redrawn: NO_COLOR and TERM=dumb say no.
bool can_redraw();
/// Its width in characters.
int terminal_columns();

/// The text as one line that leaves a terminal alone: line ends and tabs become spaces, other control characters "?".
std::string one_line(std::string text);

/// The shortest decimal that reads back as the same number: "0.001", "1e-05".
std::string decimal(double value);

// --- data and models --------------------------------------------------------------------------------------------------

/// Where --data points: a folder, or the usual place of fashion-mnist or mnist.
struct DataChoice {
  std::string name;  // "fashion-mnist", "mnist", or the folder
  std::string folder;
  std::vector<std::string> classes;  // names where known, else numbers
};

/// Throws tenon::Error if it is nowhere; the two words say how to fetch them.
DataChoice choose_data(const std::string& argument);

inline constexpr int classes = 10;  // of all four models

/// What a model's file says besides its weights, so that evaluation needs no flag.
struct ModelInfo {
  std::string model;                 // its name in examples/models.hpp
  std::vector<std::string> classes;  // names
  double mean = 0, deviation = 1;    // of pixel / 255 in training

  /// "model"; "classes", separated by commas; "input.mean" and "input.std" as decimals that read back exactly.
  tenon::Metadata to_metadata() const;
  /// What is absent stays as it is; what makes no sense is an Error.
  void take(const tenon::Metadata& metadata, const std::string& where);
};

}  // namespace program
