#include "schedule.hpp"

#include <algorithm>
#include <numeric>

namespace medclf::core {

std::vector<std::vector<size_t>> plan(const std::vector<size_t>& lengths, size_t max_batch_tokens) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
  std::vector<std::vector<size_t>> batches;
  size_t total = 0;
  for (const size_t index : order) {
    if (batches.empty() || total + lengths[index] > max_batch_tokens) {
      batches.emplace_back();
      total = 0;
    }
    batches.back().push_back(index);
    total += lengths[index];
  }
  return batches;
}

}  // namespace medclf::core
