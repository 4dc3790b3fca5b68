// UTF-8 to code points and back.
#pragma once

#include <string>
#include <string_view>

namespace medclf::core {

constexpr char32_t kReplacement = 0xFFFD;

/// What a decoder found.
struct CodePoint {
  char32_t value;
  bool well_formed;  // false for bytes that are no UTF-8; the value is then U+FFFD
};

/// Takes one code point from the front of [at, end), which must not be empty, and moves `at` behind it. Each maximal
/// ill-formed part counts as one U+FFFD, as in Python's errors="replace" and in browsers.
inline CodePoint decode(const unsigned char*& at, const unsigned char* end) {
  char32_t c = *at++;
  if (c < 0x80) return {c, true};
  int n_more = 0;
  unsigned char low = 0x80, high = 0xBF;  // bounds of the second byte: no overlong form, no surrogate, at most U+10FFFF
  if (c >= 0xC2 && c <= 0xDF) {
    n_more = 1;
    c &= 0x1F;
  } else if (c >= 0xE0 && c <= 0xEF) {
    n_more = 2;
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
    c &= 0x0F;
  } else if (c >= 0xF0 && c <= 0xF4) {
    n_more = 3;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;
    c &= 0x07;
  } else {
    return {kReplacement, false};
  }
  for (; n_more > 0; --n_more) {
    if (at == end || *at < low || *at > high) return {kReplacement, false};
    c = c << 6 | (*at++ & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {c, true};
}

/// Writes a code point behind a string.
inline void append(std::string& to, char32_t c) {
  const auto tail = [c](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    to += static_cast<char>(c);
  } else if (c < 0x800) {
    to += {static_cast<char>(0xC0 | c >> 6), tail(0)};
  } else if (c < 0x10000) {
    to += {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  } else {
    to += {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
  }
}

/// Gives the bytes of a string as the decoder takes them.
inline const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

/// Whether every byte belongs to a code point.
inline bool is_utf8(std::string_view text) {
  const unsigned char* const end = bytes(text) + text.size();
  for (const unsigned char* at = bytes(text); at < end;) {
    if (!decode(at, end).well_formed) return false;
  }
  return true;
}

}  // namespace medclf::core
