// Which texts run together: the same rule as medclf/runtime/schedule.py, which must be changed with this file.
#pragma once

#include <cstddef>
#include <vector>

namespace medclf::core {

/// Real tokens of one run; schedule.py says why.
constexpr size_t kMaxBatchTokens = 512;

/// Groups texts of the given lengths (in tokens) into batches of at most `max_batch_tokens`, padding not counted; a
/// longer text makes a batch of its own. Longest texts come first; texts of equal length keep their order.
std::vector<std::vector<size_t>> plan(const std::vector<size_t>& lengths, size_t max_batch_tokens);

}  // namespace medclf::core
