// Compiled, never run: compares our slot numbers, signatures and constants with a real header of
// ONNX Runtime. tests/test_engine.py does so wherever it finds one.
#include <onnxruntime_c_api.h>

#include <cstddef>
#include <type_traits>

#include "engine/onnxruntime_api.h"

// Their functions carry attributes that a template argument drops.
#pragma GCC diagnostic ignored "-Wignored-attributes"

namespace {

using namespace affectrt::ort;

// Our opaque types are not theirs: what crosses the ABI is the same where the kind and the size of
// each parameter, and how often it points, are the same.
template <typename T>
constexpr int pointer_depth() {
  if constexpr (std::is_function_v<std::remove_pointer_t<T>> || !std::is_pointer_v<T>) {
    return 0;
  } else {
    return 1 + pointer_depth<std::remove_cv_t<std::remove_pointer_t<T>>>();
  }
}

template <typename Ours, typename Theirs>
constexpr bool crosses_alike() {
  if constexpr (std::is_void_v<Ours> || std::is_void_v<Theirs>) {
    return std::is_void_v<Ours> == std::is_void_v<Theirs>;
  } else {
    return sizeof(Ours) == sizeof(Theirs) && std::is_pointer_v<Ours> == std::is_pointer_v<Theirs> &&
           pointer_depth<Ours>() == pointer_depth<Theirs>();
  }
}

template <typename Ours, typename Theirs>
struct SameCall : std::false_type {};

template <typename R1, typename... A1, typename R2, typename... A2>
struct SameCall<R1 (*)(A1...), R2 (*)(A2...)> {
  template <typename... B>
  static constexpr bool all() {
    if constexpr (sizeof...(A1) == sizeof...(B)) {
      return (crosses_alike<A1, B>() && ...);
    } else {
      return false;
    }
  }
  static constexpr bool value = crosses_alike<R1, R2>() && all<A2...>();
};

template <typename F>
struct WithoutNoexcept {
  using type = F;
};
template <typename R, typename... A>
struct WithoutNoexcept<R (*)(A...) noexcept> {
  using type = R (*)(A...);
};

#define CHECK_SLOT(number, name, result, ...)                                                  \
  static_assert(offsetof(OrtApi, name) == (number) * sizeof(void*), "slot number of " #name);  \
  static_assert(                                                                               \
      SameCall<result (*)(__VA_ARGS__), WithoutNoexcept<decltype(OrtApi::name)>::type>::value, \
      "signature of " #name);
AFFECTRT_ORT_SLOTS(CHECK_SLOT)

static_assert(offsetof(OrtApiBase, GetApi) == offsetof(ApiBase, get_api));
static_assert(offsetof(OrtApiBase, GetVersionString) == offsetof(ApiBase, get_version_string));
static_assert(kFloat == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
static_assert(kInt32 == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32);
static_assert(kInt64 == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
static_assert(kFloat16 == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16);
static_assert(kTypeIsTensor == ONNX_TYPE_TENSOR);
static_assert(kLogError == ORT_LOGGING_LEVEL_ERROR);
static_assert(kOptimizeAll == ORT_ENABLE_ALL);
static_assert(kSequential == ORT_SEQUENTIAL);
static_assert(kDeviceAllocator == OrtDeviceAllocator);
static_assert(kMemoryDefault == OrtMemTypeDefault);
static_assert(kNoSuchFile == ORT_NO_SUCHFILE);
static_assert(kNoModel == ORT_NO_MODEL);
static_assert(kInvalidProtobuf == ORT_INVALID_PROTOBUF);
static_assert(kInvalidGraph == ORT_INVALID_GRAPH);

}  // namespace
