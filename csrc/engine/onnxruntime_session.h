// One ONNX Runtime session: made from a model, asked for its inputs and outputs, run on caller's
// memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "engine/onnxruntime_library.h"

namespace affectrt {

struct TensorSpec {
  std::string name;
  int element_type = 0;        // ort::kInt64, ...; 0 where it is no tensor
  std::vector<int64_t> shape;  // -1: any size; empty: unknown rank, or a scalar
};
std::string to_string(const TensorSpec& spec);  // "input_ids (int64 [?, ?])"

struct SessionSource {
  std::string origin;  // names the model in errors
  ByteView model;      // an ONNX file
};

struct SessionSettings {
  int num_threads = 1;
  std::vector<std::string> providers;  // "CUDAExecutionProvider:1" is the one on device 1
};

// Where memory lies, in DLPack's numbers: (1, 0) is the CPU's, (2, n) that of CUDA device n.
struct MemoryPlace {
  int32_t type = 1;
  int32_t id = 0;
};
constexpr int32_t kCpuMemory = 1;
constexpr int32_t kCudaMemory = 2;

// Immutable: concurrent calls are safe.
class OnnxRuntimeSession {
 public:
  // Throws Error(kModelFile) for a model that is damaged, Error(kBackend) for all other failures,
  // an unknown provider among them.
  OnnxRuntimeSession(const OnnxRuntimeLibrary& library, const SessionSource& source,
                     const SessionSettings& settings);

  const std::vector<TensorSpec>& inputs() const { return inputs_; }
  const std::vector<TensorSpec>& outputs() const { return outputs_; }

  // A dense matrix in the caller's memory, or where `depth` is given a tensor [rows, columns,
  // depth].
  struct Matrix {
    const char* name = nullptr;
    int element_type = 0;
    int64_t rows = 0;
    int64_t columns = 0;
    void* data = nullptr;  // rows * columns (* depth) elements
    int64_t depth = 0;
  };
  // Reads `inputs` and writes `outputs` in place.
  void run(const std::vector<Matrix>& inputs, const std::vector<Matrix>& outputs) const;

  // The memory that the first provider works in.
  MemoryPlace place() const { return place_; }
  // A dense array in memory of place(), the caller's.
  struct Bound {
    std::string name;
    int element_type = 0;
    std::vector<int64_t> shape;
    void* data = nullptr;
    std::shared_ptr<const void> owner;  // of an output's memory; the session has to outlive it
  };
  // All outputs of the graph for `inputs`, one for each of inputs(), in memory of place(): nothing
  // is copied between devices. What the default stream of a device was asked before is waited for,
  // and outputs are complete. Error(kInput) for inputs that are missing, unknown or of another
  // type.
  std::vector<Bound> run_bound(const std::vector<Bound>& inputs) const;

  // What `names` turn out to be for `inputs`.
  std::vector<TensorSpec> probe(const std::vector<Matrix>& inputs,
                                const std::vector<const char*>& names) const;

 private:
  TensorSpec describe(size_t index, bool input) const;
  void check_bound(const std::vector<Bound>& inputs) const;
  std::vector<Bound> bound_outputs(const ort::IoBinding* binding, const std::string& doing) const;

  const OnnxRuntimeLibrary& library_;
  std::string origin_;
  const MemoryPlace place_;
  OrtHandle<ort::Session> session_;
  OrtHandle<ort::MemoryInfo> memory_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
};

// A session for each process that asks. fork() copies a session without its threads, so that
// running it would wait for ever: a child is given one of its own. Concurrent calls are safe.
class SessionOfProcess {
 public:
  // `source` is read again in a child, so what it points to must outlive this object.
  SessionOfProcess(const OnnxRuntimeLibrary& library, SessionSource source,
                   SessionSettings settings);
  ~SessionOfProcess();
  SessionOfProcess(const SessionOfProcess&) = delete;
  SessionOfProcess& operator=(const SessionOfProcess&) = delete;

  const OnnxRuntimeSession& get() const;
  const SessionSettings& settings() const { return settings_; }

 private:
  struct Owned {
    std::unique_ptr<const OnnxRuntimeSession> session;
    int64_t process;
  };
  Owned* make() const;

  const OnnxRuntimeLibrary& library_;
  const SessionSource source_;
  const SessionSettings settings_;
  mutable std::mutex making_;
  mutable std::atomic<const Owned*> current_;
};

}  // namespace affectrt
