// What counts as a text: the same rules as medclf/text.py.
#pragma once

#include <string_view>

#include "medclf/medclf.h"

namespace medclf::core {

constexpr size_t kMaxCharacters = 1'000'000;

/// What was found in a text.
struct TextCheck {
  medclf_fault fault;
  size_t n_characters;
};

TextCheck check_text(std::string_view text);

/// Why a text cannot be classified, fit for the end of a sentence.
const char* reason(int fault);

}  // namespace medclf::core
