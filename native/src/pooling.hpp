// The answers of a text's windows as one answer. The same formulas as medclf/pooling.py: change both.
#pragma once

#include <cstddef>
#include <vector>

#include "long_text.hpp"

namespace medclf::core {

/// Pools the logits of windows, [windows, labels] with those of a text one after the other, to [texts, labels]. Their
/// softmax, or the sigmoid of each, is the pooled probability; the logits of a text of one window are as they were.
std::vector<float> pool(const std::vector<float>& logits, const std::vector<size_t>& n_windows, size_t n_labels,
                        Pooling pooling, bool multi_label);

}  // namespace medclf::core
