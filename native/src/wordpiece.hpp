// Words to token ids, as the WordPiece model of Hugging Face `tokenizers` makes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trie.hpp"
#include "words.hpp"

namespace medclf::core {

struct WordPieceOptions {
  std::string unk_token = "[UNK]";
  std::string continuing_subword_prefix = "##";
  size_t max_input_chars_per_word = 100;
};

/// A vocabulary that is ready to use; safe to share between threads.
class WordPiece {
 public:
  /// Takes a vocabulary in the order of ids, one token a line; an empty line is an id without a token.
  WordPiece(std::string_view vocabulary, const WordPieceOptions& options);

  /// Adds the ids of a text behind `ids`, without special tokens; one that is written in the text is text.
  void encode(const Words& words, std::vector<int32_t>& ids) const;

  /// The id of a token, or Trie::kNone.
  int32_t id(std::string_view token) const;

  size_t size() const { return size_; }

 private:
  void add(std::string_view token, const std::string& prefix);
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;

  Trie beginnings_;     // every token, at the beginning of a word
  Trie continuations_;  // tokens with the prefix, without it
  size_t max_characters_;
  size_t size_ = 0;
  int32_t unk_ = Trie::kNone;
};

}  // namespace medclf::core
