// Opens one model: a `.affect` file (stored ZIP, memory-mapped), a directory with the same files,
// or a plain Hugging Face / optimum ONNX export directory. FORMAT.md is the specification.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "bundle/manifest.h"

namespace affectrt {

// Immutable: concurrent calls are safe. Owns the mapping; views live as long as the bundle.
class Bundle {
 public:
  // Every byte range is validated before it is handed out. `verify_hashes` also checks the CRC-32
  // and SHA-256 of every entry (reads the whole file). Throws Error(kNotFound | kModelFile).
  static std::shared_ptr<const Bundle> open(const std::string& path, bool verify_hashes = false);
  // The same for a `.affect` image in memory. The bundle shares `owner` while it lives; without one
  // the caller's bytes must outlive the bundle. An image that does not begin at a multiple of 64
  // bytes is copied. path() is "<memory>".
  static std::shared_ptr<const Bundle> from_memory(ByteView image, bool verify_hashes = false,
                                                   std::shared_ptr<const void> owner = nullptr);
  // The same for a `.affect` image inside of an open file, see MappedFile::from_descriptor().
  // path() is "<file descriptor N>".
  static std::shared_ptr<const Bundle> from_descriptor(int descriptor, uint64_t offset,
                                                       uint64_t size, bool verify_hashes = false);
  virtual ~Bundle() = default;

  virtual const std::string& path() const = 0;
  virtual const Manifest& manifest() const = 0;
  virtual std::vector<std::string> names() const = 0;
  virtual bool has(std::string_view name) const = 0;
  // Throws Error(kModelFile) when there is no such entry.
  virtual ByteView entry(std::string_view name) const = 0;
};

}  // namespace affectrt
