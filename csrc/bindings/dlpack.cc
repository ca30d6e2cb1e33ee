#include "bindings/dlpack.h"

#include <pybind11/stl.h>

#include <string>
#include <utility>

#include "base/error.h"
#include "bindings/bindings.h"

namespace py = pybind11;

namespace affectrt {

bool DlpackTensor::contiguous() const {
  if (strides == nullptr) return true;
  int64_t step = 1;
  for (int32_t i = ndim; i-- > 0;) {
    if (shape[i] > 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

Taken::Taken(const py::capsule& capsule) {
  if (std::string(capsule.name() == nullptr ? "" : capsule.name()) != "dltensor") {
    throw Error(ErrorKind::kInput, "a fresh DLPack capsule, as x.__dlpack__() gives it, is needed");
  }
  managed_ = capsule.get_pointer<DlpackManaged>();
  if (PyCapsule_SetName(capsule.ptr(), "used_dltensor") != 0) throw py::error_already_set();
}

Taken::~Taken() {
  if (managed_->deleter != nullptr) managed_->deleter(managed_);
}

DeviceArray::DeviceArray(void* data, DlpackDevice device, DlpackType dtype,
                         std::vector<int64_t> shape, std::shared_ptr<const void> owner)
    : data_(data),
      device_(device),
      dtype_(dtype),
      shape_(std::move(shape)),
      owner_(std::move(owner)) {}

// The values are complete, so that no stream has to be waited for.
py::capsule DeviceArray::dlpack() const {
  struct Owner {
    DlpackManaged managed;
    std::vector<int64_t> shape;
    std::shared_ptr<const void> memory;
  };
  auto owner = std::make_unique<Owner>();
  owner->shape = shape_;
  owner->memory = owner_;
  owner->managed = {{data_, device_, static_cast<int32_t>(shape_.size()), dtype_,
                     owner->shape.data(), nullptr, 0},
                    owner.get(),
                    [](DlpackManaged* managed) { delete static_cast<Owner*>(managed->context); }};
  // A capsule that nobody took deletes what it holds; one that was taken has another name.
  PyObject* capsule = PyCapsule_New(&owner->managed, "dltensor", [](PyObject* self) {
    if (PyCapsule_IsValid(self, "dltensor") == 0) return;
    auto* managed = static_cast<DlpackManaged*>(PyCapsule_GetPointer(self, "dltensor"));
    managed->deleter(managed);
  });
  if (capsule == nullptr) throw py::error_already_set();
  [[maybe_unused]] const Owner* given = owner.release();
  return py::reinterpret_steal<py::capsule>(capsule);
}

void bind_dlpack(py::module_& m) {
  py::class_<DeviceArray>(m, "DeviceArray", py::is_final())
      .def_property_readonly("shape",
                             [](const DeviceArray& a) { return py::tuple(py::cast(a.shape())); })
      .def("__dlpack_device__",
           [](const DeviceArray& a) { return py::make_tuple(a.device().type, a.device().id); })
      .def("__dlpack__", [](const DeviceArray& a, const py::kwargs&) { return a.dlpack(); });
}

}  // namespace affectrt
