// The library through its C face on the golden bundle: the answers are those of the Python runtime.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

#include "check.hpp"
#include "json.hpp"
#include "medclf/medclf.h"

using medclf::core::Json;

namespace {

constexpr int kSkipped = 77;
constexpr float kTolerance = 1e-5F;
// Another CPU sums in another order, and in INT8 that can carry an activation to its next step: as medclf-verify.
constexpr float kGoldenFp32 = 1e-4F, kGoldenInt8 = 0.05F;

std::string folder;

medclf_options options_of(int32_t precision, int32_t mode = MEDCLF_MODE_THROUGHPUT, int32_t threads = 2) {
  medclf_options options{};
  options.struct_size = sizeof options;
  options.precision = precision;
  options.mode = mode;
  options.threads = threads;
  return options;
}

medclf_classifier* open(const std::string& name, const medclf_options* options = nullptr) {
  medclf_classifier* classifier = nullptr;
  const medclf_status status = medclf_open((folder + name).c_str(), options, &classifier);
  check::that(status == MEDCLF_OK, medclf_last_error(), __FILE__, __LINE__);
  return classifier;
}

struct Answers {
  std::vector<float> probabilities, logits;
  std::vector<uint8_t> decisions;
  std::vector<int64_t> n_tokens;
  std::vector<int32_t> faults;
  std::vector<uint8_t> abstained;
};

std::vector<medclf_text> views(const std::vector<std::string>& texts) {
  std::vector<medclf_text> found;
  for (const std::string& text : texts) found.push_back({text.data(), text.size()});
  return found;
}

medclf_status classify(const medclf_classifier* classifier, const std::vector<std::string>& texts,
                       const std::vector<std::string>& pairs, Answers& answers, bool skip = false) {
  const size_t n = texts.size(), n_labels = medclf_n_labels(classifier);
  answers = {std::vector<float>(n * n_labels), std::vector<float>(n * n_labels), std::vector<uint8_t>(n * n_labels),
             std::vector<int64_t>(n),           std::vector<int32_t>(n),         std::vector<uint8_t>(n, 9)};
  medclf_results results{};
  results.struct_size = sizeof results;
  results.probabilities = answers.probabilities.data();
  results.logits = answers.logits.data();
  results.decisions = answers.decisions.data();
  results.n_tokens = answers.n_tokens.data();
  results.faults = skip ? answers.faults.data() : nullptr;
  results.abstained = answers.abstained.data();
  const std::vector<medclf_text> first = views(texts), second = views(pairs);
  return medclf_classify(classifier, first.data(), pairs.empty() ? nullptr : second.data(), n, &results);
}

void close_to(const std::vector<float>& found, const std::vector<double>& expected, float tolerance, const char* what) {
  CHECK_EQUAL(found.size(), expected.size());
  float largest = 0;
  for (size_t i = 0; i < found.size(); ++i)
    largest = std::max(largest, std::fabs(found[i] - static_cast<float>(expected[i])));
  check::that(largest <= tolerance, what, __FILE__, __LINE__);
}

void golden(const Json& document, int32_t mode) {
  const std::vector<std::string> texts = document.at("texts").strings();
  for (const Json& expected : document.at("answers").array()) {
    const std::string& precision = expected.at("precision").string();
    const medclf_options options =
        options_of(precision == "int8" ? MEDCLF_PRECISION_INT8 : MEDCLF_PRECISION_FP32, mode);
    medclf_classifier* classifier = open("/bundle", &options);
    if (classifier == nullptr) return;
    CHECK_EQUAL(std::string(medclf_precision_taken(classifier)), precision);
    CHECK_EQUAL(std::string(medclf_long_text(classifier)), "truncate");
    Answers answers;
    CHECK_EQUAL(classify(classifier, texts, expected.at("pairs").strings(), answers), MEDCLF_OK);
    const float tolerance = precision == "int8" ? kGoldenInt8 : kGoldenFp32;
    close_to(answers.probabilities, expected.at("probabilities").numbers(), tolerance, "the probabilities");
    close_to(answers.logits, expected.at("logits").numbers(), tolerance, "the logits");
    const std::vector<std::string> labels = expected.at("labels").strings();
    const std::vector<double> n_tokens = expected.at("n_tokens").numbers();
    for (size_t i = 0; i < texts.size(); ++i) {
      const uint8_t* given = answers.decisions.data() + i * medclf_n_labels(classifier);
      const size_t label = static_cast<size_t>(std::find(given, given + medclf_n_labels(classifier), 1) - given);
      if (precision == "fp32") CHECK_EQUAL(std::string(medclf_label(classifier, label)), labels[i]);
      CHECK_EQUAL(static_cast<double>(answers.n_tokens[i]), n_tokens[i]);
    }
    medclf_close(classifier);
  }
}

void one_text() {
  medclf_classifier* classifier = open("/bundle");
  float probabilities[3];
  size_t label = 9;
  CHECK_EQUAL(medclf_predict(classifier, "baba", 4, &label, probabilities), MEDCLF_OK);
  CHECK(std::fabs(probabilities[0] + probabilities[1] + probabilities[2] - 1) < kTolerance);
  CHECK_EQUAL(label, static_cast<size_t>(std::max_element(probabilities, probabilities + 3) - probabilities));
  CHECK_EQUAL(medclf_predict(classifier, " ", 1, &label, nullptr), MEDCLF_ERROR_INPUT);
  CHECK(std::strstr(medclf_last_error(), "1 of 1 texts cannot be classified: texts[0] is empty") != nullptr);
  CHECK_EQUAL(medclf_predict(classifier, nullptr, 4, &label, nullptr), MEDCLF_ERROR_OPTION);
  CHECK_EQUAL(medclf_predict(classifier, "baba", 4, nullptr, nullptr), MEDCLF_OK);
  CHECK_EQUAL(std::string(medclf_last_error()), "");
  CHECK_EQUAL(std::string(medclf_precision_taken(classifier)), "int8");
  CHECK_EQUAL(medclf_max_length(classifier), 64U);
  CHECK(medclf_label(classifier, 3) == nullptr);
  const medclf_text text{"baba", 4};
  int32_t ids[2];
  size_t n_ids = 0;
  CHECK_EQUAL(medclf_encode(classifier, &text, nullptr, ids, 2, &n_ids), MEDCLF_OK);
  CHECK_EQUAL(n_ids, 3U);
  CHECK_EQUAL(medclf_encode(classifier, &text, &text, nullptr, 0, &n_ids), MEDCLF_OK);
  CHECK_EQUAL(n_ids, 5U);
  medclf_close(classifier);
}

void faults() {
  medclf_classifier* classifier = open("/bundle");
  const std::vector<std::string> texts{
      "baba", "", "CANARY-7f3a\xFF", std::string("a\0b", 3), std::string(100'000'000, 'a'), "ce"};
  Answers answers, alone;
  CHECK_EQUAL(classify(classifier, texts, {}, answers), MEDCLF_ERROR_INPUT);
  const std::string message = medclf_last_error();
  CHECK(message.find("4 of 6 texts cannot be classified: texts[1] is empty; texts[2] is not UTF-8") == 0);
  CHECK(message.find("CANARY") == message.npos);
  CHECK_EQUAL(classify(classifier, texts, {}, answers, true), MEDCLF_OK);
  CHECK(answers.faults == std::vector<int32_t>({0, 1, 4, 2, 3, 0}));
  CHECK(answers.abstained == std::vector<uint8_t>(6, 0));
  CHECK(std::isnan(answers.probabilities[3]) && std::isnan(answers.logits[5]) && answers.n_tokens[1] == 0);
  CHECK_EQUAL(classify(classifier, {"ce"}, {}, alone), MEDCLF_OK);
  CHECK(std::fabs(alone.logits[0] - answers.logits[15]) < kTolerance);
  CHECK_EQUAL(classify(classifier, {}, {}, answers), MEDCLF_OK);
  CHECK_EQUAL(classify(classifier, {"baba"}, {" "}, answers), MEDCLF_ERROR_INPUT);
  medclf_close(classifier);
}

void older_struct() {
  medclf_classifier* classifier = open("/bundle");
  const medclf_text text{"baba", 4};
  std::vector<uint8_t> decisions(3), abstained(1, 9);
  medclf_results results{};
  results.decisions = decisions.data();
  results.abstained = abstained.data();
  results.struct_size = offsetof(medclf_results, abstained);  // of a caller whose header has no such field
  CHECK_EQUAL(medclf_classify(classifier, &text, nullptr, 1, &results), MEDCLF_OK);
  CHECK_EQUAL(decisions[0] + decisions[1] + decisions[2], 1);
  CHECK_EQUAL(abstained[0], 9);
  for (const size_t size : {offsetof(medclf_results, abstained) - 1, sizeof results + 1}) {
    results.struct_size = size;
    CHECK_EQUAL(medclf_classify(classifier, &text, nullptr, 1, &results), MEDCLF_ERROR_OPTION);
    CHECK(std::strstr(medclf_last_error(), "medclf_results.struct_size is ") != nullptr);
  }
  medclf_close(classifier);
}

void several_labels() {
  medclf_classifier* classifier = open("/several_labels.onnx");
  CHECK_EQUAL(medclf_multi_label(classifier), 1);
  CHECK_EQUAL(std::string(medclf_precision_taken(classifier)), "");
  Answers answers;
  CHECK_EQUAL(classify(classifier, {"baba ce", "zozo"}, {}, answers), MEDCLF_OK);
  const float thresholds[3] = {0.3F, 0.5F, 0.9F};
  for (size_t i = 0; i < answers.logits.size(); ++i) {
    CHECK(std::fabs(answers.probabilities[i] - 1 / (1 + std::exp(-answers.logits[i]))) < kTolerance);
    CHECK_EQUAL(answers.decisions[i], answers.probabilities[i] >= thresholds[i % 3] ? 1 : 0);
  }
  medclf_close(classifier);
  const medclf_options options = options_of(MEDCLF_PRECISION_INT8);
  CHECK_EQUAL(medclf_open((folder + "/several_labels.onnx").c_str(), &options, &classifier), MEDCLF_ERROR_OPTION);
}

void many_threads() {
  medclf_classifier* classifier = open("/bundle");
  Answers expected;
  const std::vector<std::string> texts{"baba", "ce di fo gu", "zozo mimi", std::string(500, 'x')};
  classify(classifier, texts, {}, expected);
  std::vector<std::thread> threads;
  std::vector<float> largest(64);
  for (size_t i = 0; i < largest.size(); ++i) {
    threads.emplace_back([&, i] {
      Answers answers;
      for (int round = 0; round < 5; ++round) {
        if (classify(classifier, texts, {}, answers) != MEDCLF_OK) largest[i] = 1;
        for (size_t j = 0; j < answers.logits.size(); ++j) {
          largest[i] = std::max(largest[i], std::fabs(answers.logits[j] - expected.logits[j]));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(*std::max_element(largest.begin(), largest.end()) < kTolerance);
  medclf_close(classifier);
}

bool runtime_is_there() {
  medclf_classifier* classifier = nullptr;
  const medclf_status status = medclf_open((folder + "/bundle").c_str(), nullptr, &classifier);
  if (status == MEDCLF_ERROR_RUNTIME) std::printf("skipped: %s\n", medclf_last_error());
  medclf_close(classifier);
  return status != MEDCLF_ERROR_RUNTIME;
}

}  // namespace

int main(int, char** argv) {
  folder = argv[1];
  if (!runtime_is_there()) return kSkipped;
  const Json document = Json::parse(check::read(folder + "/answers.json"));
  golden(document, MEDCLF_MODE_THROUGHPUT);
  golden(document, MEDCLF_MODE_LATENCY);
  one_text();
  faults();
  older_struct();
  several_labels();
  many_threads();
  return check::result();
}
