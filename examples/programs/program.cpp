// Options, signals and errors of the programs.
// SPDX-License-Identifier: MIT
#include "program.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <tenon/core/config.hpp>
#include <tenon/core/file.hpp>
#include <tenon/core/number.hpp>
#include <tenon/data/images.hpp>
#include <tenon/io/text.hpp>

#include "finite.hpp"

namespace program {

namespace {

std::atomic<int> signal_caught{0};
std::atomic<int> ends_by_itself{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch these");

extern "C" void on_signal(int signal) {
  signal_caught.store(signal);
  if (ends_by_itself.load() == 0) ::alarm(1);
}

// Work that does not end in time is reading, hashing or evaluating, so ending the program loses nothing.
extern "C" void on_alarm(int) {
  if (ends_by_itself.load() != 0) return;
  const int caught = signal_caught.load();
  if (caught == 0) return;
  static const char words[] = "\nended by a signal before there was anything to save\n";
  if (::write(STDERR_FILENO, words, sizeof words - 1) < 0) return ::_exit(128 + caught);
  ::_exit(128 + caught);
}

// SIGHUP: the terminal was closed or the connection lost. SIGXCPU: the soft limit of ulimit -t is reached; the
// hard limit kills. SIGQUIT keeps its meaning: an immediate end with a core dump.
constexpr struct {
  int number;
  const char* name;
} ending_signals[] = {{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}, {SIGXCPU, "SIGXCPU"}};

const char* name_of_signal(int signal) {
  for (const auto& s : ending_signals)
    if (s.number == signal) return s.name;
  return "signal";
}

void complain(const char* name, const std::string& message) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", name, one_line(message).c_str());
}

// If the parent closed a standard stream, the next opened file would get its number, and output would go to that file.
// So a file that cannot be written takes the number, and printing fails.
void occupy_standard_streams() {
  int fd;
  do fd = ::open("/dev/null", O_RDONLY);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

}  // namespace

// --- errors and the exit status ---------------------------------------------------------------------------------------

int run(const char* name, int (*body)(int argc, char** argv), int argc, char** argv) {
  occupy_standard_streams();
  try {
    const int status = body(argc, argv);
    // Lines are flushed one by one, so a write may have failed long ago. Only the stream's error flag records it.
    if ((std::fflush(stdout) == 0 && !std::ferror(stdout)) || status != 0) return status;
    complain(name, "[write] not all lines could be written to standard output: it is full or closed");
    return 1;
  } catch (const UsageError& e) {
    complain(name, e.what());
    return 2;
  } catch (const Interrupted& e) {
    ::alarm(0);  // the program ends by itself: the watchdog must not write its message as well
    complain(name, std::string(name_of_signal(e.signal)) + ": " +
                       (e.last_words.empty() ? "ended before there was anything to save" : e.last_words));
    return 128 + e.signal;
  } catch (const tenon::Error& e) {
    complain(name, e.what());
  } catch (const Failure& e) {
    complain(name, e.what());
  } catch (const std::bad_alloc&) {
    complain(name, "[memory] out of memory: choose a smaller --batch");
  } catch (const std::exception& e) {
    complain(name, "[" + std::string(name) + "] " + e.what());
  }
  return 1;
}

// --- signals ----------------------------------------------------------------------------------------------------------

void catch_signals() {
  struct sigaction action {};
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = on_alarm;
  ::sigaction(SIGALRM, &action, nullptr);
  // Signal masks are inherited, and a parent may have blocked a signal that the program needs.
  sigset_t ours;
  ::sigemptyset(&ours);
  ::sigaddset(&ours, SIGALRM);
  action.sa_handler = on_signal;
  for (const auto& s : ending_signals) {
    // A signal that the parent ignores stays ignored: nohup does so with SIGHUP, shells with SIGINT of background jobs.
    struct sigaction inherited {};
    if (::sigaction(s.number, nullptr, &inherited) == 0 && inherited.sa_handler == SIG_IGN) continue;
    ::sigaction(s.number, &action, nullptr);
    ::sigaddset(&ours, s.number);
  }
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);  // a closed output pipe must not end the training
  ::sigaction(SIGXFSZ, &action, nullptr);  // beyond ulimit -f the write fails with an error
  ::sigprocmask(SIG_UNBLOCK, &ours, nullptr);
}

int caught_signal() { return signal_caught.load(); }

void stop_if_asked() {
  if (const int signal = caught_signal()) throw Interrupted{signal, {}};
}

void end_by_itself() { ends_by_itself.store(1); }

// --- options ----------------------------------------------------------------------------------------------------------

struct Options::Option {
  std::string flag, type, help, variable;
  bool is_switch = false, is_argument = false;
  std::string value;
  const char* source = "";  // how the user gave it: "flag", "variable", or "" for not at all
  std::string typed;        // CLI11 writes here
  bool switched = false;
};

Options::Options(std::string name, std::string about) : program_(std::move(name)), about_(std::move(about)) {}
Options::Options(Options&&) noexcept = default;
Options::~Options() = default;

void Options::add(const std::string& flag, const std::string& type, const std::string& initial,
                  const std::string& help) {
  auto option = std::make_unique<Option>();
  option->flag = flag;
  option->type = type;
  option->help = help;
  option->value = initial;
  option->variable = "TENON_";
  for (const char c : flag.substr(flag.find_first_not_of('-')))
    option->variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  options_.push_back(std::move(option));
}

void Options::add_switch(const std::string& flag, const std::string& help) {
  add(flag, "", "", help);
  options_.back()->is_switch = true;
}

void Options::add_argument(const std::string& name, const std::string& help) {
  auto option = std::make_unique<Option>();
  option->flag = name;
  option->help = help;
  option->is_argument = true;
  options_.push_back(std::move(option));
}

bool Options::parse(int argc, char** argv) {
  CLI::App app(about_, program_);
  std::vector<std::pair<Option*, CLI::Option*>> added;
  for (const auto& o : options_) {
    CLI::Option* c = nullptr;
    if (o->is_switch) {
      c = app.add_flag(o->flag, o->switched, o->help + " [" + o->variable + "]");
    } else if (o->is_argument) {
      c = app.add_option(o->flag, o->typed, o->help)->required();
    } else {
      c = app.add_option(o->flag, o->typed, o->help + " [" + o->variable + "]")->type_name(o->type);
      c->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
      if (!o->value.empty()) c->default_str(o->value);
    }
    added.emplace_back(o.get(), c);
  }
  const auto number = [](int n) { return std::to_string(n); };
  app.set_version_flag("--version",
                       program_ + " " + number(TENON_VERSION_MAJOR) + "." + number(TENON_VERSION_MINOR) + "." +
                           number(TENON_VERSION_PATCH),
                       "Print the version and exit");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return false;
  } catch (const CLI::CallForVersion& version) {
    std::printf("%s\n", version.what());
    return false;
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> extras = app.remaining();
    throw UsageError("flags that " + program_ + " --help lists",
                     tenon::in_quotes(extras.empty() ? "others" : extras.front()));
  } catch (const CLI::RequiredError&) {
    std::string missing;
    for (const auto& [o, c] : added)
      if (o->is_argument && c->count() == 0 && missing.empty()) missing = o->flag;
    throw UsageError("a " + missing + " (see " + program_ + " --help)", "none");
  } catch (const CLI::ParseError& e) {
    throw UsageError("arguments as " + program_ + " --help lists them", tenon::in_quotes(e.what()));
  }

  for (const auto& [o, c] : added) {
    if (c->count() > 0) {
      o->source = "flag";
      o->value = o->is_switch ? (o->switched ? "1" : "0") : o->typed;
    } else if (const char* text = o->is_argument ? nullptr : std::getenv(o->variable.c_str()); text && *text) {
      o->source = "variable";
      o->value = text;
    }
    if (o->is_switch) on(o->flag);  // reports an invalid variable now
  }
  return true;
}

const Options::Option& Options::find(std::string_view flag) const {
  for (const auto& o : options_)
    if (o->flag == flag) return *o;
  throw tenon::Error("options", "expected a known flag, got " + tenon::in_quotes(flag));
}

bool Options::given(std::string_view flag) const { return *find(flag).source; }

void Options::set(std::string_view flag, std::string value) {
  Option& o = const_cast<Option&>(find(flag));  // *this is not const
  o.value = std::move(value);
  o.source = "";
}

const std::string& Options::text(std::string_view flag) const { return find(flag).value; }

bool Options::on(std::string_view flag) const {
  const std::string& v = text(flag);
  for (const char* yes : {"1", "true", "yes", "on"})
    if (v == yes) return true;
  for (const char* no : {"", "0", "false", "no", "off"})
    if (v == no) return false;
  refuse(flag, "to be 1 or 0");
}

std::int64_t Options::whole(std::string_view flag, std::int64_t min, std::int64_t max) const {
  const std::string& v = text(flag);
  const auto n = tenon::parse_number<std::int64_t>(v);
  if (!n || *n < min || *n > max)
    refuse(flag, "to be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  return *n;
}

double Options::number(std::string_view flag) const {
  const std::string& v = text(flag);
  const auto x = tenon::parse_number<double>(v);
  if (!x || !is_finite(*x)) refuse(flag, "to be a finite number");
  return *x;
}

double Options::positive(std::string_view flag) const {
  const double x = number(flag);
  if (!(x > 0)) refuse(flag, "to be a number above 0");
  return x;
}

const std::string& Options::one_of(std::string_view flag, std::initializer_list<std::string_view> choices) const {
  const std::string& v = text(flag);
  std::string list = "to be ";
  std::size_t left = choices.size();
  for (const std::string_view choice : choices) {
    if (v == choice) return v;
    list.append(choice).append(--left > 1 ? ", " : left == 1 ? " or " : "");
  }
  refuse(flag, list);
}

std::string Options::name(std::string_view flag) const {
  const Option& o = find(flag);
  return *o.source == 'v' ? o.flag + " (" + o.variable + ")" : o.flag;
}

void Options::require_separate_files(std::initializer_list<const char*> written,
                                     std::initializer_list<const char*> read) const {
  for (auto flag = written.begin(); flag != written.end(); ++flag) {
    for (auto other = flag + 1; other != written.end(); ++other) require_not(*flag, text(*other), name(*other));
    for (const char* other : read) require_not(*flag, text(other), name(other));
  }
}

void Options::require_no_data_written(std::initializer_list<const char*> written, const std::string& folder) const {
  for (const std::string& file : tenon::image_files(folder))
    for (const char* flag : written) require_not(flag, file, "those of the data");
}

void Options::require_not(const char* flag, const std::string& file, const std::string& what) const {
  if (!text(flag).empty() && !file.empty() && tenon::same_file(text(flag), file))
    refuse(flag, "to be another file than " + what);
}

void Options::refuse(std::string_view flag, std::string_view expected) const {
  throw UsageError(name(flag) + " " + std::string(expected), tenon::in_quotes(text(flag)));
}

// --- output -----------------------------------------------------------------------------------------------------------

bool can_redraw() {
  const char* const no_color = std::getenv("NO_COLOR");
  const char* const term = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && !(no_color && *no_color) && !(term && std::strcmp(term, "dumb") == 0);
}

int terminal_columns() {
  struct winsize size {};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string one_line(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\n' || c == '\r' || c == '\t')
      text[i] = ' ';
    else if (c < 32 || c == 127)
      text[i] = '?';
    else if (c == 0xc2 && i + 1 < text.size() && (text[i + 1] & 0xe0) == 0x80)
      text.replace(i, 2, "?");  // U+0080 to U+009F in UTF-8
  }
  return text;
}

std::string decimal(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

// --- data and models --------------------------------------------------------------------------------------------------

DataChoice choose_data(const std::string& argument) {
  if (argument.empty()) throw UsageError("--data to name a folder, fashion-mnist or mnist", "\"\"");
  DataChoice choice{argument, tenon::find_dataset(argument), {}};
  if (argument == "fashion-mnist")
    choice.classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  else
    for (int c = 0; c < classes; ++c) choice.classes.push_back(std::to_string(c));
  return choice;
}

tenon::Metadata ModelInfo::to_metadata() const {
  std::string list;
  for (const std::string& c : classes) list.append(list.empty() ? "" : ",").append(c);
  return {{"model", model}, {"classes", list}, {"input.mean", decimal(mean)}, {"input.std", decimal(deviation)}};
}

void ModelInfo::take(const tenon::Metadata& metadata, const std::string& where) {
  const auto number = [&](const char* key, double& x, bool positive) {
    const auto found = metadata.find(key);
    if (found == metadata.end()) return;
    const std::string& text = found->second;
    const auto value = tenon::parse_number<double>(text);
    if (!value || !is_finite(*value) || (positive && !(*value > 0)))
      throw tenon::Error("load_model",
                         std::string("expected a number as ") + key + " in the metadata, got " + tenon::in_quotes(text),
                         where);
    x = *value;
  };
  number("input.mean", mean, false);
  number("input.std", deviation, true);
  if (const auto found = metadata.find("model"); found != metadata.end()) model = found->second;
  if (const auto found = metadata.find("classes"); found != metadata.end()) {
    classes.clear();
    for (std::size_t at = 0; at <= found->second.size();) {
      const std::size_t comma = std::min(found->second.find(',', at), found->second.size());
      classes.push_back(found->second.substr(at, comma - at));
      at = comma + 1;
    }
    if (classes.size() != static_cast<std::size_t>(program::classes))
      throw tenon::Error("load_model",
                         "expected " + std::to_string(program::classes) + " classes in the metadata, got " +
                             std::to_string(classes.size()),
                         where);
  }
}

}  // namespace program
