#include <atomic>
#include <stdexcept>

#include "check.hpp"
#include "workers.hpp"

using medclf::core::Workers;

namespace {

void each_part_once(size_t n_helpers) {
  Workers workers(n_helpers);
  for (size_t n : {0, 1, 2, 100}) {
    std::vector<std::atomic<int>> counts(n);
    workers.run(n, [&](size_t i) { ++counts[i]; });
    for (const auto& count : counts) CHECK_EQUAL(count.load(), 1);
  }
}

void many_callers() {
  Workers workers(3);
  std::atomic<size_t> sum{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) workers.run(20, [&](size_t part) { sum += part; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK_EQUAL(sum.load(), size_t{16 * 50 * 190});
}

void exceptions(size_t n_helpers) {
  Workers workers(n_helpers);
  for (int round = 0; round < 100; ++round) {
    CHECK_THROWS(std::runtime_error, "part 3", workers.run(50, [](size_t part) {
      if (part == 3) throw std::runtime_error("part 3");
    }));
  }
  std::atomic<int> n{0};
  workers.run(10, [&](size_t) { ++n; });  // as good as new
  CHECK_EQUAL(n.load(), 10);
}

}  // namespace

int main() {
  for (const size_t n_helpers : {0, 1, 3}) {
    each_part_once(n_helpers);
    exceptions(n_helpers);
  }
  many_callers();
  return check::result();
}
