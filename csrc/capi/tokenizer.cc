// Text to token ids with offsets, in the unit that the caller's strings are indexed by.
#include "text/tokenizer.h"

#include <memory>
#include <utility>

#include "base/utf8.h"
#include "capi/call.h"
#include "capi/handles.h"

namespace affectrt {
namespace {

constexpr size_t kFirstOptions = sizeof(affectrt_encode_options);
constexpr size_t kFirstTokens = sizeof(affectrt_tokens);

EncodeOptions options_of(const affectrt_encode_options& from) {
  check_reserved(from.reserved, "options");
  EncodeOptions options;
  options.add_special_tokens = from.no_special_tokens == 0;
  if (from.truncation < AFFECTRT_TRUNCATE_NOT || from.truncation > AFFECTRT_TRUNCATE_ONLY_SECOND) {
    throw Error(ErrorKind::kInput, "options.truncation is " + std::to_string(from.truncation) +
                                       "; it must be one of AFFECTRT_TRUNCATE_...");
  }
  options.truncation = static_cast<Truncation>(from.truncation);
  if (from.offsets < AFFECTRT_OFFSETS_CODE_POINTS || from.offsets > AFFECTRT_OFFSETS_UTF16) {
    throw Error(ErrorKind::kInput, "options.offsets is " + std::to_string(from.offsets) +
                                       "; it must be one of AFFECTRT_OFFSETS_...");
  }
  options.max_tokens = from.max_tokens;
  options.stride = from.stride;
  options.keep_overflowing = from.keep_windows != 0;
  options.truncate_left = from.truncate_left != 0;
  return options;
}

// Where each code point of a valid text begins, and where the last one ends, in bytes or in UTF-16
// code units.
std::vector<uint32_t> positions(std::string_view text, bool utf16) {
  std::vector<uint32_t> begins;
  begins.reserve(text.size() + 1);
  uint32_t at = 0;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const uint32_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    begins.push_back(at);
    at += !utf16 ? bytes : bytes == 4 ? 2 : 1;
    i += bytes;
  }
  begins.push_back(at);
  return begins;
}

class OffsetUnit {
 public:
  OffsetUnit(const TextInput& input, int32_t unit) {
    if (unit == AFFECTRT_OFFSETS_CODE_POINTS) return;
    texts_[0] = positions(input.text, unit == AFFECTRT_OFFSETS_UTF16);
    if (input.pair) texts_[1] = positions(*input.pair, unit == AFFECTRT_OFFSETS_UTF16);
  }

  affectrt_offset of(Offset offset, int32_t sequence) const {
    if (sequence < 0) return {offset.begin, offset.end};
    const std::vector<uint32_t>& begins = texts_[sequence];
    if (begins.empty()) return {offset.begin, offset.end};
    if (offset.end >= begins.size()) {
      // As in HF tokenizers, sequence ids of windows without a token of the first text name it for
      // tokens of the second, unless a post-processor sets them.
      throw Error(
          ErrorKind::kUnsupported,
          "this tokenizer does not tell of which text the tokens of a cut pair are; ask for "
          "offsets in code points, or allow more tokens");
    }
    return {begins[offset.begin], begins[offset.end]};
  }

 private:
  std::vector<uint32_t> texts_[2];  // empty: code points
};

void add_window(Encoding tokens, const OffsetUnit& unit, affectrt_encoding* encoding) {
  std::vector<affectrt_offset> offsets;
  offsets.reserve(tokens.ids.size());
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    offsets.push_back(unit.of(tokens.offsets[i], tokens.sequence_ids[i]));
  }
  encoding->windows.push_back({std::move(tokens), std::move(offsets)});
}

}  // namespace
}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_tokenizer_from_model(const affectrt_model* model,
                                              affectrt_tokenizer** out) noexcept {
  return guarded([&] {
    affectrt_tokenizer*& tokenizer = emptied(out);
    const std::shared_ptr<const Model>& shared = text_model(model);
    tokenizer = new affectrt_tokenizer{{shared, &shared->tokenizer()}};
  });
}

affectrt_status affectrt_tokenizer_load_json(const char* json, size_t size,
                                             affectrt_tokenizer** out) noexcept {
  return guarded([&] {
    affectrt_tokenizer*& tokenizer = emptied(out);
    const std::string_view text = text_argument(json, size, "json");
    auto made = std::make_unique<affectrt_tokenizer>();
    made->tokenizer = Tokenizer::from_json(text, "tokenizer.json");
    tokenizer = made.release();
  });
}

void affectrt_tokenizer_destroy(affectrt_tokenizer* tokenizer) noexcept { delete tokenizer; }

affectrt_status affectrt_tokenizer_vocab_size(const affectrt_tokenizer* tokenizer,
                                              size_t* size) noexcept {
  return guarded(
      [&] { given(size, "size") = given(tokenizer, "tokenizer").tokenizer->vocab_size(); });
}

affectrt_status affectrt_tokenizer_token_to_id(const affectrt_tokenizer* tokenizer,
                                               const char* token, size_t size,
                                               uint32_t* id) noexcept {
  return guarded([&] {
    const Tokenizer& with = *given(tokenizer, "tokenizer").tokenizer;
    const std::string_view name = text_argument(token, size, "token");
    uint32_t& found = given(id, "id");
    const std::optional<uint32_t> known = with.token_to_id(name);
    if (!known) throw Error(ErrorKind::kInput, "no token '" + printable(name) + "'");
    found = *known;
  });
}

affectrt_status affectrt_tokenizer_id_to_token(const affectrt_tokenizer* tokenizer, uint32_t id,
                                               const char** token, size_t* size) noexcept {
  return guarded([&] {
    const std::string_view found = given(tokenizer, "tokenizer").tokenizer->id_to_token(id);
    given(token, "token");
    given(size, "size");
    if (found.empty()) throw Error(ErrorKind::kInput, "no token has the id " + std::to_string(id));
    *token = found.data();
    *size = found.size();
  });
}

affectrt_status affectrt_tokenizer_encode(const affectrt_tokenizer* tokenizer,
                                          const affectrt_text* text,
                                          const affectrt_encode_options* given_options,
                                          affectrt_encoding** out) noexcept {
  return guarded([&] {
    affectrt_encoding*& encoding = emptied(out);
    const Tokenizer& with = *given(tokenizer, "tokenizer").tokenizer;
    const TextInput input = text_argument(given(text, "text"), "text");
    const affectrt_encode_options from = read_struct(given_options, kFirstOptions, "options");
    Encoding tokens = with.encode(input.text, input.pair, options_of(from));
    const OffsetUnit unit(input, from.offsets);
    std::vector<Encoding> more = std::move(tokens.overflowing);
    auto made = std::make_unique<affectrt_encoding>();
    add_window(std::move(tokens), unit, made.get());
    for (Encoding& window : more) add_window(std::move(window), unit, made.get());
    encoding = made.release();
  });
}

void affectrt_encoding_destroy(affectrt_encoding* encoding) noexcept { delete encoding; }

affectrt_status affectrt_encoding_get_tokens(const affectrt_encoding* encoding, size_t window,
                                             affectrt_tokens* tokens) noexcept {
  return guarded([&] {
    const auto& windows = given(encoding, "encoding").windows;
    if (window >= windows.size()) {
      throw Error(ErrorKind::kInput, "no window " + std::to_string(window) + "; the encoding has " +
                                         std::to_string(windows.size()));
    }
    const affectrt_encoding::Window& from = windows[window];
    affectrt_tokens filled = {};
    filled.size = from.tokens.ids.size();
    filled.num_windows = windows.size();
    filled.ids = from.tokens.ids.data();
    filled.type_ids = from.tokens.type_ids.data();
    filled.offsets = from.offsets.data();
    filled.sequence_ids = from.tokens.sequence_ids.data();
    filled.special_tokens = from.tokens.special_tokens_mask.data();
    write_struct(tokens, filled, kFirstTokens, "tokens");
  });
}

}  // extern "C"
