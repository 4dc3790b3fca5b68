#include "json.hpp"

#include <cmath>
#include <locale>
#include <sstream>

#include "utf8.hpp"

namespace medclf::core {
namespace {

constexpr int kMaxDepth = 64;                        // a reader by recursion must not be led down without end
constexpr double kExactIntegers = 9007199254740992;  // 2^53: larger ones are not exact as double

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json document() {
    Json value = read(0);
    skip_space();
    if (at_ != text_.size()) fail("more than one document");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw JsonError(std::string(what) + " at byte " + std::to_string(at_ + 1));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }

  bool take(char c) {
    skip_space();
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }

  void expect(char c, const char* what) {
    if (!take(c)) fail(what);
  }

  Json read(int depth) {
    if (depth > kMaxDepth) fail("too many levels");
    if (take('{')) return Json(object(depth));
    if (take('[')) return Json(array(depth));
    if (take('"')) return Json(string());
    if (word("true")) return Json(true);
    if (word("false")) return Json(false);
    if (word("null")) return Json();
    return Json(number());
  }

  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }

  Json::Object object(int depth) {
    Json::Object fields;
    if (take('}')) return fields;
    do {
      expect('"', "a key is missing");
      std::string key = string();
      expect(':', "a colon is missing");
      fields.insert_or_assign(std::move(key), read(depth + 1));
    } while (take(','));
    expect('}', "an object does not end");
    return fields;
  }

  Json::Array array(int depth) {
    Json::Array values;
    if (take(']')) return values;
    do values.push_back(read(depth + 1));
    while (take(','));
    expect(']', "a list does not end");
    return values;
  }

  std::string string() {
    std::string value;
    while (true) {
      if (at_ == text_.size()) fail("a string does not end");
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      ++at_;
      if (c == '"') break;
      if (c == '\\') {
        escape(value);
      } else {
        value += c;
      }
    }
    if (!is_utf8(value)) fail("a string that is not UTF-8");
    return value;
  }

  void escape(std::string& value) {
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char letter = peek();
    ++at_;
    if (letter == 'u') {
      append(value, code_point());
      return;
    }
    const size_t index = kLetters.find(letter);
    if (index == kLetters.npos) fail("an unknown escape");
    value += kMeanings[index];
  }

  char32_t code_point() {
    const char32_t first = four_digits();
    if (first < 0xD800 || first > 0xDFFF) return first;
    if (first > 0xDBFF || !word("\\u")) fail("half of a surrogate pair");
    const char32_t second = four_digits();
    if (second < 0xDC00 || second > 0xDFFF) fail("half of a surrogate pair");
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  char32_t four_digits() {
    char32_t value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!letter && (c < '0' || c > '9')) fail("a wrong escape");
      value = value * 16 + static_cast<char32_t>(letter ? (c | 0x20) - 'a' + 10 : c - '0');
    }
    return value;
  }

  void digits() {
    if (peek() < '0' || peek() > '9') fail("no value");
    while (peek() >= '0' && peek() <= '9') ++at_;
  }

  double number() {
    const size_t begin = at_;
    if (peek() == '-') ++at_;
    const bool zero = peek() == '0';
    const size_t first = at_;
    digits();
    if (zero && at_ > first + 1) fail("a number that begins with 0");
    if (peek() == '.') {
      ++at_;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    std::istringstream stream{std::string(text_.substr(begin, at_ - begin))};
    stream.imbue(std::locale::classic());  // strtod would follow the locale of the process
    double value = 0;
    stream >> value;
    if (!stream || !std::isfinite(value)) fail("a number out of range");
    return value;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Json Json::parse(std::string_view text) { return Parser(text).document(); }

int64_t Json::integer() const {
  const double value = number();
  if (value != std::floor(value) || std::fabs(value) > kExactIntegers) throw JsonError("expected an integer");
  return static_cast<int64_t>(value);
}

const Json* Json::find(std::string_view key) const {
  const auto found = object().find(key);
  return found == object().end() ? nullptr : &found->second;
}

const Json& Json::at(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) throw JsonError("field '" + std::string(key) + "' is missing");
  return *value;
}

std::vector<std::string> Json::strings() const {
  std::vector<std::string> values;
  for (const Json& value : array()) values.push_back(value.string());
  return values;
}

std::vector<double> Json::numbers() const {
  std::vector<double> values;
  for (const Json& value : array()) values.push_back(value.number());
  return values;
}

}  // namespace medclf::core
