// Vectors on their way to NumPy.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <utility>
#include <vector>

namespace affectrt {

// An array that owns the vector's memory.
template <typename T>
pybind11::array array_of(std::vector<T> values, std::vector<pybind11::ssize_t> shape,
                         const pybind11::dtype& type) {
  auto* owner = new std::vector<T>(std::move(values));
  const pybind11::capsule capsule(owner, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return pybind11::array(type, std::move(shape), {}, owner->data(), capsule);
}

}  // namespace affectrt
