#include "manifest.hpp"

#include <limits>
#include <sstream>
#include <utility>

#include "error.hpp"
#include "files.hpp"
#include "json.hpp"
#include "sha256.hpp"

namespace medclf::core {
namespace {

constexpr int64_t kMinLength = 3;  // [CLS], a token, [SEP]

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error(MEDCLF_ERROR_BUNDLE, where + ": " + what);
}

void check_version(const Json& json, const std::string& where) {
  const int64_t version = json.at("schema_version").integer();
  if (version != kSchemaVersion) {
    throw Error(MEDCLF_ERROR_VERSION, where + " has schema version " + std::to_string(version) +
                                          ", this medclf reads " + std::to_string(kSchemaVersion) +
                                          ". Use the medclf that wrote it, or export the checkpoint again.");
  }
}

void check_path(const std::string& name, const std::string& where) {
  std::istringstream parts(name);
  bool leaves = name.empty() || name.front() == '/' || name.find_first_of(std::string("\\\0", 2)) != name.npos;
  for (std::string part; std::getline(parts, part, '/');) leaves |= part == "..";
  if (leaves) refuse(where, "a path leaves the bundle. Do not use this bundle.");
}

Labels labels(const Json& json, const std::string& where) {
  const Json& thresholds = json.at("thresholds");
  std::optional<std::vector<double>> values;
  if (!thresholds.is_null()) values = thresholds.numbers();
  std::optional<double> abstain_below;
  if (const Json* below = json.find("abstain_below"); below != nullptr && !below->is_null()) {
    abstain_below = below->number();
  }
  return {json.at("task").string(), json.at("labels").strings(), values, where, abstain_below};
}

FileRecord file_record(const Json& json) {
  const int64_t size = json.at("size_bytes").integer();
  if (size < 0) throw JsonError("a size below 0");
  return {json.at("sha256").string(), static_cast<size_t>(size)};
}

Manifest parse_fields(const Json& json, const std::string& where) {
  Manifest manifest{labels(json, where),
                    checked_max_length(json.at("max_length").integer(), where),
                    parse_long_text(json.at("long_text").string(), where),
                    {},
                    {}};
  for (const auto& [name, record] : json.at("files").object()) {
    check_path(name, where);
    manifest.files.emplace(name, file_record(record));
  }
  for (const auto& [precision, record] : json.at("models").object()) {
    const std::string& file = record.at("file").string();
    check_path(file, where);
    if (manifest.files.count(file) == 0) refuse(where, "no hash is listed for a model. Export the bundle again.");
    manifest.models.emplace(precision, file);
  }
  if (manifest.models.empty()) refuse(where, "no model is listed. Export the bundle again.");
  if (json.at("labels_sha256").string() != manifest.labels.sha256()) {
    refuse(where, "labels_sha256 is not the hash of the labels. They were edited: export again.");
  }
  check_long_text(manifest.long_text, manifest.max_length, manifest.labels.multi_label(), where);
  return manifest;
}

}  // namespace

size_t checked_max_length(int64_t value, const std::string& where) {
  if (value < kMinLength || value > std::numeric_limits<int32_t>::max()) {
    refuse(where, "max_length is " + std::to_string(value) + ", at least 3 tokens are needed. Export again.");
  }
  return static_cast<size_t>(value);
}

Manifest read_manifest(const std::string& folder) {
  const std::string path = folder + "/" + kManifest;
  if (!is_file(path)) {
    throw Error(MEDCLF_ERROR_BUNDLE,
                folder + " is not a bundle: it has no " + kManifest + ". Write one with medclf-export.");
  }
  return parse_manifest(read_file(path), path);
}

Manifest parse_manifest(const std::string& text, const std::string& where) {
  try {
    const Json json = Json::parse(text);
    check_version(json, where);
    return parse_fields(json, where);
  } catch (const JsonError& error) {
    refuse(where, std::string(error.what()) + ". The bundle is damaged: export it again.");
  }
}

std::string read_verified(const std::string& folder, const Manifest& manifest, const std::string& name) {
  const std::string path = folder + "/" + name;
  const FileRecord& record = manifest.files.at(name);
  std::string data = read_file(path);
  if (data.size() != record.size_bytes) {
    throw Error(MEDCLF_ERROR_INTEGRITY, path + " has " + std::to_string(data.size()) + " bytes, " + kManifest +
                                            " says " + std::to_string(record.size_bytes) +
                                            ". The bundle is damaged: copy or export it again.");
  }
  if (sha256(data) != record.sha256) {
    throw Error(MEDCLF_ERROR_INTEGRITY,
                path + " has the right size and the wrong SHA-256. The bundle is damaged: copy or export it again.");
  }
  return data;
}

}  // namespace medclf::core
