// Finds and loads ONNX Runtime.
#pragma once

#include <memory>
#include <string>

#include "ort_api.h"

namespace medclf::core {

/// Frees an object of ONNX Runtime with its own function.
template <class T>
using OrtPointer = std::unique_ptr<T, void (*)(T*)>;

/// ONNX Runtime, loaded; lives until the process ends, as its threads and static objects do not survive unloading.
struct Ort {
  const OrtApi& api;
  OrtEnv* env;
  std::string version;

  /// Throws if a call failed; `what` begins the message. What ONNX Runtime says is left out: it may hold token ids.
  void check(OrtStatus* status, const std::string& what) const;
};

/// Loads ONNX Runtime from a path, else from $MEDCLF_ORT_LIBRARY, else by the name that the loader knows.
const Ort& load_ort(const char* path);

}  // namespace medclf::core
