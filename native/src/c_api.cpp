// The C face: checks what the caller gave, and turns exceptions into status codes.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "classifier.hpp"
#include "error.hpp"
#include "medclf/medclf.h"
#include "text.hpp"

struct medclf_classifier {
  medclf::core::Classifier core;
};

namespace {

using medclf::core::Classifier;
using medclf::core::Encoded;
using medclf::core::Error;

thread_local char last_error[2048] = "";  // an array: no allocation where memory has run out

medclf_status fail(medclf_status status, const char* message) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s", message);
  return status;
}

template <class F>
medclf_status guarded(const F& function) noexcept {
  try {
    last_error[0] = '\0';
    function();
    return MEDCLF_OK;
  } catch (const Error& error) {
    return fail(error.status(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(MEDCLF_ERROR_MEMORY, "no memory is left.");
  } catch (const std::length_error&) {
    return fail(MEDCLF_ERROR_MEMORY, "a list would be larger than memory can be.");
  } catch (const std::exception& error) {
    return fail(MEDCLF_ERROR_INTERNAL, error.what());
  } catch (...) {
    return fail(MEDCLF_ERROR_INTERNAL, "an exception of an unknown kind.");
  }
}

void need(const void* pointer, const char* name) {
  if (pointer == nullptr) throw Error(MEDCLF_ERROR_OPTION, std::string(name) + " is NULL.");
}

// What the first header had: fields were only added behind these.
constexpr size_t kFirstOptions = offsetof(medclf_options, runtime) + sizeof(medclf_options::runtime);
constexpr size_t kFirstResults = offsetof(medclf_results, faults) + sizeof(medclf_results::faults);

/// The caller's struct as far as its header knew it; fields that it did not know are 0.
template <class T>
T taken(const T& given, size_t first_size, const char* name) {
  T own{};
  if (given.struct_size < first_size || given.struct_size > sizeof own) {
    throw Error(MEDCLF_ERROR_OPTION, std::string(name) + ".struct_size is " + std::to_string(given.struct_size) +
                                         ", expected " + std::to_string(first_size) + " to " +
                                         std::to_string(sizeof own) + ": set it to sizeof(" + name +
                                         "), and use a library that is no older than its header.");
  }
  std::memcpy(&own, &given, given.struct_size);
  return own;
}

void need_texts(const medclf_text* texts, size_t n, const char* name) {
  if (n > 0) need(texts, name);
  for (size_t i = 0; i < n; ++i) {
    if (texts[i].data == nullptr && texts[i].size > 0)
      need(nullptr, (name + ("[" + std::to_string(i) + "].data")).c_str());
  }
}

}  // namespace

medclf_status medclf_open(const char* path, const medclf_options* options, medclf_classifier** classifier) {
  return guarded([&] {
    need(path, "path");
    need(classifier, "classifier");
    *classifier = nullptr;
    const medclf_options known = options ? taken(*options, kFirstOptions, "medclf_options") : medclf_options{};
    medclf::core::check_options(known);
    *classifier = new medclf_classifier{Classifier(path, known)};
  });
}

void medclf_close(medclf_classifier* classifier) { delete classifier; }

medclf_status medclf_classify(const medclf_classifier* classifier, const medclf_text* texts, const medclf_text* pairs,
                              size_t n, const medclf_results* results) {
  return guarded([&] {
    need(classifier, "classifier");
    need(results, "results");
    const medclf_results known = taken(*results, kFirstResults, "medclf_results");
    need_texts(texts, n, "texts");
    if (pairs != nullptr) need_texts(pairs, n, "pairs");
    classifier->core.classify({texts, pairs, n}, known);
  });
}

medclf_status medclf_predict(const medclf_classifier* classifier, const char* text, size_t size, size_t* label,
                             float* probabilities) {
  return guarded([&] {
    need(classifier, "classifier");
    const medclf_text one{text, size};
    need_texts(&one, 1, "text");
    std::vector<float> found(classifier->core.labels().size());
    medclf_results results{};
    uint8_t abstained = 0;
    results.probabilities = found.data();
    results.abstained = &abstained;
    classifier->core.classify({&one, nullptr, 1}, results);
    const auto best = std::max_element(found.begin(), found.end()) - found.begin();
    if (label != nullptr) *label = static_cast<size_t>(best);
    if (probabilities != nullptr) std::copy(found.begin(), found.end(), probabilities);
    if (abstained != 0) {
      throw Error(MEDCLF_ABSTAINED, "the answer is less sure than the bundle's abstain_below: a person should look.");
    }
  });
}

medclf_status medclf_encode(const medclf_classifier* classifier, const medclf_text* text, const medclf_text* pair,
                            int32_t* ids, size_t capacity, size_t* n_ids) {
  return guarded([&] {
    need(classifier, "classifier");
    need(n_ids, "n_ids");
    need_texts(text, 1, "text");
    if (pair != nullptr) need_texts(pair, 1, "pair");
    const auto& encoder = classifier->core.encoder();
    const std::string_view first(text->data, text->size);
    const Encoded encoded =
        pair == nullptr ? encoder.encode(first) : encoder.encode(first, std::string_view(pair->data, pair->size));
    *n_ids = encoded.input_ids.size();
    if (ids != nullptr) std::copy_n(encoded.input_ids.begin(), std::min(capacity, *n_ids), ids);
  });
}

size_t medclf_n_labels(const medclf_classifier* classifier) {
  return classifier == nullptr ? 0 : classifier->core.labels().size();
}

const char* medclf_label(const medclf_classifier* classifier, size_t index) {
  if (index >= medclf_n_labels(classifier)) return nullptr;
  return classifier->core.labels().names()[index].c_str();
}

int medclf_multi_label(const medclf_classifier* classifier) {
  return classifier != nullptr && classifier->core.labels().multi_label() ? 1 : 0;
}

size_t medclf_max_length(const medclf_classifier* classifier) {
  return classifier == nullptr ? 0 : classifier->core.encoder().max_length();
}

const char* medclf_long_text(const medclf_classifier* classifier) {
  return classifier == nullptr ? "" : classifier->core.encoder().long_text().text.c_str();
}

const char* medclf_precision_taken(const medclf_classifier* classifier) {
  return classifier == nullptr ? "" : classifier->core.precision().c_str();
}

const char* medclf_runtime_version(const medclf_classifier* classifier) {
  return classifier == nullptr ? "" : classifier->core.runtime_version().c_str();
}

const char* medclf_fault_reason(int32_t fault) { return medclf::core::reason(fault); }

const char* medclf_last_error(void) { return last_error; }

const char* medclf_version(void) { return MEDCLF_VERSION; }

uint32_t medclf_abi_version(void) { return MEDCLF_ABI_VERSION; }
