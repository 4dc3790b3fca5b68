// From a path and a caller's wishes to an open model: which file, with how many threads. Mirrors
// medclf/runtime/opening.py.
#pragma once

#include <string>

#include "labels.hpp"
#include "medclf/medclf.h"
#include "session.hpp"
#include "text_encoder.hpp"

namespace medclf::core {

/// A model that was opened.
struct Opened {
  std::string precision;  // "fp32" or "int8"; empty for one .onnx file
  Labels labels;
  TextEncoder encoder;
  Session session;
  size_t n_callers;  // how many batches should run at a time
};

/// Checks the options of a caller; throws an Error of MEDCLF_ERROR_OPTION.
void check_options(const medclf_options& options);

/// Opens the folder of a bundle, or one .onnx file.
Opened open_model(const std::string& path, const medclf_options& options);

}  // namespace medclf::core
