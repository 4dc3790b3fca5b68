// The command line of medclf-run.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

#include "medclf/medclf.h"

namespace run {

constexpr const char* kUsage =
    "medclf-run BUNDLE [options] < texts.jsonl > answers.jsonl\n"
    "\n"
    "Classifies JSON lines, {\"text\": ...} or {\"text\": ..., \"text_pair\": ...}, with the folder of a bundle or "
    "one\n"
    ".onnx file out of it. Answers are JSON lines in the same order.\n"
    "\n"
    "  --precision auto|fp32|int8       auto: INT8 if the bundle has it (default)\n"
    "  --mode throughput|latency        a batch on each core (default), or one batch on all\n"
    "  --threads N                      cores to keep busy; default: all that it may use\n"
    "  --on-error fail|skip             a text that cannot be classified ends the run (default), or gets an error\n"
    "  --runtime PATH                   libonnxruntime; default: $MEDCLF_ORT_LIBRARY, else as the loader finds it\n"
    "  --version, --help\n";

/// A command line that cannot be understood.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Arguments {
  std::string bundle, runtime;
  int32_t precision = MEDCLF_PRECISION_AUTO;
  int32_t mode = MEDCLF_MODE_THROUGHPUT;
  int32_t threads = 0;
  bool skip_errors = false;
};

inline int32_t choice(const std::map<std::string, int32_t>& choices, const std::string& option,
                      const std::string& value) {
  const auto found = choices.find(value);
  if (found == choices.end()) throw UsageError(option + ": '" + value + "' is not one of its values");
  return found->second;
}

inline int32_t count(const std::string& option, const std::string& value) {
  char* end = nullptr;
  const long number = std::strtol(value.c_str(), &end, 10);
  if (value.empty() || *end != '\0' || number < 1 || number > 1024) {
    throw UsageError(option + ": '" + value + "' is not a number from 1 to 1024");
  }
  return static_cast<int32_t>(number);
}

inline Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option.rfind("--", 0) != 0 && arguments.bundle.empty()) {
      arguments.bundle = option;
      continue;
    }
    if (i + 1 == argc) throw UsageError(option + " has no value, or is one too many");
    const std::string value = argv[++i];
    if (option == "--precision") {
      arguments.precision = choice({{"auto", 0}, {"fp32", 1}, {"int8", 2}}, option, value);
    } else if (option == "--mode") {
      arguments.mode = choice({{"throughput", 0}, {"latency", 1}}, option, value);
    } else if (option == "--on-error") {
      arguments.skip_errors = choice({{"fail", 0}, {"skip", 1}}, option, value) == 1;
    } else if (option == "--threads") {
      arguments.threads = count(option, value);
    } else if (option == "--runtime") {
      arguments.runtime = value;
    } else {
      throw UsageError("unknown option " + option);
    }
  }
  if (arguments.bundle.empty()) throw UsageError("no bundle is named");
  return arguments;
}

}  // namespace run
