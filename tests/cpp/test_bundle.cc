#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>

#include "base/aligned_buffer.h"
#include "bundle/bundle.h"
#include "bundle/onnx_paths.h"
#include "bundle_image.h"

using namespace affectrt;
using namespace affectrt::testing;

namespace {

// Opens a copy in a block of exactly its size, so that a sanitizer sees any step beyond it.
// Returns the message of the Error, or "".
std::string open_error(const std::string& image, bool verify = true) {
  AlignedBuffer<uint8_t> copy(image.size());
  std::copy(image.begin(), image.end(), copy.data());
  try {
    const auto bundle = Bundle::from_memory({copy.data(), image.size()}, verify);
    for (const std::string& name : bundle->names()) {
      const ByteView data = bundle->entry(name);
      const bool inside =
          data.data >= copy.data() && data.data + data.size <= copy.data() + image.size();
      if (!inside) FAIL("entry ", name, " lies outside of the image");
    }
    return "";
  } catch (const Error& error) {
    CHECK((error.kind() == ErrorKind::kModelFile || error.kind() == ErrorKind::kUnsupported));
    CHECK(std::string(error.what()).size() < 1500);
    return error.what();
  }
}

std::string tampered(const Tamper& tamper) { return build_image(tiny_entries(), tamper); }

// Both headers' shared field at `offset` within the local header.
Tamper shared_field(size_t entry, size_t offset, uint64_t value, int bytes) {
  return [=](std::vector<EntryHeaders>* headers) {
    set(&headers->at(entry).local, offset, value, bytes);
    set(&headers->at(entry).central, offset + 2, value, bytes);
  };
}

}  // namespace

TEST_CASE("a good image") {
  const std::string image = tiny_image();
  for (const bool verify : {false, true}) {
    const auto bundle = Bundle::from_memory(view(image), verify);
    CHECK(bundle->names() ==
          std::vector<std::string>{"affectrt.json", "config.json", "model.onnx", "tokenizer.json"});
    CHECK(bundle->has("model.onnx"));
    CHECK(!bundle->has("weights.safetensors"));
    CHECK(bundle->entry("model.onnx").text() == tiny_onnx());
    for (const std::string& name : bundle->names()) {
      CHECK(reinterpret_cast<uintptr_t>(bundle->entry(name).data) % 64 == 0);
    }
    const Manifest& manifest = bundle->manifest();
    CHECK(manifest.json == bundle->entry("affectrt.json").text());
    CHECK(manifest.name == "tiny");
    CHECK(manifest.heads.at(0).thresholds == std::vector<float>{0.25F, 0.75F});
    CHECK_THROWS_AS((void)bundle->entry("nothing"), Error);
  }
}

TEST_CASE("every flipped bit is found") {
  const std::string image = tiny_image();
  for (const bool verify : {false, true}) {
    size_t unnoticed = 0;
    for (size_t bit = 0; bit < image.size() * 8; ++bit) {
      std::string flipped = image;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      if (open_error(flipped, verify).empty()) ++unnoticed;
    }
    CHECK(unnoticed == 0);
  }
}

TEST_CASE("damage in a large entry is found on verification, not on opening") {
  auto files = tiny_files();
  files["weights.safetensors"] = std::string((size_t{1} << 20U) + 1, 'w');
  auto manifest = tiny_manifest(files);
  manifest["model"]["weights"] = "weights.safetensors";
  std::string image = build_image(entries_of(manifest.dump(), files));
  CHECK(open_error(image).empty());
  image[image.rfind("wwww")] = 'v';
  CHECK(open_error(image, false).empty());
  CHECK(contains(open_error(image, true), "entry 'weights.safetensors': its bytes do not match"));
}

TEST_CASE("every truncation and every extension is refused") {
  const std::string image = tiny_image();
  for (size_t size = 0; size < image.size(); ++size) {
    if (open_error(image.substr(0, size), false).empty()) FAIL("accepted at ", size, " bytes");
    if (open_error(image.substr(image.size() - size), false).empty()) {
      FAIL("accepted the last ", size, " bytes");
    }
  }
  for (const size_t extra : {1U, 4U, 21U, 22U, 64U, 4096U, 70000U}) {
    CHECK(!open_error(image + std::string(extra, '\0')).empty());
    CHECK(!open_error(std::string(extra, '\0') + image).empty());
    CHECK(!open_error(std::string("PK\x03\x04") + std::string(extra, '\0') + image).empty());
  }
  CHECK(contains(open_error(image + "trailing"), "8 bytes follow the ZIP end record"));
  CHECK(!open_error(image + image).empty());
  CHECK(contains(open_error(""), "is empty"));
}

TEST_CASE("every header field with every telling value") {
  const std::string image = tiny_image();
  const auto size = static_cast<uint64_t>(image.size());
  const uint64_t values[] = {0,          1,          2,          8,          63,
                             64,         0x7F,       0x7FFF,     0xFFFF,     0x8000,
                             size,       size - 22,  0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                             0xFFFFFFFE, 0x06054b50, 0x02014b50, 0x04034b50, 0x08074b50};
  size_t unnoticed = 0;
  for (size_t at = 0; at + 4 <= image.size(); ++at) {
    for (const uint64_t value : values) {
      for (const int bytes : {2, 4}) {
        std::string changed = image;
        set(&changed, at, value, bytes);
        if (changed != image && open_error(changed, false).empty()) ++unnoticed;
      }
    }
  }
  CHECK(unnoticed == 0);
}

TEST_CASE("ZIP tricks are refused by name") {
  struct Trick {
    const char* expected;
    Tamper tamper;
  };
  const std::vector<Trick> tricks = {
      {"entry 'config.json': is compressed (method 8)", shared_field(1, 8, 8, 2)},
      {"is compressed (method 93)", shared_field(1, 8, 93, 2)},
      {"is encrypted", shared_field(1, 6, 1, 2)},
      {"data descriptor", shared_field(2, 6, 8, 2)},
      {"has the flags 0x00000800", shared_field(2, 6, 0x800, 2)},
      {"ZIP64", shared_field(3, 22, 0xFFFFFFFF, 4)},
      {"ZIP64", shared_field(3, 18, 0xFFFFFFFF, 4)},
      {"both must be equal", shared_field(3, 18, 5, 4)},
      {"version 45", shared_field(1, 4, 45, 2)},
      {"time stamp", shared_field(1, 10, 77, 2)},
      {"do not match their CRC-32", shared_field(1, 14, 0x12345678, 4)},
      {"disagree", [](auto* h) { set(&h->at(1).local, 14, 0x12345678, 4); }},
      {"disagree", [](auto* h) { set(&h->at(1).central, 16, 0x12345678, 4); }},
      {"its local header names it 'kodels.json'",
       [](auto* h) { h->at(1).local.replace(30, 11, "kodels.json"); }},
      {"another disk", [](auto* h) { set(&h->at(1).central, 34, 1, 2); }},
      {"extra field or a comment", [](auto* h) { set(&h->at(1).central, 30, 4, 2); }},
      {"extra field or a comment", [](auto* h) { set(&h->at(1).central, 32, 4, 2); }},
      {"mode 0644", [](auto* h) { set(&h->at(1).central, 38, 0120777U << 16U, 4); }},  // a symlink
      {"mode 0644", [](auto* h) { set(&h->at(1).central, 36, 1, 2); }},
      {"it must follow the entry before",  // overlap: two records, one local header
       [](auto* h) { set(&h->at(2).central, 42, h->at(1).local_offset, 4); }},
      {"it must follow the entry before",
       [](auto* h) { set(&h->at(0).central, 42, 0x7FFFFFF0, 4); }},
      {"it must follow the entry before",
       [](auto* h) { std::swap(h->at(1).central, h->at(2).central); }},
      {"is the first; affectrt.json must be", [](auto* h) { std::swap(h->at(0), h->at(1)); }},
      {"no local header at byte", [](auto* h) { h->at(0).data += "gap"; }},
      {"no local header at byte", [](auto* h) { set(&h->at(1).local, 0, 0, 4); }},
      {"padding is not all zeros", [](auto* h) { h->at(1).local.back() = 1; }},
      {"alignment field (0xa11e)",
       [](auto* h) { set(&h->at(1).local, 30 + 11, 0x0001, 2); }},  // ZIP64's own extra field
      {"run into the ZIP directory", shared_field(3, 18, (uint64_t{70000} << 32U) | 70000, 8)},
  };
  for (const Trick& trick : tricks) {
    const std::string error = open_error(tampered(trick.tamper));
    CAPTURE(error);
    CHECK(contains(error, trick.expected));
  }
}

TEST_CASE("entries in another order") {
  auto entries = tiny_entries();
  std::swap(entries[1], entries[2]);
  CHECK(contains(open_error(build_image(entries)), "must be in ascending order of their names"));
  std::swap(entries[0], entries[1]);
  CHECK(contains(open_error(build_image(entries)), "is the first; affectrt.json must be"));
}

TEST_CASE("unaligned data, or padded by more than needed") {
  for (const size_t zeros : {1U, 32U, 64U}) {
    const std::string error = open_error(tampered([&](auto* headers) {
      EntryHeaders& last = headers->back();
      last.local.append(zeros, '\0');
      set(&last.local, 28, last.local.size() - 30 - 14, 2);
      set(&last.local, 30 + 14 + 2, last.local.size() - 30 - 14 - 4, 2);
    }));
    CHECK(contains(error, "it must begin at"));
  }
}

TEST_CASE("entry names") {
  const auto error = [](const std::string& name) {
    auto entries = tiny_entries();
    entries.insert(entries.begin() + 1, {name, "x"});
    std::sort(entries.begin() + 1, entries.end(),
              [](const ImageEntry& a, const ImageEntry& b) { return a.name < b.name; });
    return open_error(build_image(entries));
  };
  CHECK(contains(error("extra.txt"), "'files' of affectrt.json does not list it"));
  CHECK(contains(error(""), "the name is empty"));
  CHECK(contains(error("/etc/passwd"), "absolute"));
  CHECK(contains(error("../evil"), "'..'"));
  CHECK(contains(error("a/../evil"), "'..'"));
  CHECK(contains(error("a/.."), "'..'"));
  CHECK(contains(error("./a"), "'.'"));
  CHECK(contains(error("a//b"), "empty component"));
  CHECK(contains(error("folder/"), "empty component"));
  CHECK(contains(error("a\\b"), "holds '\\'"));
  CHECK(contains(error("C:evil"), "holds ':'"));
  CHECK(contains(error(std::string("a\0b", 3)), "holds '\\x00'"));
  CHECK(contains(error("caf\xC3\xA9"), "holds '\\xc3'"));
  CHECK(contains(error("a b"), "holds ' '"));
  CHECK(contains(error(".hidden"), "begins with '.'"));
  CHECK(contains(error("-rf"), "begins with '.' or '-'"));
  CHECK(contains(error("dot."), "ends with '.'"));
  CHECK(contains(error(std::string(256, 'a')), "256 bytes"));
  CHECK(contains(error("config.json"), "stands twice"));
  CHECK(contains(error("Config.JSON"), "stands twice"));
  CHECK(contains(error("affectrt.json"), "stands twice"));
  CHECK(contains(error("config.json/below"), "is also"));
}

TEST_CASE("end records that lie") {
  const std::string image = tiny_image();
  const size_t end = image.size() - 22;
  const auto error = [&](size_t at, uint64_t value, int bytes) {
    std::string changed = image;
    set(&changed, end + at, value, bytes);
    return open_error(changed, false);
  };
  CHECK(contains(error(4, 1, 2), "several parts"));
  CHECK(contains(error(8, 3, 2), "several parts"));
  CHECK(contains(error(8, 0, 4), "no entries"));
  CHECK(contains(error(8, 0x00030003, 4), "behind its last entry"));
  CHECK(contains(error(8, 0x00050005, 4), "ends after 4 of its 5 entries"));
  CHECK(contains(error(8, 0x04010401, 4), "at most 1024"));
  CHECK(contains(error(8, 0xFFFFFFFF, 4), "ZIP64"));
  CHECK(contains(error(16, 0xFFFFFFFF, 4), "ZIP64"));
  CHECK(contains(error(16, 0, 4), "must end where the end record begins"));
  CHECK(contains(error(12, 0xFFFFFFF0, 4), "must end where the end record begins"));
  CHECK(contains(error(20, 5, 2), "comment"));
  CHECK(contains(error(0, 0, 4), "end record is missing"));
  std::string located = image;
  located.insert(end, std::string("PK\x06\x07") + std::string(16, '\0'));
  CHECK(contains(open_error(located), "ZIP64"));
}

TEST_CASE("an image and its affectrt.json must agree") {
  const auto with = [](const std::function<void(nlohmann::json*)>& change) {
    auto manifest = tiny_manifest(tiny_files());
    change(&manifest);
    return open_error(build_image(entries_of(manifest.dump(), tiny_files())));
  };
  CHECK(with([](auto*) {}).empty());
  CHECK(contains(with([](auto* m) { (*m)["files"]["a.txt"] = (*m)["files"]["config.json"]; }),
                 "lists 'a.txt', which is not there"));
  CHECK(contains(with([](auto* m) { (*m)["files"]["config.json"]["bytes"] = 3; }),
                 "affectrt.json says 3"));
  CHECK(
      contains(with([](auto* m) { (*m)["files"]["config.json"]["sha256"] = std::string(64, '0'); }),
               "SHA-256"));
  auto files = tiny_files();
  files["extra.txt"] = "x";
  const std::string unlisted = tiny_manifest(tiny_files()).dump();
  CHECK(contains(open_error(build_image(entries_of(unlisted, files))), "does not list it"));
  CHECK(contains(open_error(build_image(entries_of("{", tiny_files()))),
                 "entry 'affectrt.json', byte 2: not valid JSON"));
}

TEST_CASE("mutated manifests and graphs in an otherwise right image") {
  std::mt19937 random(7);
  const std::string manifest = tiny_manifest(tiny_files()).dump();
  size_t accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = manifest;
    for (auto changes = random() % 3 + 1; changes > 0; --changes) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 8);
          break;
        case 2:
          text.insert(at, 1, "{}[]\",:0-e9\\"[random() % 12]);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
          break;
      }
    }
    if (open_error(build_image(entries_of(text, tiny_files())), false).empty()) ++accepted;
  }
  CHECK(accepted < 10000);  // some changes only touch names and numbers
}

TEST_CASE("ONNX graphs that point outside are refused") {
  const auto varint = [](size_t value) {
    std::string out;
    for (; value > 0x7F; value >>= 7U) out += static_cast<char>(value | 0x80U);
    return out + static_cast<char>(value);
  };
  const auto field = [&](size_t number, const std::string& data) {
    return varint((number << 3U) | 2U) + varint(data.size()) + data;
  };
  const auto error = [](const std::string& onnx) {
    const std::unique_ptr<uint8_t[]> copy(new uint8_t[onnx.size()]);
    std::copy(onnx.begin(), onnx.end(), copy.get());
    try {
      check_onnx_paths({copy.get(), onnx.size()}, "file");
      return std::string();
    } catch (const Error& thrown) {
      return std::string(thrown.what());
    }
  };
  const std::string external = field(8, "weight") + std::string("\x70\x01", 2);
  const std::string inlined = field(8, "weight") + std::string("\x70\x00", 2) + field(9, "data");
  CHECK(error(tiny_onnx()).empty());
  CHECK(error(field(7, field(5, inlined))).empty());
  const std::string subgraph = field(6, field(5, external));
  const std::vector<std::string> pointing = {
      field(7, field(5, external)),                       // initializer
      field(7, field(5, inlined) + field(5, external)),   // behind a good one
      field(7, "") + field(7, field(5, external)),        // in a merged second occurrence
      field(7, field(15, field(1, external))),            // sparse initializer
      field(7, field(1, field(5, field(5, external)))),   // attribute
      field(7, field(1, field(5, field(10, external)))),  // list attribute
      field(7, field(1, field(5, subgraph))),             // subgraph
      field(25, field(7, field(5, field(5, external)))),  // function
      field(20, field(1, field(5, external))),            // training graph
      field(7, field(5, field(8, "w") + "\x70\x81\x80\x80\x80\x10")),  // 1 + 2^32
  };
  for (const std::string& onnx : pointing) CHECK(contains(error(onnx), "external data"));
  CHECK(contains(error(pointing[0]), "'weight'"));
  CHECK(contains(error(field(7, field(1, field(4, "EPContext")))), "EPContext"));
  CHECK(contains(error(std::string("\x18\0\0\0ORTM....", 12)), "ORT format"));
  CHECK(contains(error(""), "is empty"));
  CHECK(contains(error("\x3a\x7f"), "runs out of its message"));
  CHECK(contains(error("\x3a"), "ends inside of a number"));
  CHECK(contains(error("\x0b"), "wire type 3"));
  CHECK(contains(error(std::string("\x00\x00", 2)), "without a valid number"));
  CHECK(contains(error(std::string(11, '\xFF')), "more than 10 bytes"));
  std::string deep = external;
  for (int i = 0; i < 60; ++i) deep = field(1, field(5, field(6, deep)));
  CHECK(contains(error(field(7, deep)), "100 levels deep"));

  std::mt19937 random(11);
  for (int i = 0; i < 50000; ++i) {
    std::string onnx = pointing[random() % pointing.size()];
    for (auto changes = random() % 4 + 1; changes > 0; --changes) {
      onnx[random() % onnx.size()] = static_cast<char>(random());
    }
    (void)error(onnx);
  }
}

// The corpus of tests/attacks, written to a folder: its files are named good-* and bad-*.
TEST_CASE("the attack corpus") {
  const char* folder = std::getenv("AFFECTRT_ATTACKS");
  if (folder == nullptr) return;
  size_t opened = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    const std::string name = file.path().filename().string();
    ++opened;
    std::string message;
    try {
      Bundle::open(file.path().string(), true);
    } catch (const Error& error) {
      message = error.what();
    }
    CAPTURE(name);
    CAPTURE(message);
    CHECK(message.empty() == (name.rfind("good-", 0) == 0));
  }
  CHECK(opened > 0);
}
