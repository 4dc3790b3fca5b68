// What an ONNX file of medclf carries in its metadata_props. Writer: export/medclf_export/metadata.py.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "labels.hpp"
#include "text_encoder.hpp"

namespace medclf::core {

/// Labels and tokenizer of one ONNX file.
struct Metadata {
  Labels labels;
  TextEncoder encoder;
};

/// Gives the value of a key, or nothing.
using Lookup = std::function<std::optional<std::string>(const char* key)>;

/// Most tokens of a row of the model, and what becomes of a text that has more.
struct Limits {
  size_t max_length;
  LongText long_text;
};

/// Reads the properties of a model; `where` is what messages call it. `limits` replace those of the properties where a
/// manifest gives them.
Metadata read_metadata(const Lookup& lookup, const std::string& where, const std::optional<Limits>& limits);

}  // namespace medclf::core
