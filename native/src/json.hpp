// A small reader of JSON (RFC 8259).
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace medclf::core {

/// What is wrong with a document, and at which byte; never what stands there.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A value of JSON. An accessor throws a JsonError where the value is of another kind.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  /// Reads one document of UTF-8; of a key that repeats, the last value counts.
  static Json parse(std::string_view text);

  Json() = default;
  template <class T>
  explicit Json(T value) : value_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool boolean() const { return get<bool>("true or false"); }
  const std::string& string() const { return get<std::string>("a string"); }
  const Array& array() const { return get<Array>("a list"); }
  const Object& object() const { return get<Object>("an object"); }
  double number() const { return get<double>("a number"); }
  int64_t integer() const;

  /// A field of an object; throws if it is missing.
  const Json& at(std::string_view key) const;

  /// A field of an object, or nullptr.
  const Json* find(std::string_view key) const;

  /// A list of strings.
  std::vector<std::string> strings() const;

  /// A list of numbers.
  std::vector<double> numbers() const;

 private:
  template <class T>
  const T& get(const char* expected) const {
    const T* value = std::get_if<T>(&value_);
    if (value == nullptr) throw JsonError(std::string("expected ") + expected);
    return *value;
  }

  std::variant<std::monostate, bool, double, std::string, Array, Object> value_;
};

}  // namespace medclf::core
