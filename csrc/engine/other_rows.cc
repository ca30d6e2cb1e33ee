#include "engine/other_rows.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace affectrt {
namespace {

constexpr const char* kWeightsEntry = "weights.safetensors";
constexpr const char* kRowsOf = "affectrt.rows_of";
constexpr std::string_view kRows = ".rows";

bool is_pruned(const SafeTensors& weights) {
  const auto& tensors = weights.tensors();
  return std::any_of(tensors.begin(), tensors.end(), [](const auto& item) {
    const std::string_view name = item.first;
    return name.size() > kRows.size() && name.substr(name.size() - kRows.size()) == kRows;
  });
}

}  // namespace

std::string other_rows_path(const Bundle& bundle) { return bundle.path() + std::string(kRows); }

std::unique_ptr<const OtherRows> open_other_rows(const Bundle& bundle, const SafeTensors& weights) {
  const std::string path = other_rows_path(bundle);
  if (!is_pruned(weights) || path_kind(path) != PathKind::kRegularFile) return nullptr;
  MappedFile file = MappedFile::open(path);
  SafeTensors tensors = SafeTensors::parse(file.bytes(), "'" + path + "'");
  const std::string model = tensors.metadata(kRowsOf).value_or("");
  const auto& files = bundle.manifest().files;
  const bool belongs = std::any_of(files.begin(), files.end(), [&](const ManifestFile& one) {
    return one.name == kWeightsEntry && one.sha256 == model;
  });
  if (!belongs) {
    throw Error(ErrorKind::kModelFile, "'" + path + "' was not made with '" + bundle.path() +
                                           "': its " + kRowsOf +
                                           " is not the SHA-256 of the model's " + kWeightsEntry +
                                           "; put the one of the same export there, or none");
  }
  return std::unique_ptr<const OtherRows>(new OtherRows{std::move(file), std::move(tensors)});
}

}  // namespace affectrt
