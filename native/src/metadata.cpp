#include "metadata.hpp"

#include <utility>

#include "error.hpp"
#include "json.hpp"
#include "manifest.hpp"

namespace medclf::core {
namespace {

class Reader {
 public:
  Reader(const Lookup& lookup, const std::string& where) : lookup_(lookup), where_(where) {}

  std::string text(const char* key) const {
    const std::optional<std::string> value = lookup_(key);
    if (!value) {
      throw Error(
          MEDCLF_ERROR_BUNDLE,
          where_ + " carries no " + key + ": it is not an export of medclf, or its tokenizer is not BERT's WordPiece.");
    }
    return *value;
  }

  Json json(const char* key) const { return Json::parse(text(key)); }

  void check_version() const {
    if (text("medclf.schema_version") != std::to_string(kSchemaVersion)) {
      throw Error(MEDCLF_ERROR_VERSION, where_ + " has another schema version than " + std::to_string(kSchemaVersion) +
                                            ", which this medclf reads. Export the checkpoint again.");
    }
  }

  Labels labels() const {
    const Json thresholds = json("medclf.thresholds");
    std::optional<std::vector<double>> values;
    if (!thresholds.is_null()) values = thresholds.numbers();
    std::optional<double> abstain_below;
    if (const auto below = lookup_("medclf.abstain_below"); below && *below != "null") {
      abstain_below = Json::parse(*below).number();
    }
    return {text("medclf.task"), json("medclf.labels").strings(), values, where_, abstain_below};
  }

  Limits limits(bool multi_label) const {
    const Limits found{checked_max_length(json("medclf.max_length").integer(), where_),
                       parse_long_text(text("medclf.long_text"), where_)};
    check_long_text(found.long_text, found.max_length, multi_label, where_);
    return found;
  }

  TextEncoder encoder(const Limits& limits) const {
    const std::string vocabulary = text("medclf.vocabulary");
    TokenizerOptions options;
    options.normalizer = normalizer();
    options.wordpiece = wordpiece();
    options.vocabulary = vocabulary;
    options.max_length = limits.max_length;
    options.long_text = limits.long_text;
    return TextEncoder(options);
  }

 private:
  NormalizerOptions normalizer() const {
    const Json json = this->json("medclf.normalizer");
    const bool lowercase = json.at("lowercase").boolean();
    const Json& strip = json.at("strip_accents");
    return {json.at("clean_text").boolean(), json.at("handle_chinese_chars").boolean(),
            strip.is_null() ? lowercase : strip.boolean(), lowercase};
  }

  WordPieceOptions wordpiece() const {
    const Json json = this->json("medclf.wordpiece");
    const int64_t max_characters = json.at("max_input_chars_per_word").integer();
    if (max_characters < 0) throw JsonError("max_input_chars_per_word is below 0");
    return {json.at("unk_token").string(), json.at("continuing_subword_prefix").string(),
            static_cast<size_t>(max_characters)};
  }

  const Lookup& lookup_;
  const std::string& where_;
};

}  // namespace

Metadata read_metadata(const Lookup& lookup, const std::string& where, const std::optional<Limits>& limits) {
  const Reader reader(lookup, where);
  reader.check_version();
  try {
    Labels labels = reader.labels();
    TextEncoder encoder = reader.encoder(limits ? *limits : reader.limits(labels.multi_label()));
    return {std::move(labels), std::move(encoder)};
  } catch (const JsonError& error) {
    throw Error(MEDCLF_ERROR_BUNDLE, where + ": a medclf property is damaged (" + error.what() + "). Export it again.");
  }
}

}  // namespace medclf::core
