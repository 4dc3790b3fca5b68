#include "text_encoder.hpp"

#include <algorithm>
#include <string>

#include "error.hpp"

namespace medclf::core {

TextEncoder::TextEncoder(const TokenizerOptions& options)
    : normalizer_(options.normalizer),
      wordpiece_(options.vocabulary, options.wordpiece),
      max_length_(options.max_length),
      long_text_(options.long_text),
      cls_(special("[CLS]")),
      sep_(special("[SEP]")),
      pad_(std::max(0, wordpiece_.id("[PAD]"))) {}

int32_t TextEncoder::special(const char* token) const {
  const int32_t id = wordpiece_.id(token);
  if (id == Trie::kNone) {
    throw Error(MEDCLF_ERROR_BUNDLE,
                std::string("the vocabulary of the model has no ") + token + ": export the bundle again.");
  }
  return id;
}

Encoded TextEncoder::encode(std::string_view text) const {
  const std::vector<int32_t> tokens = body(text);
  const size_t room = max_length_ > 2 ? max_length_ - 2 : 0;
  Encoded encoded{{}, 0, tokens.size() + 2, tokens.size() - n_seen(long_text_, tokens.size(), room), {}};
  std::vector<int32_t>& ids = encoded.input_ids;
  for (const std::vector<Range>& row : rows_of(long_text_, tokens.size(), room)) {
    const size_t begin = ids.size();
    ids.push_back(cls_);
    for (const Range& range : row) {
      const auto first = tokens.begin();
      ids.insert(ids.end(), first + static_cast<std::ptrdiff_t>(range.begin),
                 first + static_cast<std::ptrdiff_t>(range.end));
    }
    ids.push_back(sep_);
    encoded.lengths.push_back(ids.size() - begin);
  }
  encoded.n_first = ids.size();
  return encoded;
}

Encoded TextEncoder::encode(std::string_view text, std::string_view pair) const {
  if (long_text_.policy != Policy::kTruncate) {
    throw Error(MEDCLF_ERROR_INPUT, "pairs are given, but the model was trained on single texts: its long_text is "
                                    "none for pairs.");
  }
  const std::vector<int32_t> first = body(text), second = body(pair);
  const size_t room = max_length_ > 3 ? max_length_ - 3 : 0;
  const auto [n_first, n_second] = longest_first(first.size(), second.size(), room);
  std::vector<int32_t> ids{cls_};
  ids.reserve(n_first + n_second + 3);
  ids.insert(ids.end(), first.begin(), first.begin() + static_cast<std::ptrdiff_t>(n_first));
  ids.push_back(sep_);
  ids.insert(ids.end(), second.begin(), second.begin() + static_cast<std::ptrdiff_t>(n_second));
  ids.push_back(sep_);
  const size_t n_body = first.size() + second.size(), n_ids = ids.size();
  return {std::move(ids), n_first + 2, n_body + 3, n_body - n_first - n_second, {n_ids}};
}

std::vector<int32_t> TextEncoder::body(std::string_view text) const {
  const Words words = split_words(text, normalizer_);
  std::vector<int32_t> ids;
  ids.reserve(words.words.size() * 3 / 2 + 2);
  wordpiece_.encode(words, ids);
  return ids;
}

std::pair<size_t, size_t> longest_first(size_t n_first, size_t n_second, size_t room) {
  if (n_first + n_second <= room) return {n_first, n_second};
  const size_t shorter = std::min({n_first, n_second, room / 2});
  const size_t longer = room - shorter;
  return n_first > n_second ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

}  // namespace medclf::core
