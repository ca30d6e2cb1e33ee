#include "text/model_unigram.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"

namespace affectrt {
namespace {

using nlohmann::json;

constexpr double kUnknownPenalty = 10.0;  // K_UNK_PENALTY of tokenizers
constexpr uint32_t kNone = UINT32_MAX;
// Beyond this much, scratch memory is given back after a call.
constexpr size_t kKeptNodes = size_t{1} << 16;

std::string byte_token(unsigned byte) {
  char text[8];
  std::snprintf(text, sizeof text, "<0x%02X>", byte);
  return text;
}

struct ScoredPiece {
  std::string_view piece;
  uint32_t id;
  double score;
};

std::vector<ScoredPiece> read_vocab(const json& vocab) {
  if (!vocab.is_array()) {
    throw Error(ErrorKind::kTokenizer, std::string("model.vocab is ") +
                                           (vocab.is_binary() ? "object" : vocab.type_name()) +
                                           "; expected an array of [piece, score]");
  }
  if (vocab.size() > Vocabulary::kMaxId) {
    throw Error(ErrorKind::kTokenizer, "model.vocab has too many pieces");
  }
  std::vector<ScoredPiece> pieces;
  pieces.reserve(vocab.size());
  for (const json& item : vocab) {
    const uint32_t id = static_cast<uint32_t>(pieces.size());
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
      throw Error(ErrorKind::kTokenizer,
                  "model.vocab[" + std::to_string(id) + "] is not [piece, score]");
    }
    const double score =
        item[1].is_number_float() ? serde_number(item[1].get<double>()) : item[1].get<double>();
    pieces.push_back({item[0].get_ref<const std::string&>(), id, score});
  }
  return pieces;
}

}  // namespace

struct Unigram::Node {
  double score;
  uint32_t begin;  // of the piece that ends here; kNone: nothing does yet
  uint32_t id;
};

Unigram::Unigram(const json& model) {
  std::vector<ScoredPiece> pieces = read_vocab(json_member(model, "vocab", "model"));
  vocab_size_ = pieces.size();
  const auto unknown = model.find("unk_id");
  if (unknown != model.end() && !unknown->is_null()) {
    if (pieces.empty()) {
      throw Error(ErrorKind::kTokenizer,
                  "model.vocab is empty; at least the unknown piece is needed");
    }
    unknown_id_ = static_cast<uint32_t>(json_integer(*unknown, pieces.size() - 1, "model.unk_id"));
  }
  byte_fallback_ = json_flag(model, "byte_fallback", false, "model");

  double least = std::numeric_limits<double>::infinity();
  for (const ScoredPiece& piece : pieces) least = std::min(least, piece.score);
  unknown_score_ = least - kUnknownPenalty;

  // Of a repeated piece the last one counts, for id and score both.
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const ScoredPiece& a, const ScoredPiece& b) { return a.piece < b.piece; });
  std::vector<std::string_view> tokens;
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i + 1 < pieces.size() && pieces[i + 1].piece == pieces[i].piece) continue;
    tokens.push_back(pieces[i].piece);
    ids.push_back(pieces[i].id);
    scores_.push_back(pieces[i].score);
  }
  vocabulary_ = Vocabulary(tokens, std::move(ids));
  trie_ = DoubleArray(tokens);
  for (unsigned byte = 0; byte < 256; ++byte) byte_ids_[byte] = vocabulary_.find(byte_token(byte));
}

// The Viterbi search of `encode_optimized`: pieces in order of their length, a path replaced only
// by a strictly better one.
void Unigram::search(std::string_view piece, std::vector<Node>* ends) const {
  ends->assign(piece.size() + 1, Node{0.0, kNone, 0});
  Node* nodes = ends->data();
  for (size_t begin = 0; begin < piece.size();) {
    const double score_here = nodes[begin].score;
    const uint8_t lead = static_cast<uint8_t>(piece[begin]);
    const size_t char_size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const size_t char_end = std::min(begin + char_size, piece.size());
    bool has_single = false;
    uint32_t node = DoubleArray::kRoot;
    for (size_t i = begin; i < piece.size();) {
      node = trie_.child(node, static_cast<uint8_t>(piece[i++]));
      if (node == DoubleArray::kDead) break;
      const uint32_t entry = trie_.value(node);
      if (entry == DoubleArray::kNoValue) continue;
      Node& target = nodes[i];
      const double score = scores_[entry] + score_here;
      if (target.begin == kNone || score > target.score) {
        target = {score, static_cast<uint32_t>(begin), vocabulary_.id(entry)};
      }
      has_single = has_single || i == char_end;
    }
    if (!has_single) {
      Node& target = nodes[char_end];
      const double score = unknown_score_ + score_here;
      if (target.begin == kNone || score > target.score) {
        if (!unknown_id_) {
          throw Error(ErrorKind::kTokenizer,
                      "Unigram met an unknown character, and model.unk_id is missing");
        }
        target = {score, static_cast<uint32_t>(begin), *unknown_id_};
      }
    }
    begin = char_end;
  }
}

void Unigram::add_unknown(std::string_view piece, uint32_t begin, uint32_t end,
                          std::vector<ModelToken>* out) const {
  const std::string_view text = piece.substr(begin, end - begin);
  if (const std::optional<uint32_t> id = vocabulary_.find(text)) {
    out->push_back({*id, begin, end});
    return;
  }
  const auto has_id = [this](char byte) {
    return byte_ids_[static_cast<uint8_t>(byte)].has_value();
  };
  if (byte_fallback_ && std::all_of(text.begin(), text.end(), has_id)) {
    for (char byte : text) {
      out->push_back({byte_ids_[static_cast<uint8_t>(byte)].value_or(0), begin, end});
    }
    return;
  }
  out->push_back({unknown_id_.value_or(0), begin, end});  // it is known where it was met
}

void Unigram::tokenize(std::string_view piece, std::vector<ModelToken>* out) const {
  if (piece.empty()) return;
  if (piece.size() >= kNone) {
    throw Error(ErrorKind::kInput, "a text of " + std::to_string(piece.size()) +
                                       " bytes is too long for Unigram; at most 4 GiB");
  }
  const uint64_t hash = hash_bytes(piece);
  if (cache_.find(piece, hash, out)) return;

  thread_local std::vector<Node> ends;
  search(piece, &ends);
  // Backwards along the best path; runs of unknown pieces become one.
  const size_t before = out->size();
  uint32_t end = static_cast<uint32_t>(piece.size());
  thread_local std::vector<ModelToken> reversed;
  reversed.clear();
  while (end > 0) {
    const Node& node = ends[end];
    if (unknown_id_ && node.id == *unknown_id_ && !reversed.empty() &&
        reversed.back().id == *unknown_id_) {
      reversed.back().begin = node.begin;
    } else {
      reversed.push_back({node.id, node.begin, end});
    }
    end = node.begin;
  }
  for (size_t i = reversed.size(); i-- > 0;) {
    const ModelToken& token = reversed[i];
    if (unknown_id_ && token.id == *unknown_id_) {
      add_unknown(piece, token.begin, token.end, out);
    } else {
      out->push_back(token);
    }
  }
  cache_.insert(piece, hash, out->data() + before, out->size() - before);
  if (ends.capacity() > kKeptNodes) std::vector<Node>().swap(ends);
  if (reversed.capacity() > kKeptNodes) std::vector<ModelToken>().swap(reversed);
}

double serde_number(double exact) {
  if (exact == 0 || !std::isfinite(exact)) return exact;
  char text[40];
#if defined(__cpp_lib_to_chars)
  const auto written =
      std::to_chars(text, text + sizeof text, exact, std::chars_format::scientific);
  *written.ptr = '\0';
#else
  for (int digits = 14; digits <= 16; ++digits) {
    std::snprintf(text, sizeof text, "%.*e", digits, exact);
    if (std::strtod(text, nullptr) == exact) break;
  }
#endif
  uint64_t significand = 0;
  int exponent = 0;
  bool fraction = false;
  const char* p = text;
  for (; *p != 'e'; ++p) {
    if (*p >= '0' && *p <= '9') {
      significand = significand * 10 + static_cast<uint64_t>(*p - '0');
      exponent -= fraction ? 1 : 0;
    } else {
      fraction = *p != '-';  // the decimal point, whatever the locale's is
    }
  }
  exponent += static_cast<int>(std::strtol(p + 1, nullptr, 10));
  while (significand % 10 == 0) {  // the snprintf form pads with zeros
    significand /= 10;
    ++exponent;
  }
  static const std::array<double, 309> powers = [] {
    std::array<double, 309> all{};
    char literal[32];
    for (size_t i = 0; i < all.size(); ++i) {
      std::snprintf(literal, sizeof literal, "1e%zu", i);
      all[i] = std::strtod(literal, nullptr);
    }
    return all;
  }();
  double value = static_cast<double>(significand);
  for (; exponent < -308; exponent += 308) value /= powers[308];
  if (exponent < 0) {
    value /= powers[static_cast<size_t>(-exponent)];
  } else {
    value *= powers[static_cast<size_t>(exponent)];
  }
  return std::signbit(exact) ? -value : value;
}

}  // namespace affectrt
