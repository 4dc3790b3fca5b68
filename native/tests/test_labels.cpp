#include <cmath>

#include "check.hpp"
#include "error.hpp"
#include "labels.hpp"

using namespace medclf::core;

namespace {

void single() {
  const Labels labels(kSingleLabel, {"a", "b", "c"}, std::nullopt, "here");
  float probabilities[3];
  const float logits[3] = {1000, 1001, 998};
  labels.probabilities(logits, probabilities);
  CHECK(std::abs(probabilities[0] + probabilities[1] + probabilities[2] - 1) < 1e-6F);
  CHECK(std::abs(probabilities[1] / probabilities[0] - std::exp(1.0F)) < 1e-5F);
  uint8_t given[3];
  labels.decide(probabilities, given);
  CHECK(given[0] == 0 && given[1] == 1 && given[2] == 0);
  const float equal[3] = {0.2F, 0.4F, 0.4F};
  labels.decide(equal, given);
  CHECK(given[1] == 1 && given[2] == 0);  // the first of the largest
  CHECK_EQUAL(labels.sha256(), "7074cc79dfba12b440956f9a52f207b8d5efd0c8788dfa1f246f29ea1225698c");
}

void several() {
  const Labels labels(kMultiLabel, {"a", "b"}, std::vector<double>{0.3, 0.9}, "here");
  float probabilities[2];
  const float logits[2] = {0, 200};
  labels.probabilities(logits, probabilities);
  CHECK_EQUAL(probabilities[0], 0.5F);
  CHECK_EQUAL(probabilities[1], 1.0F);
  uint8_t given[2];
  const float at[2] = {0.3F, 0.89F};
  labels.decide(at, given);
  CHECK(given[0] == 1 && given[1] == 0);
  Labels(kMultiLabel, {"a"}, std::nullopt, "here").decide(at, given);
  CHECK(given[0] == 0);
}

void unsure() {
  uint8_t given[3];
  const Labels labels(kSingleLabel, {"a", "b", "c"}, std::nullopt, "here", 0.5);
  const float low[3] = {0.2F, 0.49F, 0.31F}, at[3] = {0.5F, 0.2F, 0.3F};
  CHECK(labels.decide(low, given));
  CHECK(given[0] == 0 && given[1] == 0 && given[2] == 0);
  CHECK(!labels.decide(at, given));
  CHECK_EQUAL(given[0], 1);
  // the least sure of its decisions: 0.9 for a, which is given, and 1 - 0.375 for b, which is not
  const float several[2] = {0.9F, 0.375F};
  CHECK(!Labels(kMultiLabel, {"a", "b"}, std::vector<double>{0.3, 0.5}, "here", 0.625).decide(several, given));
  CHECK_EQUAL(given[0], 1);
  CHECK(Labels(kMultiLabel, {"a", "b"}, std::vector<double>{0.3, 0.5}, "here", 0.626).decide(several, given));
  CHECK_EQUAL(given[0], 0);
}

void faults() {
  CHECK_THROWS(Error, "here: the task is not known", Labels("regression", {"a", "b"}, std::nullopt, "here"));
  CHECK_THROWS(Error, "1 label(s) are too few", Labels(kSingleLabel, {"a"}, std::nullopt, "here"));
  CHECK_THROWS(Error, "0 label(s) are too few", Labels(kMultiLabel, {}, std::nullopt, "here"));
  CHECK_THROWS(Error, "has no name", Labels(kSingleLabel, {"a", ""}, std::nullopt, "here"));
  CHECK_THROWS(Error, "names repeat", Labels(kSingleLabel, {"a", "a"}, std::nullopt, "here"));
  CHECK_THROWS(Error, "abstain_below is not a probability",
               Labels(kSingleLabel, {"a", "b"}, std::nullopt, "here", 1.5));
  CHECK_THROWS(Error, "one threshold for each", Labels(kMultiLabel, {"a", "b"}, std::vector<double>{0.5}, "here"));
}

}  // namespace

int main() {
  single();
  several();
  unsure();
  faults();
  return check::result();
}
