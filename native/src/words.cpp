#include "words.hpp"

#include <algorithm>
#include <utility>

#include "unicode.hpp"
#include "utf8.hpp"

namespace medclf::core {
namespace {

constexpr char32_t kHangulFirst = 0xAC00, kHangulLast = 0xD7A3;
constexpr char32_t kLeadFirst = 0x1100, kVowelFirst = 0x1161, kTailBefore = 0x11A7;
constexpr char32_t kTails = 28, kVowelsAndTails = 588;

/// A code point passes through the steps in the order of BertNormalizer, one function each, and ends in a word.
class Splitter {
 public:
  Splitter(const NormalizerOptions& options, Words& out) : options_(options), out_(out) {}

  void split(std::string_view text) {
    const unsigned char* at = bytes(text);
    const unsigned char* const end = at + text.size();
    while (at < end) {
      if (*at < 0x80) {
        ascii(*at++);
      } else {
        clean(decode(at, end).value);
      }
    }
    place_marks();
    end_word();
  }

 private:
  /// All steps at once: ASCII has no Chinese characters, accents and marks.
  void ascii(unsigned char c) {
    uint16_t found = kProperties[c];  // page 0 comes first
    if (options_.clean_text && found & (kDropped | kSpace)) {
      if (found & kDropped) return;
      found = kWhitespace;
    }
    place_marks();
    if (options_.lowercase && c >= 'A' && c <= 'Z') c |= 0x20;
    if (found & (kWhitespace | kPunctuation)) {
      end_word();
      if (found & kWhitespace) return;
    }
    out_.bytes += static_cast<char>(c);
    ++n_characters_;
    if (found & kPunctuation) end_word();
  }

  void clean(char32_t c) {
    const uint16_t found = properties(c);
    if (options_.clean_text && found & (kDropped | kSpace)) {
      if (found & kSpace) ascii(' ');
      return;
    }
    if (options_.handle_chinese_chars && found & kChinese) {
      ascii(' ');
      strip(c, found);
      ascii(' ');
    } else {
      strip(c, found);
    }
  }

  void strip(char32_t c, uint16_t found) {
    if (!options_.strip_accents) {
      lower(c);
    } else if (c >= kHangulFirst && c <= kHangulLast) {
      const char32_t index = c - kHangulFirst;
      place(kLeadFirst + index / kVowelsAndTails);
      place(kVowelFirst + index % kVowelsAndTails / kTails);
      if (index % kTails != 0) place(kTailBefore + index % kTails);
    } else if (found & kDecomposes) {
      if (found & kBlocks) place_marks();
      for (const char32_t part : decomposition(c).to) {
        if (part != 0) place(part);
      }
    } else {
      place(c);
    }
  }

  /// Canonical order: marks in a row wait until what follows is known.
  void place(char32_t c) {
    if (properties(c) & kReorders) {
      marks_.emplace_back(rank(c), c);
      return;
    }
    place_marks();
    lower(c);
  }

  void place_marks() {
    if (marks_.empty()) return;
    std::stable_sort(marks_.begin(), marks_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& mark : marks_) lower(mark.second);
    marks_.clear();
  }

  void lower(char32_t c) {
    if (!options_.lowercase || !(properties(c) & kLowers)) {
      part(c);
      return;
    }
    for (const char32_t one : lowercase(c).to) {
      if (one != 0) part(one);
    }
  }

  /// BertPreTokenizer.
  void part(char32_t c) {
    const uint16_t found = properties(c);
    if (found & (kWhitespace | kPunctuation)) {
      end_word();
      if (found & kWhitespace) return;
    }
    append(out_.bytes, c);
    ++n_characters_;
    if (found & kPunctuation) end_word();
  }

  void end_word() {
    if (n_characters_ == 0) return;
    out_.words.push_back({begin_, out_.bytes.size(), n_characters_});
    begin_ = out_.bytes.size();
    n_characters_ = 0;
  }

  const NormalizerOptions& options_;
  Words& out_;
  std::vector<std::pair<uint8_t, char32_t>> marks_;  // rank and mark
  size_t begin_ = 0;
  size_t n_characters_ = 0;
};

}  // namespace

Words split_words(std::string_view text, const NormalizerOptions& options) {
  Words words;
  words.bytes.reserve(text.size());
  words.words.reserve(std::min<size_t>(text.size() / 4, 1024));
  Splitter(options, words).split(text);
  return words;
}

}  // namespace medclf::core
