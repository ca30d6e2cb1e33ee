// Our own declaration of the part of ONNX Runtime's stable C ABI that we call.
//
// The library exports one function, OrtGetApiBase. It leads to a table of function pointers whose
// order never changes: releases only append. So a slot number is as good as a name, and no header
// of ONNX Runtime is needed to build. tests/cpp/check_onnxruntime_slots.cc compares each number,
// arity and constant below with a real header where one is installed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace affectrt::ort {

// Opaque: made and released by the library only.
struct Status;  // a null pointer is success
struct Env;
struct SessionOptions;
struct Session;
struct RunOptions;
struct Value;
struct MemoryInfo;
struct IoBinding;
struct Allocator;
struct TypeInfo;
struct TensorInfo;
struct CudaOptions;
struct TensorRtOptions;
struct EpDevice;  // a device for which a registered provider library has an execution provider

// C enumerations cross the ABI as int.
constexpr int kFloat = 1;
constexpr int kInt32 = 6;
constexpr int kInt64 = 7;
constexpr int kFloat16 = 10;
constexpr int kTypeIsTensor = 1;
constexpr int kLogError = 3;
constexpr int kOptimizeAll = 99;
constexpr int kSequential = 0;
constexpr int kDeviceAllocator = 0;
constexpr int kMemoryDefault = 0;
constexpr int kNoSuchFile = 3;
constexpr int kNoModel = 4;
constexpr int kInvalidProtobuf = 7;
constexpr int kInvalidGraph = 10;

// The ABI version that is asked for; ONNX Runtime 1.N offers versions 1 to N.
constexpr uint32_t kApiVersion = 22;

// Their ORTCHAR_T.
#if defined(_WIN32)
using PathChar = wchar_t;
#else
using PathChar = char;
#endif

using Slot = void (*)();
using LogFunction = void (*)(void* parameter, int severity, const char* category,
                             const char* log_id, const char* code_location, const char* message);

struct ApiBase {
  const Slot* (*get_api)(uint32_t version);
  const char* (*get_version_string)();
};
using GetApiBase = const ApiBase* (*)();

// SLOT(number, name in ONNX Runtime, result, parameters...)
// clang-format off
#define AFFECTRT_ORT_SLOTS(SLOT)                                                                   \
  SLOT(1, GetErrorCode, int, const Status*)                                                        \
  SLOT(2, GetErrorMessage, const char*, const Status*)                                             \
  SLOT(4, CreateEnvWithCustomLogger, Status*, LogFunction, void*, int, const char*, Env**)         \
  SLOT(6, DisableTelemetryEvents, Status*, const Env*)                                             \
  SLOT(8, CreateSessionFromArray, Status*, const Env*, const void*, size_t, const SessionOptions*, \
       Session**)                                                                                  \
  SLOT(9, Run, Status*, Session*, const RunOptions*, const char* const*, const Value* const*,      \
       size_t, const char* const*, size_t, Value**)                                                \
  SLOT(10, CreateSessionOptions, Status*, SessionOptions**)                                        \
  SLOT(13, SetSessionExecutionMode, Status*, SessionOptions*, int)                                 \
  SLOT(23, SetSessionGraphOptimizationLevel, Status*, SessionOptions*, int)                        \
  SLOT(24, SetIntraOpNumThreads, Status*, SessionOptions*, int)                                    \
  SLOT(25, SetInterOpNumThreads, Status*, SessionOptions*, int)                                    \
  SLOT(30, SessionGetInputCount, Status*, const Session*, size_t*)                                 \
  SLOT(31, SessionGetOutputCount, Status*, const Session*, size_t*)                                \
  SLOT(33, SessionGetInputTypeInfo, Status*, const Session*, size_t, TypeInfo**)                   \
  SLOT(34, SessionGetOutputTypeInfo, Status*, const Session*, size_t, TypeInfo**)                  \
  SLOT(36, SessionGetInputName, Status*, const Session*, size_t, Allocator*, char**)               \
  SLOT(37, SessionGetOutputName, Status*, const Session*, size_t, Allocator*, char**)              \
  SLOT(49, CreateTensorWithDataAsOrtValue, Status*, const MemoryInfo*, void*, size_t,              \
       const int64_t*, size_t, int, Value**)                                                       \
  SLOT(51, GetTensorMutableData, Status*, Value*, void**)                                          \
  SLOT(55, CastTypeInfoToTensorInfo, Status*, const TypeInfo*, const TensorInfo**)                 \
  SLOT(56, GetOnnxTypeFromTypeInfo, Status*, const TypeInfo*, int*)                                \
  SLOT(60, GetTensorElementType, Status*, const TensorInfo*, int*)                                 \
  SLOT(61, GetDimensionsCount, Status*, const TensorInfo*, size_t*)                                \
  SLOT(62, GetDimensions, Status*, const TensorInfo*, int64_t*, size_t)                            \
  SLOT(65, GetTensorTypeAndShape, Status*, const Value*, TensorInfo**)                             \
  SLOT(68, CreateMemoryInfo, Status*, const char*, int, int, int, MemoryInfo**)                    \
  SLOT(69, CreateCpuMemoryInfo, Status*, int, int, MemoryInfo**)                                   \
  SLOT(76, AllocatorFree, Status*, Allocator*, void*)                                              \
  SLOT(78, GetAllocatorWithDefaultOptions, Status*, Allocator**)                                   \
  SLOT(93, ReleaseStatus, void, Status*)                                                           \
  SLOT(94, ReleaseMemoryInfo, void, MemoryInfo*)                                                   \
  SLOT(95, ReleaseSession, void, Session*)                                                         \
  SLOT(96, ReleaseValue, void, Value*)                                                             \
  SLOT(98, ReleaseTypeInfo, void, TypeInfo*)                                                       \
  SLOT(99, ReleaseTensorTypeAndShapeInfo, void, TensorInfo*)                                       \
  SLOT(100, ReleaseSessionOptions, void, SessionOptions*)                                          \
  SLOT(125, GetAvailableProviders, Status*, char***, int*)                                         \
  SLOT(126, ReleaseAvailableProviders, Status*, char**, int)                                       \
  SLOT(130, AddSessionConfigEntry, Status*, SessionOptions*, const char*, const char*)             \
  SLOT(133, RunWithBinding, Status*, Session*, const RunOptions*, const IoBinding*)                \
  SLOT(134, CreateIoBinding, Status*, Session*, IoBinding**)                                       \
  SLOT(135, ReleaseIoBinding, void, IoBinding*)                                                    \
  SLOT(136, BindInput, Status*, IoBinding*, const char*, const Value*)                             \
  SLOT(138, BindOutputToDevice, Status*, IoBinding*, const char*, const MemoryInfo*)               \
  SLOT(140, GetBoundOutputValues, Status*, const IoBinding*, Allocator*, Value***, size_t*)        \
  SLOT(170, SessionOptionsAppendExecutionProvider_TensorRT_V2, Status*, SessionOptions*,           \
       const TensorRtOptions*)                                                                     \
  SLOT(171, CreateTensorRTProviderOptions, Status*, TensorRtOptions**)                             \
  SLOT(172, UpdateTensorRTProviderOptions, Status*, TensorRtOptions*, const char* const*,          \
       const char* const*, size_t)                                                                 \
  SLOT(174, ReleaseTensorRTProviderOptions, void, TensorRtOptions*)                                \
  SLOT(202, SynchronizeBoundInputs, Status*, IoBinding*)                                           \
  SLOT(203, SynchronizeBoundOutputs, Status*, IoBinding*)                                          \
  SLOT(204, SessionOptionsAppendExecutionProvider_CUDA_V2, Status*, SessionOptions*,               \
       const CudaOptions*)                                                                         \
  SLOT(205, CreateCUDAProviderOptions, Status*, CudaOptions**)                                     \
  SLOT(206, UpdateCUDAProviderOptions, Status*, CudaOptions*, const char* const*,                  \
       const char* const*, size_t)                                                                 \
  SLOT(208, ReleaseCUDAProviderOptions, void, CudaOptions*)                                        \
  SLOT(216, SessionOptionsAppendExecutionProvider, Status*, SessionOptions*, const char*,          \
       const char* const*, const char* const*, size_t)                                             \
  SLOT(301, RegisterExecutionProviderLibrary, Status*, Env*, const char*, const PathChar*)         \
  SLOT(303, GetEpDevices, Status*, const Env*, const EpDevice* const**, size_t*)                   \
  SLOT(304, SessionOptionsAppendExecutionProvider_V2, Status*, SessionOptions*, Env*,              \
       const EpDevice* const*, size_t, const char* const*, const char* const*, size_t)             \
  SLOT(312, EpDevice_EpName, const char*, const EpDevice*)
// clang-format on

// The slots above as typed members.
struct Api {
#define AFFECTRT_ORT_MEMBER(number, name, result, ...) result (*name)(__VA_ARGS__) = nullptr;
  AFFECTRT_ORT_SLOTS(AFFECTRT_ORT_MEMBER)
#undef AFFECTRT_ORT_MEMBER

  static Api from(const Slot* table) {
    Api api;
#define AFFECTRT_ORT_FILL(number, name, result, ...) \
  api.name = reinterpret_cast<result (*)(__VA_ARGS__)>(table[number]);
    AFFECTRT_ORT_SLOTS(AFFECTRT_ORT_FILL)
#undef AFFECTRT_ORT_FILL
    return api;
  }
};

}  // namespace affectrt::ort
