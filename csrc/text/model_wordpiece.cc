#include "text/model_wordpiece.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace affectrt {

WordPiece::WordPiece(const nlohmann::json& model)
    : vocabulary_(Vocabulary::from_object(json_member(model, "vocab", "model"), "model.vocab")),
      trie_(vocabulary_.tokens()),
      continuation_(
          trie_.walk(DoubleArray::kRoot, json_string(model, "continuing_subword_prefix", "model"))),
      max_chars_(json_integer(json_member(model, "max_input_chars_per_word", "model"), SIZE_MAX,
                              "model.max_input_chars_per_word")),
      unknown_token_(json_string(model, "unk_token", "model")),
      unknown_id_(vocabulary_.find(unknown_token_)) {}

void WordPiece::tokenize(std::string_view piece, std::vector<ModelToken>* out) const {
  if (piece.empty()) return;
  const size_t before = out->size();
  out->resize(before + piece.size());
  out->resize(before + tokenize_word(piece.data(), piece.size(), out->data() + before));
}

size_t WordPiece::count_chars(const char* word, size_t size) {
  return static_cast<size_t>(
      std::count_if(word, word + size, [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t WordPiece::unknown(size_t size, ModelToken* out) const {
  if (!unknown_id_) {
    throw Error(
        ErrorKind::kTokenizer,
        "WordPiece met a word outside its vocabulary, and model.vocab lacks the unk_token '" +
            unknown_token_ + "'");
  }
  *out = {*unknown_id_, 0, static_cast<uint32_t>(size)};
  return 1;
}

}  // namespace affectrt
