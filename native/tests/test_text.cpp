#include "check.hpp"
#include "text.hpp"

using namespace medclf::core;

int main() {
  const auto fault = [](std::string_view text) { return int{check_text(text).fault}; };
  CHECK_EQUAL(fault("chest pain"), MEDCLF_FAULT_NONE);
  CHECK_EQUAL(fault(""), MEDCLF_FAULT_EMPTY);
  CHECK_EQUAL(fault(" \t\n\xC2\xA0\xE2\x80\x83\x1C"), MEDCLF_FAULT_EMPTY);
  CHECK_EQUAL(fault(std::string_view("a\0b", 3)), MEDCLF_FAULT_NUL);
  CHECK_EQUAL(fault("a\xFF"), MEDCLF_FAULT_ENCODING);
  CHECK_EQUAL(fault("a\xED\xA0\x80"), MEDCLF_FAULT_ENCODING);  // half of a surrogate pair
  CHECK_EQUAL(fault(std::string(kMaxCharacters, 'a')), MEDCLF_FAULT_NONE);
  CHECK_EQUAL(fault(std::string(kMaxCharacters + 1, 'a')), MEDCLF_FAULT_TOO_LONG);
  CHECK_EQUAL(check_text("\xC3\xA9t\xC3\xA9").n_characters, 3U);
  return check::result();
}
