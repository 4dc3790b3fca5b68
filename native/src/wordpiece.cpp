#include "wordpiece.hpp"

#include <algorithm>
#include <limits>

#include "error.hpp"
#include "utf8.hpp"

namespace medclf::core {

WordPiece::WordPiece(std::string_view vocabulary, const WordPieceOptions& options)
    : max_characters_(options.max_input_chars_per_word) {
  if (vocabulary.size() > std::numeric_limits<int32_t>::max() || !is_utf8(vocabulary)) {
    throw Error(MEDCLF_ERROR_BUNDLE, "the vocabulary of the model is not UTF-8: export the bundle again.");
  }
  for (size_t begin = 0; begin <= vocabulary.size();) {
    const size_t end = std::min(vocabulary.find('\n', begin), vocabulary.size());
    add(vocabulary.substr(begin, end - begin), options.continuing_subword_prefix);
    begin = end + 1;
  }
  unk_ = id(options.unk_token);
  if (unk_ == Trie::kNone) {
    throw Error(MEDCLF_ERROR_BUNDLE, "the vocabulary of the model has no unknown token: export the bundle again.");
  }
}

void WordPiece::add(std::string_view token, const std::string& prefix) {
  const auto id = static_cast<int32_t>(size_++);
  if (token.empty()) return;
  beginnings_.add(token, id);
  if (token.size() > prefix.size() && token.substr(0, prefix.size()) == prefix) {
    continuations_.add(token.substr(prefix.size()), id);
  }
}

int32_t WordPiece::id(std::string_view token) const {
  const Trie::Match match = beginnings_.longest(token);
  return match.size == token.size() ? match.value : Trie::kNone;
}

void WordPiece::encode(const Words& words, std::vector<int32_t>& ids) const {
  for (const Word& word : words.words) {
    if (word.n_characters > max_characters_) {
      ids.push_back(unk_);
    } else {
      encode_word(words.at(word), ids);
    }
  }
}

/// Takes the longest token that fits, again and again; a rest that no token begins makes the whole word unknown.
void WordPiece::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  const size_t first = ids.size();
  const Trie* trie = &beginnings_;
  while (!word.empty()) {
    const Trie::Match match = trie->longest(word);
    if (match.value == Trie::kNone) {
      ids.resize(first);
      ids.push_back(unk_);
      return;
    }
    ids.push_back(match.value);
    word.remove_prefix(match.size);
    trie = &continuations_;
  }
}

}  // namespace medclf::core
