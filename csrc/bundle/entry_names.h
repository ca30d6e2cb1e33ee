// Which names an entry of a model file may have.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>

namespace affectrt {

constexpr std::string_view kManifestName = "affectrt.json";
constexpr std::string_view kOnnxName = "model.onnx";
constexpr std::string_view kWeightsName = "weights.safetensors";
constexpr size_t kMaxEntries = 1024;
constexpr size_t kMaxNameBytes = 255;

// What is wrong with `name` and what would be right, or "". A good name is one or more components
// joined by '/', each of ASCII letters, digits, '.', '_' and '-', that neither begins with '.' or
// '-' nor ends with '.': so no absolute path, no "..", no drive letter, nothing that a shell or a
// file system reads in its own way.
std::string entry_name_problem(std::string_view name);

// Finds names that cannot stand beside each other when unpacked on any common file system.
class EntryNameSet {
 public:
  // What is wrong with `name` beside the earlier ones, or "" when it was added.
  std::string add(std::string_view name);

 private:
  std::unordered_set<std::string> files_;    // folded to lower case
  std::unordered_set<std::string> folders_;  // folded to lower case
};

}  // namespace affectrt
