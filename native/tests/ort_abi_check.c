/* Compiled only, where the official header is found: every slot and prototype of ort_api.h against it. In C, as there
 * the types of both are the same types. */
#include <onnxruntime_c_api.h>

#define MEDCLF_ORT_ABI_CHECK
#define OrtApi MedclfOrtApi
#define OrtApiBase MedclfOrtApiBase
#include "../src/ort_api.h"
#undef OrtApi
#undef OrtApiBase

#define CHECK(name)                                                                                                  \
  _Static_assert(offsetof(OrtApi, name) == offsetof(MedclfOrtApi, name), "the slot of " #name);                      \
  _Static_assert(__builtin_types_compatible_p(__typeof__(((OrtApi*)0)->name), __typeof__(((MedclfOrtApi*)0)->name)), \
                 "the prototype of " #name)

CHECK(GetErrorCode);
CHECK(CreateEnv);
CHECK(CreateSessionFromArray);
CHECK(Run);
CHECK(CreateSessionOptions);
CHECK(DisableMemPattern);
CHECK(SetSessionLogSeverityLevel);
CHECK(SetSessionGraphOptimizationLevel);
CHECK(SetIntraOpNumThreads);
CHECK(SetInterOpNumThreads);
CHECK(SessionGetInputCount);
CHECK(SessionGetOutputCount);
CHECK(SessionGetOutputTypeInfo);
CHECK(SessionGetInputName);
CHECK(SessionGetOutputName);
CHECK(CreateTensorWithDataAsOrtValue);
CHECK(GetTensorMutableData);
CHECK(CastTypeInfoToTensorInfo);
CHECK(GetTensorElementType);
CHECK(GetDimensionsCount);
CHECK(GetDimensions);
CHECK(GetTensorTypeAndShape);
CHECK(CreateCpuMemoryInfo);
CHECK(AllocatorFree);
CHECK(GetAllocatorWithDefaultOptions);
CHECK(ReleaseStatus);
CHECK(ReleaseMemoryInfo);
CHECK(ReleaseSession);
CHECK(ReleaseValue);
CHECK(ReleaseTypeInfo);
CHECK(ReleaseTensorTypeAndShapeInfo);
CHECK(ReleaseSessionOptions);
CHECK(SessionGetModelMetadata);
CHECK(ModelMetadataLookupCustomMetadataMap);
CHECK(ReleaseModelMetadata);
CHECK(AddSessionConfigEntry);

_Static_assert(offsetof(OrtApiBase, GetApi) == offsetof(MedclfOrtApiBase, GetApi), "GetApi");
_Static_assert(offsetof(OrtApiBase, GetVersionString) == offsetof(MedclfOrtApiBase, GetVersionString), "its version");
_Static_assert(ORT_OK == 0 && ORT_LOGGING_LEVEL_FATAL == 4 && ORT_ENABLE_ALL == 99, "a value");
_Static_assert(OrtArenaAllocator == 1 && OrtMemTypeDefault == 0, "a value");
_Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT == 1 && ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 == 7, "a value");
