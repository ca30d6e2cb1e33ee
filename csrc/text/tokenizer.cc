#include "text/tokenizer.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/component.h"
#include "text/draft.h"
#include "text/fast_bert.h"
#include "text/model_wordpiece.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/token_model.h"
#include "text/unicode.h"
#include "text/unicode_forms.h"

namespace affectrt {
namespace {

// Memory of encode calls, kept by their thread while it is small.
struct Scratch {
  Pieces pieces;
  TextScratch text;
  std::vector<ModelToken> tokens;
  std::vector<uint32_t> characters;
};
constexpr size_t kKeptScratchBytes = 1 << 16;  // of text; some twenty times that in all

// White space at the two ends of a token as ByteLevel sees it; all of it where there is no other.
TokenSpace space_around(std::string_view token) {
  const auto is_space = [](char32_t c) { return c == byte_character(' ') || is_white_space(c); };
  TokenSpace out;
  for (size_t pos = 0; pos < token.size() && is_space(next_code_point(token, &pos));) {
    ++out.leading;
  }
  for (size_t end = token.size(); end > 0; ++out.trailing) {
    size_t begin = end - 1;
    while (begin > 0 && (static_cast<uint8_t>(token[begin]) & 0xC0) == 0x80) --begin;
    size_t pos = begin;
    if (!is_space(next_code_point(token, &pos))) break;
    end = begin;
  }
  return out;
}

// Byte offsets of a text to code points, as HF tokenizers' Python API reports them.
class Characters {
 public:
  Characters(std::string_view text, std::vector<uint32_t>* index)
      : size_(static_cast<uint32_t>(text.size())) {
    if (is_ascii(text)) return;
    index->resize(text.size() + 1);
    uint32_t character = 0;
    for (size_t pos = 0; pos < text.size(); ++character) {
      const size_t begin = pos;
      next_code_point(text, &pos);
      for (size_t i = begin; i < pos; ++i) (*index)[i] = character;
    }
    (*index)[text.size()] = character;
    index_ = index->data();
  }

  Offset convert(Offset bytes) const {
    // HF tokenizers leaves an offset that starts behind the text in bytes.
    if (index_ == nullptr || bytes.begin >= size_) return bytes;
    return {index_[bytes.begin], index_[bytes.end]};
  }

 private:
  uint32_t size_;
  const uint32_t* index_ = nullptr;
};

void check_utf8(std::string_view text) {
  if (is_ascii(text)) return;
  if (const auto at = find_invalid_utf8(text)) {
    throw Error(ErrorKind::kInput, "the text is not valid UTF-8 at byte " + std::to_string(*at) +
                                       " of " + std::to_string(text.size()));
  }
}

EncodeOptions read_truncation(const Component& json) {
  EncodeOptions options;
  const std::string strategy = json.text("strategy");
  if (strategy == "LongestFirst") {
    options.truncation = Truncation::kLongestFirst;
  } else if (strategy == "OnlyFirst") {
    options.truncation = Truncation::kOnlyFirst;
  } else if (strategy == "OnlySecond") {
    options.truncation = Truncation::kOnlySecond;
  } else {
    json.fail("the strategy \"" + strategy + "\" is none of LongestFirst, OnlyFirst, OnlySecond");
  }
  const std::string direction = json.text("direction", "Right");
  if (direction != "Right" && direction != "Left") {
    json.fail("the direction \"" + direction + "\" is neither Left nor Right");
  }
  options.truncate_left = direction == "Left";
  // A length beyond any text means none.
  const Component length = json.at("max_length");
  const bool huge = length.value().is_number_unsigned() && length.value() > INT32_MAX;
  options.max_tokens = huge ? INT32_MAX : length.as_integer();
  options.stride = json.integer("stride");
  return options;
}

}  // namespace

struct Tokenizer::Impl {
  std::unique_ptr<const Normalizer> normalizer;
  std::unique_ptr<const PreTokenizer> pre_tokenizer;
  std::unique_ptr<const TokenModel> model;
  std::unique_ptr<const PostProcessor> post_processor;
  std::unique_ptr<const AddedTokens> added;
  EncodeOptions truncation;
  // A Unigram's unknown token stands for what it covers, and not for its own spelling.
  std::optional<uint32_t> verbatim_unknown;
  bool needs_spaces = false;
  std::optional<PostPlan> plan;          // what post_processor comes to, where that is simple
  std::unique_ptr<const FastBert> fast;  // null where the general path must do

  TokenSpace space_of(const ModelToken& token, std::string_view piece) const {
    if (token.id == verbatim_unknown) {
      return space_around(piece.substr(token.begin, token.end - token.begin));
    }
    return space_around(model->id_to_token(token.id));
  }

  Draft encode_text(std::string_view text, uint32_t type_id, const EncodeOptions& options,
                    Scratch* scratch) const {
    check_utf8(text);
    Draft draft;
    draft.has_offsets = options.with_offsets;
    draft.has_spaces = options.with_offsets && needs_spaces;
    Pieces& pieces = scratch->pieces;
    pieces.assign(text);
    added->extract(&pieces, &scratch->text, normalizer.get());
    if (pre_tokenizer) pre_tokenizer->apply(&pieces, &scratch->text);

    const Characters characters(text, &scratch->characters);
    for (const Piece& piece : pieces.pieces) {
      const PieceView view = pieces.view(piece);
      scratch->tokens.clear();
      if (piece.token == kNoToken) {
        model->tokenize(view.text, &scratch->tokens);
      } else {
        scratch->tokens.push_back(
            {static_cast<uint32_t>(piece.token), 0, static_cast<uint32_t>(view.text.size())});
      }
      for (const ModelToken& token : scratch->tokens) {
        draft.ids.push_back(token.id);
        if (!draft.has_offsets) continue;
        Offset bytes = {piece.original_begin + token.begin, piece.original_begin + token.end};
        if (token.begin < token.end) {
          bytes = {view.alignments[token.begin].begin, view.alignments[token.end - 1].end};
        }
        draft.offsets.push_back(characters.convert(bytes));
        if (!draft.has_spaces) continue;
        draft.spaces.push_back(piece.token == kNoToken ? space_of(token, view.text)
                                                       : space_around(view.text));
      }
    }
    draft.type_ids.assign(draft.size(), type_id);
    draft.special_tokens_mask.assign(draft.size(), 0);
    return draft;
  }

  void truncate(std::vector<Draft>* drafts, const EncodeOptions& options) const {
    if (options.truncation == Truncation::kNone) return;
    const size_t special = options.add_special_tokens && post_processor
                               ? post_processor->added_tokens(drafts->size() == 2)
                               : 0;
    if (options.max_tokens < special) {
      throw Error(ErrorKind::kInput, "max_tokens is " + std::to_string(options.max_tokens) +
                                         ", and the special tokens alone are " +
                                         std::to_string(special));
    }
    truncate_pair(&drafts->front(), drafts->size() == 2 ? &drafts->back() : nullptr,
                  options.max_tokens - special, options);
  }

  Encoding encode(std::string_view text, std::optional<std::string_view> pair,
                  const EncodeOptions& options) const {
    thread_local Scratch kept;
    Scratch large;
    const bool keeps = text.size() + pair.value_or("").size() < kKeptScratchBytes;
    Scratch& scratch = keeps ? kept : large;
    std::vector<Draft> drafts;
    drafts.reserve(2);
    drafts.push_back(encode_text(text, 0, options, &scratch));
    if (pair) drafts.push_back(encode_text(*pair, 1, options, &scratch));
    truncate(&drafts, options);
    if (plan && drafts.front().overflowing.empty() && drafts.back().overflowing.empty()) {
      return assemble_by_plan(&drafts, options);
    }
    return post_process(std::move(drafts), options);
  }

  Encoding assemble_by_plan(std::vector<Draft>* drafts, const EncodeOptions& options) const {
    TokenRun runs[2];
    for (size_t i = 0; i < drafts->size(); ++i) {
      Draft& draft = (*drafts)[i];
      if (plan->trims_offsets && draft.has_offsets) {
        trim_offsets(draft.spaces, plan->add_prefix_space, &draft.offsets);
      }
      runs[i] = {std::move(draft.ids), std::move(draft.offsets)};
    }
    return assemble(*plan, runs[0], drafts->size() == 2 ? &runs[1] : nullptr, options);
  }

  // As HF tokenizers goes about it, windows and all.
  Encoding post_process(std::vector<Draft> drafts, const EncodeOptions& options) const {
    const bool pair = drafts.size() == 2;
    if (post_processor) {
      for (uint32_t i = 0; i < drafts.size(); ++i) {
        drafts[i].set_sequence(i);
        drafts[i].set_type(i);
        for (Draft& window : drafts[i].overflowing) window.set_sequence(i);
      }
      post_processor->process(&drafts, options.add_special_tokens);
    } else if (pair) {
      for (uint32_t i = 0; i < 2; ++i) drafts[i].set_sequence(i);
    }
    return finish(merge(std::move(drafts)));
  }
};

namespace {

// Whether trimming offsets changes nothing: no token begins or ends with white space.
bool tokens_without_space(const Vocabulary& vocabulary) {
  for (size_t entry = 0; entry < vocabulary.size(); ++entry) {
    const TokenSpace space = space_around(vocabulary.token(entry));
    if (space.leading > 0 || space.trailing > 0) return false;
  }
  return true;
}

std::unique_ptr<const FastBert> make_fast_bert(const Component& root, const TokenModel& model,
                                               const PostPlan& plan) {
  const auto* word_piece = dynamic_cast<const WordPiece*>(&model);
  if (word_piece == nullptr || !root.has("normalizer") || !root.has("pre_tokenizer") ||
      root.at("pre_tokenizer").type() != "BertPreTokenizer" ||
      (plan.trims_offsets && !tokens_without_space(word_piece->vocabulary()))) {
    return nullptr;
  }
  const auto options = bert_normalizer_options(root.at("normalizer"));
  if (!options) return nullptr;
  return std::make_unique<FastBert>(*word_piece, *options, plan);
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::unique_ptr<const Tokenizer> Tokenizer::from_json(std::string_view json,
                                                      const std::string& origin) {
  constexpr const char* kVocabulary[2] = {"model", "vocab"};
  const JsonDocument document = parse_json(json, origin, ErrorKind::kTokenizer, {}, kVocabulary);
  const Component root(document.root(), origin, "");
  if (!document.root().is_object()) root.fail("must be a JSON object, as tokenizers writes it");
  if (const std::string version = root.text("version", "1.0"); version != "1.0") {
    root.fail("the version is \"" + version + "\"; it must be \"1.0\"");
  }
  const Component model = root.at("model");
  auto impl = std::make_unique<Impl>();
  try {
    impl->model = make_token_model(model.value());
  } catch (const Error& error) {
    throw Error(error.kind(), origin + ": " + error.what());
  }
  if (root.has("normalizer")) impl->normalizer = make_normalizer(root.at("normalizer"));
  if (root.has("pre_tokenizer")) impl->pre_tokenizer = make_pre_tokenizer(root.at("pre_tokenizer"));
  if (root.has("post_processor")) {
    impl->post_processor = make_post_processor(root.at("post_processor"));
    impl->needs_spaces = impl->post_processor->trims_offsets();
  }
  if (root.has("truncation")) impl->truncation = read_truncation(root.at("truncation"));
  if (model.text("type", "") == "Unigram" && model.has("unk_id")) {
    impl->verbatim_unknown = model.integer("unk_id");
  }
  impl->added = std::make_unique<AddedTokens>(
      root.has("added_tokens") ? std::optional<Component>(root.at("added_tokens")) : std::nullopt,
      *impl->model, impl->normalizer.get());
  impl->plan = make_post_plan(root.has("post_processor")
                                  ? std::optional<Component>(root.at("post_processor"))
                                  : std::nullopt);
  if (impl->plan && !impl->added->any_normalized()) {
    impl->fast = make_fast_bert(root, *impl->model, *impl->plan);
  }
  return std::unique_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

Encoding Tokenizer::encode(std::string_view text, std::optional<std::string_view> pair,
                           const EncodeOptions& options) const {
  if (impl_->fast && text.size() < UINT32_MAX && pair.value_or("").size() < UINT32_MAX &&
      impl_->added->absent_before_normalization(text) &&
      (!pair || impl_->added->absent_before_normalization(*pair))) {
    check_utf8(text);
    if (pair) check_utf8(*pair);
    if (auto encoding = impl_->fast->encode(text, pair, options)) return std::move(*encoding);
  }
  return encode_general(text, pair, options);
}

Encoding Tokenizer::encode_general(std::string_view text, std::optional<std::string_view> pair,
                                   const EncodeOptions& options) const {
  return impl_->encode(text, pair, options);
}

std::vector<Encoding> Tokenizer::encode_batch(const std::vector<TextInput>& inputs,
                                              const EncodeOptions& options,
                                              size_t num_threads) const {
  std::vector<Encoding> out(inputs.size());
  std::atomic<size_t> next{0};
  std::mutex mutex;
  size_t failed = inputs.size();
  std::exception_ptr error;
  const auto work = [&] {
    // Texts are short: a few at a time.
    constexpr size_t kChunk = 16;
    for (size_t begin = next.fetch_add(kChunk); begin < inputs.size();
         begin = next.fetch_add(kChunk)) {
      const size_t end = std::min(begin + kChunk, inputs.size());
      for (size_t i = begin; i < end; ++i) {
        try {
          out[i] = encode(inputs[i].text, inputs[i].pair, options);
        } catch (...) {
          const std::lock_guard<std::mutex> lock(mutex);
          if (i < failed) {
            failed = i;
            error = std::current_exception();
          }
          next = inputs.size();
          break;
        }
      }
    }
  };
  std::vector<std::thread> threads;
  const size_t most = (inputs.size() + 63) / 64;  // a thread costs as much as some ten texts
  try {
    threads.reserve(std::min(num_threads, most));
    for (size_t i = 1; i < std::min(num_threads, most); ++i) threads.emplace_back(work);
  } catch (const std::exception&) {
    // No more threads or memory to be had: those that are do the work.
  }
  work();
  for (std::thread& thread : threads) thread.join();
  if (!error) return out;
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    throw Error(e.kind(), "text " + std::to_string(failed) + ": " + e.what());
  }
}

const EncodeOptions& Tokenizer::file_truncation() const { return impl_->truncation; }

std::optional<uint32_t> Tokenizer::token_to_id(std::string_view token) const {
  const auto id = impl_->added->token_to_id(token);
  return id ? id : impl_->model->token_to_id(token);
}

std::string_view Tokenizer::id_to_token(uint32_t id) const {
  const std::string* added = impl_->added->id_to_token(id);
  return added != nullptr ? std::string_view(*added) : impl_->model->id_to_token(id);
}

size_t Tokenizer::vocab_size() const {
  size_t size = impl_->model->vocab_size();
  for (const auto& [token, id] : impl_->added->ids()) {
    if (!impl_->model->token_to_id(token)) ++size;
  }
  return size;
}

}  // namespace affectrt
