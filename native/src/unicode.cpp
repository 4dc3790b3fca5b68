#include "unicode.hpp"

#include <algorithm>
#include <iterator>

namespace medclf::core {

#include "unicode_tables.inc"

namespace {

template <size_t N>
const Mapping& find(const Mapping (&table)[N], char32_t c) {
  return *std::lower_bound(std::begin(table), std::end(table), c,
                           [](const Mapping& one, char32_t wanted) { return one.from < wanted; });
}

}  // namespace

const Mapping& decomposition(char32_t c) { return find(kDecompositions, c); }

const Mapping& lowercase(char32_t c) { return find(kLowercase, c); }

uint8_t rank(char32_t c) {
  return std::lower_bound(std::begin(kMarks), std::end(kMarks), c,
                          [](const Mark& one, char32_t wanted) { return one.mark < wanted; })
      ->rank;
}

}  // namespace medclf::core
