// Refuses ONNX graphs that would make an inference engine open other files.
#pragma once

#include <string>

#include "base/bytes.h"

namespace affectrt {

// Walks the protobuf structure without copying or reading tensor data. Throws Error(kModelFile)
// when `onnx` is no ONNX protobuf, Error(kUnsupported) when a tensor is kept in another file or a
// node loads a context that another program compiled. `origin` names the entry in errors.
void check_onnx_paths(ByteView onnx, const std::string& origin);

}  // namespace affectrt
