#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace affectrt {
namespace {

constexpr size_t kMaxPathShown = 1024;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail(const std::string& path, const char* doing, int code) {
  if (code == ENOMEM) throw std::bad_alloc();
  const bool missing = code == ENOENT || code == ENOTDIR;
  throw Error(missing ? ErrorKind::kNotFound : ErrorKind::kModelFile,
              printable(path, kMaxPathShown) + ": " +
                  (missing ? "no such file"
                           : std::string("cannot ") + doing + ": " +
                                 std::generic_category().message(code)));
}

void check_path(const std::string& path) {
  if (path.empty()) throw Error(ErrorKind::kInput, "the path is empty; give a file or a directory");
  if (path.find('\0') != std::string::npos) {
    throw Error(ErrorKind::kInput, "the path '" + printable(path, kMaxPathShown) +
                                       "' holds a NUL character, which no file name can");
  }
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a named pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "not a file";
}

void check_regular(const std::string& path, const struct stat& info) {
  if (S_ISREG(info.st_mode)) return;
  throw Error(ErrorKind::kModelFile, printable(path, kMaxPathShown) + ": is " +
                                         kind_of(info.st_mode) + "; a regular file is needed");
}

}  // namespace

PathKind path_kind(const std::string& path) {
  check_path(path);
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return PathKind::kMissing;
    fail(path, "look at it", errno);
  }
  if (S_ISREG(info.st_mode)) return PathKind::kRegularFile;
  if (S_ISDIR(info.st_mode)) return PathKind::kDirectory;
  return PathKind::kOther;
}

MappedFile MappedFile::open(const std::string& path) {
  check_path(path);
  struct stat info{};
  // Asked before opening, since opening a device can already have an effect, and again afterwards,
  // since the path can have changed in between (O_NONBLOCK: a FIFO then does not block either).
  if (::stat(path.c_str(), &info) != 0) fail(path, "look at it", errno);
  check_regular(path, info);
  int raw = -1;
  do {
    raw = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (raw < 0 && errno == EINTR);
  const FileDescriptor file(raw);
  if (file.get() < 0) fail(path, "open it", errno);
  if (::fstat(file.get(), &info) != 0) fail(path, "look at it", errno);
  check_regular(path, info);
  if (info.st_size == 0) return MappedFile({});
  if (static_cast<uint64_t>(info.st_size) > SIZE_MAX) fail(path, "map it", EFBIG);
  const auto size = static_cast<size_t>(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) fail(path, "map it", errno);
  return MappedFile({static_cast<const uint8_t*>(data), size});
}

MappedFile MappedFile::from_descriptor(int descriptor, uint64_t offset, uint64_t size) {
  const std::string name = "file descriptor " + std::to_string(descriptor);
  struct stat info{};
  if (::fstat(descriptor, &info) != 0) {
    throw Error(ErrorKind::kInput,
                name + ": cannot look at it: " + std::generic_category().message(errno));
  }
  check_regular(name, info);
  const auto file_size = static_cast<uint64_t>(info.st_size);
  if (offset > file_size || size > file_size - offset) {
    throw Error(ErrorKind::kInput, name + ": the file has " + std::to_string(file_size) +
                                       " bytes; wanted are " + std::to_string(size) +
                                       " from byte " + std::to_string(offset));
  }
  if (size == 0) size = file_size - offset;
  if (size == 0) return MappedFile({});
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t lead = offset % page;
  if (size > SIZE_MAX - lead) fail(name, "map it", EFBIG);
  void* data = ::mmap(nullptr, static_cast<size_t>(size + lead), PROT_READ, MAP_PRIVATE, descriptor,
                      static_cast<off_t>(offset - lead));
  if (data == MAP_FAILED) {
    if (errno == ENOMEM) throw std::bad_alloc();
    throw Error(ErrorKind::kInput,
                name + ": cannot map it: " + std::generic_category().message(errno) +
                    "; it must be open for reading");
  }
  return MappedFile({static_cast<const uint8_t*>(data) + lead, static_cast<size_t>(size)},
                    static_cast<size_t>(lead));
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
  if (bytes_.data != nullptr) {
    ::munmap(const_cast<uint8_t*>(bytes_.data) - lead_, bytes_.size + lead_);
  }
  bytes_ = {};
  lead_ = 0;
}

}  // namespace affectrt
