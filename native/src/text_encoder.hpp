// Texts to token ids with special tokens, and what the model sees of long ones: the same rules as medclf/tokenizer.py,
// which trained the model.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "long_text.hpp"
#include "wordpiece.hpp"
#include "words.hpp"

namespace medclf::core {

/// One text, or one pair, as token ids: one row of the model, or several windows one after the other.
struct Encoded {
  std::vector<int32_t> input_ids;
  size_t n_first;   // tokens of the first text with [CLS] and its [SEP]: their token type is 0, that of the others 1
  size_t n_tokens;  // before any was cut off, special tokens counted once
  size_t n_cut;     // how many of them are in no row
  std::vector<size_t> lengths;  // tokens of each row, at least one
};

/// Everything that the tokenizer of a model needs.
struct TokenizerOptions {
  NormalizerOptions normalizer;
  WordPieceOptions wordpiece;
  std::string_view vocabulary;
  size_t max_length = 512;  // most tokens of one row of the model, special tokens included
  LongText long_text;
};

/// The tokenizer of a model; safe to share between threads.
class TextEncoder {
 public:
  explicit TextEncoder(const TokenizerOptions& options);

  /// [CLS] text [SEP], once for each row of the model
  Encoded encode(std::string_view text) const;

  /// [CLS] text [SEP] pair [SEP]; throws an Error where long_text is none for pairs
  Encoded encode(std::string_view text, std::string_view pair) const;

  int32_t pad_id() const { return pad_; }
  size_t max_length() const { return max_length_; }
  const LongText& long_text() const { return long_text_; }
  size_t vocabulary_size() const { return wordpiece_.size(); }

 private:
  std::vector<int32_t> body(std::string_view text) const;
  int32_t special(const char* token) const;

  NormalizerOptions normalizer_;
  WordPiece wordpiece_;
  size_t max_length_;
  LongText long_text_;
  int32_t cls_, sep_, pad_;
};

/// Shares `room` tokens between two texts: the shorter one stays whole while it takes no more than half, else both get
/// half, and the longer one the odd token.
std::pair<size_t, size_t> longest_first(size_t n_first, size_t n_second, size_t room);

}  // namespace medclf::core
