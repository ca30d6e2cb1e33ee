#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/checked.h"
#include "base/crc32.h"
#include "base/error.h"
#include "base/half.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/utf8.h"

using namespace affectrt;

namespace {

ByteView view(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// The message of the Error that `work` must throw.
template <typename Work>
std::string error_of(ErrorKind kind, Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  FAIL("nothing was thrown");
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "affectrt-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("checked arithmetic") {
  CHECK(checked_add(UINT64_MAX - 1, 1) == UINT64_MAX);
  CHECK(!checked_add(UINT64_MAX, 1));
  CHECK(checked_mul(0, UINT64_MAX) == 0);
  CHECK(checked_mul(uint64_t{1} << 32U, (uint64_t{1} << 32U) - 1) == UINT64_MAX - UINT32_MAX);
  CHECK(!checked_mul(uint64_t{1} << 32U, uint64_t{1} << 32U));
  CHECK(checked_align_up(1, 64) == 64);
  CHECK(checked_align_up(64, 64) == 64);
  CHECK(!checked_align_up(UINT64_MAX, 64));
  CHECK(range_fits(10, 0, 10));
  CHECK(!range_fits(11, 0, 10));
  CHECK(!range_fits(1, UINT64_MAX, 10));
}

TEST_CASE("halves are widened exactly, all of them") {
  for (uint32_t bits = 0; bits < 0x8000U; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const auto exponent = static_cast<int>(bits >> 10U);
    const auto fraction = static_cast<double>(bits & 0x3FFU);
    const double scale = std::ldexp(1.0, std::max(exponent, 1) - 25);
    const double wanted = scale * (exponent == 0 ? fraction : fraction + 1024.0);
    const float got = widen_half(half, HalfKind::kF16);
    const float negative = widen_half(static_cast<uint16_t>(bits | 0x8000U), HalfKind::kF16);
    if (exponent == 31) {
      CHECK(!std::isfinite(got));
      CHECK(std::isnan(got) == (fraction != 0.0));
      continue;
    }
    CHECK(double{got} == wanted);
    CHECK(negative == -got);
    CHECK(std::signbit(negative));
  }
  CHECK(widen_half(0x3F80, HalfKind::kBF16) == 1.0F);
  CHECK(widen_half(0xC049, HalfKind::kBF16) == -3.140625F);
  CHECK(std::isnan(widen_half(0x7FC0, HalfKind::kBF16)));
}

TEST_CASE("crc32 against the catalogue's check value and itself in pieces") {
  CHECK(crc32(view("123456789")) == 0xCBF43926U);
  CHECK(crc32({}) == 0);
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 37);
  const uint32_t whole = crc32(view(text));
  for (size_t cut = 0; cut <= 64; ++cut) {
    const uint32_t head = crc32({view(text).data, cut});
    CHECK(crc32({view(text).data + cut, text.size() - cut}, head) == whole);
  }
}

TEST_CASE("sha256 against the vectors of FIPS 180 and NIST") {
  CHECK(sha256_hex({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex(view("abc")) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex(view("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(view("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
                        "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu")) ==
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(sha256_hex(view(std::string(1'000'000, 'a'))) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  // Lengths around the block's padding, in one piece and byte by byte.
  for (size_t length = 50; length < 140; ++length) {
    const std::string text(length, 'x');
    Sha256 pieces;
    for (size_t i = 0; i < length; ++i) pieces.update({view(text).data + i, 1});
    Sha256 whole;
    whole.update(view(text));
    CHECK(pieces.finish() == whole.finish());
  }
}

TEST_CASE("utf8 validation finds the first bad byte") {
  CHECK(!find_invalid_utf8(""));
  CHECK(!find_invalid_utf8("plain ascii, longer than eight bytes"));
  CHECK(!find_invalid_utf8("h\xC3\xA9llo \xE2\x82\xAC \xF0\x9F\x98\x80 \xF4\x8F\xBF\xBF"));
  CHECK(!find_invalid_utf8(std::string("a\0b", 3)));
  const std::string bad[] = {
      "\x80",
      "\xBF",
      "\xC0\xAF",
      "\xC1\xBF",
      "\xC3",
      "\xC3(",
      "\xE0\x80\xAF",
      "\xE0\x9F\xBF",
      "\xED\xA0\x80",
      "\xED\xBF\xBF",
      "\xE2\x82",
      "\xE2(\xA1",
      "\xF0\x80\x80\x80",
      "\xF0\x9F\x98",
      "\xF4\x90\x80\x80",
      "\xF5\x80\x80\x80",
      "\xFE",
      "\xFF",
  };
  for (const std::string& sequence : bad) {
    for (size_t before = 0; before < 20; ++before) {
      const std::string text = std::string(before, 'a') + sequence + "tail";
      CHECK(find_invalid_utf8(text) == before);
    }
  }
  CHECK(utf8_length("h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80") == 4);
}

TEST_CASE("every code point is valid, every surrogate is not") {
  for (uint32_t code = 0x80; code <= 0x10FFFF; code += code < 0x3000 ? 1 : 61) {
    std::string text;
    if (code < 0x800) {
      text = {static_cast<char>(0xC0U | (code >> 6U)), static_cast<char>(0x80U | (code & 0x3FU))};
    } else if (code < 0x10000) {
      text = {static_cast<char>(0xE0U | (code >> 12U)),
              static_cast<char>(0x80U | ((code >> 6U) & 0x3FU)),
              static_cast<char>(0x80U | (code & 0x3FU))};
    } else {
      text = {static_cast<char>(0xF0U | (code >> 18U)),
              static_cast<char>(0x80U | ((code >> 12U) & 0x3FU)),
              static_cast<char>(0x80U | ((code >> 6U) & 0x3FU)),
              static_cast<char>(0x80U | (code & 0x3FU))};
    }
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    if (find_invalid_utf8(text).has_value() != surrogate) FAIL("code point ", code);
  }
}

TEST_CASE("printable text is valid UTF-8 and bounded") {
  CHECK(printable("caf\xC3\xA9") == "caf\xC3\xA9");
  CHECK(printable("a\n\x7F\xFF") == "a\\x0a\\x7f\\xff");
  CHECK(printable("a\xE2\x80\xAEgpj\xC2\x9B") == "a\\xe2\\x80\\xaegpj\\xc2\\x9b");
  CHECK(printable("abcdef", 3) == "abc...");
  CHECK(!find_invalid_utf8(printable("\xE2\x82\xAC\xE2\x82\xAC\xE2\x82", 4)));
}

TEST_CASE("json: what is right") {
  const JsonDocument parsed =
      parse_json(R"({"a": [1, -2, 2.5, true, null, "x\u00e9"], "b": {}})", "f");
  const nlohmann::json& document = parsed.root();
  CHECK(document["a"][0] == 1);
  CHECK(document["a"][2] == 2.5);
  CHECK(document["a"][5] == "x\xC3\xA9");
  CHECK(document["b"].is_object());
  CHECK(parse_json("1e20", "f").root() == 1e20);
  CHECK(parse_json("1000000000000000019884624838656", "f").root().get<double>() == 1e30);
}

TEST_CASE("json: what is wrong is an Error that names the file and the byte") {
  const auto error = [](const std::string& text) {
    return error_of(ErrorKind::kTokenizer,
                    [&] { parse_json(text, "dir/file.json", ErrorKind::kTokenizer); });
  };
  for (const char* text :
       {"", " ", "{", "[1,", "{\"a\"}", "{\"a\":1,}", "[1 2]", "nul", "\"abc", "{'a':1}", "01",
        "1e999", "\"\\ud800\"", "\"\x01\"", "NaN", "// c\n1", "{}x", "\"\\x\""}) {
    const std::string message = error(text);
    CHECK(contains(message, "dir/file.json, byte "));
    CHECK(contains(message, "not valid JSON"));
  }
  CHECK(contains(error("{\"a\": \"\xFF\"}"), "byte 7: not valid UTF-8"));
  CHECK(contains(error("\xEF\xBB\xBF{}"), "byte-order mark"));
  CHECK(contains(error(R"({"a": 1, "b": 2, "a": 3})"), "byte 20: the key 'a' stands twice"));
  CHECK(contains(error(R"([{"x": {"a": 1, "a": 3}}])"), "'a' stands twice"));
  CHECK(contains(error(std::string("{\"a\": 1}\0", 9)), "byte 8: not valid JSON"));
  CHECK(contains(error(std::string("[1]\0 junk", 9)), "byte 3: not valid JSON"));
}

TEST_CASE("json: a packed object holds the same members, and only where all are integers") {
  const char* const place[2] = {"model", "vocab"};
  const auto parse = [&](const std::string& text) {
    return nlohmann::json(parse_json(text, "f", ErrorKind::kTokenizer, {}, place).root());
  };
  const auto packed = parse(R"({"vocab": {"a": 1}, "model": {"x": {"vocab": {"a": 1}},
      "vocab": {"b\u00e9": 0, "": 4294967295, "a": 7}, "vocab2": {"a": 1}}, "z": [{"vocab": {}}]})");
  REQUIRE(packed["model"]["vocab"].is_binary());
  std::string members;
  for_each_packed(packed["model"]["vocab"], [&](std::string_view name, uint32_t value) {
    members += std::string(name) + "=" + std::to_string(value) + ";";
  });
  CHECK(members == "b\xC3\xA9=0;=4294967295;a=7;");
  for (const auto& other : {packed["vocab"], packed["model"]["x"]["vocab"],
                            packed["model"]["vocab2"], packed["z"][0]["vocab"]}) {
    CHECK(other.is_object());
  }
  CHECK(parse(R"({"model": {"vocab": {}}})")["model"]["vocab"].is_binary());

  // Everything else stays as it is.
  for (const char* text :
       {R"({"model": {"vocab": {"a": 1, "b": "x", "c": 3}}})",
        R"({"model": {"vocab": [["a", 1]]}})",
        R"({"model": {"vocab": {"a": 1, "b": {"c": 2, "d": [1]}, "e": -1}, "f": 1}})",
        R"({"model": {"vocab": {"a": 4294967296}}})", R"({"model": {"vocab": {"a": 1.5}}})",
        R"({"model": [{"vocab": {"a": 1}}]})", R"([{"model": {"vocab": {"a": 1}}}])"}) {
    CHECK(parse(text) == parse_json(text, "f").root());
  }
  const auto error = [&](const std::string& text) {
    return error_of(ErrorKind::kTokenizer, [&] { parse(text); });
  };
  CHECK(contains(error(R"({"model": {"vocab": {"a": 1, "b": 2, "a": 3}}})"),
                 "byte 40: the key 'a' stands twice"));
  CHECK(contains(error(R"({"model": {"vocab": {"a": 1, "b": "x", "a": 3}}})"), "stands twice"));
  CHECK(contains(error(R"({"model": {"vocab": {"a": 1, "a": "x"}}})"), "stands twice"));
  CHECK(contains(error(R"({"model": {"vocab": {"a": 1,}}})"), "not valid JSON"));
  std::string many = R"({"model": {"vocab": {)";
  for (int i = 0; i < 5000; ++i) many += "\"" + std::to_string(i) + "\": 1, ";
  CHECK(parse(many + "\"x\": 1}}}")["model"]["vocab"].is_binary());
  CHECK(contains(error(many + "\"4711\": 1}}}"), "the key '4711' stands twice"));
}

TEST_CASE("json: bounds") {
  JsonLimits limits;
  limits.max_depth = 3;
  limits.max_values = 10;
  limits.max_bytes = 40;
  const auto error = [&](const std::string& text) {
    return error_of(ErrorKind::kModelFile,
                    [&] { parse_json(text, "f", ErrorKind::kModelFile, limits); });
  };
  CHECK(parse_json("[[[1]]]", "f", ErrorKind::kModelFile, limits).root().size() == 1);
  CHECK(contains(error("[[[[1]]]]"), "byte 4: nested more than 3 levels"));
  CHECK(contains(error(R"({"a":{"b":[{}]}})"), "nested more than 3 levels"));
  CHECK(contains(error("[1,2,3,4,5,6,7,8,9,10]"), "more than 10 values"));
  CHECK(contains(error(std::string(41, ' ')), "41 bytes of JSON; at most 40"));
  // Far deeper than any call stack would bear.
  for (const char* open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 1'000'000; ++i) deep += open;
    CHECK(contains(error_of(ErrorKind::kModelFile, [&] { parse_json(deep, "f"); }), "levels deep"));
  }
}

TEST_CASE("mapped files") {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  std::ofstream(path) << "content";
  MappedFile file = MappedFile::open(path);
  CHECK(file.bytes().text() == "content");
  MappedFile moved = std::move(file);
  CHECK(moved.bytes().text() == "content");
  std::ofstream(folder / "other") << "more";
  moved = MappedFile::open(folder / "other");
  CHECK(moved.bytes().text() == "more");
  std::ofstream(folder / "empty").flush();
  CHECK(MappedFile::open(folder / "empty").bytes().size == 0);
  CHECK(path_kind(path) == PathKind::kRegularFile);
  CHECK(path_kind(folder / "") == PathKind::kDirectory);
  CHECK(path_kind(folder / "none") == PathKind::kMissing);
  CHECK(path_kind(path + "/below") == PathKind::kMissing);
}

TEST_CASE("mapped files: what is no file is refused at once") {
  const TemporaryFolder folder;
  const auto error = [](ErrorKind kind, const std::string& path) {
    return error_of(kind, [&] { MappedFile::open(path); });
  };
  CHECK(contains(error(ErrorKind::kNotFound, folder / "none"), "no such file"));
  CHECK(contains(error(ErrorKind::kModelFile, folder / ""), "is a directory"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(contains(error(ErrorKind::kModelFile, folder / "pipe"), "is a named pipe"));
  CHECK(contains(error(ErrorKind::kModelFile, "/dev/zero"), "is a device"));
  CHECK(contains(error(ErrorKind::kInput, ""), "empty"));
  CHECK(contains(error(ErrorKind::kInput, std::string("a\0b", 3)), "NUL"));
  std::filesystem::create_symlink("loop", folder / "loop");
  CHECK(contains(error(ErrorKind::kModelFile, folder / "loop"), "cannot look at it"));
  if (::geteuid() != 0) {  // root may read everything
    std::ofstream(folder / "secret") << "x";
    ::chmod((folder / "secret").c_str(), 0);
    CHECK(contains(error(ErrorKind::kModelFile, folder / "secret"), "cannot open it"));
  }
}
