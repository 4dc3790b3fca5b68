// One ONNX Runtime session with the options of medclf/runtime/session.py: bytes in, logits out. Knows nothing of files,
// texts and labels.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ort_library.hpp"

namespace medclf::core {

/// Texts of one run, padded on the right to the longest: [n_rows, n_columns] each.
struct Batch {
  size_t n_rows, n_columns;
  std::vector<int64_t> input_ids, attention_mask, token_type_ids;
};

/// A model that is open; safe to share between threads.
class Session {
 public:
  /// Opens the contents of an ONNX file; `threads` work on one run, and `name` is what messages call the model.
  Session(const Ort& ort, std::string_view model, int threads, std::string name);

  /// Writes logits [n_rows, n_labels].
  void run(Batch& batch, float* logits) const;

  /// A value of the model's metadata_props.
  std::optional<std::string> metadata(const char* key) const;

  size_t n_labels() const { return n_labels_; }
  const std::string& runtime_version() const { return ort_.version; }

 private:
  std::vector<std::string> names(bool inputs) const;
  void read_inputs();
  void read_output();
  OrtPointer<OrtValue> tensor(std::vector<int64_t>& values, const Batch& batch) const;
  void copy_logits(OrtValue* value, size_t n_rows, float* logits) const;

  const Ort& ort_;
  std::string name_;
  OrtPointer<OrtSession> session_;
  OrtPointer<OrtMemoryInfo> memory_;
  OrtAllocator* allocator_ = nullptr;
  std::vector<std::string> inputs_;
  size_t n_labels_ = 0;
};

}  // namespace medclf::core
