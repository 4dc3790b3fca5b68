// Any bytes as a text, a pair and a vocabulary: ids are in the vocabulary, and lengths are kept.
#include <cstdlib>

#include "error.hpp"
#include "text.hpp"
#include "text_encoder.hpp"

using namespace medclf::core;

namespace {

constexpr const char* kVocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n##a\n##b\nab\n##ab\n\xC3\xA9\n##\xCC\x81\n\xE4\xB8\xAD";

void check(bool holds) {
  if (!holds) std::abort();
}

void encode(const TextEncoder& encoder, std::string_view text) {
  const std::string_view first = text.substr(0, text.size() / 2), second = text.substr(text.size() / 2);
  std::vector<Encoded> both{encoder.encode(text)};
  if (encoder.long_text().policy == Policy::kTruncate) both.push_back(encoder.encode(first, second));
  for (const Encoded& encoded : both) {
    size_t n_ids = 0;
    for (const size_t length : encoded.lengths) {
      check(length <= encoder.max_length());
      n_ids += length;
    }
    check(n_ids == encoded.input_ids.size() && encoded.n_cut <= encoded.n_tokens);
    check(encoded.n_first <= encoded.input_ids.size());
    for (const int32_t id : encoded.input_ids) check(id >= 0 && static_cast<size_t>(id) < encoder.vocabulary_size());
  }
}

TokenizerOptions options(uint8_t flags, std::string_view vocabulary) {
  TokenizerOptions options;
  options.normalizer = {(flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, (flags & 8) != 0};
  options.max_length = flags & 16 ? 3 : 512;
  if (flags & 32) options.long_text = {Policy::kWindows, 0, 0, 1, Pooling::kMean, 9};
  options.vocabulary = vocabulary;
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  check_text(text);
  encode(TextEncoder(options(data[0], kVocabulary)), text);
  try {
    const std::string vocabulary = "[CLS]\n[SEP]\n[UNK]\n" + std::string(text);
    encode(TextEncoder(options(data[0], vocabulary)), text);
  } catch (const Error&) {  // a vocabulary that is no UTF-8
  }
  return 0;
}
