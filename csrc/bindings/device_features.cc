// Features of samples on a GPU, in and out by DLPack.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "bindings/dlpack.h"
#include "cuda/device_frames.h"

namespace py = pybind11;

namespace affectrt {
namespace {

void check_clips(const DlpackTensor& t, int device) {
  const auto fail = [](const std::string& message) { throw Error(ErrorKind::kInput, message); };
  if ((t.device.type != kDlpackCuda && t.device.type != kDlpackCudaManaged) ||
      t.device.id != device) {
    fail("samples are on DLPack device (" + std::to_string(t.device.type) + ", " +
         std::to_string(t.device.id) + "); CUDA device (2, " + std::to_string(device) +
         ") is needed; affectrt.features takes those of the CPU");
  }
  if (t.dtype.code != kDlpackFloat || t.dtype.bits != 32 || t.dtype.lanes != 1) {
    fail("samples have another type than float32, full scale [-1, 1]");
  }
  if (t.ndim != 1 && t.ndim != 2) {
    fail("samples have " + std::to_string(t.ndim) +
         " dimensions; [samples] or [clips, samples] is needed");
  }
  if (!t.contiguous()) fail("samples have gaps; make them contiguous");
}

class DeviceFeatures {
 public:
  DeviceFeatures(std::shared_ptr<FrameFeatures> features, int device)
      : features_(std::move(features)), device_(device), on_device_(*features_, device) {}

  std::unique_ptr<DeviceArray> compute(const py::capsule& capsule, int64_t total_samples,
                                       bool feature_major, bool normalise) const {
    const Taken taken(capsule);
    const DlpackTensor& t = taken.tensor();
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
    size_t bytes = sizeof(float);
    for (const int64_t size : shape) bytes *= static_cast<size_t>(size);
    auto buffer = std::make_shared<CudaBuffer>(device_, bytes);
    on_device_.compute(
        reinterpret_cast<const float*>(t.begin()), clips, samples, total, frames,
        feature_major ? FrameFeatures::Layout::kFeatureMajor : FrameFeatures::Layout::kFrameMajor,
        normalise, static_cast<float*>(buffer->data()));
    cuda_synchronize(device_);
    void* values = buffer->data();
    return std::make_unique<DeviceArray>(values, DlpackDevice{kDlpackCuda, device_},
                                         DlpackType{kDlpackFloat, 32, 1}, std::move(shape),
                                         std::move(buffer));
  }

 private:
  const std::shared_ptr<FrameFeatures> features_;
  const int device_;
  const CudaFrameFeatures on_device_;
};

}  // namespace

void bind_device_features(py::module_& m) {
  m.attr("has_cuda") = CudaFrameFeatures::built();
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
