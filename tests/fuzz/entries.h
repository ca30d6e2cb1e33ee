// An image of a model that is right but for one entry: checksums would stop any change of it.
#pragma once

#include <map>
#include <string>

#include "../cpp/bundle_image.h"
#include "fuzz.h"

namespace affectrt::fuzz {

// `manifest_of(files)` is the affectrt.json of these files. Of weights.safetensors the header alone
// is replaced; the bytes of the tensors stay.
template <class Manifest>
std::string with_changed_entry(std::map<std::string, std::string> files,
                               const Manifest& manifest_of, const std::string& name,
                               std::string_view bytes) {
  if (name == "affectrt.json") {
    return testing::build_image(testing::entries_of(std::string(bytes), files));
  }
  std::string& entry = files[name];
  if (name == "weights.safetensors") {
    const size_t tensors =
        8 + static_cast<size_t>(entry[0] & 0xff) + (static_cast<size_t>(entry[1] & 0xff) << 8U);
    std::string header(bytes);
    while (header.size() % 8 != 0) header += ' ';
    std::string file;
    testing::put(&file, header.size(), 8);
    entry = file + header + entry.substr(tensors);
  } else {
    entry = std::string(bytes);
  }
  return testing::build_image(testing::entries_of(manifest_of(files).dump(), files));
}

}  // namespace affectrt::fuzz
