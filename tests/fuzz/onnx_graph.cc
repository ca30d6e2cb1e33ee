// The walk over an ONNX graph that looks for paths of other files.
#include "bundle/onnx_paths.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  affectrt::fuzz::refusing([&] { affectrt::check_onnx_paths({data, size}, "model.onnx"); });
  return 0;
}
