// Reads the safetensors format: eight bytes of header length, a JSON header that names tensors and
// their byte ranges, then the bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace affectrt {

struct Tensor {
  std::string dtype;  // "F32", "I8", ... as in the file
  std::vector<uint64_t> shape;
  ByteView data;  // exactly the bytes that dtype and shape ask for
};

// "F32 [384, 1536]"
std::string to_string(const Tensor& tensor);

// Views into bytes that somebody else keeps. Immutable: concurrent calls are safe.
class SafeTensors {
 public:
  // `origin` names the file in errors. Every range is checked: the header within the file, known
  // dtypes, shape times element size equal to the range, ranges that cover the data without gap or
  // overlap. Throws Error(kModelFile).
  static SafeTensors parse(ByteView file, const std::string& origin);

  const std::string& origin() const { return origin_; }
  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  const Tensor* find(std::string_view name) const;  // null where there is none
  // A value of the "__metadata__" table.
  std::optional<std::string> metadata(std::string_view key) const;

  // The tensor of that name, dtype and shape; throws Error(kModelFile) that names what is expected
  // and what is there. The data is aligned to the size of an element.
  const float* f32(std::string_view name, const std::vector<uint64_t>& shape) const;
  const int8_t* i8(std::string_view name, const std::vector<uint64_t>& shape) const;
  const int32_t* i32(std::string_view name, const std::vector<uint64_t>& shape) const;
  // Of a dtype with 16 bits: "F16", "BF16".
  const uint16_t* u16(std::string_view name, std::string_view dtype,
                      const std::vector<uint64_t>& shape) const;

 private:
  const Tensor& expect(std::string_view name, std::string_view dtype,
                       const std::vector<uint64_t>& shape) const;
  // The bytes of expect(), aligned.
  template <class T>
  const T* elements(std::string_view name, std::string_view dtype,
                    const std::vector<uint64_t>& shape) const;

  std::string origin_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

}  // namespace affectrt
