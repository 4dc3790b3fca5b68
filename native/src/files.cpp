#include "files.hpp"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "error.hpp"

namespace medclf::core {

bool is_folder(const std::string& path) {
  std::error_code fault;
  return std::filesystem::is_directory(path, fault);
}

bool is_file(const std::string& path) {
  std::error_code fault;
  return std::filesystem::is_regular_file(path, fault);
}

std::string read_file(const std::string& path) {
  std::error_code fault;
  const auto size = std::filesystem::file_size(path, fault);
  std::ifstream file(path, std::ios::binary);
  std::string data;
  if (!fault && file && is_file(path)) {
    data.resize(size);
    file.read(data.data(), static_cast<std::streamsize>(size));
    if (file.gcount() == static_cast<std::streamsize>(size)) return data;
  }
  throw Error(MEDCLF_ERROR_INTEGRITY, path + " cannot be read. Export the bundle again.");
}

}  // namespace medclf::core
