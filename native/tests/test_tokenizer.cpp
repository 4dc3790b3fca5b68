// The golden ids of native/tools/make_golden.py.
#include "check.hpp"
#include "options.hpp"

using namespace medclf::core;

namespace {

/// Texts are hexadecimal in the file, as some are no UTF-8.
std::string from_hex(const std::string& hex) {
  std::string text;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) text += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return text;
}

void check_row(const TextEncoder& encoder, const Json& row, const std::string& where) {
  const std::string text = from_hex(row.at("text").string());
  const Encoded encoded =
      row.find("pair") ? encoder.encode(text, from_hex(row.at("pair").string())) : encoder.encode(text);
  const std::vector<double> expected = row.at("ids").numbers();
  check::that(std::equal(encoded.input_ids.begin(), encoded.input_ids.end(), expected.begin(), expected.end()),
              where.c_str(), __FILE__, __LINE__);
  CHECK_EQUAL(static_cast<int64_t>(encoded.n_first), row.at("n_first").integer());
  CHECK_EQUAL(static_cast<int64_t>(encoded.n_tokens), row.at("n_tokens").integer());
}

}  // namespace

int main(int, char** argv) {
  const Json golden = Json::parse(check::read(argv[1] + std::string("/tokenizer.json")));
  size_t n_rows = 0;
  for (const Json& part : golden.array()) {
    const TextEncoder encoder(tokenizer_options(part.at("options")));
    for (const Json& row : part.at("rows").array()) check_row(encoder, row, "row " + std::to_string(n_rows++));
  }
  CHECK(n_rows > 100);
  return check::result();
}
