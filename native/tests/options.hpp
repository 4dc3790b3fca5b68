// The options of a tokenizer, as the tests write them: {"vocabulary", "max_length", "clean_text", ...}.
#pragma once

#include "json.hpp"
#include "text_encoder.hpp"

inline medclf::core::TokenizerOptions tokenizer_options(const medclf::core::Json& json) {
  medclf::core::TokenizerOptions options;
  options.normalizer = {json.at("clean_text").boolean(), json.at("handle_chinese_chars").boolean(),
                        json.at("strip_accents").boolean(), json.at("lowercase").boolean()};
  options.vocabulary = json.at("vocabulary").string();
  options.max_length = static_cast<size_t>(json.at("max_length").integer());
  return options;
}
