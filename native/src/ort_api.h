/*
 * The part of ONNX Runtime's C API that libmedclf calls, written by hand so that no header of ONNX Runtime is needed.
 *
 * OrtApi is a table of functions whose order is frozen: new ones are only appended. What is not used here is padding.
 * native/tests/ort_abi_check.c compares every slot and prototype with the official header wherever there is one.
 * ONNX Runtime is (c) Microsoft, MIT licence.
 */
#ifndef MEDCLF_ORT_API_H
#define MEDCLF_ORT_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MEDCLF_ORT_API_VERSION 19 /* ONNX Runtime 1.19, the oldest that opens our models rightly */

#ifndef MEDCLF_ORT_ABI_CHECK /* the check takes these from the official header */
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtEnv OrtEnv;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtModelMetadata OrtModelMetadata;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtStatus OrtStatus;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtValue OrtValue;
typedef enum OrtErrorCode { ORT_OK = 0 } OrtErrorCode;
typedef enum OrtLoggingLevel { ORT_LOGGING_LEVEL_FATAL = 4 } OrtLoggingLevel;
typedef enum GraphOptimizationLevel { ORT_ENABLE_ALL = 99 } GraphOptimizationLevel;
typedef enum OrtAllocatorType { OrtArenaAllocator = 1 } OrtAllocatorType;
typedef enum OrtMemType { OrtMemTypeDefault = 0 } OrtMemType;
typedef enum ONNXTensorElementDataType {
  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 = 7
} ONNXTensorElementDataType;
#endif

#define MEDCLF_CALL(name, ...) OrtStatus* (*name)(__VA_ARGS__)
#define MEDCLF_RELEASE(type) void (*Release##type)(Ort##type*)
#define MEDCLF_UNUSED(first, last) void* unused_##first[(last) - (first) + 1]

typedef struct OrtApi {
  MEDCLF_UNUSED(0, 0);
  OrtErrorCode (*GetErrorCode)(const OrtStatus*); /* 1 */
  MEDCLF_UNUSED(2, 2);
  MEDCLF_CALL(CreateEnv, OrtLoggingLevel, const char*, OrtEnv**); /* 3 */
  MEDCLF_UNUSED(4, 7);
  MEDCLF_CALL(CreateSessionFromArray, const OrtEnv*, const void*, size_t, const OrtSessionOptions*, OrtSession**);
  MEDCLF_CALL(Run, OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*, size_t,
              const char* const*, size_t, OrtValue**);    /* 9 */
  MEDCLF_CALL(CreateSessionOptions, OrtSessionOptions**); /* 10 */
  MEDCLF_UNUSED(11, 16);
  MEDCLF_CALL(DisableMemPattern, OrtSessionOptions*); /* 17 */
  MEDCLF_UNUSED(18, 21);
  MEDCLF_CALL(SetSessionLogSeverityLevel, OrtSessionOptions*, int);                          /* 22 */
  MEDCLF_CALL(SetSessionGraphOptimizationLevel, OrtSessionOptions*, GraphOptimizationLevel); /* 23 */
  MEDCLF_CALL(SetIntraOpNumThreads, OrtSessionOptions*, int);                                /* 24 */
  MEDCLF_CALL(SetInterOpNumThreads, OrtSessionOptions*, int);                                /* 25 */
  MEDCLF_UNUSED(26, 29);
  MEDCLF_CALL(SessionGetInputCount, const OrtSession*, size_t*);  /* 30 */
  MEDCLF_CALL(SessionGetOutputCount, const OrtSession*, size_t*); /* 31 */
  MEDCLF_UNUSED(32, 33);
  MEDCLF_CALL(SessionGetOutputTypeInfo, const OrtSession*, size_t, OrtTypeInfo**); /* 34 */
  MEDCLF_UNUSED(35, 35);
  MEDCLF_CALL(SessionGetInputName, const OrtSession*, size_t, OrtAllocator*, char**);  /* 36 */
  MEDCLF_CALL(SessionGetOutputName, const OrtSession*, size_t, OrtAllocator*, char**); /* 37 */
  MEDCLF_UNUSED(38, 48);
  MEDCLF_CALL(CreateTensorWithDataAsOrtValue, const OrtMemoryInfo*, void*, size_t, const int64_t*, size_t,
              ONNXTensorElementDataType, OrtValue**); /* 49 */
  MEDCLF_UNUSED(50, 50);
  MEDCLF_CALL(GetTensorMutableData, OrtValue*, void**); /* 51 */
  MEDCLF_UNUSED(52, 54);
  MEDCLF_CALL(CastTypeInfoToTensorInfo, const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**); /* 55 */
  MEDCLF_UNUSED(56, 59);
  MEDCLF_CALL(GetTensorElementType, const OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType*); /* 60 */
  MEDCLF_CALL(GetDimensionsCount, const OrtTensorTypeAndShapeInfo*, size_t*);                      /* 61 */
  MEDCLF_CALL(GetDimensions, const OrtTensorTypeAndShapeInfo*, int64_t*, size_t);                  /* 62 */
  MEDCLF_UNUSED(63, 64);
  MEDCLF_CALL(GetTensorTypeAndShape, const OrtValue*, OrtTensorTypeAndShapeInfo**); /* 65 */
  MEDCLF_UNUSED(66, 68);
  MEDCLF_CALL(CreateCpuMemoryInfo, OrtAllocatorType, OrtMemType, OrtMemoryInfo**); /* 69 */
  MEDCLF_UNUSED(70, 75);
  MEDCLF_CALL(AllocatorFree, OrtAllocator*, void*); /* 76 */
  MEDCLF_UNUSED(77, 77);
  MEDCLF_CALL(GetAllocatorWithDefaultOptions, OrtAllocator**); /* 78 */
  MEDCLF_UNUSED(79, 92);
  MEDCLF_RELEASE(Status);     /* 93 */
  MEDCLF_RELEASE(MemoryInfo); /* 94 */
  MEDCLF_RELEASE(Session);    /* 95 */
  MEDCLF_RELEASE(Value);      /* 96 */
  MEDCLF_UNUSED(97, 97);
  MEDCLF_RELEASE(TypeInfo);               /* 98 */
  MEDCLF_RELEASE(TensorTypeAndShapeInfo); /* 99 */
  MEDCLF_RELEASE(SessionOptions);         /* 100 */
  MEDCLF_UNUSED(101, 110);
  MEDCLF_CALL(SessionGetModelMetadata, const OrtSession*, OrtModelMetadata**); /* 111 */
  MEDCLF_UNUSED(112, 115);
  MEDCLF_CALL(ModelMetadataLookupCustomMetadataMap, const OrtModelMetadata*, OrtAllocator*, const char*, char**);
  MEDCLF_UNUSED(117, 117);
  MEDCLF_RELEASE(ModelMetadata); /* 118 */
  MEDCLF_UNUSED(119, 129);
  MEDCLF_CALL(AddSessionConfigEntry, OrtSessionOptions*, const char*, const char*); /* 130 */
} OrtApi;

#undef MEDCLF_CALL
#undef MEDCLF_RELEASE
#undef MEDCLF_UNUSED

typedef struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)(void);
} OrtApiBase;

#ifdef __cplusplus
}
#endif

#endif
