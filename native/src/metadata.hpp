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

/// Reads the properties of a model; `where` is what messages call it. `max_length` replaces that of the properties
/// where a manifest gives one.
Metadata read_metadata(const Lookup& lookup, const std::string& where, std::optional<size_t> max_length);

}  // namespace medclf::core
