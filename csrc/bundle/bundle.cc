#include "bundle/bundle.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/crc32.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "bundle/entry_names.h"
#include "bundle/onnx_paths.h"
#include "bundle/zip_reader.h"

namespace affectrt {
namespace {

// Entries up to this size have their CRC-32 checked whenever a file is opened (below 1 ms each);
// larger ones only on verify_hashes, so that opening does not read all the weights.
constexpr size_t kAlwaysCheckedBytes = size_t{1} << 20U;
constexpr size_t kMaxConfigBytes = size_t{4} << 20U;

// Where optimum and the common converters put the graph, best first: the graph as exported, then
// optimised, then quantised; of each the main folder before `onnx/`.
constexpr std::string_view kOnnxPlaces[] = {"model.onnx",           "onnx/model.onnx",
                                            "model_optimized.onnx", "onnx/model_optimized.onnx",
                                            "model_quantized.onnx", "onnx/model_quantized.onnx"};
constexpr std::string_view kOptionalHfFiles[] = {"special_tokens_map.json",
                                                 "tokenizer_config.json"};

[[noreturn]] void fail(const std::string& origin, const std::string& what) {
  throw Error(ErrorKind::kModelFile, printable(origin, 1024) + ": " + what);
}

std::string join(const std::string& directory, std::string_view name) {
  std::string path = directory;
  if (path.back() != '/') path += '/';
  return path.append(name);
}

class LoadedBundle final : public Bundle {
 public:
  struct Entry {
    std::string name;
    ByteView data;
  };

  explicit LoadedBundle(std::string path) : path_(std::move(path)) {}

  const std::string& path() const override { return path_; }
  const Manifest& manifest() const override { return manifest_; }
  bool has(std::string_view name) const override { return find(name) != nullptr; }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    names.reserve(entries_.size());
    for (const Entry& entry : entries_) names.push_back(entry.name);
    return names;
  }

  ByteView entry(std::string_view name) const override {
    const Entry* entry = find(name);
    if (entry == nullptr) {
      std::string known;
      for (const Entry& each : entries_) known += (known.empty() ? "" : ", ") + each.name;
      fail(path_, "has no entry '" + printable(name) + "'; it has " + known);
    }
    return entry->data;
  }

  void read_image(ByteView image, bool verify_hashes);
  void read_directory(bool verify_hashes);

  MappedFile& keep(MappedFile file) { return files_.emplace_back(std::move(file)); }

  // The image where weights may be used in place, copied where it does not lie so.
  ByteView keep_aligned(ByteView image, std::shared_ptr<const void> owner);

 private:
  std::string entry_origin(std::string_view name) const {
    return path_ + ", entry '" + std::string(name) + "'";
  }

  const Entry* find(std::string_view name) const {
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.name == name; });
    return found == entries_.end() ? nullptr : &*found;
  }

  void add_file(const std::string& file_path, std::string_view name);
  void read_manifest_directory(bool verify_hashes);
  void read_hf_directory();
  void check_listed_files(bool verify_hashes) const;
  void check_onnx() const {
    if (const Entry* onnx = find(kOnnxName)) {
      check_onnx_paths(onnx->data, entry_origin(onnx->name));
    }
  }

  std::string path_;
  Manifest manifest_;
  std::vector<Entry> entries_;
  std::vector<MappedFile> files_;
  std::shared_ptr<const void> owner_;
  AlignedBuffer<uint8_t> copy_;
};

ByteView LoadedBundle::keep_aligned(ByteView image, std::shared_ptr<const void> owner) {
  constexpr size_t kAlignment = AlignedBuffer<uint8_t>::kAlignment;
  if (image.size == 0 || reinterpret_cast<uintptr_t>(image.data) % kAlignment == 0) {
    owner_ = std::move(owner);
    return image;
  }
  copy_ = AlignedBuffer<uint8_t>(image.size);
  std::memcpy(copy_.data(), image.data, image.size);
  return {copy_.data(), image.size};
}

void LoadedBundle::read_image(ByteView image, bool verify_hashes) {
  for (ZipEntry& entry : read_stored_zip(image, path_)) {
    if (verify_hashes || entry.data.size <= kAlwaysCheckedBytes || entry.name == kManifestName) {
      if (crc32(entry.data) != entry.crc) {
        fail(path_,
             "entry '" + entry.name +
                 "': its bytes do not match their CRC-32; the file is damaged, get it again");
      }
    }
    entries_.push_back({std::move(entry.name), entry.data});
  }
  manifest_ = parse_manifest(entries_.front().data.text(), entry_origin(kManifestName));
  for (const Entry& entry : entries_) {
    const bool listed =
        std::any_of(manifest_.files.begin(), manifest_.files.end(),
                    [&](const ManifestFile& file) { return file.name == entry.name; });
    if (!listed && entry.name != kManifestName) {
      fail(path_, "entry '" + entry.name + "': 'files' of affectrt.json does not list it");
    }
  }
  check_listed_files(verify_hashes);
  check_onnx();
}

void LoadedBundle::check_listed_files(bool verify_hashes) const {
  for (const ManifestFile& file : manifest_.files) {
    const Entry* entry = find(file.name);
    if (entry == nullptr) {
      fail(path_, "'files' of affectrt.json lists '" + file.name + "', which is not there");
    }
    if (entry->data.size != file.bytes) {
      fail(path_, "entry '" + file.name + "': is " + std::to_string(entry->data.size) +
                      " bytes long; affectrt.json says " + std::to_string(file.bytes));
    }
    if (verify_hashes && sha256_hex(entry->data) != file.sha256) {
      fail(path_, "entry '" + file.name +
                      "': its SHA-256 is not the one in affectrt.json; the file is damaged or was "
                      "changed, get it again");
    }
  }
}

void LoadedBundle::add_file(const std::string& file_path, std::string_view name) {
  const MappedFile& file = keep(MappedFile::open(file_path));
  entries_.push_back({std::string(name), file.bytes()});
}

void LoadedBundle::read_directory(bool verify_hashes) {
  if (path_kind(join(path_, kManifestName)) != PathKind::kMissing) {
    read_manifest_directory(verify_hashes);
  } else {
    read_hf_directory();
  }
  check_onnx();
}

void LoadedBundle::read_manifest_directory(bool verify_hashes) {
  add_file(join(path_, kManifestName), kManifestName);
  manifest_ = parse_manifest(entries_.front().data.text(), join(path_, kManifestName));
  std::sort(manifest_.files.begin(), manifest_.files.end(),
            [](const ManifestFile& a, const ManifestFile& b) { return a.name < b.name; });
  for (const ManifestFile& file : manifest_.files) {
    const std::string file_path = join(path_, file.name);
    if (path_kind(file_path) == PathKind::kMissing) {
      fail(path_, "'files' of affectrt.json lists '" + file.name + "', which is not there");
    }
    add_file(file_path, file.name);
  }
  check_listed_files(verify_hashes);
}

void LoadedBundle::read_hf_directory() {
  const auto is_there = [&](std::string_view name) {
    return path_kind(join(path_, name)) != PathKind::kMissing;
  };
  if (!is_there("config.json")) {
    fail(path_,
         "is no model: it has neither affectrt.json (an unpacked .affect file) nor "
         "config.json (a Hugging Face or optimum ONNX export)");
  }
  const auto* const onnx = std::find_if(std::begin(kOnnxPlaces), std::end(kOnnxPlaces), is_there);
  if (onnx == std::end(kOnnxPlaces)) {
    if (is_there("model.safetensors") || is_there("pytorch_model.bin")) {
      fail(path_, "is a checkpoint without an ONNX graph; export it first: affectrt export " +
                      printable(path_, 1024) + " --out NAME.affect");
    }
    fail(path_,
         "has no model.onnx, model_optimized.onnx or model_quantized.onnx, neither itself "
         "nor in onnx/");
  }
  if (!is_there("tokenizer.json")) {
    fail(path_,
         "has no tokenizer.json; save it with a fast tokenizer: "
         "AutoTokenizer.from_pretrained(DIR, use_fast=True).save_pretrained(DIR)");
  }
  add_file(join(path_, "config.json"), "config.json");
  add_file(join(path_, *onnx), kOnnxName);
  for (const std::string_view name : kOptionalHfFiles) {
    if (is_there(name)) add_file(join(path_, name), name);
  }
  add_file(join(path_, "tokenizer.json"), "tokenizer.json");
  const auto text_of = [&](std::string_view name) {
    const Entry* entry = find(name);
    if (entry == nullptr) return std::string_view();
    if (entry->data.size > kMaxConfigBytes) {
      fail(path_, std::string(name) + " is " + std::to_string(entry->data.size) +
                      " bytes long; at most " + std::to_string(kMaxConfigBytes) + " are read");
    }
    return entry->data.text();
  };
  manifest_ = manifest_from_hf_config(text_of("config.json"), join(path_, "config.json"),
                                      text_of("tokenizer_config.json"));
  std::string_view folder = path_;
  while (!folder.empty() && folder.back() == '/') folder.remove_suffix(1);
  folder.remove_prefix(folder.rfind('/') + 1);  // npos + 1 is 0
  manifest_.name = printable(folder, 256);
  manifest_.modality = "text";
  manifest_.has_onnx = true;
}

}  // namespace

std::shared_ptr<const Bundle> Bundle::open(const std::string& path, bool verify_hashes) {
  auto bundle = std::make_shared<LoadedBundle>(path);
  switch (path_kind(path)) {
    case PathKind::kMissing:
      throw Error(ErrorKind::kNotFound,
                  printable(path, 1024) +
                      ": no such file or directory; give a .affect file, a "
                      "directory made from one, or a Hugging Face ONNX export");
    case PathKind::kDirectory:
      bundle->read_directory(verify_hashes);
      break;
    case PathKind::kRegularFile:
    case PathKind::kOther:  // which MappedFile refuses by name
      bundle->read_image(bundle->keep(MappedFile::open(path)).bytes(), verify_hashes);
      break;
  }
  return bundle;
}

std::shared_ptr<const Bundle> Bundle::from_memory(ByteView image, bool verify_hashes,
                                                  std::shared_ptr<const void> owner) {
  auto bundle = std::make_shared<LoadedBundle>("<memory>");
  bundle->read_image(bundle->keep_aligned(image, std::move(owner)), verify_hashes);
  return bundle;
}

std::shared_ptr<const Bundle> Bundle::from_descriptor(int descriptor, uint64_t offset,
                                                      uint64_t size, bool verify_hashes) {
  auto bundle =
      std::make_shared<LoadedBundle>("<file descriptor " + std::to_string(descriptor) + ">");
  const auto file =
      std::make_shared<MappedFile>(MappedFile::from_descriptor(descriptor, offset, size));
  bundle->read_image(bundle->keep_aligned(file->bytes(), file), verify_hashes);
  return bundle;
}

}  // namespace affectrt
