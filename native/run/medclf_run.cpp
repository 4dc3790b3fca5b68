// medclf-run: JSON lines in, JSON lines out, in windows, so that memory does not grow with the input.
#include <cstdio>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "json.hpp"
#include "quoting.hpp"

namespace {

using medclf::core::Json;
using medclf::core::JsonError;
using medclf::core::quoted;
using Classifier = std::unique_ptr<medclf_classifier, void (*)(medclf_classifier*)>;

constexpr size_t kWindowTexts = 2'048;
constexpr size_t kWindowBytes = 4'000'000;

void check(medclf_status status) {
  if (status != MEDCLF_OK) throw std::runtime_error(medclf_last_error());
}

Classifier open(const run::Arguments& arguments) {
  medclf_options options{};
  options.struct_size = sizeof options;
  options.precision = arguments.precision;
  options.mode = arguments.mode;
  options.threads = arguments.threads;
  options.runtime = arguments.runtime.empty() ? nullptr : arguments.runtime.c_str();
  medclf_classifier* classifier = nullptr;
  check(medclf_open(arguments.bundle.c_str(), &options, &classifier));
  return {classifier, medclf_close};
}

/// Some lines of the input.
struct Window {
  std::vector<std::string> texts, pairs;
  size_t first_row = 1;
};

void take(Window& window, const std::string& line, size_t row) {
  try {
    const Json json = Json::parse(line);
    window.texts.push_back(json.at("text").string());
    if (const Json* pair = json.find("text_pair")) window.pairs.push_back(pair->string());
    if (!window.pairs.empty() && window.pairs.size() != window.texts.size()) {
      throw JsonError("some rows have a text_pair and some have none");
    }
  } catch (const JsonError& error) {
    throw std::runtime_error("row " + std::to_string(row) + ": " + error.what() + ".");
  }
}

/// Reads the next lines; false at the end of the input.
bool read(Window& window) {
  window = {{}, {}, window.first_row + window.texts.size()};
  size_t n_bytes = 0;
  for (std::string line;
       window.texts.size() < kWindowTexts && n_bytes < kWindowBytes && std::getline(std::cin, line);) {
    n_bytes += line.size();
    take(window, line, window.first_row + window.texts.size());
  }
  return !window.texts.empty();
}

std::vector<medclf_text> views(const std::vector<std::string>& texts) {
  std::vector<medclf_text> found;
  for (const std::string& text : texts) found.push_back({text.data(), text.size()});
  return found;
}

std::string number(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return text;
}

/// The answers to a window, and how each becomes a line.
class Answers {
 public:
  Answers(const medclf_classifier* classifier, const Window& window, bool skip_errors)
      : classifier_(classifier),
        n_labels_(medclf_n_labels(classifier)),
        probabilities_(window.texts.size() * n_labels_),
        decisions_(window.texts.size() * n_labels_),
        n_cut_(window.texts.size()),
        faults_(window.texts.size()),
        abstained_(window.texts.size()) {
    medclf_results results{};
    results.struct_size = sizeof results;
    results.probabilities = probabilities_.data();
    results.decisions = decisions_.data();
    results.n_cut = n_cut_.data();
    results.faults = faults_.data();
    results.abstained = abstained_.data();
    const std::vector<medclf_text> texts = views(window.texts), pairs = views(window.pairs);
    check(medclf_classify(classifier, texts.data(), pairs.empty() ? nullptr : pairs.data(), texts.size(), &results));
    for (size_t i = 0; i < faults_.size() && !skip_errors; ++i) {
      if (faults_[i] != MEDCLF_FAULT_NONE) {
        throw std::runtime_error("row " + std::to_string(window.first_row + i) + ": the text " +
                                 medclf_fault_reason(faults_[i]) +
                                 ". Correct the row, or pass --on-error skip to classify the others.");
      }
    }
  }

  std::string line(size_t i, size_t row) const {
    std::string line = "{\"row\": " + std::to_string(row);
    if (faults_[i] != MEDCLF_FAULT_NONE) {
      return line + ", \"label\": null, \"error\": " + quoted(medclf_fault_reason(faults_[i])) + "}";
    }
    const bool truncated = n_cut_[i] > 0;
    if (abstained_[i]) {
      line += ", \"label\": null, \"abstained\": true";
    } else {
      line += ", \"label\": " + label(i);
    }
    line += std::string(", \"truncated\": ") + (truncated ? "true" : "false") + ", \"probabilities\": {";
    for (size_t j = 0; j < n_labels_; ++j) {
      line += (j ? ", " : "") + name(j) + ": " + number(probabilities_[i * n_labels_ + j]);
    }
    return line + "}}";
  }

 private:
  std::string name(size_t j) const { return quoted(medclf_label(classifier_, j)); }

  /// One name, or a list of names where a text may have several.
  std::string label(size_t i) const {
    std::string names;
    for (size_t j = 0; j < n_labels_; ++j) {
      if (decisions_[i * n_labels_ + j]) names += (names.empty() ? "" : ", ") + name(j);
    }
    return medclf_multi_label(classifier_) ? "[" + names + "]" : names;
  }

  const medclf_classifier* classifier_;
  size_t n_labels_;
  std::vector<float> probabilities_;
  std::vector<uint8_t> decisions_;
  std::vector<int64_t> n_cut_;
  std::vector<int32_t> faults_;
  std::vector<uint8_t> abstained_;
};

void classify(const run::Arguments& arguments) {
  const Classifier classifier = open(arguments);
  Window window;
  while (read(window)) {
    const Answers answers(classifier.get(), window, arguments.skip_errors);
    for (size_t i = 0; i < window.texts.size(); ++i) std::cout << answers.line(i, window.first_row + i) << '\n';
  }
  if (!std::cout.flush()) throw std::runtime_error("the answers cannot be written: is the disk full?");
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const std::string first = argc > 1 ? argv[1] : "";
  if (first == "--help" || first == "--version") {
    std::cout << (first == "--help" ? std::string(run::kUsage) : std::string(medclf_version()) + "\n");
    return 0;
  }
  try {
    classify(run::parse(argc, argv));
    return 0;
  } catch (const run::UsageError& error) {
    std::cerr << "medclf-run: " << error.what() << ".\n\n" << run::kUsage;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "medclf-run: " << error.what() << "\n";
    return 1;
  }
}
