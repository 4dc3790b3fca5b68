#include "check.hpp"
#include "json.hpp"
#include "quoting.hpp"

using medclf::core::Json;
using medclf::core::JsonError;

namespace {

void values() {
  const Json json = Json::parse(R"( {"a": [1, -2.5e1, true, null], "b": {"c": "\u00e9\ud83d\ude00\n"}, "a2": []} )");
  CHECK_EQUAL(json.at("a").array().size(), 4U);
  CHECK_EQUAL(json.at("a").array()[0].integer(), 1);
  CHECK_EQUAL(json.at("a").array()[1].number(), -25.0);
  CHECK(json.at("a").array()[2].boolean());
  CHECK(json.at("a").array()[3].is_null());
  CHECK_EQUAL(json.at("b").at("c").string(), "\xC3\xA9\xF0\x9F\x98\x80\n");
  CHECK(json.at("a2").array().empty());
  CHECK(json.find("d") == nullptr);
  CHECK_EQUAL(Json::parse(R"({"k": 1, "k": 2})").at("k").integer(), 2);
}

void faults() {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[1,]",
                           "[1 2]",
                           "{\"a\" 1}",
                           "{\"a\":}",
                           "{a:1}",
                           "nul",
                           "01",
                           "1.",
                           "1e",
                           "-",
                           "\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "[1] 2",
                           "\"\t\"",
                           "\"\xFF\"",
                           "1e999",
                           "+1",
                           "NaN",
                           "[",
                           "{\"a\":1",
                           "\\"}) {
    CHECK_THROWS(JsonError, "", Json::parse(text));
  }
  CHECK_THROWS(JsonError, "too many levels", Json::parse(std::string(100000, '[')));
  CHECK_THROWS(JsonError, "expected an integer", Json::parse("1.5").integer());
  CHECK_THROWS(JsonError, "expected a string", Json::parse("1").string());
  CHECK_THROWS(JsonError, "field 'x' is missing", Json::parse("{}").at("x"));
  CHECK_THROWS(JsonError, "expected an object", Json::parse("[]").at("x"));
}

void strings() {
  CHECK_EQUAL(medclf::core::quoted("a\"\\\n\x01\xC3\xA9"), "\"a\\\"\\\\\\n\\u0001\xC3\xA9\"");
  CHECK_EQUAL(medclf::core::quoted_ascii("a\x7F\xC3\xA9\xF0\x9F\x98\x80"), "\"a\\u007f\\u00e9\\ud83d\\ude00\"");
}

}  // namespace

int main() {
  values();
  faults();
  strings();
  return check::result();
}
