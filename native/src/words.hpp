// A text to words, as BertNormalizer and BertPreTokenizer of Hugging Face `tokenizers` make them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace medclf::core {

/// The options of BertNormalizer.
struct NormalizerOptions {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;
};

/// A word: bytes [begin, end) of Words::bytes.
struct Word {
  size_t begin;
  size_t end;
  size_t n_characters;
};

/// The words of a text, normalized, in order.
struct Words {
  std::string bytes;  // UTF-8 of all words without what stands between them
  std::vector<Word> words;

  std::string_view at(const Word& word) const {
    return std::string_view(bytes).substr(word.begin, word.end - word.begin);
  }
};

/// Normalizes a text and parts it into words; bytes that are no UTF-8 count as U+FFFD.
Words split_words(std::string_view text, const NormalizerOptions& options);

}  // namespace medclf::core
