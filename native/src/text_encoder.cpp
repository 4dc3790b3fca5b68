#include "text_encoder.hpp"

#include <algorithm>
#include <string>

#include "error.hpp"

namespace medclf::core {

TextEncoder::TextEncoder(const TokenizerOptions& options)
    : normalizer_(options.normalizer),
      wordpiece_(options.vocabulary, options.wordpiece),
      max_length_(options.max_length),
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
  std::vector<int32_t> ids = body(text);
  const size_t n_tokens = ids.size() + 2;
  const size_t room = max_length_ > 2 ? max_length_ - 2 : 0;
  ids.resize(std::min(ids.size(), room));
  ids.insert(ids.begin(), cls_);
  ids.push_back(sep_);
  const size_t n_first = ids.size();
  return {std::move(ids), n_first, n_tokens};
}

Encoded TextEncoder::encode(std::string_view text, std::string_view pair) const {
  const std::vector<int32_t> first = body(text), second = body(pair);
  const size_t room = max_length_ > 3 ? max_length_ - 3 : 0;
  const auto [n_first, n_second] = longest_first(first.size(), second.size(), room);
  std::vector<int32_t> ids{cls_};
  ids.reserve(n_first + n_second + 3);
  ids.insert(ids.end(), first.begin(), first.begin() + static_cast<std::ptrdiff_t>(n_first));
  ids.push_back(sep_);
  ids.insert(ids.end(), second.begin(), second.begin() + static_cast<std::ptrdiff_t>(n_second));
  ids.push_back(sep_);
  return {std::move(ids), n_first + 2, first.size() + second.size() + 3};
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
