#include "bundle/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "base/json.h"
#include "base/little_endian.h"
#include "base/utf8.h"
#include "bundle/json_fields.h"

namespace affectrt {
namespace {

constexpr size_t kLengthBytes = 8;
// The format's own bound on the header.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxRank = 8;
constexpr size_t kMaxName = 1024;
// A file offset that a double, which JSON readers may hold numbers in, still counts exactly.
constexpr int64_t kMaxOffset = int64_t{1} << 53U;
constexpr std::string_view kMetadata = "__metadata__";

constexpr std::pair<std::string_view, uint64_t> kElementBytes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
    {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
    {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8},
};

std::optional<uint64_t> element_bytes(std::string_view dtype) {
  for (const auto& [name, bytes] : kElementBytes) {
    if (name == dtype) return bytes;
  }
  return std::nullopt;
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (const uint64_t size : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(size);
  }
  return text + "]";
}

// Where a tensor's bytes lie, relative to the first byte behind the header.
struct Range {
  uint64_t begin;
  uint64_t end;
  const std::string* name;
};

Tensor read_tensor(const JsonField& field, ByteView data, Range* range) {
  Tensor tensor;
  const JsonField dtype = field.at("dtype");
  tensor.dtype = dtype.text(1, 16);
  const std::optional<uint64_t> bytes = element_bytes(tensor.dtype);
  if (!bytes) dtype.fail_value("a dtype of the safetensors format, as F32 or I8");
  std::optional<uint64_t> size = *bytes;
  const JsonField shape = field.at("shape");
  for (const JsonField& axis : shape.items(0, kMaxRank, "sizes")) {
    tensor.shape.push_back(static_cast<uint64_t>(axis.integer(0, kMaxOffset)));
    if (size) size = checked_mul(*size, tensor.shape.back());
  }
  const JsonField offsets = field.at("data_offsets");
  const std::vector<JsonField> pair = offsets.items(2, 2, "byte offsets");
  range->begin = static_cast<uint64_t>(pair[0].integer(0, kMaxOffset));
  range->end = static_cast<uint64_t>(pair[1].integer(0, kMaxOffset));
  if (range->begin > range->end || range->end > data.size) {
    offsets.fail_value("a range within the " + std::to_string(data.size) + " bytes of data");
  }
  if (!size || *size != range->end - range->begin) {
    offsets.fail("spans " + std::to_string(range->end - range->begin) + " bytes, but " +
                 to_string(tensor) + " takes " + (size ? std::to_string(*size) : "more than 2^64"));
  }
  tensor.data = {data.data + range->begin, static_cast<size_t>(range->end - range->begin)};
  return tensor;
}

void check_cover(std::vector<Range> ranges, uint64_t total, const std::string& origin) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const Range& range : ranges) {
    if (range.begin != at) {
      throw Error(ErrorKind::kModelFile,
                  origin + ": tensor '" + printable(*range.name) + "' begins at byte " +
                      std::to_string(range.begin) + " of the data, but the ones before it end at " +
                      std::to_string(at) +
                      "; tensors must follow each other without gap or overlap");
    }
    at = range.end;
  }
  if (at != total) {
    throw Error(ErrorKind::kModelFile, origin + ": the tensors end at byte " + std::to_string(at) +
                                           " of " + std::to_string(total) +
                                           " bytes of data; nothing may follow them");
  }
}

}  // namespace

std::string to_string(const Tensor& tensor) {
  return tensor.dtype + " " + shape_text(tensor.shape);
}

SafeTensors SafeTensors::parse(ByteView file, const std::string& origin) {
  SafeTensors result;
  result.origin_ = printable(origin, 1024);
  if (file.size < kLengthBytes) {
    throw Error(ErrorKind::kModelFile, result.origin_ + " has " + std::to_string(file.size) +
                                           " bytes; a safetensors file begins with the 8-byte "
                                           "length of its header");
  }
  const uint64_t header_bytes = load_le64(file.data);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file.size - kLengthBytes) {
    throw Error(ErrorKind::kModelFile,
                result.origin_ + " claims a header of " + std::to_string(header_bytes) +
                    " bytes, but " + std::to_string(file.size - kLengthBytes) +
                    " follow and at most " + std::to_string(kMaxHeaderBytes) + " are allowed");
  }
  const ByteView header = {file.data + kLengthBytes, static_cast<size_t>(header_bytes)};
  const ByteView data = {header.data + header.size, file.size - kLengthBytes - header.size};
  JsonLimits limits;
  limits.max_bytes = static_cast<size_t>(kMaxHeaderBytes);
  limits.max_depth = 8;
  const JsonDocument document =
      parse_json(header.text(), result.origin_, ErrorKind::kModelFile, limits);
  const JsonField root(document.root(), result.origin_);
  root.object();
  std::vector<Range> ranges;
  for (const auto& [name, value] : document.root().items()) {
    const JsonField field = root.at(name);
    field.object();
    if (name == kMetadata) {
      for (const auto& [key, text] : value.items()) {
        result.metadata_.emplace(key, field.at(key).text(0, 1U << 20U));
      }
      continue;
    }
    if (name.size() > kMaxName) field.fail("has a name of more than 1024 bytes");
    Range range{};
    Tensor tensor = read_tensor(field, data, &range);
    const auto added = result.tensors_.emplace(name, std::move(tensor)).first;
    range.name = &added->first;
    ranges.push_back(range);
  }
  check_cover(std::move(ranges), data.size, result.origin_);
  return result;
}

const Tensor* SafeTensors::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

std::optional<std::string> SafeTensors::metadata(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return std::nullopt;
  return found->second;
}

const Tensor& SafeTensors::expect(std::string_view name, std::string_view dtype,
                                  const std::vector<uint64_t>& shape) const {
  const std::string wanted = std::string(dtype) + " " + shape_text(shape);
  const Tensor* tensor = find(name);
  if (tensor == nullptr) {
    throw Error(ErrorKind::kModelFile, origin_ + ": there is no tensor '" + std::string(name) +
                                           "'; " + wanted + " is expected");
  }
  if (tensor->dtype != dtype || tensor->shape != shape) {
    throw Error(ErrorKind::kModelFile, origin_ + ": tensor '" + std::string(name) + "' is " +
                                           to_string(*tensor) + "; " + wanted + " is expected");
  }
  return *tensor;
}

template <class T>
const T* SafeTensors::elements(std::string_view name, std::string_view dtype,
                               const std::vector<uint64_t>& shape) const {
  const Tensor& tensor = expect(name, dtype, shape);
  if (reinterpret_cast<uintptr_t>(tensor.data.data) % alignof(T) != 0) {
    throw Error(ErrorKind::kModelFile,
                origin_ + ": tensor '" + std::string(name) + "' does not begin at a multiple of " +
                    std::to_string(alignof(T)) + " bytes; the header must be padded so");
  }
  return reinterpret_cast<const T*>(tensor.data.data);
}

const float* SafeTensors::f32(std::string_view name, const std::vector<uint64_t>& shape) const {
  return elements<float>(name, "F32", shape);
}

const int8_t* SafeTensors::i8(std::string_view name, const std::vector<uint64_t>& shape) const {
  return elements<int8_t>(name, "I8", shape);
}

const int32_t* SafeTensors::i32(std::string_view name, const std::vector<uint64_t>& shape) const {
  return elements<int32_t>(name, "I32", shape);
}

const uint16_t* SafeTensors::u16(std::string_view name, std::string_view dtype,
                                 const std::vector<uint64_t>& shape) const {
  return elements<uint16_t>(name, dtype, shape);
}

}  // namespace affectrt
