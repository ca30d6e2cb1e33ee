// One bind_* function a subject; module.cc calls them.
#pragma once

#include <pybind11/pybind11.h>

namespace affectrt {

void bind_errors(pybind11::module_& m);     // model.cc: Error(kind) -> affectrt.errors classes
void bind_tokenizer(pybind11::module_& m);  // tokenizer.cc
void bind_model(pybind11::module_& m);      // model.cc

}  // namespace affectrt
