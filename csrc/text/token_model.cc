#include "text/token_model.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/model_bpe.h"
#include "text/model_unigram.h"
#include "text/model_wordlevel.h"
#include "text/model_wordpiece.h"
#include "text/vocabulary.h"

namespace affectrt {
namespace {

using nlohmann::json;

// Files older than the "type" member: the first model, in HF's order, whose members are all there.
std::string guess_type(const json& model) {
  if (model.contains("vocab") && model.contains("merges")) return "BPE";
  if (model.contains("vocab") && model.contains("unk_token")) {
    return model.contains("continuing_subword_prefix") && model.contains("max_input_chars_per_word")
               ? "WordPiece"
               : "WordLevel";
  }
  if (model.contains("vocab") && model["vocab"].is_array()) return "Unigram";
  throw Error(ErrorKind::kTokenizer,
              "model.type is missing, and the other members fit no model that is known");
}

}  // namespace

std::unique_ptr<TokenModel> make_token_model(const json& model) {
  if (!model.is_object()) {
    throw Error(ErrorKind::kTokenizer,
                std::string("model is ") + model.type_name() + "; expected an object");
  }
  const std::string type =
      model.contains("type") ? json_string(model, "type", "model") : guess_type(model);
  if (type == "WordPiece") return std::make_unique<WordPiece>(model);
  if (type == "WordLevel") return std::make_unique<WordLevel>(model);
  if (type == "BPE") return std::make_unique<Bpe>(model);
  if (type == "Unigram") return std::make_unique<Unigram>(model);
  throw Error(ErrorKind::kTokenizer,
              "model.type is '" + type + "'; supported are WordPiece, WordLevel, BPE and Unigram");
}

}  // namespace affectrt
