// A model's ONNX graph on arrays where they lie, in and out by DLPack.
#include <pybind11/pybind11.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/dlpack.h"
#include "engine/onnxruntime_session.h"

namespace py = pybind11;

namespace affectrt {
namespace {

using Bound = OnnxRuntimeSession::Bound;

struct ElementType {
  int onnx;
  DlpackType dlpack;
};
constexpr ElementType kTypes[] = {{ort::kFloat, {kDlpackFloat, 32, 1}},
                                  {ort::kFloat16, {kDlpackFloat, 16, 1}},
                                  {ort::kInt32, {kDlpackInt, 32, 1}},
                                  {ort::kInt64, {kDlpackInt, 64, 1}}};

std::string place_name(int32_t type, int32_t id) {
  return "(" + std::to_string(type) + ", " + std::to_string(id) + ")";
}

Bound bound_input(const std::string& name, const DlpackTensor& t, MemoryPlace place) {
  const auto refuse = [&](const std::string& what) {
    return Error(ErrorKind::kInput, "input '" + name + "' " + what);
  };
  const int32_t type = t.device.type == kDlpackCudaManaged ? kDlpackCuda : t.device.type;
  if (type != place.type || t.device.id != place.id) {
    throw refuse("lies on DLPack device " + place_name(t.device.type, t.device.id) +
                 ", and this model computes on " + place_name(place.type, place.id) +
                 (place.type == kCpuMemory ? "; load it with providers=[\"CUDAExecutionProvider\"] "
                                             "for arrays of a GPU"
                                           : "; nothing is copied here"));
  }
  if (!t.contiguous()) throw refuse("has gaps; make it contiguous");
  for (const ElementType& one : kTypes) {
    if (t.dtype.code == one.dlpack.code && t.dtype.bits == one.dlpack.bits && t.dtype.lanes == 1) {
      return {name, one.onnx, std::vector<int64_t>(t.shape, t.shape + t.ndim), t.begin(), nullptr};
    }
  }
  throw refuse("is neither float32, float16, int32 nor int64");
}

DlpackType dlpack_type(const Bound& output) {
  for (const ElementType& one : kTypes) {
    if (one.onnx == output.element_type) return one.dlpack;
  }
  throw Error(ErrorKind::kUnsupported, "output '" + output.name +
                                           "' is neither float32, float16, int32 nor int64, and "
                                           "cannot be given away");
}

}  // namespace

py::dict run_graph(const OnnxRuntimeSession* session, const std::shared_ptr<const void>& model,
                   const py::dict& inputs) {
  if (session == nullptr) {
    throw Error(ErrorKind::kInput,
                "run_graph is of the backend 'onnxruntime', and this model runs on 'native'; load "
                "it with backend=\"onnxruntime\", or with providers");
  }
  std::vector<std::unique_ptr<Taken>> taken;
  std::vector<Bound> given;
  for (const auto& [name, capsule] : inputs) {
    taken.push_back(std::make_unique<Taken>(py::cast<py::capsule>(capsule)));
    given.push_back(
        bound_input(py::cast<std::string>(name), taken.back()->tensor(), session->place()));
  }
  std::vector<Bound> made;
  {
    const py::gil_scoped_release no_gil;
    made = session->run_bound(given);
  }
  py::dict outputs;
  for (Bound& output : made) {
    // The value goes before the session that has its memory.
    using Owner = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
    auto owner = std::make_shared<Owner>(model, std::move(output.owner));
    const DlpackDevice device{session->place().type, session->place().id};
    outputs[py::str(output.name)] = py::cast(std::make_unique<DeviceArray>(
        output.data, device, dlpack_type(output), std::move(output.shape), std::move(owner)));
  }
  return outputs;
}

}  // namespace affectrt
