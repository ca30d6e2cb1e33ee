#include "engine/onnxruntime_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/system.h"

namespace affectrt {
namespace {

std::string element_type_name(int element_type) {
  switch (element_type) {
    case 0:
      return "not a tensor";
    case ort::kFloat:
      return "float32";
    case ort::kInt32:
      return "int32";
    case ort::kInt64:
      return "int64";
    case ort::kFloat16:
      return "float16";
    default:
      return "element type " + std::to_string(element_type);
  }
}

size_t element_bytes(int element_type) {
  switch (element_type) {
    case ort::kFloat16:
      return 2;
    case ort::kInt64:
      return 8;
    default:
      return 4;
  }
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

constexpr const char* kCpu = "CPUExecutionProvider";
constexpr const char* kCuda = "CUDAExecutionProvider";
constexpr const char* kTensorRt = "TensorrtExecutionProvider";

// "CUDAExecutionProvider:1" is the provider on device 1, "Name=/its/library.so" one in a library of
// its own.
struct Provider {
  std::string name;
  int device = 0;
  std::string path;

  // One of those that come with ONNX Runtime and compute on NVIDIA's GPUs.
  bool is_on_cuda() const { return path.empty() && (name == kCuda || name == kTensorRt); }
};

Provider parse_provider(const std::string& text) {
  const size_t equals = text.find('=');
  Provider provider;
  provider.name = text.substr(0, equals);
  if (equals != std::string::npos) provider.path = text.substr(equals + 1);
  const size_t colon = provider.name.find(':');
  if (colon == std::string::npos) return provider;
  const std::string number = provider.name.substr(colon + 1);
  provider.name.resize(colon);
  const bool is_number = !number.empty() && number.size() <= 4 &&
                         number.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number || (!provider.is_on_cuda() && provider.path.empty())) {
    throw Error(ErrorKind::kInput,
                "execution provider '" + text +
                    "': the number of a device stands behind a colon, of CUDA, TensorRT and those "
                    "in libraries of their own alone, as in 'CUDAExecutionProvider:1'");
  }
  provider.device = std::stoi(number);
  return provider;
}

MemoryPlace place_of(const std::vector<std::string>& providers) {
  if (providers.empty()) return {};
  const Provider first = parse_provider(providers.front());
  return first.is_on_cuda() ? MemoryPlace{kCudaMemory, first.device} : MemoryPlace{};
}

// CUDA and TensorRT have option objects of their own; the generic call knows all the others.
void append_provider(const OnnxRuntimeLibrary& library, ort::SessionOptions* options,
                     const std::string& text) {
  const ort::Api& api = library.api();
  const std::string doing = "execution provider '" + text + "' of " + library.describe();
  const auto [name, device, path] = parse_provider(text);
  if (!path.empty()) return library.append_plugin(options, name, device, path);
  const std::string device_id = std::to_string(device);
  if (name == kCpu) return;  // always there, and always the last
  if (name == kCuda) {
    OrtHandle<ort::CudaOptions> cuda(api.ReleaseCUDAProviderOptions);
    library.check(api.CreateCUDAProviderOptions(cuda.out()), doing);
    // TF32 would leave 11 bits of a float32 product, and a file's proof is of all 24.
    const char* const keys[] = {"device_id", "use_tf32"};
    const char* const values[] = {device_id.c_str(), "0"};
    library.check(api.UpdateCUDAProviderOptions(cuda.get(), keys, values, 2), doing);
    library.check(api.SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda.get()), doing);
    return;
  }
  if (name == kTensorRt) {
    OrtHandle<ort::TensorRtOptions> tensorrt(api.ReleaseTensorRTProviderOptions);
    library.check(api.CreateTensorRTProviderOptions(tensorrt.out()), doing);
    const char* const keys[] = {"device_id"};
    const char* const values[] = {device_id.c_str()};
    library.check(api.UpdateTensorRTProviderOptions(tensorrt.get(), keys, values, 1), doing);
    library.check(api.SessionOptionsAppendExecutionProvider_TensorRT_V2(options, tensorrt.get()),
                  doing);
    return;
  }
  ort::Status* status =
      api.SessionOptionsAppendExecutionProvider(options, name.c_str(), nullptr, nullptr, 0);
  if (status == nullptr) return;
  // Builds before the registry of names want a short form here.
  constexpr std::array<std::array<const char*, 2>, 8> kShort = {{
      {"XnnpackExecutionProvider", "XNNPACK"},
      {"OpenVINOExecutionProvider", "OpenVINO"},
      {"QNNExecutionProvider", "QNN"},
      {"CoreMLExecutionProvider", "CoreML"},
      {"AzureExecutionProvider", "AZURE"},
      {"WebGpuExecutionProvider", "WebGPU"},
      {"VitisAIExecutionProvider", "VitisAI"},
      {"NvTensorRTRTXExecutionProvider", "NvTensorRtRtx"},
  }};
  for (const auto& [canonical, short_name] : kShort) {
    if (name != canonical) continue;
    api.ReleaseStatus(status);
    status = api.SessionOptionsAppendExecutionProvider(options, short_name, nullptr, nullptr, 0);
  }
  library.check(status, doing);
}

// CUDA's and TensorRT's code finds its way back through libonnxruntime_providers_shared, of which a
// process has but one: that of another ONNX Runtime, such as Python's, would send it there, and the
// process would end.
void refuse_another_bridge(const OnnxRuntimeLibrary& library, const std::string& provider) {
  const auto folder = [](const std::string& path) { return path.substr(0, path.rfind('/') + 1); };
  const std::string bridge = loaded_library("libonnxruntime_providers_shared.so");
  if (bridge.empty() || folder(bridge) == folder(loaded_library(library.path().c_str()))) return;
  throw Error(ErrorKind::kBackend,
              "execution provider '" + provider + "' of " + library.describe() +
                  ": another ONNX Runtime in this process has '" + bridge +
                  "', which the provider would call; let both be the same installation, or keep "
                  "them in processes of their own");
}

void append_providers(const OnnxRuntimeLibrary& library, ort::SessionOptions* options,
                      const std::vector<std::string>& wanted) {
  if (wanted.empty()) return;
  const std::vector<std::string> offered = library.providers();
  for (const std::string& text : wanted) {
    const Provider provider = parse_provider(text);
    if (!provider.path.empty()) continue;
    if (provider.is_on_cuda()) refuse_another_bridge(library, text);
    if (std::find(offered.begin(), offered.end(), provider.name) == offered.end()) {
      throw Error(ErrorKind::kBackend, "no execution provider '" + provider.name + "' in " +
                                           library.describe() + "; this build offers " +
                                           joined(offered));
    }
  }
  for (const std::string& text : wanted) append_provider(library, options, text);
}

constexpr std::array<std::array<const char*, 2>, 4> kSessionConfig = {{
    // A session must not take CPU time while nobody asks it anything.
    {"session.intra_op.allow_spinning", "0"},
    {"session.inter_op.allow_spinning", "0"},
    // Else a model in ONNX Runtime's own, unvalidated format would be recognised by its bytes.
    {"session.load_model_format", "ONNX"},
    // A model in memory has no folder, and the library would look for external data in the current
    // one. The bundle refuses such models; should one slip through, this folder cannot exist.
    {"session.model_external_initializers_file_folder_path", "/dev/null/no-external-data"},
}};

}  // namespace

std::string to_string(const TensorSpec& spec) {
  std::string text = spec.name + " (" + element_type_name(spec.element_type);
  if (spec.element_type == 0) return text + ")";
  text += " [";
  for (size_t i = 0; i < spec.shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + (spec.shape[i] < 0 ? "?" : std::to_string(spec.shape[i]));
  }
  return text + "])";
}

OnnxRuntimeSession::OnnxRuntimeSession(const OnnxRuntimeLibrary& library,
                                       const SessionSource& source, const SessionSettings& settings)
    : library_(library),
      origin_(source.origin),
      place_(place_of(settings.providers)),
      session_(library.api().ReleaseSession),
      memory_(library.api().ReleaseMemoryInfo) {
  const ort::Api& api = library_.api();
  clear_onnxruntime_log();
  const std::string doing = library_.describe() + " cannot load " + origin_;
  OrtHandle<ort::SessionOptions> options(api.ReleaseSessionOptions);
  library_.check(api.CreateSessionOptions(options.out()), doing);
  library_.check(api.SetSessionExecutionMode(options.get(), ort::kSequential), doing);
  library_.check(api.SetSessionGraphOptimizationLevel(options.get(), ort::kOptimizeAll), doing);
  library_.check(api.SetIntraOpNumThreads(options.get(), settings.num_threads), doing);
  library_.check(api.SetInterOpNumThreads(options.get(), 1), doing);
  for (const auto& [key, value] : kSessionConfig) {
    library_.check(api.AddSessionConfigEntry(options.get(), key, value), doing);
  }
  append_providers(library_, options.get(), settings.providers);
  library_.check(api.CreateSessionFromArray(library_.env(), source.model.data, source.model.size,
                                            options.get(), session_.out()),
                 doing, ErrorKind::kModelFile);
  library_.check(api.CreateCpuMemoryInfo(ort::kDeviceAllocator, ort::kMemoryDefault, memory_.out()),
                 doing);
  size_t count = 0;
  library_.check(api.SessionGetInputCount(session_.get(), &count), doing);
  for (size_t i = 0; i < count; ++i) inputs_.push_back(describe(i, true));
  library_.check(api.SessionGetOutputCount(session_.get(), &count), doing);
  for (size_t i = 0; i < count; ++i) outputs_.push_back(describe(i, false));
}

namespace {

void read_shape(const OnnxRuntimeLibrary& library, const ort::TensorInfo* info,
                const std::string& doing, TensorSpec* spec) {
  const ort::Api& api = library.api();
  size_t rank = 0;
  library.check(api.GetTensorElementType(info, &spec->element_type), doing);
  library.check(api.GetDimensionsCount(info, &rank), doing);
  spec->shape.resize(rank);
  library.check(api.GetDimensions(info, spec->shape.data(), rank), doing);
}

}  // namespace

TensorSpec OnnxRuntimeSession::describe(size_t index, bool input) const {
  const ort::Api& api = library_.api();
  const std::string doing = "cannot read the inputs and outputs of " + origin_;
  TensorSpec spec;
  ort::Allocator* allocator = nullptr;
  library_.check(api.GetAllocatorWithDefaultOptions(&allocator), doing);
  char* name = nullptr;
  library_.check(input ? api.SessionGetInputName(session_.get(), index, allocator, &name)
                       : api.SessionGetOutputName(session_.get(), index, allocator, &name),
                 doing);
  spec.name = name;
  library_.check(api.AllocatorFree(allocator, name), doing);
  OrtHandle<ort::TypeInfo> type(api.ReleaseTypeInfo);
  library_.check(input ? api.SessionGetInputTypeInfo(session_.get(), index, type.out())
                       : api.SessionGetOutputTypeInfo(session_.get(), index, type.out()),
                 doing);
  int kind = 0;
  library_.check(api.GetOnnxTypeFromTypeInfo(type.get(), &kind), doing);
  if (kind != ort::kTypeIsTensor) return spec;
  const ort::TensorInfo* info = nullptr;  // owned by `type`
  library_.check(api.CastTypeInfoToTensorInfo(type.get(), &info), doing);
  read_shape(library_, info, doing, &spec);
  return spec;
}

namespace {

// Values that wrap the caller's memory, in the form that Run wants.
class ValueList {
 public:
  explicit ValueList(const OnnxRuntimeLibrary& library) : library_(library) {}
  ~ValueList() {
    for (ort::Value* value : values_) {
      if (value != nullptr) library_.api().ReleaseValue(value);
    }
  }
  ValueList(const ValueList&) = delete;
  ValueList& operator=(const ValueList&) = delete;

  void wrap(const std::vector<OnnxRuntimeSession::Matrix>& matrices, const ort::MemoryInfo* memory,
            const std::string& doing) {
    for (const OnnxRuntimeSession::Matrix& matrix : matrices) {
      const std::array<int64_t, 3> shape = {matrix.rows, matrix.columns, matrix.depth};
      const size_t rank = matrix.depth == 0 ? 2 : 3;
      size_t elements = 1;
      for (size_t i = 0; i < rank; ++i) elements *= static_cast<size_t>(shape[i]);
      names_.push_back(matrix.name);
      values_.push_back(nullptr);
      library_.check(library_.api().CreateTensorWithDataAsOrtValue(
                         memory, matrix.data, elements * element_bytes(matrix.element_type),
                         shape.data(), rank, matrix.element_type, &values_.back()),
                     doing);
    }
  }
  void leave_open(const std::vector<const char*>& names) {
    names_ = names;
    values_.assign(names.size(), nullptr);
  }

  const char* const* names() const { return names_.data(); }
  ort::Value** values() { return values_.data(); }
  size_t size() const { return values_.size(); }

 private:
  const OnnxRuntimeLibrary& library_;
  std::vector<const char*> names_;
  std::vector<ort::Value*> values_;
};

}  // namespace

void OnnxRuntimeSession::run(const std::vector<Matrix>& inputs,
                             const std::vector<Matrix>& outputs) const {
  clear_onnxruntime_log();
  const std::string doing = library_.describe() + " failed to run " + origin_;
  ValueList given(library_);
  ValueList wanted(library_);
  given.wrap(inputs, memory_.get(), doing);
  wanted.wrap(outputs, memory_.get(), doing);
  library_.check(library_.api().Run(session_.get(), nullptr, given.names(), given.values(),
                                    given.size(), wanted.names(), wanted.size(), wanted.values()),
                 doing);
}

std::vector<TensorSpec> OnnxRuntimeSession::probe(const std::vector<Matrix>& inputs,
                                                  const std::vector<const char*>& names) const {
  clear_onnxruntime_log();
  const std::string doing = library_.describe() + " failed on a trial row for " + origin_;
  const ort::Api& api = library_.api();
  ValueList given(library_);
  ValueList wanted(library_);
  given.wrap(inputs, memory_.get(), doing);
  wanted.leave_open(names);
  library_.check(api.Run(session_.get(), nullptr, given.names(), given.values(), given.size(),
                         wanted.names(), wanted.size(), wanted.values()),
                 doing);
  std::vector<TensorSpec> found;
  for (size_t i = 0; i < names.size(); ++i) {
    OrtHandle<ort::TensorInfo> info(api.ReleaseTensorTypeAndShapeInfo);
    library_.check(api.GetTensorTypeAndShape(wanted.values()[i], info.out()), doing);
    found.push_back({names[i], 0, {}});
    read_shape(library_, info.get(), doing, &found.back());
  }
  return found;
}

void OnnxRuntimeSession::check_bound(const std::vector<Bound>& inputs) const {
  std::string wanted;
  for (const TensorSpec& spec : inputs_) wanted += (wanted.empty() ? "" : ", ") + to_string(spec);
  const auto refuse = [&](const std::string& what) {
    return Error(ErrorKind::kInput, what + "; " + origin_ + " wants " + wanted);
  };
  for (const TensorSpec& spec : inputs_) {
    const auto given = std::find_if(inputs.begin(), inputs.end(),
                                    [&](const Bound& input) { return input.name == spec.name; });
    if (given == inputs.end()) throw refuse("input '" + spec.name + "' is missing");
    const TensorSpec found = {spec.name, given->element_type, given->shape};
    bool fits = found.element_type == spec.element_type &&
                (spec.shape.empty() || spec.shape.size() == found.shape.size());
    for (size_t i = 0; fits && i < spec.shape.size(); ++i) {
      fits = spec.shape[i] < 0 || spec.shape[i] == found.shape[i];
    }
    if (!fits) throw refuse("input " + to_string(found) + " does not fit");
  }
  for (const Bound& input : inputs) {
    const bool known = std::any_of(inputs_.begin(), inputs_.end(),
                                   [&](const TensorSpec& spec) { return spec.name == input.name; });
    if (!known) throw refuse("there is no input '" + input.name + "'");
  }
}

std::vector<OnnxRuntimeSession::Bound> OnnxRuntimeSession::run_bound(
    const std::vector<Bound>& inputs) const {
  check_bound(inputs);
  clear_onnxruntime_log();
  const std::string doing = library_.describe() + " failed to run " + origin_;
  const ort::Api& api = library_.api();
  OrtHandle<ort::MemoryInfo> place(api.ReleaseMemoryInfo);
  library_.check(
      api.CreateMemoryInfo(place_.type == kCudaMemory ? "Cuda" : "Cpu", ort::kDeviceAllocator,
                           place_.id, ort::kMemoryDefault, place.out()),
      doing);
  OrtHandle<ort::IoBinding> binding(api.ReleaseIoBinding);
  library_.check(api.CreateIoBinding(session_.get(), binding.out()), doing);
  for (const Bound& input : inputs) {
    size_t bytes = element_bytes(input.element_type);
    for (const int64_t size : input.shape) bytes *= static_cast<size_t>(size);
    OrtHandle<ort::Value> value(api.ReleaseValue);
    library_.check(
        api.CreateTensorWithDataAsOrtValue(place.get(), input.data, bytes, input.shape.data(),
                                           input.shape.size(), input.element_type, value.out()),
        doing);
    library_.check(api.BindInput(binding.get(), input.name.c_str(), value.get()), doing);
  }
  for (const TensorSpec& output : outputs_) {
    library_.check(api.BindOutputToDevice(binding.get(), output.name.c_str(), place.get()), doing);
  }
  // The provider computes on a stream of its own, which waits for no other.
  library_.check(api.SynchronizeBoundInputs(binding.get()), doing);
  library_.check(api.RunWithBinding(session_.get(), nullptr, binding.get()), doing);
  library_.check(api.SynchronizeBoundOutputs(binding.get()), doing);
  return bound_outputs(binding.get(), doing);
}

std::vector<OnnxRuntimeSession::Bound> OnnxRuntimeSession::bound_outputs(
    const ort::IoBinding* binding, const std::string& doing) const {
  const ort::Api& api = library_.api();
  ort::Allocator* allocator = nullptr;
  library_.check(api.GetAllocatorWithDefaultOptions(&allocator), doing);
  ort::Value** values = nullptr;
  size_t count = 0;
  library_.check(api.GetBoundOutputValues(binding, allocator, &values, &count), doing);
  std::vector<std::shared_ptr<ort::Value>> owners;
  owners.reserve(count);
  for (size_t i = 0; i < count; ++i) owners.emplace_back(values[i], api.ReleaseValue);
  library_.check(api.AllocatorFree(allocator, static_cast<void*>(values)), doing);
  std::vector<Bound> outputs;
  for (size_t i = 0; i < count; ++i) {
    OrtHandle<ort::TensorInfo> info(api.ReleaseTensorTypeAndShapeInfo);
    library_.check(api.GetTensorTypeAndShape(owners[i].get(), info.out()), doing);
    TensorSpec spec;
    read_shape(library_, info.get(), doing, &spec);
    Bound output{outputs_[i].name, spec.element_type, spec.shape, nullptr, owners[i]};
    library_.check(api.GetTensorMutableData(owners[i].get(), &output.data), doing);
    outputs.push_back(std::move(output));
  }
  return outputs;
}

SessionOfProcess::SessionOfProcess(const OnnxRuntimeLibrary& library, SessionSource source,
                                   SessionSettings settings)
    : library_(library),
      source_(std::move(source)),
      settings_(std::move(settings)),
      current_(make()) {}

SessionOfProcess::~SessionOfProcess() {
  const Owned* owned = current_.load();
  // Releasing a session that the parent made would wait for threads that do not exist here.
  if (owned->process == process_number()) delete owned;
}

SessionOfProcess::Owned* SessionOfProcess::make() const {
  auto session = std::make_unique<const OnnxRuntimeSession>(library_, source_, settings_);
  return new Owned{std::move(session), process_number()};
}

const OnnxRuntimeSession& SessionOfProcess::get() const {
  const Owned* owned = current_.load(std::memory_order_acquire);
  if (owned->process == process_number()) return *owned->session;
  const std::lock_guard<std::mutex> lock(making_);
  owned = current_.load(std::memory_order_acquire);
  if (owned->process != process_number()) {
    owned = make();  // the parent's is left alone, see the destructor
    current_.store(owned, std::memory_order_release);
  }
  return *owned->session;
}

}  // namespace affectrt
