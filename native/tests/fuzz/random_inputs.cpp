// Calls a fuzz target with random and with damaged inputs, where the compiler has no libFuzzer.
//
//     fuzz_NAME N_RUNS [SEED_FILE...]
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "../check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::string damaged(std::string text, std::mt19937& chance) {
  for (unsigned i = 0, n = 1 + chance() % 4; i < n && !text.empty(); ++i) {
    const size_t at = chance() % text.size();
    switch (chance() % 4) {
      case 0: text[at] = static_cast<char>(chance()); break;
      case 1: text.erase(at, 1 + chance() % 16); break;
      case 2: text.insert(at, text.substr(chance() % text.size(), chance() % 16)); break;
      default: text.resize(at); break;
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> seeds{"", "aab \xC3\xA9 \xE4\xB8\xAD [SEP] a\xCC\x81\xF0\x9F\x98\x80",
                                 R"(["a", 1.5e3, {"b": null}])"};
  for (int i = 2; i < argc; ++i) seeds.push_back(check::read(argv[i]));
  std::mt19937 chance(1);
  for (long run = 0, n_runs = argc > 1 ? std::atol(argv[1]) : 1000; run < n_runs; ++run) {
    std::string text = static_cast<char>(chance()) + damaged(seeds[chance() % seeds.size()], chance);
    if (chance() % 4 == 0) {
      text.resize(chance() % 64);
      for (char& byte : text) byte = static_cast<char>(chance());
    }
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  }
  std::puts("okay");
  return 0;
}
