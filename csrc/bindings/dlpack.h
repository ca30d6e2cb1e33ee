// Arrays that come and go by DLPack (dmlc.github.io/dlpack, version 0.8's structs).
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace affectrt {

constexpr int32_t kDlpackCpu = 1;
constexpr int32_t kDlpackCuda = 2;
constexpr int32_t kDlpackCudaManaged = 13;
constexpr uint8_t kDlpackInt = 0;
constexpr uint8_t kDlpackFloat = 2;

struct DlpackDevice {
  int32_t type;
  int32_t id;
};
struct DlpackType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DlpackTensor {
  void* data;
  DlpackDevice device;
  int32_t ndim;
  DlpackType dtype;
  int64_t* shape;
  int64_t* strides;  // null: rows behind one another
  uint64_t byte_offset;

  uint8_t* begin() const { return static_cast<uint8_t*>(data) + byte_offset; }
  bool contiguous() const;
};
struct DlpackManaged {
  DlpackTensor tensor;
  void* context;
  void (*deleter)(DlpackManaged*);
};

// An array that a capsule handed over; it is given back at the end, which needs the GIL where it is
// Python's.
class Taken {
 public:
  explicit Taken(const pybind11::capsule& capsule);
  ~Taken();
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;
  const DlpackTensor& tensor() const { return managed_->tensor; }

 private:
  DlpackManaged* managed_ = nullptr;
};

// A complete, contiguous array that anyone may take.
class DeviceArray {
 public:
  // `owner` keeps `data` alive, and is let go of without the GIL perhaps.
  DeviceArray(void* data, DlpackDevice device, DlpackType dtype, std::vector<int64_t> shape,
              std::shared_ptr<const void> owner);

  DlpackDevice device() const { return device_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  pybind11::capsule dlpack() const;

 private:
  void* data_;
  DlpackDevice device_;
  DlpackType dtype_;
  std::vector<int64_t> shape_;
  std::shared_ptr<const void> owner_;
};

}  // namespace affectrt
