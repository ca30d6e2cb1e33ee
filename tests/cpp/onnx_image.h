// Writes the few parts of the ONNX protobuf format (github.com/onnx/onnx, onnx.proto) that a small
// test model needs.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace onnx_image {

// Length-delimited and varint fields of one protobuf message.
class Message {
 public:
  Message& number(uint32_t field, uint64_t value) {
    varint(uint64_t{field} << 3);
    varint(value);
    return *this;
  }
  Message& bytes(uint32_t field, const std::string& value) {
    varint((uint64_t{field} << 3) | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(uint32_t field, const Message& value) { return bytes(field, value.bytes_); }
  const std::string& text() const { return bytes_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

constexpr uint64_t kFloat = 1;
constexpr uint64_t kInt32 = 6;
constexpr uint64_t kInt64 = 7;

template <typename T>
Message tensor(const std::string& name, uint64_t type, const std::vector<int64_t>& shape,
               const std::vector<T>& values) {
  Message message;
  for (const int64_t size : shape) message.number(1, static_cast<uint64_t>(size));
  std::string raw(values.size() * sizeof(T), '\0');
  std::memcpy(raw.data(), values.data(), raw.size());
  return message.number(2, type).bytes(8, name).bytes(9, raw);
}

inline Message node(const std::string& kind, const std::vector<std::string>& inputs,
                    const std::string& output, const std::vector<Message>& attributes = {}) {
  Message message;
  for (const std::string& input : inputs) message.bytes(1, input);
  message.bytes(2, output).bytes(4, kind);
  for (const Message& attribute : attributes) message.message(5, attribute);
  return message;
}

inline Message attribute(const std::string& name, uint64_t value) {
  constexpr uint64_t kTypeInt = 2;
  return Message().bytes(1, name).number(3, value).number(20, kTypeInt);
}

// `shape` holds a number or a name for each dimension.
inline Message value_info(const std::string& name, uint64_t type,
                          const std::vector<std::string>& shape) {
  Message dimensions;
  for (const std::string& size : shape) {
    const bool fixed = !size.empty() && size.find_first_not_of("0123456789") == std::string::npos;
    Message dimension;
    if (fixed) {
      dimension.number(1, std::stoull(size));
    } else {
      dimension.bytes(2, size);
    }
    dimensions.message(1, dimension);
  }
  const Message tensor_type = Message().number(1, type).message(2, dimensions);
  return Message().bytes(1, name).message(2, Message().message(1, tensor_type));
}

struct Graph {
  std::vector<Message> nodes, constants, inputs, outputs;
};

inline std::string model(const Graph& graph) {
  Message message;
  for (const Message& one : graph.nodes) message.message(1, one);
  message.bytes(2, "test");
  for (const Message& one : graph.constants) message.message(5, one);
  for (const Message& one : graph.inputs) message.message(11, one);
  for (const Message& one : graph.outputs) message.message(12, one);
  const Message opset = Message().bytes(1, "").number(2, 17);
  return Message().number(1, 8).message(7, message).message(8, opset).text();
}

}  // namespace onnx_image
