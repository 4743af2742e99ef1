// tenon-evaluate: evaluates a saved model on images: accuracy, loss, predictions, and an HTML report.
//   tenon-evaluate model.safetensors --report report.html
//   tenon-evaluate model.safetensors --images digits.idx --predictions digits.csv
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tenon/data/gz.hpp>
#include <tenon/data/images.hpp>
#include <vector>

#include "finite.hpp"
#include "prediction.hpp"
#include "program.hpp"
#include "report.hpp"

using namespace tenon;
using program::Options;
using program::UsageError;

namespace {

Options options_of_evaluate() {
  Options o("tenon-evaluate",
            "Evaluates a model that tenon-train or PyTorch saved as safetensors.\n"
            "Each flag has an environment variable, in brackets; flags win.");
  o.add_argument("MODEL", "The model's file");
  o.add("--data", "DIR|fashion-mnist|mnist", "fashion-mnist",
        "Folder with four IDX files, whose test part is used, or a known data set");
  o.add("--images", "FILE", "", "Instead of --data: an IDX file of images, plain or gz");
  o.add("--labels", "FILE", "",
        "The IDX file of their labels; without it images are predicted and nothing is measured");
  o.add("--predictions", "FILE.csv", "", "Write label, prediction and logits of each image");
  o.add("--json", "FILE", "", "Write accuracy, loss, count, per_class, confusion and model");
  o.add("--report", "FILE.html", "", "Write a page to look at");
  o.add("--metrics", "FILE.jsonl", "",
        "For the report's curves, what tenon-train --metrics wrote (MODEL's name with .jsonl, if there is one)");
  o.add("--model", "mlp|lenet|cnn|resnet", "", "Network, for a file that does not say");
  o.add("--mean", "X", "", "Subtracted from pixel / 255, for a file that does not say (0)");
  o.add("--std", "X", "", "What the difference is divided by, for a file that does not say (1)");
  o.add("--threads", "N", "0", "Threads; 0: all that this process may use");
  o.add("--device", "auto|cpu|cuda", "auto", "Where to compute");
  return o;
}

/// A file that is written at the end and locked at the start, so that an unwritable file is found before the work.
class Output {
 public:
  explicit Output(const std::string& path) {
    if (!path.empty()) lock_.emplace(path);
  }
  explicit operator bool() const { return lock_.has_value(); }
  std::vector<std::string> notes() const { return lock_ ? lock_->notes() : std::vector<std::string>(); }
  void write(std::string_view text) const {
    const Bytes bytes = bytes_of(text);
    write_file_atomically(*lock_, std::span(&bytes, 1));
    std::printf("wrote   %s\n", program::one_line(lock_->path()).c_str());
  }

 private:
  std::optional<FileLock> lock_;
};

// --- the model --------------------------------------------------------------------------------------------------------

// The model's metadata come from its file. Flags supply what the file lacks and must not contradict it.
program::ModelInfo model_info(const Options& o, const SafeTensors& file, std::vector<std::string> classes) {
  program::ModelInfo info;
  info.classes = std::move(classes);
  info.take(file.metadata(), file.where());
  const auto says = [&](const char* key) { return file.metadata().count(key) > 0; };
  const auto refuse = [&](const char* flag, const std::string& value) {
    throw UsageError(o.name(flag) + " " + value + " as in the file", in_quotes(o.text(flag)), file.where());
  };
  if (o.given("--model")) {
    const std::string& model = o.one_of("--model", {"mlp", "lenet", "cnn", "resnet"});
    if (says("model") && info.model != model) refuse("--model", info.model);
    info.model = model;
  }
  if (o.given("--mean")) {
    const double mean = o.number("--mean");
    if (says("input.mean") && info.mean != mean) refuse("--mean", program::decimal(info.mean));
    info.mean = mean;
  }
  if (o.given("--std")) {
    const double deviation = o.positive("--std");
    if (says("input.std") && info.deviation != deviation) refuse("--std", program::decimal(info.deviation));
    info.deviation = deviation;
  }
  if (info.model.empty())
    throw UsageError("--model mlp, lenet, cnn or resnet for a file whose metadata name no model", "none", file.where());
  return info;
}

// --- output files -----------------------------------------------------------------------------------------------------

// Logits are written as the shortest decimals that read back as the same floats.
std::string predictions_csv(const ImageSet& set, const std::vector<float>& logits) {
  std::string csv = "index,label,prediction";
  for (int c = 0; c < program::classes; ++c) csv += ",logit_" + std::to_string(c);
  csv += '\n';
  for (std::size_t i = 0; i < static_cast<std::size_t>(set.count); ++i) {
    const std::span<const float> row(logits.data() + i * program::classes, program::classes);
    csv += std::to_string(i) + ',';
    if (!set.labels.empty()) csv += std::to_string(set.labels[i]);
    csv += ',' + std::to_string(program::Decision(row).prediction);
    for (const float logit : row) {
      char text[32];
      csv += ',';
      csv.append(text, std::to_chars(text, text + sizeof text, logit).ptr);
    }
    csv += '\n';
  }
  return csv;
}

// One line for each class and each row of the confusion matrix. NaN (nothing was measured) becomes null.
std::string metrics_json(const program::ModelInfo& info, const program::Scores& scores, int count) {
  using Json = nlohmann::ordered_json;
  std::vector<Json> per_class, confusion;
  for (int c = 0; scores.count() > 0 && c < scores.classes(); ++c) {
    Json row = Json::array();
    for (int k = 0; k < scores.classes(); ++k) row.push_back(scores.at(c, k));
    confusion.push_back(row);
    per_class.push_back({{"label", c},
                         {"name", info.classes[static_cast<std::size_t>(c)]},
                         {"count", scores.labelled(c)},
                         {"precision", scores.precision(c)},
                         {"recall", scores.recall(c)},
                         {"f1", scores.f1(c)}});
  }
  const auto value = [](const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); };
  const auto lines = [&](const std::vector<Json>& list) {
    std::string s = "[";
    for (std::size_t i = 0; i < list.size(); ++i) s += (i > 0 ? ",\n    " : "\n    ") + value(list[i]);
    return s + (list.empty() ? "]" : "\n  ]");
  };
  return "{\n  \"model\": " + value(info.model) + ",\n  \"count\": " + value(count) +
         ",\n  \"accuracy\": " + value(scores.accuracy()) + ",\n  \"loss\": " + value(scores.loss()) +
         ",\n  \"per_class\": " + lines(per_class) + ",\n  \"confusion\": " + lines(confusion) + "\n}\n";
}

// Reads the lines of tenon-train --metrics.
std::vector<program::EpochMetrics> read_metrics(const std::string& path) {
  const std::vector<std::byte> bytes = read_file(path, std::uint64_t{1} << 28);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<program::EpochMetrics> epochs;
  int number = 0;
  for (std::size_t at = 0, end; at < text.size(); at = end + 1) {
    end = std::min(text.find('\n', at), text.size());
    ++number;
    const auto line = nlohmann::json::parse(text.substr(at, end - at), nullptr, false);
    const auto field = [&](const char* name) {
      const auto found = line.find(name);
      return found != line.end() && found->is_number() ? found->get<double>()
                                                       : std::numeric_limits<double>::quiet_NaN();
    };
    if (!line.is_object() || !program::is_finite(field("epoch")) || !(field("epoch") >= 0 && field("epoch") <= 1e6))
      throw Error("read_metrics", "expected lines of JSON with an epoch, got another line " + std::to_string(number),
                  path);
    const program::EpochMetrics e{field("epoch"),         field("train_loss"), field("test_loss"),
                                  field("test_accuracy"), field("lr"),         field("images_per_second")};
    if (!epochs.empty() && !(e.epoch > epochs.back().epoch))
      throw Error(
          "read_metrics",
          "expected epochs in ascending order, got " + program::decimal(e.epoch) + " in line " + std::to_string(number),
          path);
    epochs.push_back(e);
  }
  return epochs;
}

std::string file_name(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

// model.jsonl for model.safetensors
std::string metrics_beside(const std::string& model) {
  const std::size_t dot = model.rfind('.'), slash = model.rfind('/');
  const bool extension = dot != std::string::npos && (slash == std::string::npos || dot > slash + 1);
  return (extension ? model.substr(0, dot) : model) + ".jsonl";
}

std::vector<program::Mistake> worst_mistakes(const ImageSet& set, const std::vector<float>& logits, std::size_t max) {
  std::vector<program::Mistake> mistakes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(set.count); ++i) {
    const program::Decision d(std::span<const float>(logits).subspan(i * program::classes, program::classes));
    if (d.prediction != set.labels[i]) mistakes.push_back({i, set.labels[i], d.prediction, d.confidence, {}});
  }
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const auto& a, const auto& b) { return a.confidence > b.confidence; });
  mistakes.resize(std::min(mistakes.size(), max));
  for (program::Mistake& m : mistakes)
    m.picture = program::png(set.image(static_cast<int>(m.index)), set.width, set.height, set.channels);
  return mistakes;
}

// --- the program ------------------------------------------------------------------------------------------------------

int evaluate(int argc, char** argv) {
  Options options = options_of_evaluate();
  if (!options.parse(argc, argv)) return 0;
  const std::string images = options.text("--images"), labels = options.text("--labels");
  const bool labelled = images.empty() || !labels.empty();
  if (options.text("MODEL").empty()) options.refuse("MODEL", "to be a file");
  if (images.empty() && !labels.empty()) throw UsageError("--images with " + options.name("--labels"), "none");
  if (!labelled && !options.text("--report").empty())
    throw UsageError("--labels for a " + options.name("--report"), "none");
  const int threads = static_cast<int>(options.whole("--threads", 0, 1024));
  const program::DeviceChoice device =
      program::choose_device(options.one_of("--device", {"auto", "cpu", "cuda"}), "fp32", threads);
  options.require_separate_files({"--predictions", "--json", "--report"},
                                 {"MODEL", "--images", "--labels", "--metrics"});
  const Output predictions(options.text("--predictions")), json(options.text("--json")),
      report(options.text("--report"));

  // Setup: finds errors before anything is computed.
  const SafeTensors file = SafeTensors::open(options.text("MODEL"));
  program::DataChoice choice;
  ImageSet set;
  if (images.empty()) {
    choice = program::choose_data(options.text("--data"));
    options.require_no_data_written({"--predictions", "--json", "--report"}, choice.folder);
    set = load_image_part(choice.folder, "t10k", program::classes, inflate_if_gz);
  } else {
    choice.name = file_name(images);
    choice.folder = images;
    for (int c = 0; c < program::classes; ++c) choice.classes.push_back(std::to_string(c));
    set =
        labelled ? load_image_set(images, labels, program::classes, inflate_if_gz) : load_images(images, inflate_if_gz);
  }
  const program::ModelInfo info = model_info(options, file, choice.classes);
  if (set.channels != 1 || set.height != 28 || set.width != 28)
    throw Error("evaluate",
                "expected pictures of 28 x 28 pixels for model " + info.model + ", got " + std::to_string(set.height) +
                    " x " + std::to_string(set.width),
                choice.folder);
  std::vector<program::EpochMetrics> epochs;
  std::string metrics = options.text("--metrics");
  std::vector<std::string> notes;
  if (!images.empty() && options.given("--data"))
    notes.push_back(options.name("--data") + " is not used, because " + options.name("--images") + " is given");
  if (!report && !metrics.empty()) notes.push_back(options.name("--metrics") + " is not used without --report");
  if (report && !metrics.empty()) {
    epochs = read_metrics(metrics);
  } else if (report && path_kind(metrics_beside(file.where())) == PathKind::file) {
    metrics = metrics_beside(file.where());
    try {
      epochs = read_metrics(metrics);
    } catch (const Error& e) {  // the user did not name this file, so it is no error
      notes.push_back(std::string("no curves: ") + e.what());
    }
  }
  program::stop_if_asked();

  std::printf("data    %s: %d %s (%s)\n", program::one_line(choice.name).c_str(), set.count,
              images.empty() ? "test images"
              : labelled     ? "labelled images"
                             : "images without labels",
              program::one_line(choice.folder).c_str());
  std::printf("model   %s, input (pixel / 255 - %s) / %s\n",
              program::one_line(info.model + " (" + file.where() + ")").c_str(), program::decimal(info.mean).c_str(),
              program::decimal(info.deviation).c_str());
  program::Notes printed;
  const auto print_note = [](const std::string& note) { std::printf("note    %s\n", program::one_line(note).c_str()); };
  const auto print_notes_of_files = [&] {
    for (const Output* output : {&predictions, &json, &report}) printed.add(output->notes(), print_note);
  };
  printed.add(notes, print_note);
  print_notes_of_files();
  std::printf("device  %s\n", device.describe().c_str());
  std::fflush(stdout);

  const auto start = std::chrono::steady_clock::now();
  const program::Outputs out = program::predict(file, set, info, device);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  program::Scores scores(program::classes);
  for (std::size_t i = 0; i < set.labels.size(); ++i) {
    const std::span<const float> row(out.logits.data() + i * program::classes, program::classes);
    scores.add(set.labels[i], program::Decision(row), row);
  }
  program::stop_if_asked();

  if (predictions) predictions.write(predictions_csv(set, out.logits));
  if (json) json.write(metrics_json(info, scores, set.count));
  if (report) {
    std::vector<std::pair<std::string, std::string>> facts = {
        {"Model file", file_name(file.where())},
        {"Network", info.model + ", " + program::detail::grouped(out.parameters) + " parameters"},
        {"Data", file_name(choice.name)},
        {"Input", "(pixel / 255 - " + program::decimal(info.mean) + ") / " + program::decimal(info.deviation)},
        {"SHA-256 of images and labels", dataset_sha256(set)}};
    if (!epochs.empty()) facts.emplace_back("Curves", file_name(metrics));
    report.write(program::html({info.model, file_name(file.where()), file_name(choice.name), info.classes, scores,
                                worst_mistakes(set, out.logits, 20), epochs, facts}));
  }
  print_notes_of_files();
  if (labelled)
    std::printf("result  accuracy %.4f (%lld of %lld), loss %.4f, in %.2f s\n", scores.accuracy(),
                static_cast<long long>(scores.right()), static_cast<long long>(scores.count()), scores.loss(), seconds);
  else
    std::printf("result  %d predictions, in %.2f s\n", set.count, seconds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  program::catch_signals();
  return program::run("tenon-evaluate", evaluate, argc, argv);
}
