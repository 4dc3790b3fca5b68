#include <algorithm>
#include <random>

#include "check.hpp"
#include "schedule.hpp"

using medclf::core::plan;
using Batches = std::vector<std::vector<size_t>>;

namespace {

void by_hand() {  // the same cases as tests/runtime/test_schedule.py
  CHECK(plan({10, 700, 200, 300, 10}, 512) == Batches{{1}, {3, 2, 0}, {4}});
  CHECK(plan({5, 5, 5}, 10) == Batches{{0, 1}, {2}});
  CHECK(plan({}, 512).empty());
}

void at_random() {
  std::mt19937 chance(1);
  for (int round = 0; round < 500; ++round) {
    std::vector<size_t> lengths(chance() % 80);
    for (size_t& length : lengths) length = 1 + chance() % 300;
    const size_t budget = 1 + chance() % 600;
    std::vector<size_t> seen;
    for (const std::vector<size_t>& batch : plan(lengths, budget)) {
      size_t total = 0;
      for (const size_t i : batch) total += lengths[i];
      CHECK(total <= budget || batch.size() == 1);
      seen.insert(seen.end(), batch.begin(), batch.end());
    }
    CHECK(std::is_sorted(seen.begin(), seen.end(), [&](size_t a, size_t b) { return lengths[a] > lengths[b]; }));
    std::sort(seen.begin(), seen.end());
    CHECK_EQUAL(seen.size(), lengths.size());
    for (size_t i = 0; i < seen.size(); ++i) CHECK_EQUAL(seen[i], i);
  }
}

}  // namespace

int main() {
  by_hand();
  at_random();
  return check::result();
}
