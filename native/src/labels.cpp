#include "labels.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "error.hpp"
#include "quoting.hpp"
#include "sha256.hpp"

namespace medclf::core {

Labels::Labels(const std::string& task, std::vector<std::string> names,
               const std::optional<std::vector<double>>& thresholds, const std::string& where,
               std::optional<double> abstain_below)
    : names_(std::move(names)),
      multi_label_(task == kMultiLabel),
      thresholds_(names_.size(), 0.5F),
      abstain_below_(static_cast<float>(abstain_below.value_or(0))) {
  const auto refuse = [&where](const std::string& what) {
    throw Error(MEDCLF_ERROR_BUNDLE, where + ": " + what + " The bundle is damaged: export it again.");
  };
  if (!multi_label_ && task != kSingleLabel) refuse("the task is not known.");
  if (names_.size() < (multi_label_ ? 1 : 2)) refuse(std::to_string(names_.size()) + " label(s) are too few.");
  if (std::any_of(names_.begin(), names_.end(), [](const std::string& name) { return name.empty(); })) {
    refuse("a label has no name.");
  }
  if (std::set<std::string>(names_.begin(), names_.end()).size() != names_.size()) refuse("label names repeat.");
  if (!(abstain_below_ >= 0 && abstain_below_ <= 1)) refuse("abstain_below is not a probability.");
  if (!thresholds) return;
  if (thresholds->size() != names_.size()) refuse("there is not one threshold for each label.");
  std::transform(thresholds->begin(), thresholds->end(), thresholds_.begin(),
                 [](double value) { return static_cast<float>(value); });
}

std::string Labels::sha256() const {
  std::string list = "[" + quoted_ascii(multi_label_ ? kMultiLabel : kSingleLabel);
  for (const std::string& name : names_) list += ", " + quoted_ascii(name);
  return core::sha256(list + "]");
}

void Labels::probabilities(const float* logits, float* out) const {
  const size_t n = size();
  if (multi_label_) {
    // 1 / (1 + exp(-x)) by way of tanh, which never overflows
    for (size_t i = 0; i < n; ++i) out[i] = 0.5F * (1 + std::tanh(0.5F * logits[i]));
    return;
  }
  const float largest = *std::max_element(logits, logits + n);
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += out[i] = std::exp(logits[i] - largest);
  for (size_t i = 0; i < n; ++i) out[i] /= sum;
}

bool Labels::decide(const float* probabilities, uint8_t* out) const {
  const size_t n = size();
  float confidence = 1;
  if (multi_label_) {
    for (size_t i = 0; i < n; ++i) {
      out[i] = probabilities[i] >= thresholds_[i];
      confidence = std::min(confidence, out[i] ? probabilities[i] : 1 - probabilities[i]);
    }
  } else {
    const size_t best = static_cast<size_t>(std::max_element(probabilities, probabilities + n) - probabilities);
    std::fill_n(out, n, uint8_t{0});
    out[best] = 1;
    confidence = probabilities[best];
  }
  const bool abstains = confidence < abstain_below_;
  if (abstains) std::fill_n(out, n, uint8_t{0});
  return abstains;
}

}  // namespace medclf::core
