#include "text.hpp"

#include <cstring>

#include "utf8.hpp"

namespace medclf::core {
namespace {

/// White space as str.strip of Python takes it.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

}  // namespace

TextCheck check_text(std::string_view text) {
  size_t n_characters = 0;
  bool empty = true, well_formed = true;
  const unsigned char* const end = bytes(text) + text.size();
  for (const unsigned char* at = bytes(text); at < end; ++n_characters) {
    const CodePoint c = decode(at, end);
    well_formed &= c.well_formed;
    if (empty && !is_space(c.value)) empty = false;
  }
  medclf_fault fault = MEDCLF_FAULT_NONE;
  if (n_characters > kMaxCharacters) {
    fault = MEDCLF_FAULT_TOO_LONG;
  } else if (empty) {
    fault = MEDCLF_FAULT_EMPTY;
  } else if (std::memchr(text.data(), 0, text.size()) != nullptr) {
    fault = MEDCLF_FAULT_NUL;
  } else if (!well_formed) {
    fault = MEDCLF_FAULT_ENCODING;
  }
  return {fault, n_characters};
}

const char* reason(int fault) {
  switch (fault) {
    case MEDCLF_FAULT_NONE: return "has no fault";
    case MEDCLF_FAULT_EMPTY: return "is empty";
    case MEDCLF_FAULT_NUL: return "holds a NUL character";
    case MEDCLF_FAULT_TOO_LONG: return "has more than 1,000,000 characters (is a quote left open?)";
    case MEDCLF_FAULT_ENCODING: return "is not UTF-8";
    default: return "has a fault that this version does not know";
  }
}

}  // namespace medclf::core
