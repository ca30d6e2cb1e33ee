// A whole regular file, read-only in memory. The only place that asks the operating system for
// files, so that another system needs another mapped_file.cc and nothing else.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace affectrt {

enum class PathKind { kMissing, kRegularFile, kDirectory, kOther };

// Follows symbolic links; opens nothing. Throws Error(kModelFile) when the system will not say
// (no permission for a parent folder, a loop of links).
PathKind path_kind(const std::string& path);

// Owns the mapping and moves with it; reading from many threads is safe. A file that somebody
// shortens in place while it is mapped ends the process with SIGBUS on the next read of the lost
// part: replace model files by renaming, never rewrite them.
class MappedFile {
 public:
  // Throws Error(kNotFound) for a missing file, Error(kModelFile) for what is no regular file or
  // cannot be read, Error(kInput) for a path with a NUL. Never blocks on a FIFO or a device.
  static MappedFile open(const std::string& path);
  // `size` bytes from `offset` of an open regular file, 0 for all that follow; at any offset, and
  // the descriptor's own position does not matter. It stays the caller's and may be closed at once.
  // Throws Error(kInput) for what is no descriptor, cannot be read or is shorter than that,
  // Error(kModelFile) for what is no regular file.
  static MappedFile from_descriptor(int descriptor, uint64_t offset, uint64_t size);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  ByteView bytes() const { return bytes_; }

 private:
  // `bytes` begin `lead` bytes behind the begin of the mapping.
  explicit MappedFile(ByteView bytes, size_t lead = 0) : bytes_(bytes), lead_(lead) {}
  void unmap() noexcept;

  ByteView bytes_;
  size_t lead_ = 0;
};

}  // namespace affectrt
