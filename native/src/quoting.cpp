#include "quoting.hpp"

#include <cstdio>

#include "utf8.hpp"

namespace medclf::core {
namespace {

/// The escape of a character that has one in every form of JSON; empty for others.
std::string escaped(char32_t c) {
  switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return {};
  }
}

std::string by_number(char32_t unit) {
  char escape[7];
  std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(unit & 0xFFFF));
  return escape;
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const std::string escape = escaped(static_cast<unsigned char>(c));
    if (!escape.empty()) {
      result += escape;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += by_number(static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string quoted_ascii(std::string_view text) {
  std::string result = "\"";
  const unsigned char* const end = bytes(text) + text.size();
  for (const unsigned char* at = bytes(text); at < end;) {
    const char32_t c = decode(at, end).value;
    const std::string escape = escaped(c);
    if (!escape.empty()) {
      result += escape;
    } else if (c >= 0x10000) {
      result += by_number(0xD800 + ((c - 0x10000) >> 10)) + by_number(0xDC00 + (c & 0x3FF));
    } else if (c < 0x20 || c > 0x7E) {
      result += by_number(c);
    } else {
      result += static_cast<char>(c);
    }
  }
  return result + '"';
}

}  // namespace medclf::core
