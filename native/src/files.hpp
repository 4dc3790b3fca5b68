// Files, read whole.
#pragma once

#include <string>

namespace medclf::core {

bool is_folder(const std::string& path);
bool is_file(const std::string& path);

/// The contents of a file; throws an Error of MEDCLF_ERROR_INTEGRITY if it cannot be read.
std::string read_file(const std::string& path);

}  // namespace medclf::core
