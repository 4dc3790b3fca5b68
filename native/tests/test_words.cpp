#include "check.hpp"
#include "text_encoder.hpp"
#include "utf8.hpp"
#include "words.hpp"

using namespace medclf::core;

namespace {

std::string joined(std::string_view text, const NormalizerOptions& options = {}) {
  const Words words = split_words(text, options);
  std::string result;
  for (const Word& word : words.words) result += std::string(words.at(word)) + "|";
  return result;
}

void words() {
  CHECK_EQUAL(joined(""), "");
  CHECK_EQUAL(joined(" \t\n"), "");
  CHECK_EQUAL(joined("Chest-pain, 40 mg"), "chest|-|pain|,|40|mg|");
  CHECK_EQUAL(joined("na\xC3\xAFve"), "naive|");  // i with diaeresis
  CHECK_EQUAL(joined("a\xE4\xB8\xAD"
                     "b"),
              "a|\xE4\xB8\xAD|b|");                                              // a Chinese character
  CHECK_EQUAL(joined("\xED\x95\x9C"), "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB|");  // Hangul is decomposed
  CHECK_EQUAL(joined(std::string_view("a\0b", 3)), "ab|");
  CHECK_EQUAL(joined("a\xFF\xC3\xE2\x82"
                     "b"),
              "ab|");                        // what is no UTF-8 is dropped
  CHECK_EQUAL(joined("[SEP]"), "[|sep|]|");  // a special token in a text is text
  CHECK_EQUAL(joined("Na\xC3\xAFve", {true, true, false, false}), "Na\xC3\xAFve|");
  CHECK_EQUAL(joined("Na\xC3\xAFve", {true, true, true, false}), "Naive|");
  CHECK_EQUAL(joined("a\x01"
                     "b\xE4\xB8\xAD",
                     {false, false, true, true}),
              "a\x01"
              "b\xE4\xB8\xAD|");
}

void utf8() {
  std::string all;
  for (const char32_t c : {U'\x24', U'\xA3', U'\u0939', U'\uFFFF', U'\U00010348', U'\U0010FFFF'}) append(all, c);
  CHECK_EQUAL(all, "\x24\xC2\xA3\xE0\xA4\xB9\xEF\xBF\xBF\xF0\x90\x8D\x88\xF4\x8F\xBF\xBF");
  CHECK(is_utf8(all));
  for (const char* wrong :
       {"\x80", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8", "\xE2\x82"}) {
    CHECK(!is_utf8(wrong));
  }
}

void shares() {
  CHECK(longest_first(3, 4, 7) == std::pair<size_t, size_t>(3, 4));
  CHECK(longest_first(3, 9, 8) == std::pair<size_t, size_t>(3, 5));
  CHECK(longest_first(9, 9, 7) == std::pair<size_t, size_t>(3, 4));
  CHECK(longest_first(10, 9, 7) == std::pair<size_t, size_t>(4, 3));
  CHECK(longest_first(9, 9, 0) == std::pair<size_t, size_t>(0, 0));
}

}  // namespace

int main() {
  words();
  utf8();
  shares();
  return check::result();
}
