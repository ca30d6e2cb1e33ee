// Reading of safetensors, honest and hostile.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "bundle/safetensors.h"
#include "safetensors_image.h"

using namespace affectrt;

namespace {

std::string refusal(ByteView file) {
  try {
    SafeTensors::parse(file, "w.safetensors");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kModelFile);
    CHECK(std::string(error.what()).find("w.safetensors") != std::string::npos);
    return error.what();
  }
  return "";
}

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kModelFile);
    return error.what();
  }
  return "";
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("tensors, shapes and metadata come out as written") {
  SafetensorsImage image;
  image.add_f32("a.weight", {2, 3}, {1, 2, 3, 4, 5, 6});
  image.add_f32("scalar", {}, {7});
  image.add_f32("empty", {0, 4}, {});
  image.add_i8("codes", {3}, {-1, 0, 1});
  image.metadata = R"({"format":"x","affectrt.activation_bits":"16"})";
  const SafeTensors file = SafeTensors::parse(image.build(), "w.safetensors");
  CHECK(file.tensors().size() == 4);
  CHECK(file.f32("a.weight", {2, 3})[5] == 6.0F);
  CHECK(file.f32("scalar", {})[0] == 7.0F);
  CHECK(file.i8("codes", {3})[0] == -1);
  CHECK(to_string(*file.find("a.weight")) == "F32 [2, 3]");
  CHECK(file.find("b") == nullptr);
  CHECK(file.metadata("affectrt.activation_bits") == "16");
  CHECK_FALSE(file.metadata("other"));
}

TEST_CASE("a tensor of another name, shape or type is named with what is expected") {
  SafetensorsImage image;
  image.add_f32("a", {2, 3}, {1, 2, 3, 4, 5, 6});
  const SafeTensors file = SafeTensors::parse(image.build(), "w.safetensors");
  std::string text = message_of([&] { file.f32("a", {3, 2}); });
  CHECK(mentions(text, "'a' is F32 [2, 3]; F32 [3, 2] is expected"));
  text = message_of([&] { file.i8("a", {2, 3}); });
  CHECK(mentions(text, "I8 [2, 3] is expected"));
  text = message_of([&] { file.f32("b", {1}); });
  CHECK(mentions(text, "no tensor 'b'"));
}

TEST_CASE("headers that lie are refused") {
  SafetensorsImage image;
  const std::string data(8, '\0');
  const auto one = [](const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
    return "{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}}";
  };
  CHECK(refusal(image.assemble(one("F32", "[2]", "[0,8]"), data)).empty());
  const std::pair<std::string, std::string> wrong[] = {
      {one("F31", "[2]", "[0,8]"), "dtype"},
      {one("F32", "[3]", "[0,8]"), "takes 12"},
      {one("F32", "[2]", "[0,9]"), "within"},
      {one("F32", "[2]", "[8,0]"), "within"},
      {one("F32", "[1]", "[4,8]"), "gap"},
      {one("F32", "[1]", "[0,4]"), "nothing may follow"},
      {one("F32", "[-2]", "[0,8]"), "shape"},
      {one("F32", "[2.5]", "[0,8]"), "shape"},
      {one("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), "shape"},
      {one("F32", "[9007199254740992,9007199254740992,9007199254740992]", "[0,8]"), "2^64"},
      {one("F32", "[18446744073709551616]", "[0,8]"), ""},
      {one("F32", "[2]", "[0]"), "data_offsets"},
      {one("F32", "[2]", "\"0,8\""), "data_offsets"},
      {R"({"t":{"dtype":"F32","shape":[2]}})", "data_offsets"},
      {R"({"t":5})", "object"},
      {R"([1])", "object"},
      {R"({"t":{"dtype":"F32")", ""},
      {R"({"__metadata__":{"a":1},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "a"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "t"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("u":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "overlap"},
      {std::string(5000, '['), ""},
  };
  for (const auto& [header, part] : wrong) {
    CAPTURE(header.substr(0, 80));
    const std::string text = refusal(image.assemble(header, data));
    CHECK_FALSE(text.empty());
    CHECK(mentions(text, part));
  }
}

TEST_CASE("files cut short, and lengths beyond them") {
  SafetensorsImage image;
  image.add_f32("a", {2}, {1, 2});
  const ByteView whole = image.build();
  for (size_t size = 0; size < whole.size; ++size) {
    CAPTURE(size);
    CHECK_FALSE(refusal({whole.data, size}).empty());
  }
  std::vector<uint8_t> huge(whole.data, whole.data + whole.size);
  for (size_t i = 0; i < 8; ++i) huge[i] = 0xFF;
  CHECK(mentions(refusal({huge.data(), huge.size()}), "claims a header"));
}

TEST_CASE("floats that are not aligned are refused, not read") {
  SafetensorsImage image;
  const ByteView file = image.assemble(R"({"c":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
                                       R"("f":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
                                       std::string(5, '\0'));
  const SafeTensors parsed = SafeTensors::parse(file, "w.safetensors");
  CHECK(mentions(message_of([&] { parsed.f32("f", {1}); }), "multiple of 4"));
}

TEST_CASE("damaged bytes either parse or are refused") {
  SafetensorsImage image;
  image.add_f32("a.weight", {2, 3}, {1, 2, 3, 4, 5, 6});
  image.add_i8("codes", {3}, {-1, 0, 1});
  image.metadata = R"({"format":"x"})";
  const ByteView whole = image.build();
  std::mt19937 random(5);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<uint8_t> bytes(whole.data, whole.data + whole.size);
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    }
    refused += refusal({bytes.data(), bytes.size()}).empty() ? 0 : 1;
  }
  CHECK(refused > 1000);
}
