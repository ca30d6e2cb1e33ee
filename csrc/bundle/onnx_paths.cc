#include "bundle/onnx_paths.h"

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "base/utf8.h"

// Field numbers are those of onnx.proto (ONNX IR, all versions since 3). Every occurrence of a
// field is looked at, since protobuf parsers merge repeated occurrences of a message.
namespace affectrt {
namespace {

enum class Message {
  kModel,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kSparseTensor,
  kFunction,
  kTraining
};

struct Child {
  Message parent;
  uint32_t field;
  Message child;
};

constexpr Child kChildren[] = {
    {Message::kModel, 7, Message::kGraph},
    {Message::kModel, 20, Message::kTraining},
    {Message::kModel, 25, Message::kFunction},
    {Message::kGraph, 1, Message::kNode},
    {Message::kGraph, 5, Message::kTensor},
    {Message::kGraph, 15, Message::kSparseTensor},
    {Message::kNode, 5, Message::kAttribute},
    {Message::kAttribute, 5, Message::kTensor},
    {Message::kAttribute, 6, Message::kGraph},
    {Message::kAttribute, 10, Message::kTensor},
    {Message::kAttribute, 11, Message::kGraph},
    {Message::kAttribute, 22, Message::kSparseTensor},
    {Message::kAttribute, 23, Message::kSparseTensor},
    {Message::kSparseTensor, 1, Message::kTensor},
    {Message::kSparseTensor, 2, Message::kTensor},
    {Message::kFunction, 7, Message::kNode},
    {Message::kFunction, 11, Message::kAttribute},
    {Message::kTraining, 1, Message::kGraph},
    {Message::kTraining, 2, Message::kGraph},
};

constexpr uint32_t kNodeOpType = 4;
constexpr uint32_t kTensorName = 8;
constexpr uint32_t kTensorDataLocation = 14;
constexpr int kMaxDepth = 100;  // where protobuf's own parsers give up

class Walker {
 public:
  Walker(ByteView onnx, const std::string& origin) : onnx_(onnx), origin_(origin) {}

  void walk(Message message, size_t begin, size_t end, int depth) const {
    if (depth > kMaxDepth) fail(begin, "messages nested more than 100 levels deep");
    std::string_view tensor_name;
    bool external = false;
    size_t at = begin;
    while (at < end) {
      const size_t field_begin = at;
      const uint64_t key = read_varint(&at, end);
      const uint64_t field = key >> 3U;
      const unsigned wire_type = key & 7U;
      if (field == 0 || field > 0x1FFFFFFFU) fail(field_begin, "a field without a valid number");
      size_t size = 0;
      switch (wire_type) {
        case 0: {
          const uint64_t value = read_varint(&at, end);
          // Enumerations are cut to 32 bits by protobuf; 0 is DEFAULT, 1 EXTERNAL.
          if (message == Message::kTensor && field == kTensorDataLocation) {
            external = external || static_cast<uint32_t>(value) != 0;
          }
          continue;
        }
        case 1:
          size = 8;
          break;
        case 2: {
          const uint64_t announced = read_varint(&at, end);
          if (announced > end - at) {
            fail(field_begin,
                 "a field of " + std::to_string(announced) + " bytes runs out of its message");
          }
          size = static_cast<size_t>(announced);
          break;
        }
        case 5:
          size = 4;
          break;
        default:
          fail(field_begin, "a field with wire type " + std::to_string(wire_type));
      }
      if (size > end - at) fail(field_begin, "a field runs out of its message");
      if (wire_type == 2)
        enter(message, static_cast<uint32_t>(field), at, size, depth, &tensor_name);
      at += size;
    }
    if (external) {
      throw Error(ErrorKind::kUnsupported,
                  origin_ + ": the tensor '" + printable(tensor_name) +
                      "' is kept in another file (external data). Paths inside of a model file are "
                      "never opened; save the model with its weights in the one .onnx file");
    }
  }

 private:
  [[noreturn]] void fail(size_t byte, const std::string& what) const {
    throw Error(ErrorKind::kModelFile,
                origin_ + ", byte " + std::to_string(byte) + ": not an ONNX model: " + what);
  }

  void enter(Message message, uint32_t field, size_t begin, size_t size, int depth,
             std::string_view* tensor_name) const {
    const std::string_view text = onnx_.text().substr(begin, size);
    if (message == Message::kTensor && field == kTensorName) *tensor_name = text;
    if (message == Message::kNode && field == kNodeOpType && text == "EPContext") {
      throw Error(ErrorKind::kUnsupported,
                  origin_ +
                      ": holds an EPContext node, which loads a compiled context of one "
                      "execution provider; save the plain ONNX model instead");
    }
    for (const Child& child : kChildren) {
      if (child.parent == message && child.field == field) {
        walk(child.child, begin, begin + size, depth + 1);
      }
    }
  }

  uint64_t read_varint(size_t* at, size_t end) const {
    const size_t begin = *at;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (*at >= end) fail(begin, "it ends inside of a number");
      const uint64_t byte = onnx_.data[(*at)++];
      if (shift < 64) value |= (byte & 0x7FU) << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    fail(begin, "a number of more than 10 bytes");
  }

  ByteView onnx_;
  const std::string& origin_;
};

}  // namespace

void check_onnx_paths(ByteView onnx, const std::string& origin) {
  const std::string shown = printable(origin, 1024);
  if (onnx.size == 0)
    throw Error(ErrorKind::kModelFile, shown + ": is empty; an ONNX model is needed");
  // ONNX Runtime takes this mark, not the name, for its own format, which is not read here.
  if (onnx.text().substr(std::min<size_t>(4, onnx.size), 4) == "ORTM") {
    throw Error(ErrorKind::kUnsupported, shown + ": is in the ORT format; save it as ONNX");
  }
  Walker(onnx, shown).walk(Message::kModel, 0, onnx.size, 0);
}

}  // namespace affectrt
