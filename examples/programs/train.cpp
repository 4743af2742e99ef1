// tenon-train: trains one of four networks on images of 28 x 28, and can be stopped and resumed at any step.
//   tenon-train --model resnet --augment shift,flip --schedule onecycle --epochs 15
// SPDX-License-Identifier: MIT
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <tenon/data/gz.hpp>
#include <tenon/data/images.hpp>
#include <vector>

#include "finite.hpp"
#include "program.hpp"
#include "progress_bar.hpp"
#include "training.hpp"

using namespace tenon;
using program::Interrupted;
using program::Options;
using program::UsageError;

namespace {

std::string with_s(std::uint64_t n, const char* what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); }

// --- options ----------------------------------------------------------------------------------------------------------

Options options_of_train() {
  Options o("tenon-train",
            "Trains a network on images of 28 x 28 pixels and saves it as safetensors.\n"
            "Each flag has an environment variable, in brackets; flags win.");
  o.add("--data", "DIR|fashion-mnist|mnist", "fashion-mnist",
        "Folder with four IDX files (plain or gz), or a known data set");
  o.add("--model", "mlp|lenet|cnn|resnet", "cnn", "Network");
  o.add("--epochs", "N", "5", "Times through the training set");
  o.add("--batch", "N", "128", "Images a step");
  o.add("--optimizer", "sgd|adam|adamw", "adam", "Optimizer; sgd has momentum 0.9");
  o.add("--lr", "RATE", "", "Learning rate (0.001; sgd 0.05)");
  o.add("--schedule", "constant|step|cosine|onecycle", "cosine",
        "Learning rate over the steps; step: a tenth after each third");
  o.add("--clip-norm", "NORM", "0", "Largest norm of a step's gradient, which is scaled down to it; 0: any");
  o.add("--seed", "N", "1", "Of weights, order, dropout and augmentation");
  o.add("--threads", "N", "0", "Threads; 0: all that this process may use");
  o.add("--device", "auto|cpu|cuda", "auto", "Where to compute");
  o.add("--precision", "fp32|tf32|bf16", "fp32", "How products are computed; the cpu has fp32 alone");
  o.add("--limit", "N", "0", "Use the first N training images only; 0: all");
  o.add("--test-limit", "N", "0", "Use the first N test images only; 0: all");
  o.add("--augment", "none|shift|flip|shift,flip", "none", "Random changes of training images");
  o.add("--out", "FILE", "model.safetensors", "Where to save the model");
  o.add("--metrics", "FILE.jsonl", "", "Where to write a line of JSON an epoch");
  o.add("--checkpoint", "FILE", "", "Where to save checkpoints (OUT.checkpoint)");
  o.add("--checkpoint-every", "STEPS", "", "How often (each epoch)");
  o.add("--resume", "FILE|auto", "", "Go on from a checkpoint; auto: from --checkpoint if it is there");
  o.add_switch("--quiet", "One line an epoch, nothing in between");
  o.add("--unpack", "DIR", "", "Write the data as four plain IDX files into DIR, and exit");
  return o;
}

/// The options that, with the data, determine a training. Checkpoints store them under the flags' names.
struct Course {
  std::string model, optimizer, schedule, augment, precision;
  double lr = 0, clip_norm = 0;
  int epochs = 0, batch = 0;
  std::uint64_t seed = 0, limit = 0;

  static constexpr const char* flags[] = {"--model", "--optimizer", "--lr",      "--schedule",  "--epochs",   "--batch",
                                          "--seed",  "--limit",     "--augment", "--precision", "--clip-norm"};

  explicit Course(const Options& o)
      : model(o.one_of("--model", {"mlp", "lenet", "cnn", "resnet"})),
        optimizer(o.one_of("--optimizer", {"sgd", "adam", "adamw"})),
        schedule(o.one_of("--schedule", {"constant", "step", "cosine", "onecycle"})),
        augment(o.text("--augment") == "flip,shift" ? "shift,flip" : o.text("--augment")),
        precision(o.one_of("--precision", {"fp32", "tf32", "bf16"})),
        lr(!o.text("--lr").empty() ? o.positive("--lr")
           : optimizer == "sgd"    ? 0.05
                                   : 1e-3),
        clip_norm(o.number("--clip-norm")),
        epochs(static_cast<int>(o.whole("--epochs", 1))),
        batch(static_cast<int>(o.whole("--batch", 1))),
        seed(static_cast<std::uint64_t>(o.whole("--seed", 0, INT64_MAX))),
        limit(static_cast<std::uint64_t>(o.whole("--limit", 0))) {
    if (clip_norm < 0) o.refuse("--clip-norm", "to be a number, 0 or above");
    if (augment != "none" && augment != "shift" && augment != "flip" && augment != "shift,flip")
      o.refuse("--augment", "to be none, shift, flip or both as shift,flip");
    if (flips() && o.text("--data") == "mnist")
      o.refuse("--augment", "to be none or shift for mnist, because a mirrored digit is none");
  }

  bool shifts() const { return augment.find("shift") != std::string::npos; }
  bool flips() const { return augment.find("flip") != std::string::npos; }

  Metadata to_metadata() const {
    const std::string values[] = {model,
                                  optimizer,
                                  program::decimal(lr),
                                  schedule,
                                  std::to_string(epochs),
                                  std::to_string(batch),
                                  std::to_string(seed),
                                  std::to_string(limit),
                                  augment,
                                  precision,
                                  program::decimal(clip_norm)};
    Metadata m;
    for (std::size_t i = 0; i < std::size(flags); ++i) m[key(flags[i])] = values[i];
    return m;
  }
  static std::string key(const char* flag) { return std::string("train.") + (flag + 2); }

  AnyOptimizer make_optimizer() const {
    if (optimizer == "sgd") return Sgd{lr, 0.9};
    if (optimizer == "adam") return Adam{lr};
    return AdamW{lr};
  }
  Schedule make_schedule(std::int64_t steps) const {
    if (schedule == "step") return Schedule::step_decay((steps + 2) / 3);
    if (schedule == "cosine") return Schedule::cosine(steps);
    if (schedule == "onecycle") return Schedule::one_cycle(steps);
    return Schedule::constant();
  }
};

const std::string& metadata_of(const SafeTensors& checkpoint, const std::string& key) {
  const auto found = checkpoint.metadata().find(key);
  if (found != checkpoint.metadata().end()) return found->second;
  throw Error("resume", "expected a checkpoint of tenon-train, got a file without \"" + key + "\" in its metadata",
              checkpoint.where());
}

// The course comes from the checkpoint. Flags that the user also gives must agree with it.
Course resumed_course(Options& o, const SafeTensors& checkpoint) {
  Options theirs = options_of_train();
  for (const char* flag : Course::flags) theirs.set(flag, metadata_of(checkpoint, Course::key(flag)));
  try {
    Course{theirs};
  } catch (const UsageError& e) {
    throw Error("resume", std::string("expected options of a training in the metadata, got ") + e.what(),
                checkpoint.where());
  }
  // The default learning rate depends on the optimizer, so the other values are set before the given ones are read.
  std::vector<const char*> given;
  for (const char* flag : Course::flags) {
    if (o.given(flag))
      given.push_back(flag);
    else
      o.set(flag, theirs.text(flag));
  }
  const Course course(o);
  const Metadata mine = course.to_metadata();
  for (const char* flag : given)
    if (mine.at(Course::key(flag)) != theirs.text(flag))
      throw UsageError(o.name(flag) + " " + theirs.text(flag) + " as in the checkpoint", mine.at(Course::key(flag)),
                       checkpoint.where());
  return course;
}

// Requires a position that a training of `epochs` epochs of `images` images with batches of `batch` reaches. From any
// other position it would train too much or too little, at other learning rates.
void check_progress(const Progress& p, std::uint64_t images, std::uint64_t batch, std::uint64_t epochs,
                    const std::string& where) {
  const auto require = [&](bool holds, const std::string& expected, const std::string& got) {
    if (!holds) throw Error("resume", "expected " + expected + ", got " + got, where);
  };
  const auto text = [](std::uint64_t n) { return std::to_string(n); };
  require(p.epoch < epochs || (p.epoch == epochs && p.position == 0),
          "a place in a training of " + with_s(epochs, "epoch"),
          with_s(p.epoch, "epoch") + " and " + with_s(p.position, "image"));
  require(p.position <= images && (p.position % batch == 0 || p.position == images),
          "a place between batches of " + text(batch) + " in an epoch of " + with_s(images, "image"),
          "image " + text(p.position));
  // A last batch of one image may have been left out of each epoch.
  const auto steps_in = [&](std::uint64_t n) { return (n + batch - 1) / batch; };
  const std::uint64_t max = p.epoch * steps_in(images) + steps_in(p.position);
  require(p.step <= max && p.step + (images % batch == 1 ? p.epoch : 0) >= max,
          "step " + text(max) + " after " + with_s(p.epoch, "epoch") + " and " + with_s(p.position, "image"),
          "step " + text(p.step));
  const auto is_sum = [](double x) { return program::is_finite(x) && x >= 0; };
  require(is_sum(p.sums.loss_sum) && is_sum(p.sums.weight_sum) && p.sums.correct >= 0 &&
              p.sums.correct <= p.sums.count && static_cast<std::uint64_t>(p.sums.count) <= images,
          "sums of losses, weights and right answers over at most " + with_s(images, "image"),
          program::decimal(p.sums.loss_sum) + ", " + program::decimal(p.sums.weight_sum) + " and " +
              std::to_string(p.sums.correct) + " of " + std::to_string(p.sums.count));
}

// --- data -------------------------------------------------------------------------------------------------------------

// Mean and standard deviation of pixel / 255, from exact sums, so the result is the same on every machine.
ImageOptions normalisation_of(const ImageSet& set) {
  constexpr std::size_t block = 1 << 15;  // whose sums fit in 32 bits, so that more of them fit in a vector register
  std::uint64_t sum = 0, squares = 0;
  for (std::size_t begin = 0; begin < set.pixels.size(); begin += block) {
    std::uint32_t s = 0, q = 0;
    for (const std::uint32_t p : std::span(set.pixels).subspan(begin).first(std::min(block, set.pixels.size() - begin)))
      s += p, q += p * p;
    sum += s;
    squares += q;
  }
  const double n = static_cast<double>(set.pixels.size()), mean = static_cast<double>(sum) / n;
  const double deviation = std::sqrt(std::fmax(0, static_cast<double>(squares) / n - mean * mean));
  return {mean / 255, deviation > 0 ? deviation / 255 : 1};
}

void unpack(const std::string& folder, const ImageFolder& data) {
  if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST)
    throw Error("unpack", std::string("expected a folder that can be made, got \"") + std::strerror(errno) + "\"",
                folder);
  const auto write = [&](const ImageSet& set, const std::string& part) {
    save_images(folder + "/" + part + "-images-idx3-ubyte", set);
    save_labels(folder + "/" + part + "-labels-idx1-ubyte", set.labels);
  };
  write(data.train, "train");
  write(data.test, "t10k");
  std::printf("wrote %d training and %d test images with their labels into %s\n", data.train.count, data.test.count,
              program::one_line(folder).c_str());
}

// --- metrics ----------------------------------------------------------------------------------------------------------

/// The file of --metrics: one JSON object per line, one line per epoch. Always written as a whole, so no line is cut.
class Metrics {
 public:
  /// An existing file is overwritten only if it looks like a metrics file.
  explicit Metrics(const std::string& path) {
    if (path.empty()) return;
    file_.emplace(path);
    if (path_kind(file_->path()) == PathKind::none) return;
    char start[128];
    const std::size_t n = InputFile(file_->path()).read(std::as_writable_bytes(std::span(start)));
    const std::string_view text(start, n);
    if (n > 0) epoch_of(text.substr(0, text.find('\n')));
  }

  /// Keeps the lines of the first `epochs` epochs.
  void keep(std::uint64_t epochs) {
    if (!file_ || path_kind(file_->path()) == PathKind::none) return;
    const std::vector<std::byte> bytes = read_file(file_->path());
    const std::string_view old(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (std::size_t at = 0, end; at < old.size(); at = end + 1) {
      end = std::min(old.find('\n', at), old.size());
      const std::string_view line = old.substr(at, end - at);
      if (epoch_of(line) <= epochs) text_.append(line).append("\n");
    }
  }

  std::vector<std::string> notes() const { return file_ ? file_->notes() : std::vector<std::string>(); }

  void write() const {
    if (!file_) return;
    const Bytes bytes = bytes_of(text_);
    write_file_atomically(*file_, std::span(&bytes, 1));
  }

  void add(const Progress& p, const LossSums& test, double lr, double images_per_second, double seconds) {
    const auto number = [](double x) { return program::is_finite(x) ? program::decimal(x) : "null"; };
    text_.append(key).append(std::to_string(p.epoch)).append(", \"step\": ").append(std::to_string(p.step));
    const std::pair<const char*, double> rest[] = {{"train_loss", p.sums.loss()},
                                                   {"test_loss", test.loss()},
                                                   {"test_accuracy", test.accuracy()},
                                                   {"lr", lr},
                                                   {"images_per_second", std::round(images_per_second)},
                                                   {"seconds", std::round(seconds * 1000) / 1000}};
    for (const auto& [name, value] : rest) text_.append(", \"").append(name).append("\": ").append(number(value));
    text_.append("}\n");
    write();
  }

 private:
  static constexpr std::string_view key = "{\"epoch\": ";

  std::uint64_t epoch_of(std::string_view line) const {
    std::uint64_t epoch = 0;
    if (line.substr(0, key.size()) != key ||
        std::from_chars(line.data() + key.size(), line.data() + line.size(), epoch).ec != std::errc{})
      throw Error("metrics",
                  "expected a file of lines that begin " + std::string(key) + "N, got " + in_quotes(line) +
                      ": name another file",
                  file_->path());
    return epoch;
  }

  std::optional<FileLock> file_;
  std::string text_;
};

// Runs f in another thread while this one goes on. If there can be no other thread, runs it when the result is needed.
template <class F>
std::shared_future<std::string> start(F f) {
  try {
    return std::async(std::launch::async, f).share();
  } catch (const std::system_error&) {
    return std::async(std::launch::deferred, f).share();
  }
}

// The largest number of steps per launch for which every checkpoint falls between two launches.
int steps_per_launch(std::uint64_t every) {
  int steps = 64;
  while (every % static_cast<std::uint64_t>(steps) != 0) --steps;
  return steps;
}

// --- the program ------------------------------------------------------------------------------------------------------

int train(int argc, char** argv) {
  Options options = options_of_train();
  if (!options.parse(argc, argv)) return 0;
  const std::string out = options.text("--out");
  if (out.empty()) options.refuse("--out", "to be a file");
  if (options.text("--checkpoint").empty()) options.set("--checkpoint", out + ".checkpoint");
  const std::string checkpoint = options.text("--checkpoint");
  const bool automatic = options.text("--resume") == "auto";
  if (automatic) options.set("--resume", path_kind(checkpoint) == PathKind::none ? "" : checkpoint);
  const std::string resume = options.text("--resume");
  options.require_separate_files({"--out", "--checkpoint", "--metrics"}, {});
  options.require_separate_files({"--out", "--metrics"}, {"--resume"});  // --checkpoint may equal --resume
  const std::uint64_t every = options.text("--checkpoint-every").empty()
                                  ? 0
                                  : static_cast<std::uint64_t>(options.whole("--checkpoint-every", 1));
  const int threads = static_cast<int>(options.whole("--threads", 0, 1024));
  const std::uint64_t test_limit = static_cast<std::uint64_t>(options.whole("--test-limit", 0));
  const std::string& wanted = options.one_of("--device", {"auto", "cpu", "cuda"});

  std::optional<SafeTensors> resumed;
  if (!resume.empty()) {
    resumed.emplace(SafeTensors::open(resume));
    check_format(*resumed);
  }
  const Course course = resumed ? resumed_course(options, *resumed) : Course(options);
  const program::DeviceChoice choice_of_device = program::choose_device(wanted, course.precision, threads);

  const program::DataChoice choice = program::choose_data(options.text("--data"));
  if (!options.text("--unpack").empty()) {
    unpack(options.text("--unpack"), load_image_folder(choice.folder, program::classes, inflate_if_gz));
    return 0;
  }
  options.require_no_data_written({"--out", "--checkpoint", "--metrics"}, choice.folder);
  const FileLock out_file(out), checkpoint_file(checkpoint);  // a second writer fails before any work
  Metrics metrics(options.text("--metrics"));

  const ImageFolder sets = load_image_folder(choice.folder, program::classes, inflate_if_gz);
  program::stop_if_asked();
  if (sets.train.channels != 1 || sets.train.height != 28 || sets.train.width != 28)
    throw Error("train",
                "expected pictures of 28 x 28 pixels for model " + course.model + ", got " +
                    std::to_string(sets.train.height) + " x " + std::to_string(sets.train.width),
                choice.folder);
  const std::shared_future<std::string> sha256 = start([&] { return dataset_sha256(sets.train); });
  if (resumed && metadata_of(*resumed, "data.sha256") != sha256.get())
    throw Error("resume",
                "expected the training images of the checkpoint, SHA-256 " +
                    metadata_of(*resumed, "data.sha256").substr(0, 16) + "..., got " + sha256.get().substr(0, 16) +
                    "...: choose them with --data",
                choice.folder);
  program::stop_if_asked();

  ImageOptions image_options = normalisation_of(sets.train);
  const program::ModelInfo info{course.model, choice.classes, image_options.mean, image_options.deviation};
  const ImageData test(sets.test, image_options, test_limit);
  image_options.shift = course.shifts();
  image_options.flip = course.flips();
  const ImageData data(sets.train, image_options, course.limit);

  // A batch larger than the data would only cost memory.
  const int capacity = static_cast<int>(
      std::min<std::uint64_t>(static_cast<std::uint64_t>(course.batch), std::max(data.size(), test.size())));
  const std::uint64_t steps_an_epoch =
      (data.size() + static_cast<std::uint64_t>(capacity) - 1) / static_cast<std::uint64_t>(capacity);
  const std::uint64_t steps = steps_an_epoch * static_cast<std::uint64_t>(course.epochs);
  const std::string isa = choice_of_device.isa(), device = choice_of_device.name();
  const std::unique_ptr<AnySession> training =
      program::make_training(course.model,
                             {.seed = {course.seed},
                              .capacity = capacity,
                              .optimizer = course.make_optimizer(),
                              .trainer = {.schedule = course.make_schedule(static_cast<std::int64_t>(steps)),
                                          .clip_norm = course.clip_norm,
                                          .steps_per_launch = steps_per_launch(every)}},
                             choice_of_device);
  Progress& progress = training->progress();

  Metadata metadata = info.to_metadata();
  const Metadata model_metadata = metadata;
  metadata.merge(course.to_metadata());
  metadata.merge(Metadata{{"device", device}, {"isa", isa}});

  using Style = ProgressBar::Style;
  ProgressBar bar(options.on("--quiet") ? Style::quiet : program::can_redraw() ? Style::redrawn : Style::plain);
  bar.say("data    " + choice.name + ": " + with_s(data.size(), "training image") + ", " +
          with_s(test.size(), "test image") + " (" + choice.folder + ")");
  bar.say("model   " + course.model + ", " + std::to_string(training->parameter_count()) + " parameters");
  bar.say("device  " + choice_of_device.describe());
  bar.say("train   " + with_s(static_cast<std::uint64_t>(course.epochs), "epoch") + " of " +
          with_s(steps_an_epoch, "step") + ", batch " + std::to_string(course.batch) + ", " + course.optimizer +
          " at " + program::decimal(course.lr) + ", " + course.schedule + ", seed " + std::to_string(course.seed) +
          (course.augment == "none" ? "" : ", augment " + course.augment));

  program::Notes printed;
  const auto print_notes_of_files = [&] {
    const auto say = [&](const std::string& note) { bar.say("note    " + note); };
    printed.add(out_file.notes(), say);
    printed.add(checkpoint_file.notes(), say);
    printed.add(metrics.notes(), say);
  };
  print_notes_of_files();

  if (resumed) {
    training->load_checkpoint(*resumed);
    check_progress(progress, data.size(), static_cast<std::uint64_t>(capacity),
                   static_cast<std::uint64_t>(course.epochs), resume);
    bar.say("resume  from step " + std::to_string(progress.step) + " of " + std::to_string(steps) + " (" + resume +
            ")");
    for (const auto& [key, now] : {std::pair<std::string, std::string>{"device", device}, {"isa", isa}})
      if (metadata_of(*resumed, key) != now)
        bar.say("note    " + key + " " + metadata_of(*resumed, key) + " in the checkpoint, " + now +
                " now: bits differ from here on");
    metrics.keep(progress.epoch);
    resumed.reset();
  } else if (automatic) {
    bar.say("resume  no " + checkpoint + " yet, so from the start");
  }
  training->prepare(data);
  training->prepare(test);
  metadata["data.sha256"] = sha256.get();
  metrics.write();
  program::stop_if_asked();

  program::end_by_itself();  // from here on there is something to save
  const auto save_checkpoint = [&] {
    training->verify_last_update();
    training->save_checkpoint(checkpoint_file, metadata);
    print_notes_of_files();
  };
  // Saves the state after the last step, so that nothing is lost.
  const auto interrupt = [&] {
    save_checkpoint();
    bar.clear();
    throw Interrupted{program::caught_signal(), "saved step " + std::to_string(progress.step) + " of " +
                                                    std::to_string(steps) + " in " + checkpoint + "; --resume " +
                                                    checkpoint + " goes on"};
  };
  const auto go_on = [] { return program::caught_signal() == 0; };
  const auto each_batch = [&](std::uint64_t, std::span<const float>) { return go_on(); };
  const auto four_digits = [](double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4f", x);
    return std::string(text);
  };

  LossSums tested;
  // Finite weights may be so large that outputs are not finite. Such a model and its checkpoint overwrite no file.
  const auto require_finite_loss = [&] {
    if (program::is_finite(tested.loss())) return;
    bar.clear();
    throw program::Failure(std::string(NonFinite("test loss", progress.step, "the evaluation after it").what()) +
                           "; nothing was saved after it");
  };
  bool noted = false;
  try {
    while (progress.epoch < static_cast<std::uint32_t>(course.epochs)) {
      if (progress.position == 0) progress.sums = {};
      const std::string title = "epoch " + std::to_string(progress.epoch + 1) + "/" + std::to_string(course.epochs);
      bar.begin(title, progress.position, data.size());
      Progress last = progress;  // of the last step
      const auto on_step = [&](const LossSums&) {
        last = progress;
        bar.at(progress.position, progress.sums.loss(), progress.sums.accuracy());
        if (every > 0 && progress.step % every == 0) save_checkpoint();
        return go_on();
      };
      if (!training->epoch(data, on_step)) interrupt();
      const double seconds = bar.seconds(), rate = bar.images_per_second(last.position);
      if (!noted && training->skipped() > 0) {
        noted = true;
        bar.say("note    the last " + with_s(training->skipped(), "image") +
                " of each epoch is left out, because BatchNorm needs more than one value a channel");
      }

      tested = training->evaluate(test, each_batch);
      if (!go_on()) {
        progress = last;  // the end of the epoch, with its evaluation, is still to do
        interrupt();
      }
      require_finite_loss();
      char speed[64];
      std::snprintf(speed, sizeof speed, "  %.0f images/s  %.1f s", rate, seconds);
      bar.say(title + "  loss " + four_digits(progress.sums.loss()) + "  accuracy " +
              four_digits(progress.sums.accuracy()) + "  test accuracy " + four_digits(tested.accuracy()) + speed);
      const std::int64_t last_step = progress.step > 0 ? static_cast<std::int64_t>(progress.step) - 1 : 0;
      metrics.add(progress, tested, training->optimizer().lr * training->schedule().at(last_step), rate, bar.seconds());
      if (every == 0 || progress.epoch == static_cast<std::uint32_t>(course.epochs)) save_checkpoint();
    }
  } catch (const NonFinite& e) {
    bar.clear();
    std::string saved = "nothing was saved, for no good step was made";
    if (progress.step > 0) {
      saved = out + " holds the weights before it";
      try {
        training->save_model(out_file, model_metadata);
      } catch (const Error& why) {
        saved = "the weights before it were not saved: " + std::string(why.what());
      }
    }
    throw program::Failure(std::string(e.what()) + "; " + saved);
  }
  if (tested.count == 0) {  // resumed at the end
    tested = training->evaluate(test, each_batch);
    if (!go_on()) interrupt();
    require_finite_loss();
    if (!same_file(checkpoint, resume)) save_checkpoint();  // else an older one of another training would remain
  }
  training->save_model(out_file, model_metadata);
  bar.say("saved   " + out + " and " + checkpoint + "; test accuracy " + four_digits(tested.accuracy()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  program::catch_signals();
  return program::run("tenon-train", train, argc, argv);
}
