// What becomes of a text that is longer than the model takes. Normative text: docs/bundle.md; the same rules as
// medclf/long_text.py: change both.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace medclf::core {

enum class Policy { kTruncate, kHeadTail, kWindows };
enum class Pooling { kMean, kMax, kNoisyOr };

/// A policy with the numbers that it needs; the others are 0.
struct LongText {
  Policy policy = Policy::kTruncate;
  size_t head = 0, tail = 0;  // tokens of the beginning and of the end
  size_t stride = 0;          // tokens from the start of a window to the start of the next
  Pooling pooling = Pooling::kMean;
  size_t max_windows = 0;
  std::string text = "truncate";  // as it was read
};

/// Reads the form that medclf.json and the models carry; throws an Error that begins with `where` for any other.
LongText parse_long_text(const std::string& text, const std::string& where);

/// Holds a policy against the model; throws an Error that begins with `where` if they do not fit.
void check_long_text(const LongText& policy, size_t max_length, bool multi_label, const std::string& where);

/// Consecutive tokens of a text, from `begin` to before `end`.
struct Range {
  size_t begin, end;
};

/// Gives the tokens of each row of the model that a text of `n_tokens` makes; of one row, two ranges are its beginning
/// and its end.
std::vector<std::vector<Range>> rows_of(const LongText& policy, size_t n_tokens, size_t room);

/// Counts the tokens that are in some row.
size_t n_seen(const LongText& policy, size_t n_tokens, size_t room);

}  // namespace medclf::core
