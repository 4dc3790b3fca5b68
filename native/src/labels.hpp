// The label contract: names in logit order, and how logits become a decision. Mirrors medclf/labels.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace medclf::core {

constexpr const char* kSingleLabel = "single_label_classification";
constexpr const char* kMultiLabel = "multi_label_classification";

/// Labels that were checked.
class Labels {
 public:
  /// `thresholds` are the probabilities from which each label is given, with several labels a text; none means 0.5.
  /// Below a confidence of `abstain_below` a text is given no answer. Throws an Error that begins with `where` if the
  /// contract is broken.
  Labels(const std::string& task, std::vector<std::string> names, const std::optional<std::vector<double>>& thresholds,
         const std::string& where, std::optional<double> abstain_below = std::nullopt);

  size_t size() const { return names_.size(); }
  const std::vector<std::string>& names() const { return names_; }
  bool multi_label() const { return multi_label_; }

  /// The hash of the task and the names, as medclf.json holds it.
  std::string sha256() const;

  /// Turns the logits of one text into probabilities: softmax for one label a text, a sigmoid each otherwise.
  void probabilities(const float* logits, float* out) const;

  /// Says which labels a text is given, 1 or 0 each; with one label a text, the first of the largest. Returns whether
  /// the answer is too unsure to be given, and then gives none.
  bool decide(const float* probabilities, uint8_t* out) const;

 private:
  std::vector<std::string> names_;
  bool multi_label_;
  std::vector<float> thresholds_;
  float abstain_below_;
};

}  // namespace medclf::core
