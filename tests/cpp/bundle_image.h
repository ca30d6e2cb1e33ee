// Builds `.affect` images for tests, good ones and such as are wrong in one place.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/crc32.h"
#include "base/error.h"
#include "base/sha256.h"

namespace affectrt::testing {

inline ByteView view(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The smallest ONNX file that there is: ir_version 8 and an empty graph.
inline std::string tiny_onnx() { return std::string("\x08\x08\x3a\x00", 4); }

inline std::map<std::string, std::string> tiny_files() {
  return {{"config.json", R"({"model_type": "bert"})"},
          {"model.onnx", tiny_onnx()},
          {"tokenizer.json", R"({"version": "1.0"})"}};
}

inline nlohmann::json tiny_manifest(const std::map<std::string, std::string>& files) {
  nlohmann::json manifest = nlohmann::json::parse(R"({
    "format": "affectrt-model", "format_version": 1, "name": "tiny", "modality": "text",
    "model": {"family": "bert", "precision": "fp32", "onnx": "model.onnx"},
    "input": {"max_tokens": 512},
    "heads": [{"name": "emotion", "task": "multi_label", "output": "logits",
               "labels": ["joy", "fear"], "thresholds": [0.25, 0.75]}]})");
  manifest["files"] = nlohmann::json::object();
  for (const auto& [name, data] : files) {
    manifest["files"][name] = {{"bytes", data.size()}, {"sha256", sha256_hex(view(data))}};
  }
  return manifest;
}

struct ImageEntry {
  std::string name;
  std::string data;
};

// The fields of one entry before they are written; tests change them to make hostile images.
struct EntryHeaders {
  size_t local_offset = 0;
  std::string local;    // header, name, extra field
  std::string central;  // header, name
  std::string data;
};

inline void put(std::string* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

inline void set(std::string* out, size_t at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    out->at(at + static_cast<size_t>(i)) = static_cast<char>(value >> (8 * i));
}

inline std::string end_record(size_t entries, size_t directory_bytes, size_t directory_begin) {
  std::string end;
  put(&end, 0x06054b50, 4);
  put(&end, 0, 4);
  put(&end, entries, 2);
  put(&end, entries, 2);
  put(&end, directory_bytes, 4);
  put(&end, directory_begin, 4);
  put(&end, 0, 2);
  return end;
}

using Tamper = std::function<void(std::vector<EntryHeaders>*)>;

inline std::string build_image(const std::vector<ImageEntry>& entries, const Tamper& tamper = {}) {
  std::vector<EntryHeaders> headers;
  size_t offset = 0;
  for (const ImageEntry& entry : entries) {
    std::string shared;
    put(&shared, 10, 2);
    put(&shared, 0, 4);   // flags, method
    put(&shared, 0, 2);   // time
    put(&shared, 33, 2);  // 1980-01-01
    put(&shared, crc32(view(entry.data)), 4);
    put(&shared, entry.data.size(), 4);
    put(&shared, entry.data.size(), 4);
    put(&shared, entry.name.size(), 2);
    EntryHeaders out;
    out.local_offset = offset;
    put(&out.local, 0x04034b50, 4);
    out.local += shared;
    const size_t unpadded = offset + 30 + entry.name.size() + 6;
    const size_t zeros = (64 - unpadded % 64) % 64;
    put(&out.local, 6 + zeros, 2);
    out.local += entry.name;
    put(&out.local, 0xA11E, 2);
    put(&out.local, 2 + zeros, 2);
    put(&out.local, 64, 2);
    out.local.append(zeros, '\0');
    put(&out.central, 0x02014b50, 4);
    put(&out.central, 0x030A, 2);
    out.central += shared;
    put(&out.central, 0, 2);  // extra field
    put(&out.central, 0, 6);  // comment, disk, internal attributes
    put(&out.central, 0100644U << 16U, 4);
    put(&out.central, offset, 4);
    out.central += entry.name;
    out.data = entry.data;
    offset += out.local.size() + entry.data.size();
    headers.push_back(std::move(out));
  }
  if (tamper) tamper(&headers);
  std::string image;
  std::string directory;
  for (const EntryHeaders& each : headers) {
    image += each.local + each.data;
    directory += each.central;
  }
  const size_t directory_begin = image.size();
  return image + directory + end_record(headers.size(), directory.size(), directory_begin);
}

inline std::vector<ImageEntry> entries_of(const std::string& manifest,
                                          const std::map<std::string, std::string>& files) {
  std::vector<ImageEntry> entries = {{"affectrt.json", manifest}};
  for (const auto& [name, data] : files) entries.push_back({name, data});
  return entries;
}

inline std::vector<ImageEntry> tiny_entries() {
  return entries_of(tiny_manifest(tiny_files()).dump(), tiny_files());
}

inline std::string tiny_image() { return build_image(tiny_entries()); }

}  // namespace affectrt::testing
