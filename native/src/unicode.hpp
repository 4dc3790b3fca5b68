// What BERT's normalizer and pre-tokenizer do with each code point. The tables are generated from Hugging Face
// `tokenizers` by native/tools/generate_unicode.py, which must use the same bits.
#pragma once

#include <cstdint>

namespace medclf::core {

enum Property : uint16_t {
  kDropped = 1 << 0,      // clean_text removes it
  kSpace = 1 << 1,        // clean_text makes it a space
  kChinese = 1 << 2,      // handle_chinese_chars makes it a word of its own
  kPunctuation = 1 << 3,  // a word of its own
  kWhitespace = 1 << 4,   // parts words
  kDecomposes = 1 << 5,   // strip_accents replaces or removes it
  kLowers = 1 << 6,       // has another lower case
  kReorders = 1 << 7,     // a mark that is kept, and whose place depends on its neighbours
  kBlocks = 1 << 8,       // is removed, and parts the marks before it from those behind it
};

/// What a code point becomes: at most 4 code points, then zeros.
struct Mapping {
  char32_t from;
  char32_t to[4];
};

struct Mark {
  char32_t mark;
  uint8_t rank;
};

extern const uint8_t kPages[0x1100];
extern const uint16_t kProperties[];

/// The properties of a code point up to U+10FFFF.
inline uint16_t properties(char32_t c) { return kProperties[kPages[c >> 8] << 8 | (c & 0xFF)]; }

/// The canonical decomposition without accents, of a code point that kDecomposes; empty for an accent.
const Mapping& decomposition(char32_t c);

/// The lower case of a code point that kLowers.
const Mapping& lowercase(char32_t c);

/// The rank of a mark that kReorders: marks in a row stand in the order of their ranks.
uint8_t rank(char32_t c);

}  // namespace medclf::core
