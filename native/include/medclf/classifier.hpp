// A C++17 face of medclf.h: the classifier frees itself, and errors are exceptions. Header only, so that no type of the
// standard library crosses the ABI.
//
//     medclf::Classifier classifier("bundle");
//     for (const medclf::Answer& answer : classifier.classify({"Chest pain.", "Headache."})) {
//       std::cout << classifier.labels()[answer.label] << ' ' << answer.probabilities[answer.label] << '\n';
//     }
//
// Threads: `classify` may be called from any number of threads at once.
#ifndef MEDCLF_CLASSIFIER_HPP
#define MEDCLF_CLASSIFIER_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "medclf/medclf.h"

namespace medclf {

/// Anything but MEDCLF_OK; the message says what to do and never holds a piece of a text.
class Error : public std::runtime_error {
 public:
  Error(medclf_status status, const char* message) : std::runtime_error(message), status_(status) {}

  medclf_status status() const noexcept { return status_; }

 private:
  medclf_status status_;
};

/// The answer to one text. Where `fault` is not MEDCLF_FAULT_NONE, there is no other answer.
struct Answer {
  medclf_fault fault = MEDCLF_FAULT_NONE;
  std::size_t label = 0;             // the most probable one
  std::vector<std::size_t> given;    // every label that the text is given: `label`, or any number of them
  bool abstained = false;            // whether the answer is too unsure: a person should look, and `given` is empty
  std::vector<float> probabilities;  // of each label
  bool truncated = false;            // whether there are tokens that the model did not see
};

/// A model that is ready to answer.
class Classifier {
 public:
  /// Opens the folder of a bundle, or one .onnx file. Fields of `options` that are 0 take their defaults.
  explicit Classifier(const std::string& path, medclf_options options = {}) : classifier_(open(path, options)) {
    for (std::size_t i = 0; i < medclf_n_labels(get()); ++i) labels_.emplace_back(medclf_label(get(), i));
  }

  /// Classifies texts. A text with a fault is left without an answer, the others get theirs.
  std::vector<Answer> classify(const std::vector<std::string_view>& texts) const {
    return classify(views(texts), nullptr, texts.size());
  }

  /// Classifies pairs of texts, for a model that was trained on pairs.
  std::vector<Answer> classify(const std::vector<std::string_view>& texts,
                               const std::vector<std::string_view>& pairs) const {
    if (texts.size() != pairs.size()) throw Error(MEDCLF_ERROR_INPUT, "each text needs its second text.");
    return classify(views(texts), views(pairs).data(), texts.size());
  }

  /// Label names in the order of probabilities.
  const std::vector<std::string>& labels() const noexcept { return labels_; }

  /// The handle, for the functions of medclf.h.
  const medclf_classifier* get() const noexcept { return classifier_.get(); }

 private:
  using Texts = std::vector<medclf_text>;

  struct Close {
    void operator()(medclf_classifier* classifier) const noexcept { medclf_close(classifier); }
  };

  static void check(medclf_status status) {
    if (status != MEDCLF_OK) throw Error(status, medclf_last_error());
  }

  static medclf_classifier* open(const std::string& path, medclf_options& options) {
    options.struct_size = sizeof options;
    medclf_classifier* classifier = nullptr;
    check(medclf_open(path.c_str(), &options, &classifier));
    return classifier;
  }

  static Texts views(const std::vector<std::string_view>& texts) {
    Texts found;
    for (const std::string_view text : texts) found.push_back({text.data(), text.size()});
    return found;
  }

  std::vector<Answer> classify(const Texts& texts, const medclf_text* pairs, std::size_t n) const {
    const std::size_t n_labels = labels_.size();
    std::vector<float> probabilities(n * n_labels);
    std::vector<std::uint8_t> decisions(n * n_labels);
    std::vector<std::int64_t> n_cut(n);
    std::vector<std::int32_t> faults(n);
    std::vector<std::uint8_t> abstained(n);
    medclf_results results{};
    results.struct_size = sizeof results;
    results.probabilities = probabilities.data();
    results.decisions = decisions.data();
    results.n_cut = n_cut.data();
    results.faults = faults.data();
    results.abstained = abstained.data();
    check(medclf_classify(get(), texts.data(), pairs, n, &results));
    std::vector<Answer> answers(n);
    for (std::size_t i = 0; i < n; ++i) {
      answers[i].fault = static_cast<medclf_fault>(faults[i]);
      answers[i].abstained = abstained[i] != 0;
      answers[i].truncated = n_cut[i] > 0;
      if (faults[i] == MEDCLF_FAULT_NONE) {
        decide(answers[i], probabilities.data() + i * n_labels, decisions.data() + i * n_labels);
      }
    }
    return answers;
  }

  void decide(Answer& answer, const float* probabilities, const std::uint8_t* decisions) const {
    answer.probabilities.assign(probabilities, probabilities + labels_.size());
    answer.label =
        static_cast<std::size_t>(std::max_element(probabilities, probabilities + labels_.size()) - probabilities);
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      if (decisions[i] != 0) answer.given.push_back(i);
    }
  }

  std::unique_ptr<medclf_classifier, Close> classifier_;
  std::vector<std::string> labels_;
};

}  // namespace medclf

#endif
