#include "ort_library.hpp"

#include <cstdlib>
#include <map>
#include <mutex>

#include "error.hpp"

#ifdef MEDCLF_LINK_ORT
extern "C" const OrtApiBase* OrtGetApiBase(void);
#else
#include <dlfcn.h>
#endif

namespace medclf::core {
namespace {

#ifdef MEDCLF_LINK_ORT

const OrtApiBase* find_base(const char*) { return OrtGetApiBase(); }

#else

#ifdef __APPLE__
constexpr const char* kNames[] = {"libonnxruntime.1.dylib", "libonnxruntime.dylib"};
#else
constexpr const char* kNames[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
#endif

bool given(const char* path) { return path != nullptr && *path != '\0'; }  // dlopen takes "" for the program itself

void* open_library(const char* path) {
  constexpr int kFlags = RTLD_NOW | RTLD_LOCAL;  // local: another ONNX Runtime may be in the process
  if (given(path)) return dlopen(path, kFlags);
  for (const char* name : kNames) {
    if (void* handle = dlopen(name, kFlags)) return handle;
  }
  return nullptr;
}

const OrtApiBase* find_base(const char* path) {
  if (!given(path)) path = std::getenv("MEDCLF_ORT_LIBRARY");
  void* handle = open_library(path);
  if (handle == nullptr) {
    const char* why = dlerror();
    throw Error(MEDCLF_ERROR_RUNTIME, std::string("ONNX Runtime cannot be loaded: ") + (why ? why : "no reason given") +
                                          ". Give the path of libonnxruntime, or set MEDCLF_ORT_LIBRARY to it.");
  }
  auto* function = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (function == nullptr) {
    throw Error(MEDCLF_ERROR_RUNTIME,
                std::string(given(path) ? path : kNames[0]) + " is not ONNX Runtime: it has no OrtGetApiBase.");
  }
  return function();
}

#endif

Ort start(const OrtApiBase& base) {
  const std::string version = base.GetVersionString();
  const OrtApi* api = base.GetApi(MEDCLF_ORT_API_VERSION);
  if (api == nullptr) {
    throw Error(MEDCLF_ERROR_RUNTIME, "ONNX Runtime " + version + " is too old: 1.19 or later is needed.");
  }
  Ort ort{*api, nullptr, version};
  ort.check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "medclf", &ort.env), "the environment");
  return ort;
}

}  // namespace

void Ort::check(OrtStatus* status, const std::string& what) const {
  if (status == nullptr) return;
  const int code = api.GetErrorCode(status);
  api.ReleaseStatus(status);
  throw Error(MEDCLF_ERROR_RUNTIME,
              what + ": ONNX Runtime " + version + " failed with code " + std::to_string(code) + ".");
}

const Ort& load_ort(const char* path) {
  static std::mutex mutex;
  static auto& loaded = *new std::map<const OrtApiBase*, Ort>;  // never freed: see Ort
  const std::lock_guard lock(mutex);
  const OrtApiBase* base = find_base(path);
  const auto found = loaded.find(base);
  return found != loaded.end() ? found->second : loaded.emplace(base, start(*base)).first->second;
}

}  // namespace medclf::core
