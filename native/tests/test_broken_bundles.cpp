// Damaged bundles: an error or an answer, never a crash, and memory that does not grow.
//
//     test_broken_bundles GOLDEN [N_BUNDLES] [--one-file]
//
// With --one-file the damaged .onnx is opened by itself, without a manifest whose hash would refuse it: what ONNX
// Runtime makes of it is then part of the test.
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <random>

#include "check.hpp"
#include "medclf/medclf.h"

namespace {

namespace fs = std::filesystem;
constexpr int kSkipped = 77;

void write(const fs::path& path, const std::string& data) {
  std::ofstream(path, std::ios::binary).write(data.data(), static_cast<std::streamsize>(data.size()));
}

std::string damaged(std::string data, std::mt19937& chance) {
  const size_t at = chance() % data.size();
  switch (chance() % 5) {
    case 0: data[at] = static_cast<char>(data[at] ^ (1 << chance() % 8)); break;
    case 1: data.resize(at); break;
    case 2: data.erase(at, 1 + chance() % 64); break;
    case 3: data.insert(at, data.substr(chance() % data.size(), chance() % 64)); break;
    default:
      for (size_t i = at; i < std::min(data.size(), at + 1 + chance() % 16); ++i) data[i] = static_cast<char>(chance());
  }
  return data;
}

medclf_status open_and_ask(const fs::path& path) {
  medclf_options options{};
  options.struct_size = sizeof options;
  options.threads = 1;
  medclf_classifier* classifier = nullptr;
  medclf_status status = medclf_open(path.c_str(), &options, &classifier);
  if (status == MEDCLF_OK) {
    status = medclf_predict(classifier, "baba ce", 7, nullptr, nullptr);
    medclf_close(classifier);
  } else {
    CHECK(classifier == nullptr);
    CHECK(std::strlen(medclf_last_error()) > 10);
  }
  CHECK(status != MEDCLF_ERROR_INTERNAL);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const fs::path golden = fs::path(argv[1]) / "bundle",
                 folder = fs::temp_directory_path() / ("medclf-" + std::to_string(getpid()));
  const long n_bundles = argc > 2 ? std::atol(argv[2]) : 200;
  const bool one_file = argc > 3;
  if (open_and_ask(golden) == MEDCLF_ERROR_RUNTIME) return kSkipped;
  fs::copy(golden, folder, fs::copy_options::recursive);
  std::mt19937 chance(1);
  std::map<int, long> counts;
  long pages = 0;
  for (long i = 0; i < n_bundles; ++i) {
    const fs::path file = one_file ? "onnx/model.onnx" : chance() % 8 ? "medclf.json" : "onnx/model_quantized.onnx";
    const std::string whole = check::read(golden / file);
    write(folder / file, damaged(whole, chance));
    ++counts[open_and_ask(one_file ? folder / file : folder)];
    write(folder / file, whole);
    if (i == n_bundles / 2) pages = check::resident_pages();
  }
  CHECK_EQUAL(open_and_ask(folder), MEDCLF_OK);
  fs::remove_all(folder);
  for (const auto& [status, n] : counts) std::printf("status %d: %ld\n", status, n);
  std::printf("resident pages at half time and now: %ld, %ld\n", pages, check::resident_pages());
  CHECK(check::resident_pages() < pages + pages / 10 + 2000);
  return check::result();
}
