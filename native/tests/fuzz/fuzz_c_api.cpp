// Any bytes as texts, through the C face on the golden bundle: an answer or a fault each. MEDCLF_FUZZ_BUNDLE names it.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "medclf/medclf.h"

namespace {

medclf_classifier* open() {
  const char* bundle = std::getenv("MEDCLF_FUZZ_BUNDLE");
  medclf_classifier* classifier = nullptr;
  if (medclf_open(bundle, nullptr, &classifier) != MEDCLF_OK) {
    std::fprintf(stderr, "%s\n", medclf_last_error());
    std::exit(77);  // ONNX Runtime is not here
  }
  return classifier;
}

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const medclf_classifier* classifier = open();
  const size_t n_labels = medclf_n_labels(classifier);
  const size_t n = size == 0 ? 0 : 1 + data[0] % 8;
  std::vector<medclf_text> texts;
  for (size_t i = 0; i < n; ++i) {
    const size_t begin = size * i / n, end = size * (i + 1) / n;
    texts.push_back({reinterpret_cast<const char*>(data) + begin, end - begin});
  }
  std::vector<float> probabilities(n * n_labels);
  std::vector<int32_t> faults(n);
  medclf_results results{};
  results.struct_size = sizeof results;
  results.probabilities = probabilities.data();
  results.faults = faults.data();
  const medclf_text* pairs = size % 2 ? texts.data() : nullptr;
  check(medclf_classify(classifier, texts.data(), pairs, n, &results) == MEDCLF_OK);
  for (size_t i = 0; i < n; ++i) {
    const float first = probabilities[i * n_labels];
    check(faults[i] == MEDCLF_FAULT_NONE ? first >= 0 && first <= 1 : std::isnan(first));
  }
  return 0;
}
