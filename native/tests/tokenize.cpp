// The tokenizer alone, for the comparison with Hugging Face `tokenizers` in tests/native/test_tokenizer.py.
//
//     tokenize OPTIONS < texts > ids
//
// OPTIONS is a JSON file (options.hpp) with "pairs": whether every two texts are a pair. A text is its size in bytes
// (32 bits, native byte order) and its bytes; an answer is n_tokens, n_first, the number of ids, and the ids.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "check.hpp"
#include "options.hpp"

namespace {

bool read(std::string& text) {
  uint32_t size = 0;
  if (std::fread(&size, sizeof size, 1, stdin) != 1) return false;
  text.resize(size);
  return std::fread(text.data(), 1, size, stdin) == size;
}

void write(const medclf::core::Encoded& encoded) {
  std::vector<int32_t> answer{static_cast<int32_t>(encoded.n_tokens), static_cast<int32_t>(encoded.n_first),
                              static_cast<int32_t>(encoded.input_ids.size())};
  answer.insert(answer.end(), encoded.input_ids.begin(), encoded.input_ids.end());
  std::fwrite(answer.data(), sizeof answer[0], answer.size(), stdout);
}

}  // namespace

int main(int, char** argv) {
  const medclf::core::Json json = medclf::core::Json::parse(check::read(argv[1]));
  const medclf::core::TextEncoder encoder(tokenizer_options(json));
  const bool pairs = json.at("pairs").boolean();
  std::chrono::duration<double> spent{};
  for (std::string text, pair; read(text) && (!pairs || read(pair));) {
    const auto begin = std::chrono::steady_clock::now();
    const medclf::core::Encoded encoded = pairs ? encoder.encode(text, pair) : encoder.encode(text);
    spent += std::chrono::steady_clock::now() - begin;
    write(encoded);
  }
  std::fprintf(stderr, "%.6f seconds\n", spent.count());
  return 0;
}
