// Which tokens make the rows of a long text, and how the answers of its windows become one.
#include <cmath>

#include "check.hpp"
#include "error.hpp"
#include "long_text.hpp"
#include "pooling.hpp"

using namespace medclf::core;

namespace {

std::string shown(const std::string& policy, size_t n_tokens, size_t room) {
  std::string found;
  for (const std::vector<Range>& row : rows_of(parse_long_text(policy, "here"), n_tokens, room)) {
    for (const Range& range : row) found += std::to_string(range.begin) + "-" + std::to_string(range.end) + " ";
    found += "| ";
  }
  return found;
}

void rows() {
  CHECK_EQUAL(shown("truncate", 20, 8), "0-8 | ");
  CHECK_EQUAL(shown("truncate", 0, 8), "0-0 | ");
  CHECK_EQUAL(shown("head_tail:head=2,tail=6", 8, 8), "0-8 | ");
  CHECK_EQUAL(shown("head_tail:head=2,tail=6", 20, 8), "0-2 14-20 | ");
  const std::string windows = "windows:stride=5,pooling=mean,max_windows=3";
  CHECK_EQUAL(shown(windows, 8, 8), "0-8 | ");
  CHECK_EQUAL(shown(windows, 9, 8), "0-8 | 5-9 | ");
  CHECK_EQUAL(shown(windows, 18, 8), "0-8 | 5-13 | 10-18 | ");
  CHECK_EQUAL(shown(windows, 19, 8), "0-8 | 5-13 | 10-18 | ");
  CHECK_EQUAL(parse_long_text(windows, "here").text, std::string(windows));
  CHECK_EQUAL(n_seen(parse_long_text(windows, "here"), 19, 8), 18U);
  CHECK_EQUAL(n_seen(parse_long_text(windows, "here"), 11, 8), 11U);
}

void refused() {
  for (const char* text :
       {"guess", "", "Truncate", "truncate ", "head_tail", "windows", "head_tail:head=2", "head_tail:tail=6,head=2",
        "head_tail:head=0,tail=8", "head_tail:head=02,tail=6", "head_tail:head=2,tail=6,", "windows:stride=5",
        "windows:stride=5,pooling=median,max_windows=3", "windows:stride=5, pooling=mean, max_windows=3",
        "windows:stride=-5,pooling=mean,max_windows=3", "windows:stride=12345678,pooling=mean,max_windows=3"}) {
    CHECK_THROWS(Error, "here: long_text is nothing that this medclf knows", parse_long_text(text, "here"));
  }
  const auto check = [](const char* text, bool multi_label) {
    check_long_text(parse_long_text(text, "here"), 10, multi_label, "here");
  };
  CHECK_THROWS(Error, "than a row of 10 has room for", check("head_tail:head=2,tail=5", false));
  CHECK_THROWS(Error, "has a stride over", check("windows:stride=9,pooling=max,max_windows=3", false));
  CHECK_THROWS(Error, "over 1,000 windows", check("windows:stride=8,pooling=max,max_windows=1001", false));
  CHECK_THROWS(Error, "a text has one label", check("windows:stride=8,pooling=noisy-or,max_windows=3", false));
  check("windows:stride=8,pooling=noisy-or,max_windows=3", true);
  check("head_tail:head=2,tail=6", false);
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

void pooled() {
  const std::vector<float> logits = {2, -1, 0.5F, -0.5F, -3, -2};  // two texts, of one window and of two; two labels
  const auto of = [&logits](Pooling pooling, bool multi_label) { return pool(logits, {1, 2}, 2, pooling, multi_label); };
  const auto near = [](float got, float expected) { return std::fabs(got - expected) < 1e-6F; };
  for (const Pooling pooling : {Pooling::kMean, Pooling::kMax, Pooling::kNoisyOr}) {
    CHECK(of(pooling, true)[0] == 2 && of(pooling, true)[1] == -1);
  }
  CHECK(near(sigmoid(of(Pooling::kMean, true)[2]), (sigmoid(0.5F) + sigmoid(-3)) / 2));
  CHECK(of(Pooling::kMax, true)[2] == 0.5F);
  CHECK(near(sigmoid(of(Pooling::kNoisyOr, true)[3]), 1 - (1 - sigmoid(-0.5F)) * (1 - sigmoid(-2))));
  const float first = sigmoid(1), second = sigmoid(-1);  // of label 0, by the softmax of each window
  const std::vector<float> mean = of(Pooling::kMean, false), most = of(Pooling::kMax, false);
  CHECK(near(sigmoid(mean[2] - mean[3]), (first + second) / 2));
  CHECK(near(sigmoid(most[2] - most[3]), first / (first + 1 - second)));
  for (const float size : {1e2F, 1e4F, 1e30F}) {
    for (const Pooling pooling : {Pooling::kMean, Pooling::kMax, Pooling::kNoisyOr}) {
      for (const float value : pool({size, -size, size, -size}, {2}, 2, pooling, true)) CHECK(std::isfinite(value));
      for (const float value : pool({size, -size, -size, size}, {2}, 2, Pooling::kMean, false)) {
        CHECK(std::isfinite(value));
      }
    }
  }
}

}  // namespace

int main() {
  rows();
  refused();
  pooled();
  return check::result();
}
