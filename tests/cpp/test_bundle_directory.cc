#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bundle/bundle.h"
#include "bundle_image.h"

using namespace affectrt;
using namespace affectrt::testing;
namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "affectrt-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }

  void write(const std::string& name, const std::string& data) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << data;
  }
  void remove(const std::string& name) const { fs::remove_all(path_ / name); }
  std::string path(const std::string& name = "") const {
    return name.empty() ? path_.string() : (path_ / name).string();
  }

 private:
  fs::path path_;
};

std::string error_of(const std::string& path, ErrorKind kind = ErrorKind::kModelFile,
                     bool verify = false) {
  try {
    Bundle::open(path, verify);
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    CHECK(contains(error.what(), path));
    return error.what();
  }
  return "";
}

void write_unpacked(const Folder& folder) {
  for (const auto& [name, data] : tiny_files()) folder.write(name, data);
  folder.write("affectrt.json", tiny_manifest(tiny_files()).dump());
}

void write_hf_export(const Folder& folder) {
  folder.write("config.json", R"({"model_type": "bert", "id2label": {"0": "no", "1": "yes"}})");
  folder.write("model.onnx", tiny_onnx());
  folder.write("tokenizer.json", "{}");
}

}  // namespace

TEST_CASE("a file") {
  const Folder folder;
  folder.write("tiny.affect", tiny_image());
  const auto bundle = Bundle::open(folder.path("tiny.affect"), true);
  CHECK(bundle->path() == folder.path("tiny.affect"));
  CHECK(bundle->entry("model.onnx").text() == tiny_onnx());
  // Renamed over or unlinked, the mapped file stays as it was.
  folder.remove("tiny.affect");
  CHECK(bundle->entry("model.onnx").text() == tiny_onnx());
}

TEST_CASE("what is no model file") {
  const Folder folder;
  folder.write("text", "hello, this is no archive");
  CHECK(contains(error_of(folder.path("text")), "does not begin with a ZIP local header"));
  folder.write("empty", "");
  CHECK(contains(error_of(folder.path("empty")), "is empty"));
  CHECK(contains(error_of(folder.path("none"), ErrorKind::kNotFound), "no such file or directory"));
  CHECK(contains(error_of(folder.path("text/below"), ErrorKind::kNotFound), "no such file"));
  CHECK(contains(error_of(folder.path()), "neither affectrt.json"));
  REQUIRE(::mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK(contains(error_of(folder.path("pipe")), "is a named pipe; a regular file is needed"));
  CHECK(contains(error_of("/dev/zero"), "is a device"));
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = folder.path("socket");
  REQUIRE(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CHECK(contains(error_of(path), "is a socket"));
  ::close(socket);
}

TEST_CASE("an unpacked file") {
  const Folder folder;
  write_unpacked(folder);
  folder.write("notes.txt", "ignored");
  const auto bundle = Bundle::open(folder.path(), true);
  CHECK(bundle->names() ==
        std::vector<std::string>{"affectrt.json", "config.json", "model.onnx", "tokenizer.json"});
  CHECK(!bundle->has("notes.txt"));
  CHECK(bundle->manifest().name == "tiny");

  SUBCASE("links that the user made are followed") {
    fs::create_directory_symlink(folder.path(), folder.path("link"));
    CHECK(Bundle::open(folder.path("link"), true)->has("model.onnx"));
    fs::rename(folder.path("config.json"), folder.path("blob"));
    fs::create_symlink("blob", folder.path("config.json"));
    CHECK(error_of(folder.path(), ErrorKind::kModelFile, true).empty());
  }
  SUBCASE("missing") {
    folder.remove("tokenizer.json");
    CHECK(contains(error_of(folder.path()), "lists 'tokenizer.json', which is not there"));
  }
  SUBCASE("another size") {
    folder.write("tokenizer.json", "{}");
    CHECK(contains(error_of(folder.path()), "affectrt.json says 18"));
  }
  SUBCASE("another content of the same size") {
    folder.write("tokenizer.json", R"({"version": "2.0"})");
    CHECK(error_of(folder.path()).empty());
    CHECK(contains(error_of(folder.path(), ErrorKind::kModelFile, true), "SHA-256"));
  }
  SUBCASE("a directory in a file's place") {
    folder.remove("config.json");
    fs::create_directory(folder.path("config.json"));
    CHECK(contains(error_of(folder.path()), "is a directory"));
  }
  SUBCASE("a pipe in a file's place") {
    folder.remove("config.json");
    REQUIRE(::mkfifo(folder.path("config.json").c_str(), 0600) == 0);
    CHECK(contains(error_of(folder.path()), "is a named pipe"));
  }
  SUBCASE("a name that leads outside") {
    auto manifest = tiny_manifest(tiny_files());
    manifest["files"]["../../etc/passwd"] = manifest["files"]["config.json"];
    folder.write("affectrt.json", manifest.dump());
    CHECK(contains(error_of(folder.path()), "must not lead out of its folder"));
  }
  SUBCASE("broken JSON") {
    folder.write("affectrt.json", "{\"format\": ");
    CHECK(contains(error_of(folder.path()), "affectrt.json, byte 12: not valid JSON"));
  }
  SUBCASE("entries in folders") {
    auto files = tiny_files();
    files["trt/sm_89.engine"] = "engine";
    folder.write("trt/sm_89.engine", "engine");
    folder.write("affectrt.json", tiny_manifest(files).dump());
    CHECK(Bundle::open(folder.path(), true)->entry("trt/sm_89.engine").text() == "engine");
  }
}

TEST_CASE("a Hugging Face or optimum export") {
  const Folder folder;
  write_hf_export(folder);
  const auto bundle = Bundle::open(folder.path() + "/", true);
  const Manifest& manifest = bundle->manifest();
  CHECK(manifest.json.empty());
  CHECK(manifest.name == fs::path(folder.path()).filename().string());
  CHECK(manifest.family == "bert");
  CHECK(manifest.has_onnx);
  CHECK(manifest.heads.at(0).labels == std::vector<std::string>{"no", "yes"});
  CHECK(manifest.heads.at(0).output == "logits");
  CHECK(manifest.max_tokens == 512);

  SUBCASE("tokenizer_config.json bounds the input") {
    folder.write("tokenizer_config.json", R"({"model_max_length": 128})");
    CHECK(Bundle::open(folder.path())->manifest().max_tokens == 128);
    folder.write("tokenizer_config.json", "{");
    CHECK(contains(error_of(folder.path()), "tokenizer_config.json"));
  }
  SUBCASE("the order of preference among graphs") {
    const std::vector<std::string> places = {"model.onnx",           "onnx/model.onnx",
                                             "model_optimized.onnx", "onnx/model_optimized.onnx",
                                             "model_quantized.onnx", "onnx/model_quantized.onnx"};
    // Told apart by their IR version.
    for (size_t i = 0; i < places.size(); ++i) {
      std::string onnx = tiny_onnx();
      onnx[1] = static_cast<char>(i + 3);
      folder.write(places[i], onnx);
    }
    for (size_t i = 0; i < places.size(); ++i) {
      CHECK(Bundle::open(folder.path())->entry("model.onnx").data[1] == i + 3);
      folder.remove(places[i]);
    }
    CHECK(contains(error_of(folder.path()), "has no model.onnx"));
    folder.write("model.safetensors", "");
    CHECK(contains(error_of(folder.path()), "affectrt export"));
  }
  SUBCASE("no tokenizer.json") {
    folder.remove("tokenizer.json");
    CHECK(contains(error_of(folder.path()), "has no tokenizer.json"));
  }
  SUBCASE("no ONNX in the .onnx") {
    folder.write("model.onnx", "version https://git-lfs.github.com/spec/v1\n");
    CHECK(contains(error_of(folder.path()), "not an ONNX model"));
  }
  SUBCASE("weights in another file are never opened") {
    const std::string external("\x3a\x06\x2a\x04\x42\x00\x70\x01", 8);
    folder.write("model.onnx", external);
    CHECK(contains(error_of(folder.path(), ErrorKind::kUnsupported), "external data"));
  }
  SUBCASE("a pipe") {
    folder.remove("tokenizer.json");
    REQUIRE(::mkfifo(folder.path("tokenizer.json").c_str(), 0600) == 0);
    CHECK(contains(error_of(folder.path()), "is a named pipe"));
  }
}
