// Strings as JSON writes them.
#pragma once

#include <string>
#include <string_view>

namespace medclf::core {

/// A string in quotes as UTF-8.
std::string quoted(std::string_view text);

/// A string in quotes as ASCII, exactly as json.dumps of Python writes it; `text` must be UTF-8.
std::string quoted_ascii(std::string_view text);

}  // namespace medclf::core
