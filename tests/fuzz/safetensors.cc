// A safetensors file: every tensor lies inside of it and is as large as it says.
#include "bundle/safetensors.h"

#include "fuzz.h"

using namespace affectrt;
using namespace affectrt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  refusing([&] {
    const SafeTensors file = SafeTensors::parse({data, size}, "weights.safetensors");
    for (const auto& entry : file.tensors()) {
      const std::string& name = entry.first;
      const Tensor& tensor = entry.second;
      if (tensor.data.size > 0) {
        AFFECTRT_PROMISED(tensor.data.data >= data);
        AFFECTRT_PROMISED(tensor.data.data + tensor.data.size <= data + size);
      }
      AFFECTRT_PROMISED(file.find(name) == &tensor && !to_string(tensor).empty());
      refusing([&] { file.f32(name, tensor.shape); });
      refusing([&] { file.i8(name, tensor.shape); });
    }
    file.metadata("format");
  });
  return 0;
}
