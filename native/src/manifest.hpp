// The manifest of a bundle, medclf.json. Normative text: docs/bundle.md; the same checks as medclf/bundle.py.
#pragma once

#include <map>
#include <string>

#include "labels.hpp"
#include "long_text.hpp"

namespace medclf::core {

constexpr const char* kManifest = "medclf.json";
constexpr int kSchemaVersion = 1;

/// What a file must be to be used.
struct FileRecord {
  std::string sha256;
  size_t size_bytes;
};

/// The part of medclf.json that a runner needs.
struct Manifest {
  Labels labels;
  size_t max_length;
  LongText long_text;
  std::map<std::string, std::string> models;  // precision to path in the bundle
  std::map<std::string, FileRecord> files;    // path in the bundle to record
};

/// Reads and checks the manifest of a folder.
Manifest read_manifest(const std::string& folder);

/// Reads a manifest; `where` is its path, for messages.
Manifest parse_manifest(const std::string& text, const std::string& where);

/// Reads a file of the bundle and checks it; what is returned is what was hashed.
std::string read_verified(const std::string& folder, const Manifest& manifest, const std::string& name);

/// A limit of tokens that a tokenizer can keep; throws an Error that begins with `where` otherwise.
size_t checked_max_length(int64_t value, const std::string& where);

}  // namespace medclf::core
