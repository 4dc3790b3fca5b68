// Any bytes as a manifest, and as the properties of a model: read or refused, never anything else.
#include "error.hpp"
#include "manifest.hpp"
#include "metadata.hpp"

using namespace medclf::core;

namespace {

/// The properties of a good model, one of which is replaced.
std::optional<std::string> property(std::string_view key, std::string_view replaced, std::string_view value) {
  if (key == replaced) return std::string(value);
  if (key == "medclf.schema_version") return "1";
  if (key == "medclf.task") return "single_label_classification";
  if (key == "medclf.labels") return R"(["a", "b"])";
  if (key == "medclf.thresholds") return "null";
  if (key == "medclf.max_length") return "64";
  if (key == "medclf.long_text") return "truncate";
  if (key == "medclf.vocabulary") return "[UNK]\n[CLS]\n[SEP]";
  if (key == "medclf.wordpiece") {
    return R"({"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100})";
  }
  return R"({"clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true})";
}

constexpr const char* kKeys[] = {"medclf.schema_version", "medclf.task",       "medclf.labels",
                                 "medclf.thresholds",     "medclf.max_length", "medclf.long_text",
                                 "medclf.vocabulary",     "medclf.wordpiece",  "medclf.normalizer"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    parse_manifest(text, "fuzz");
  } catch (const Error&) {
  }
  try {
    const char* replaced = kKeys[data[0] % std::size(kKeys)];
    read_metadata([&](const char* key) { return property(key, replaced, text); }, "fuzz", std::nullopt);
  } catch (const Error&) {
  }
  return 0;
}
