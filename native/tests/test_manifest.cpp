#include "check.hpp"
#include "error.hpp"
#include "manifest.hpp"

using namespace medclf::core;

namespace {

constexpr const char* kGood = R"({
  "schema_version": 1, "task": "single_label_classification", "labels": ["a", "b", "c"], "thresholds": null,
  "labels_sha256": "7074cc79dfba12b440956f9a52f207b8d5efd0c8788dfa1f246f29ea1225698c",
  "max_length": 64, "long_text": "truncate", "unknown": {"to": ["this", "reader"]},
  "models": {"fp32": {"file": "onnx/model.onnx", "opset": 18, "ir_version": 8, "gates": {}}},
  "files": {"onnx/model.onnx": {"sha256": "00", "size_bytes": 3}}
})";

std::string with(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const size_t at = text.find(from);
  CHECK(at != text.npos);
  return text.replace(at, from.size(), to);
}

void refused(const std::string& from, const std::string& to, const std::string& message) {
  CHECK_THROWS(Error, message, parse_manifest(with(from, to), "medclf.json"));
}

void good() {
  const Manifest manifest = parse_manifest(kGood, "medclf.json");
  CHECK_EQUAL(manifest.labels.names()[1], "b");
  CHECK_EQUAL(manifest.max_length, 64U);
  CHECK_EQUAL(manifest.models.at("fp32"), "onnx/model.onnx");
  CHECK_EQUAL(manifest.files.at("onnx/model.onnx").size_bytes, 3U);
}

void faults() {
  CHECK_THROWS(Error, "no value at byte 1", parse_manifest("", "medclf.json"));
  CHECK_THROWS(Error, "expected an object", parse_manifest("[]", "medclf.json"));
  refused("\"schema_version\": 1", "\"schema_version\": 2", "has schema version 2, this medclf reads 1");
  refused("\"schema_version\": 1,", "", "field 'schema_version' is missing");
  refused("\"max_length\": 64,", "", "field 'max_length' is missing");
  refused("64", "2", "max_length is 2");
  refused("64", "-1", "max_length is -1");
  refused("64", "1e30", "expected an integer");
  refused("64", "\"64\"", "expected a number");
  refused("\"c\"]", "\"d\"]", "labels_sha256 is not the hash");
  refused("truncate", "windows", "long_text is nothing that this medclf knows");
  refused("truncate", "windows:stride=63,pooling=mean,max_windows=4", "long_text has a stride over a window's room of 62");
  refused("\"a\", ", "1, ", "expected a string");
  refused("onnx/model.onnx", "../model.onnx", "leaves the bundle");
  refused("onnx/model.onnx", "/model.onnx", "leaves the bundle");
  refused("onnx/model.onnx", "onnx\\\\model.onnx", "leaves the bundle");
  refused("onnx/model.onnx", "onnx/other.onnx", "no hash is listed");
  refused("\"size_bytes\": 3", "\"size_bytes\": -3", "a size below 0");
  refused("{\"fp32\"", "{}, \"more\": {\"fp32\"", "no model is listed");
}

}  // namespace

int main() {
  good();
  faults();
  return check::result();
}
