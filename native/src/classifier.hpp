// Texts to answers: windows, tokens, batches, probabilities. Mirrors medclf/runtime/classifier.py and runner.py.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opening.hpp"
#include "workers.hpp"

namespace medclf::core {

// As in medclf/runtime/windows.py: memory is bounded by a window.
constexpr size_t kWindowTexts = 2'048;
constexpr size_t kWindowCharacters = 4'000'000;

/// Texts of a caller, and the second text of each or nullptr.
struct Texts {
  const medclf_text* first;
  const medclf_text* second;
  size_t n;
};

/// A row of the model: a text, a pair, or a window of a text.
struct Row {
  const int32_t* ids;
  size_t n_ids;
  size_t n_first;  // tokens of token type 0
};

/// A model that is ready to answer; safe to share between threads.
class Classifier {
 public:
  Classifier(const std::string& path, const medclf_options& options);

  /// Writes the answers where `results` says.
  void classify(const Texts& texts, const medclf_results& results) const;

  const Labels& labels() const { return model_.labels; }
  const TextEncoder& encoder() const { return model_.encoder; }
  const std::string& precision() const { return model_.precision; }
  const std::string& runtime_version() const { return model_.session.runtime_version(); }

 private:
  void check_process() const;
  void classify_window(const Texts& texts, const std::vector<medclf_fault>& faults, size_t begin, size_t end,
                       const medclf_results& results) const;
  std::vector<Encoded> encode(const Texts& texts, const std::vector<size_t>& rows) const;
  std::vector<float> run(const std::vector<Encoded>& encoded) const;
  std::vector<float> run_rows(const std::vector<Row>& rows) const;
  void write(const float* logits, size_t row, const medclf_results& results) const;
  void write_nothing(size_t row, const medclf_results& results) const;

  Opened model_;
  size_t max_batch_tokens_;
  pid_t process_;
  mutable Workers workers_;
};

}  // namespace medclf::core
