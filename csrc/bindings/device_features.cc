// Features of samples on a GPU, in and out by DLPack (dmlc.github.io/dlpack, version 0.8's
// structs).
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "cuda/device_frames.h"

namespace py = pybind11;

namespace affectrt {
namespace {

constexpr int32_t kCuda = 2;
constexpr int32_t kCudaManaged = 13;
constexpr uint8_t kFloat = 2;

struct Device {
  int32_t type;
  int32_t id;
};
struct DataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // null: rows behind one another
  uint64_t byte_offset;
};
struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor*);
};

// An array that a capsule handed over; it is given back at the end.
class Taken {
 public:
  explicit Taken(const py::capsule& capsule) {
    if (std::string(capsule.name() == nullptr ? "" : capsule.name()) != "dltensor") {
      throw Error(ErrorKind::kInput,
                  "a fresh DLPack capsule, as x.__dlpack__() gives it, is needed");
    }
    managed_ = capsule.get_pointer<ManagedTensor>();
    if (PyCapsule_SetName(capsule.ptr(), "used_dltensor") != 0) throw py::error_already_set();
  }
  ~Taken() {
    if (managed_->deleter != nullptr) managed_->deleter(managed_);
  }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;
  const Tensor& tensor() const { return managed_->tensor; }

 private:
  ManagedTensor* managed_ = nullptr;
};

void check_clips(const Tensor& t, int device) {
  const auto fail = [](const std::string& message) { throw Error(ErrorKind::kInput, message); };
  if ((t.device.type != kCuda && t.device.type != kCudaManaged) || t.device.id != device) {
    fail("samples are on DLPack device (" + std::to_string(t.device.type) + ", " +
         std::to_string(t.device.id) + "); CUDA device (2, " + std::to_string(device) +
         ") is needed; affectrt.features takes those of the CPU");
  }
  if (t.dtype.code != kFloat || t.dtype.bits != 32 || t.dtype.lanes != 1) {
    fail("samples have another type than float32, full scale [-1, 1]");
  }
  if (t.ndim != 1 && t.ndim != 2) {
    fail("samples have " + std::to_string(t.ndim) +
         " dimensions; [samples] or [clips, samples] is needed");
  }
  if (t.strides == nullptr) return;
  int64_t step = 1;
  for (int32_t i = t.ndim; i-- > 0;) {
    if (t.shape[i] > 1 && t.strides[i] != step) fail("samples have gaps; make them contiguous");
    step *= t.shape[i];
  }
}

// What a feature computation leaves on the device.
class DeviceArray {
 public:
  DeviceArray(int device, std::vector<int64_t> shape)
      : device_(device),
        shape_(std::move(shape)),
        buffer_(std::make_shared<CudaBuffer>(device, bytes())) {}

  float* data() const { return static_cast<float*>(buffer_->data()); }
  int device() const { return device_; }
  const std::vector<int64_t>& shape() const { return shape_; }

  // The values are complete, so that no stream has to be waited for.
  py::capsule dlpack() const {
    struct Owner {
      ManagedTensor managed;
      std::vector<int64_t> shape;
      std::shared_ptr<CudaBuffer> buffer;
    };
    auto owner = std::make_unique<Owner>();
    owner->shape = shape_;
    owner->buffer = buffer_;
    owner->managed = {{buffer_->data(),
                       {kCuda, device_},
                       static_cast<int32_t>(shape_.size()),
                       {kFloat, 32, 1},
                       owner->shape.data(),
                       nullptr,
                       0},
                      owner.get(),
                      [](ManagedTensor* managed) { delete static_cast<Owner*>(managed->context); }};
    // A capsule that nobody took deletes what it holds; one that was taken has another name.
    PyObject* capsule = PyCapsule_New(&owner->managed, "dltensor", [](PyObject* self) {
      if (PyCapsule_IsValid(self, "dltensor") == 0) return;
      auto* managed = static_cast<ManagedTensor*>(PyCapsule_GetPointer(self, "dltensor"));
      managed->deleter(managed);
    });
    if (capsule == nullptr) throw py::error_already_set();
    owner.release();
    return py::reinterpret_steal<py::capsule>(capsule);
  }

 private:
  size_t bytes() const {
    size_t count = sizeof(float);
    for (const int64_t size : shape_) count *= static_cast<size_t>(size);
    return count;
  }

  const int device_;
  const std::vector<int64_t> shape_;
  const std::shared_ptr<CudaBuffer> buffer_;
};

class DeviceFeatures {
 public:
  DeviceFeatures(std::shared_ptr<FrameFeatures> features, int device)
      : features_(std::move(features)), device_(device), on_device_(*features_, device) {}

  std::unique_ptr<DeviceArray> compute(const py::capsule& capsule, int64_t total_samples,
                                       bool feature_major, bool normalise) const {
    const Taken taken(capsule);
    const Tensor& t = taken.tensor();
    check_clips(t, device_);
    const int64_t clips = t.ndim == 2 ? t.shape[0] : 1;
    const int64_t samples = t.shape[t.ndim - 1];
    const int64_t total = total_samples > 0 ? total_samples : samples;
    const int64_t frames = samples == 0 && total_samples <= 0 ? 0 : features_->frame_count(total);
    const auto columns = static_cast<int64_t>(features_->columns());
    std::vector<int64_t> shape;
    if (t.ndim == 2) shape.push_back(clips);
    shape.push_back(feature_major ? columns : frames);
    shape.push_back(feature_major ? frames : columns);
    const py::gil_scoped_release no_gil;
    auto result = std::make_unique<DeviceArray>(device_, shape);
    const auto* data =
        reinterpret_cast<const float*>(static_cast<const uint8_t*>(t.data) + t.byte_offset);
    on_device_.compute(
        data, clips, samples, total, frames,
        feature_major ? FrameFeatures::Layout::kFeatureMajor : FrameFeatures::Layout::kFrameMajor,
        normalise, result->data());
    cuda_synchronize(device_);
    return result;
  }

 private:
  const std::shared_ptr<FrameFeatures> features_;
  const int device_;
  const CudaFrameFeatures on_device_;
};

}  // namespace

void bind_device_features(py::module_& m) {
  m.attr("has_cuda") = CudaFrameFeatures::built();
  py::class_<DeviceArray>(m, "DeviceArray", py::is_final())
      .def_property_readonly("shape",
                             [](const DeviceArray& a) { return py::tuple(py::cast(a.shape())); })
      .def("__dlpack_device__",
           [](const DeviceArray& a) { return py::make_tuple(kCuda, a.device()); })
      .def("__dlpack__", [](const DeviceArray& a, const py::kwargs&) { return a.dlpack(); });
  py::class_<DeviceFeatures>(m, "DeviceFeatures", py::is_final())
      .def(py::init([](std::shared_ptr<FrameFeatures> plan, int device) {
             return as_call(
                 [&] { return std::make_unique<DeviceFeatures>(std::move(plan), device); });
           }),
           py::arg("plan"), py::arg("device"))
      .def(
          "compute",
          [](const DeviceFeatures& features, const py::capsule& samples, int64_t total_samples,
             bool feature_major, bool normalise) {
            return as_call(
                [&] { return features.compute(samples, total_samples, feature_major, normalise); });
          },
          py::arg("samples"), py::kw_only(), py::arg("total_samples") = 0,
          py::arg("feature_major") = false, py::arg("normalise") = false);
}

}  // namespace affectrt
