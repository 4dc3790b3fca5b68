#include "opening.hpp"

#include <optional>
#include <utility>

#include "cores.hpp"
#include "error.hpp"
#include "files.hpp"
#include "manifest.hpp"
#include "metadata.hpp"

namespace medclf::core {
namespace {

constexpr int32_t kMaxThreads = 1024;

/// A file whose bytes may be opened, and what its manifest says.
struct ModelFile {
  std::string path, data, precision;
  std::optional<Manifest> manifest;
};

std::string choose_precision(const Manifest& manifest, int32_t wanted) {
  if (wanted == MEDCLF_PRECISION_AUTO) return manifest.models.count("int8") ? "int8" : "fp32";
  return wanted == MEDCLF_PRECISION_INT8 ? "int8" : "fp32";
}

ModelFile read_bundle(const std::string& folder, int32_t wanted) {
  Manifest manifest = read_manifest(folder);
  const std::string precision = choose_precision(manifest, wanted);
  const auto found = manifest.models.find(precision);
  if (found == manifest.models.end()) {
    throw Error(MEDCLF_ERROR_OPTION, folder + " holds no " + precision + " model.");
  }
  std::string data = read_verified(folder, manifest, found->second);
  return {folder + "/" + found->second, std::move(data), precision, std::move(manifest)};
}

ModelFile read_model(const std::string& path, int32_t wanted) {
  if (is_folder(path)) return read_bundle(path, wanted);
  if (!is_file(path)) {
    throw Error(MEDCLF_ERROR_BUNDLE, path + " is neither the folder of a bundle nor an .onnx file.");
  }
  if (wanted != MEDCLF_PRECISION_AUTO) {
    throw Error(MEDCLF_ERROR_OPTION, "precision: one .onnx file has the one it has. Give the folder of the bundle.");
  }
  return {path, read_file(path), "", std::nullopt};
}

/// A manifest and the properties of its model must mean the same; the thresholds of the manifest count.
Labels agreed(const std::optional<Manifest>& manifest, const Labels& carried, const std::string& path) {
  if (!manifest) return carried;
  if (manifest->labels.sha256() != carried.sha256()) {
    throw Error(MEDCLF_ERROR_BUNDLE, path + " names other labels than " + kManifest + ". Export the bundle again.");
  }
  return manifest->labels;
}

}  // namespace

void check_options(const medclf_options& options) {
  const auto refuse = [](const char* what) { throw Error(MEDCLF_ERROR_OPTION, what); };
  if (options.precision < MEDCLF_PRECISION_AUTO || options.precision > MEDCLF_PRECISION_INT8) {
    refuse("precision is not a medclf_precision.");
  }
  if (options.mode < MEDCLF_MODE_THROUGHPUT || options.mode > MEDCLF_MODE_LATENCY) refuse("mode is not a medclf_mode.");
  if (options.threads < 0 || options.threads > kMaxThreads) {
    refuse("threads is not from 0 to 1,024; 0 takes all cores that this process may use.");
  }
  if (options.max_batch_tokens < 0) refuse("max_batch_tokens is below 0; 0 takes the default.");
}

Opened open_model(const std::string& path, const medclf_options& options) {
  const ModelFile file = read_model(path, options.precision);
  const int cores = options.threads > 0 ? options.threads : usable_cores();
  const int callers = options.mode == MEDCLF_MODE_THROUGHPUT ? cores : 1;
  Session session(load_ort(options.runtime), file.data, cores / callers, file.path);
  const auto lookup = [&session](const char* key) { return session.metadata(key); };
  std::optional<Limits> limits;
  if (file.manifest) limits = {file.manifest->max_length, file.manifest->long_text};
  Metadata metadata = read_metadata(lookup, file.path, limits);
  Labels labels = agreed(file.manifest, metadata.labels, file.path);
  if (session.n_labels() != labels.size()) {
    throw Error(MEDCLF_ERROR_BUNDLE, file.path + " gives " + std::to_string(session.n_labels()) + " logits and names " +
                                         std::to_string(labels.size()) + " labels. Export the bundle again.");
  }
  return {file.precision, std::move(labels), std::move(metadata.encoder), std::move(session),
          static_cast<size_t>(callers)};
}

}  // namespace medclf::core
