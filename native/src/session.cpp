#include "session.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "error.hpp"

namespace medclf::core {
namespace {

constexpr const char* kInputIds = "input_ids";
constexpr const char* kAttentionMask = "attention_mask";
constexpr const char* kTokenTypeIds = "token_type_ids";
constexpr const char* kOutput = "logits";
constexpr int kFatal = 4;  // errors are returned; logged, they could show token ids

OrtPointer<OrtSessionOptions> session_options(const Ort& ort, int threads) {
  const OrtApi& api = ort.api;
  OrtSessionOptions* made = nullptr;
  const auto check = [&ort](OrtStatus* status) { ort.check(status, "the options of a session"); };
  check(api.CreateSessionOptions(&made));
  OrtPointer<OrtSessionOptions> options(made, api.ReleaseSessionOptions);
  check(api.SetIntraOpNumThreads(made, threads));
  check(api.SetInterOpNumThreads(made, 1));
  check(api.DisableMemPattern(made));  // it keeps one plan for each shape, and free lengths give endless shapes
  check(api.SetSessionGraphOptimizationLevel(made, ORT_ENABLE_ALL));
  check(api.SetSessionLogSeverityLevel(made, kFatal));
  // Threads of a run spin while they wait for each other, as waking one takes longer than most operators of a short
  // text; they stop with the run: idle threads leave the cores to others.
  check(api.AddSessionConfigEntry(made, "session.intra_op.allow_spinning", threads > 1 ? "1" : "0"));
  check(api.AddSessionConfigEntry(made, "session.force_spinning_stop", "1"));
  // Weights outside the file were never hashed, and would be looked for in the current folder: send it nowhere.
  check(api.AddSessionConfigEntry(made, "session.model_external_initializers_file_folder_path", "/dev/null/none"));
  return options;
}

OrtSession* open(const Ort& ort, std::string_view model, int threads, const std::string& name) {
  const auto options = session_options(ort, threads);
  OrtSession* session = nullptr;
  OrtStatus* status = ort.api.CreateSessionFromArray(ort.env, model.data(), model.size(), options.get(), &session);
  if (status != nullptr) {
    ort.api.ReleaseStatus(status);
    throw Error(MEDCLF_ERROR_BUNDLE, name + " cannot be opened by ONNX Runtime " + ort.version +
                                         ". Use the one that it was exported with or a newer one, or export it again.");
  }
  return session;
}

OrtMemoryInfo* cpu_memory(const Ort& ort) {
  OrtMemoryInfo* memory = nullptr;
  ort.check(ort.api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), "the memory of the CPU");
  return memory;
}

}  // namespace

Session::Session(const Ort& ort, std::string_view model, int threads, std::string name)
    : ort_(ort),
      name_(std::move(name)),
      session_(open(ort, model, threads, name_), ort.api.ReleaseSession),
      memory_(cpu_memory(ort), ort.api.ReleaseMemoryInfo) {
  ort_.check(ort_.api.GetAllocatorWithDefaultOptions(&allocator_), name_);
  read_inputs();
  read_output();
}

std::vector<std::string> Session::names(bool inputs) const {
  const OrtApi& api = ort_.api;
  size_t n = 0;
  ort_.check((inputs ? api.SessionGetInputCount : api.SessionGetOutputCount)(session_.get(), &n), name_);
  std::vector<std::string> found;
  for (size_t i = 0; i < n; ++i) {
    char* name = nullptr;
    ort_.check((inputs ? api.SessionGetInputName : api.SessionGetOutputName)(session_.get(), i, allocator_, &name),
               name_);
    found.emplace_back(name);
    ort_.check(api.AllocatorFree(allocator_, name), name_);
  }
  return found;
}

void Session::read_inputs() {
  inputs_ = names(true);
  const auto has = [this](const char* name) { return std::count(inputs_.begin(), inputs_.end(), name) == 1; };
  const size_t n_known = size_t{has(kInputIds)} + has(kAttentionMask) + has(kTokenTypeIds);
  if (!has(kInputIds) || !has(kAttentionMask) || n_known != inputs_.size()) {
    throw Error(MEDCLF_ERROR_BUNDLE, name_ +
                                         " has other inputs than input_ids, attention_mask and at most "
                                         "token_type_ids. Export it with medclf-export.");
  }
}

void Session::read_output() {
  const OrtApi& api = ort_.api;
  const std::vector<std::string> outputs = names(false);
  const auto found = std::find(outputs.begin(), outputs.end(), kOutput);
  std::array<int64_t, 2> shape{};
  if (found != outputs.end()) {
    OrtTypeInfo* made = nullptr;
    const auto index = static_cast<size_t>(found - outputs.begin());
    ort_.check(api.SessionGetOutputTypeInfo(session_.get(), index, &made), name_);
    const OrtPointer<OrtTypeInfo> type(made, api.ReleaseTypeInfo);
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // belongs to `type`
    ort_.check(api.CastTypeInfoToTensorInfo(made, &tensor), name_);
    ONNXTensorElementDataType element{};
    size_t n_dimensions = 0;
    if (tensor != nullptr) {
      ort_.check(api.GetTensorElementType(tensor, &element), name_);
      ort_.check(api.GetDimensionsCount(tensor, &n_dimensions), name_);
    }
    if (element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && n_dimensions == shape.size()) {
      ort_.check(api.GetDimensions(tensor, shape.data(), shape.size()), name_);
    }
  }
  if (shape[1] < 1) {
    throw Error(MEDCLF_ERROR_BUNDLE, name_ + " has no output logits [batch, labels]. Export it with medclf-export.");
  }
  n_labels_ = static_cast<size_t>(shape[1]);
}

std::optional<std::string> Session::metadata(const char* key) const {
  OrtModelMetadata* made = nullptr;
  ort_.check(ort_.api.SessionGetModelMetadata(session_.get(), &made), name_);
  const OrtPointer<OrtModelMetadata> metadata(made, ort_.api.ReleaseModelMetadata);
  char* value = nullptr;
  ort_.check(ort_.api.ModelMetadataLookupCustomMetadataMap(made, allocator_, key, &value), name_);
  if (value == nullptr) return std::nullopt;
  std::string copy = value;
  ort_.check(ort_.api.AllocatorFree(allocator_, value), name_);
  return copy;
}

OrtPointer<OrtValue> Session::tensor(std::vector<int64_t>& values, const Batch& batch) const {
  const std::array<int64_t, 2> shape{static_cast<int64_t>(batch.n_rows), static_cast<int64_t>(batch.n_columns)};
  OrtValue* made = nullptr;
  ort_.check(
      ort_.api.CreateTensorWithDataAsOrtValue(memory_.get(), values.data(), values.size() * sizeof values[0],
                                              shape.data(), shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, &made),
      name_);
  return {made, ort_.api.ReleaseValue};
}

void Session::run(Batch& batch, float* logits) const {
  std::vector<OrtPointer<OrtValue>> values;
  std::vector<const OrtValue*> inputs;
  std::vector<const char*> input_names;
  for (const std::string& name : inputs_) {
    values.push_back(tensor(name == kInputIds        ? batch.input_ids
                            : name == kAttentionMask ? batch.attention_mask
                                                     : batch.token_type_ids,
                            batch));
    inputs.push_back(values.back().get());
    input_names.push_back(name.c_str());
  }
  OrtValue* made = nullptr;
  ort_.check(
      ort_.api.Run(session_.get(), nullptr, input_names.data(), inputs.data(), inputs.size(), &kOutput, 1, &made),
      name_ + " on a batch of " + std::to_string(batch.n_rows) + " x " + std::to_string(batch.n_columns) + " tokens");
  const OrtPointer<OrtValue> output(made, ort_.api.ReleaseValue);
  copy_logits(made, batch.n_rows, logits);
}

void Session::copy_logits(OrtValue* value, size_t n_rows, float* logits) const {
  OrtTensorTypeAndShapeInfo* made = nullptr;
  ort_.check(ort_.api.GetTensorTypeAndShape(value, &made), name_);
  const OrtPointer<OrtTensorTypeAndShapeInfo> info(made, ort_.api.ReleaseTensorTypeAndShapeInfo);
  ONNXTensorElementDataType element{};
  size_t n_dimensions = 0;
  std::array<int64_t, 2> shape{};
  ort_.check(ort_.api.GetTensorElementType(made, &element), name_);
  ort_.check(ort_.api.GetDimensionsCount(made, &n_dimensions), name_);
  if (n_dimensions == shape.size()) ort_.check(ort_.api.GetDimensions(made, shape.data(), shape.size()), name_);
  const std::array<int64_t, 2> expected{static_cast<int64_t>(n_rows), static_cast<int64_t>(n_labels_)};
  if (element != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || shape != expected) {
    throw Error(MEDCLF_ERROR_BUNDLE, name_ + " gave logits of another shape than it states. Export it again.");
  }
  void* data = nullptr;
  ort_.check(ort_.api.GetTensorMutableData(value, &data), name_);
  std::copy_n(static_cast<const float*>(data), n_rows * n_labels_, logits);
}

}  // namespace medclf::core
