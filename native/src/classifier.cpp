#include "classifier.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "error.hpp"
#include "pooling.hpp"
#include "schedule.hpp"
#include "text.hpp"

namespace medclf::core {
namespace {

constexpr size_t kTextsAtATime = 32;  // tokenized by one thread in a row
constexpr size_t kNamedFaults = 5;

std::string_view view(const medclf_text& text) { return {text.data, text.size}; }

/// The fault of each text, or of its second one, and where windows end.
struct Checked {
  std::vector<medclf_fault> faults;
  std::vector<size_t> ends;
  size_t n_faults = 0;
};

Checked check(const Texts& texts) {
  Checked checked;
  checked.faults.reserve(texts.n);
  size_t begin = 0, n_characters = 0;
  for (size_t i = 0; i < texts.n; ++i) {
    TextCheck found = check_text(view(texts.first[i]));
    n_characters += found.n_characters;
    if (texts.second != nullptr) {
      const TextCheck second = check_text(view(texts.second[i]));
      n_characters += second.n_characters;
      if (found.fault == MEDCLF_FAULT_NONE) found.fault = second.fault;
    }
    checked.faults.push_back(found.fault);
    checked.n_faults += found.fault != MEDCLF_FAULT_NONE;
    if (i + 1 - begin == kWindowTexts || n_characters >= kWindowCharacters) {
      checked.ends.push_back(begin = i + 1);
      n_characters = 0;
    }
  }
  if (begin < texts.n) checked.ends.push_back(texts.n);
  return checked;
}

std::string summary(const Checked& checked) {
  std::string message = std::to_string(checked.n_faults) + " of " + std::to_string(checked.faults.size()) +
                        " texts cannot be classified: ";
  size_t n_named = 0;
  for (size_t i = 0; i < checked.faults.size() && n_named < kNamedFaults; ++i) {
    if (checked.faults[i] == MEDCLF_FAULT_NONE) continue;
    message += (n_named++ ? "; " : "") + ("texts[" + std::to_string(i) + "] ") + reason(checked.faults[i]);
  }
  if (checked.n_faults > n_named) message += "; and " + std::to_string(checked.n_faults - n_named) + " more";
  return message + ". With an array for the faults, the others are answered.";
}

Batch pad(const std::vector<Row>& rows, const std::vector<size_t>& chosen, int32_t pad_id) {
  size_t length = 0;
  for (const size_t row : chosen) length = std::max(length, rows[row].n_ids);
  const size_t size = chosen.size() * length;
  Batch batch{chosen.size(), length, std::vector<int64_t>(size, pad_id), std::vector<int64_t>(size),
              std::vector<int64_t>(size)};
  for (size_t i = 0; i < chosen.size(); ++i) {
    const Row& row = rows[chosen[i]];
    const auto begin = static_cast<std::ptrdiff_t>(i * length);
    const auto n_ids = static_cast<std::ptrdiff_t>(row.n_ids);
    const auto n_first = static_cast<std::ptrdiff_t>(row.n_first);
    std::copy_n(row.ids, n_ids, batch.input_ids.begin() + begin);
    std::fill_n(batch.attention_mask.begin() + begin, n_ids, 1);
    std::fill_n(batch.token_type_ids.begin() + begin + n_first, n_ids - n_first, 1);
  }
  return batch;
}

/// Tokens of a text, those that are in no row, and its rows.
void write_counts(const size_t (&counts)[3], size_t row, const medclf_results& results) {
  int64_t* const arrays[] = {results.n_tokens, results.n_cut, results.n_windows};
  for (size_t i = 0; i < 3; ++i) {
    if (arrays[i] != nullptr) arrays[i][row] = static_cast<int64_t>(counts[i]);
  }
}

}  // namespace

Classifier::Classifier(const std::string& path, const medclf_options& options)
    : model_(open_model(path, options)),
      max_batch_tokens_(options.max_batch_tokens > 0 ? static_cast<size_t>(options.max_batch_tokens) : kMaxBatchTokens),
      process_(getpid()),
      workers_(model_.n_callers - 1) {}

void Classifier::check_process() const {
  if (getpid() == process_) return;
  throw Error(MEDCLF_ERROR_SESSION, "the classifier was opened in process " + std::to_string(process_) +
                                        " and does not survive a fork. Open it in this process, after the fork.");
}

void Classifier::classify(const Texts& texts, const medclf_results& results) const {
  check_process();
  const Checked checked = check(texts);
  if (checked.n_faults > 0 && results.faults == nullptr) throw Error(MEDCLF_ERROR_INPUT, summary(checked));
  size_t begin = 0;
  for (const size_t end : checked.ends) {
    classify_window(texts, checked.faults, begin, end, results);
    begin = end;
  }
}

void Classifier::classify_window(const Texts& texts, const std::vector<medclf_fault>& faults, size_t begin, size_t end,
                                 const medclf_results& results) const {
  std::vector<size_t> rows;
  for (size_t row = begin; row < end; ++row) {
    if (results.faults != nullptr) results.faults[row] = faults[row];
    if (faults[row] == MEDCLF_FAULT_NONE) {
      rows.push_back(row);
    } else {
      write_nothing(row, results);
    }
  }
  const std::vector<Encoded> encoded = encode(texts, rows);
  const std::vector<float> logits = run(encoded);
  for (size_t i = 0; i < rows.size(); ++i) {
    write(logits.data() + i * labels().size(), rows[i], results);
    const size_t counts[] = {encoded[i].n_tokens, encoded[i].n_cut, encoded[i].lengths.size()};
    write_counts(counts, rows[i], results);
  }
}

std::vector<Encoded> Classifier::encode(const Texts& texts, const std::vector<size_t>& rows) const {
  std::vector<Encoded> encoded(rows.size());
  const size_t n_parts = (rows.size() + kTextsAtATime - 1) / kTextsAtATime;
  workers_.run(n_parts, [&](size_t part) {
    const size_t end = std::min(rows.size(), (part + 1) * kTextsAtATime);
    for (size_t i = part * kTextsAtATime; i < end; ++i) {
      const std::string_view first = view(texts.first[rows[i]]);
      encoded[i] =
          texts.second == nullptr ? encoder().encode(first) : encoder().encode(first, view(texts.second[rows[i]]));
    }
  });
  return encoded;
}

std::vector<float> Classifier::run(const std::vector<Encoded>& encoded) const {
  std::vector<Row> rows;
  std::vector<size_t> n_windows;
  for (const Encoded& one : encoded) {
    n_windows.push_back(one.lengths.size());
    const int32_t* ids = one.input_ids.data();
    for (const size_t length : one.lengths) {
      rows.push_back({ids, length, std::min(length, one.n_first)});
      ids += length;
    }
  }
  const std::vector<float> logits = run_rows(rows);
  if (!std::all_of(logits.begin(), logits.end(), [](float value) { return std::isfinite(value); })) {
    throw Error(MEDCLF_ERROR_BUNDLE, "the model gave a logit that is not a finite number. Export it again.");
  }
  const Pooling pooling = encoder().long_text().pooling;
  return pool(logits, n_windows, labels().size(), pooling, labels().multi_label());
}

std::vector<float> Classifier::run_rows(const std::vector<Row>& rows) const {
  std::vector<size_t> lengths;
  for (const Row& row : rows) lengths.push_back(row.n_ids);
  const std::vector<std::vector<size_t>> batches = plan(lengths, max_batch_tokens_);
  const size_t n_labels = labels().size();
  std::vector<float> logits(rows.size() * n_labels);
  workers_.run(batches.size(), [&](size_t i) {
    Batch batch = pad(rows, batches[i], encoder().pad_id());
    std::vector<float> found(batch.n_rows * n_labels);
    model_.session.run(batch, found.data());
    for (size_t row = 0; row < batch.n_rows; ++row) {
      std::copy_n(found.data() + row * n_labels, n_labels, logits.data() + batches[i][row] * n_labels);
    }
  });
  return logits;
}

void Classifier::write(const float* logits, size_t row, const medclf_results& results) const {
  const size_t n = labels().size();
  std::vector<float> probabilities(n);
  labels().probabilities(logits, probabilities.data());
  if (results.logits != nullptr) std::copy_n(logits, n, results.logits + row * n);
  if (results.probabilities != nullptr) std::copy_n(probabilities.data(), n, results.probabilities + row * n);
  std::vector<uint8_t> given(n);
  const bool abstains = labels().decide(probabilities.data(), given.data());
  if (results.decisions != nullptr) std::copy_n(given.data(), n, results.decisions + row * n);
  if (results.abstained != nullptr) results.abstained[row] = abstains;
}

void Classifier::write_nothing(size_t row, const medclf_results& results) const {
  const size_t n = labels().size();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  if (results.logits != nullptr) std::fill_n(results.logits + row * n, n, kNaN);
  if (results.probabilities != nullptr) std::fill_n(results.probabilities + row * n, n, kNaN);
  if (results.decisions != nullptr) std::fill_n(results.decisions + row * n, n, uint8_t{0});
  if (results.abstained != nullptr) results.abstained[row] = 0;
  constexpr size_t kNoCounts[3] = {};
  write_counts(kNoCounts, row, results);
}

}  // namespace medclf::core
