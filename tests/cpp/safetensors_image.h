// Builds safetensors images in memory for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace affectrt {

// Kept in 8-byte words, so that the data is aligned.
class SafetensorsImage {
 public:
  struct Item {
    std::string dtype;
    std::vector<size_t> shape;
    std::string bytes;
  };

  void add_f32(const std::string& name, const std::vector<size_t>& shape,
               const std::vector<float>& values) {
    const auto* bytes = reinterpret_cast<const char*>(values.data());
    items_[name] = {"F32", shape, std::string(bytes, bytes + values.size() * sizeof(float))};
  }
  void add_i8(const std::string& name, const std::vector<size_t>& shape,
              const std::vector<int8_t>& values) {
    items_[name] = {"I8", shape,
                    std::string(reinterpret_cast<const char*>(values.data()), values.size())};
  }
  void remove(const std::string& name) { items_.erase(name); }
  Item& at(const std::string& name) { return items_.at(name); }
  const std::map<std::string, Item>& items() const { return items_; }
  std::string metadata;  // as in {"key": "value"}, or ""

  ByteView build() {
    std::string header = "{";
    std::string data;
    if (!metadata.empty()) header += "\"__metadata__\":" + metadata;
    for (const char* dtype : {"F32", "I8"}) {  // the wider first, so that all stay aligned
      for (const auto& [name, item] : items_) {
        if (item.dtype != dtype) continue;
        if (header.size() > 1) header += ',';
        header += "\"" + name + "\":{\"dtype\":\"" + item.dtype + "\",\"shape\":[";
        for (size_t i = 0; i < item.shape.size(); ++i) {
          header += (i == 0 ? "" : ",") + std::to_string(item.shape[i]);
        }
        header += "],\"data_offsets\":[" + std::to_string(data.size()) + ",";
        data += item.bytes;
        header += std::to_string(data.size()) + "]}";
      }
    }
    return assemble(header + "}", data);
  }

  // Any header, true or not.
  ByteView assemble(std::string header, const std::string& data) {
    while (header.size() % 8 != 0) header += ' ';
    const uint64_t length = header.size();
    std::string file(sizeof length, '\0');
    std::memcpy(file.data(), &length, sizeof length);
    file += header + data;
    words_.assign(file.size() / 8 + 1, 0);
    std::memcpy(words_.data(), file.data(), file.size());
    return {reinterpret_cast<const uint8_t*>(words_.data()), file.size()};
  }

 private:
  std::map<std::string, Item> items_;
  std::vector<uint64_t> words_;
};

}  // namespace affectrt
