// text -> token ids with offsets, exactly as Hugging Face `tokenizers` does from a tokenizer.json.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace affectrt {

struct Offset {
  uint32_t begin;  // code points of the original text, end exclusive, as HF's Python API gives them
  uint32_t end;
};

struct Encoding {
  std::vector<uint32_t> ids;
  std::vector<uint32_t> type_ids;
  std::vector<Offset> offsets;
  std::vector<uint8_t> special_tokens_mask;
  std::vector<int32_t> sequence_ids;  // -1 special, 0 text, 1 pair
  std::vector<Encoding> overflowing;  // the windows that truncation cut off, with `stride`
};

enum class Truncation { kNone, kLongestFirst, kOnlyFirst, kOnlySecond };

struct EncodeOptions {
  bool add_special_tokens = true;
  bool with_offsets = true;  // false is faster; offsets then stays empty
  Truncation truncation = Truncation::kNone;
  uint32_t max_tokens = 0;  // special tokens included
  uint32_t stride = 0;
  bool keep_overflowing = false;
  bool truncate_left = false;  // keep the end of a text and not its beginning
};

struct TextInput {
  std::string_view text;
  std::optional<std::string_view> pair;
};

// Immutable: concurrent calls are safe. The "padding" and "truncation" sections of the file are
// read (see file_truncation) but never applied by encode: the caller says what it wants.
class Tokenizer {
 public:
  // `origin` names the file in errors. Throws Error(kTokenizer) naming the component for whatever
  // the file asks for and we do not do exactly.
  static std::unique_ptr<const Tokenizer> from_json(std::string_view json,
                                                    const std::string& origin);
  ~Tokenizer();

  // Throws Error(kInput) when a text is not valid UTF-8 (with the byte position), or when
  // truncation cannot fit.
  Encoding encode(std::string_view text, std::optional<std::string_view> pair,
                  const EncodeOptions& options) const;

  // The same for many on up to `num_threads` threads, this one included. An error names the number
  // of its input.
  std::vector<Encoding> encode_batch(const std::vector<TextInput>& inputs,
                                     const EncodeOptions& options, size_t num_threads) const;

  // The same without the short cuts for common tokenizers: the reference that tests hold them to.
  Encoding encode_general(std::string_view text, std::optional<std::string_view> pair,
                          const EncodeOptions& options) const;

  // The "truncation" section of the file as options; kNone where it has none.
  const EncodeOptions& file_truncation() const;

  std::optional<uint32_t> token_to_id(std::string_view token) const;
  std::string_view id_to_token(uint32_t id) const;
  size_t vocab_size() const;  // with added tokens

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace affectrt
