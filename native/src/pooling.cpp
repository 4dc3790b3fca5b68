#include "pooling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace medclf::core {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();  // the logarithm of no probability
constexpr double kLargest = 700;  // exp of more is no double; a probability is 0 or 1 long before

/// ln(exp(a) + exp(b))
double log_add(double a, double b) {
  const auto [low, high] = std::minmax(a, b);
  return low == kNone ? high : high + std::log1p(std::exp(low - high));
}

/// Log-probabilities of one window.
std::vector<double> log_softmax(const float* logits, size_t n_labels) {
  double sum = kNone;
  for (size_t k = 0; k < n_labels; ++k) sum = log_add(sum, logits[k]);
  std::vector<double> found(n_labels);
  for (size_t k = 0; k < n_labels; ++k) found[k] = logits[k] - sum;
  return found;
}

/// Logits of a text of one label: log-probabilities, those of `max` left for the softmax to divide by their sum.
void pool_softmaxes(const float* logits, size_t n_windows, size_t n_labels, Pooling pooling, float* out) {
  std::vector<double> pooled(n_labels, kNone);
  for (size_t w = 0; w < n_windows; ++w) {
    const std::vector<double> log_p = log_softmax(logits + w * n_labels, n_labels);
    for (size_t k = 0; k < n_labels; ++k) {
      pooled[k] = pooling == Pooling::kMax ? std::max(pooled[k], log_p[k]) : log_add(pooled[k], log_p[k]);
    }
  }
  const double count = pooling == Pooling::kMax ? 0 : std::log(static_cast<double>(n_windows));
  for (size_t k = 0; k < n_labels; ++k) out[k] = static_cast<float>(pooled[k] - count);
}

/// The log-odds of one label of a text of any number of labels; `logits` are `step` apart.
double pool_sigmoids(const float* logits, size_t n_windows, size_t step, Pooling pooling) {
  double largest = kNone, given = kNone, absent = kNone, none = 0;
  for (size_t w = 0; w < n_windows; ++w) {
    const double x = logits[w * step];
    largest = std::max(largest, x);
    given = log_add(given, -log_add(0, -x));   // ln p
    absent = log_add(absent, -log_add(0, x));  // ln (1 - p)
    none -= log_add(0, std::clamp(x, -kLargest, kLargest));
  }
  if (pooling == Pooling::kMax) return largest;
  if (pooling == Pooling::kMean) return given - absent;
  return std::log(-std::expm1(none)) - none;
}

}  // namespace

std::vector<float> pool(const std::vector<float>& logits, const std::vector<size_t>& n_windows, size_t n_labels,
                        Pooling pooling, bool multi_label) {
  std::vector<float> pooled(n_windows.size() * n_labels);
  const float* from = logits.data();
  float* to = pooled.data();
  for (const size_t n : n_windows) {
    if (n == 1) {
      std::copy_n(from, n_labels, to);
    } else if (multi_label) {
      for (size_t k = 0; k < n_labels; ++k) {
        to[k] = static_cast<float>(pool_sigmoids(from + k, n, n_labels, pooling));
      }
    } else {
      pool_softmaxes(from, n, n_labels, pooling, to);
    }
    from += n * n_labels;
    to += n_labels;
  }
  return pooled;
}

}  // namespace medclf::core
