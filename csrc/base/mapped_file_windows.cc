// Compiled and linked in tests/test_platforms.py, not run there.
#include <io.h>

#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "base/windows_strings.h"

namespace affectrt {
namespace {

constexpr size_t kMaxPathShown = 1024;

class Handle {
 public:
  explicit Handle(HANDLE handle) : handle_(handle) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (is_open()) ::CloseHandle(handle_);
  }
  bool is_open() const { return handle_ != nullptr && handle_ != INVALID_HANDLE_VALUE; }
  HANDLE get() const { return handle_; }

 private:
  HANDLE handle_;
};

bool is_missing(DWORD code) { return code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND; }

[[noreturn]] void fail(const std::string& path, const char* doing) {
  const bool missing = is_missing(::GetLastError());
  throw Error(
      missing ? ErrorKind::kNotFound : ErrorKind::kModelFile,
      printable(path, kMaxPathShown) + ": " +
          (missing ? "no such file" : std::string("cannot ") + doing + ": " + last_failure()));
}

void check_path(const std::string& path) {
  if (path.empty()) throw Error(ErrorKind::kInput, "the path is empty; give a file or a directory");
  if (path.find('\0') != std::string::npos) {
    throw Error(ErrorKind::kInput, "the path '" + printable(path, kMaxPathShown) +
                                       "' holds a NUL character, which no file name can");
  }
}

uint64_t checked_size(HANDLE file, const std::string& name) {
  LARGE_INTEGER size = {};
  if (::GetFileType(file) != FILE_TYPE_DISK) {
    throw Error(ErrorKind::kModelFile,
                printable(name, kMaxPathShown) + ": is not a file; a regular file is needed");
  }
  if (::GetFileSizeEx(file, &size) == 0) fail(name, "look at it");
  return static_cast<uint64_t>(size.QuadPart);
}

// `size` bytes, not 0, from `offset`, a multiple of the allocation granularity; null on failure.
const uint8_t* map(HANDLE file, uint64_t offset, size_t size) {
  const Handle mapping(::CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr));
  if (!mapping.is_open()) return nullptr;
  return static_cast<const uint8_t*>(::MapViewOfFile(mapping.get(), FILE_MAP_READ,
                                                     static_cast<DWORD>(offset >> 32U),
                                                     static_cast<DWORD>(offset), size));
}

}  // namespace

PathKind path_kind(const std::string& path) {
  check_path(path);
  const DWORD attributes = ::GetFileAttributesW(wide(path).c_str());
  if (attributes == INVALID_FILE_ATTRIBUTES) {
    if (is_missing(::GetLastError())) return PathKind::kMissing;
    fail(path, "look at it");
  }
  if ((attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) return PathKind::kDirectory;
  return (attributes & FILE_ATTRIBUTE_DEVICE) != 0 ? PathKind::kOther : PathKind::kRegularFile;
}

MappedFile MappedFile::open(const std::string& path) {
  if (path_kind(path) == PathKind::kDirectory) {
    throw Error(ErrorKind::kModelFile,
                printable(path, kMaxPathShown) + ": is a directory; a regular file is needed");
  }
  // Sharing deletion lets a model file be replaced by renaming while it is in use.
  const Handle file(::CreateFileW(wide(path).c_str(), GENERIC_READ,
                                  FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING,
                                  FILE_ATTRIBUTE_NORMAL, nullptr));
  if (!file.is_open()) fail(path, "open it");
  const uint64_t size = checked_size(file.get(), path);
  if (size == 0) return MappedFile({});
  const uint8_t* data = size > SIZE_MAX ? nullptr : map(file.get(), 0, static_cast<size_t>(size));
  if (data == nullptr) fail(path, "map it");
  return MappedFile({data, static_cast<size_t>(size)});
}

MappedFile MappedFile::from_descriptor(int descriptor, uint64_t offset, uint64_t size) {
  const std::string name = "file descriptor " + std::to_string(descriptor);
  const auto file = reinterpret_cast<HANDLE>(::_get_osfhandle(descriptor));
  if (file == INVALID_HANDLE_VALUE) throw Error(ErrorKind::kInput, name + ": is not open");
  const uint64_t file_size = checked_size(file, name);
  if (offset > file_size || size > file_size - offset) {
    throw Error(ErrorKind::kInput, name + ": the file has " + std::to_string(file_size) +
                                       " bytes; wanted are " + std::to_string(size) +
                                       " from byte " + std::to_string(offset));
  }
  if (size == 0) size = file_size - offset;
  if (size == 0) return MappedFile({});
  SYSTEM_INFO system = {};
  ::GetSystemInfo(&system);
  const uint64_t lead = offset % system.dwAllocationGranularity;
  const bool fits = size <= SIZE_MAX - lead;
  const uint8_t* data = fits ? map(file, offset - lead, static_cast<size_t>(size + lead)) : nullptr;
  if (data == nullptr) {
    throw Error(ErrorKind::kInput,
                name + ": cannot map it: " + last_failure() + "; it must be open for reading");
  }
  return MappedFile({data + lead, static_cast<size_t>(size)}, static_cast<size_t>(lead));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), lead_(std::exchange(other.lead_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    bytes_ = std::exchange(other.bytes_, {});
    lead_ = std::exchange(other.lead_, 0);
  }
  return *this;
}

MappedFile::~MappedFile() { unmap(); }

void MappedFile::unmap() noexcept {
  if (bytes_.data != nullptr) ::UnmapViewOfFile(bytes_.data - lead_);
  bytes_ = {};
  lead_ = 0;
}

}  // namespace affectrt
