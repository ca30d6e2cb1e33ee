#include "text/model_wordlevel.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace affectrt {

WordLevel::WordLevel(const nlohmann::json& model)
    : vocabulary_(Vocabulary::from_object(json_member(model, "vocab", "model"), "model.vocab")),
      unknown_token_(json_string(model, "unk_token", "model")),
      unknown_id_(vocabulary_.find(unknown_token_)) {}

void WordLevel::tokenize(std::string_view piece, std::vector<ModelToken>* out) const {
  std::optional<uint32_t> id = vocabulary_.find(piece);
  if (!id) id = unknown_id_;
  if (!id) {
    throw Error(
        ErrorKind::kTokenizer,
        "WordLevel met a word outside its vocabulary, and model.vocab lacks the unk_token '" +
            unknown_token_ + "'");
  }
  out->push_back({*id, 0, static_cast<uint32_t>(piece.size())});
}

}  // namespace affectrt
