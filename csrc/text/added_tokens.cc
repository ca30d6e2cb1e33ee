#include "text/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "text/split.h"
#include "text/unicode.h"

namespace affectrt {
namespace {

char32_t last_code_point(std::string_view text) {
  size_t pos = text.size() - 1;
  while (pos > 0 && (static_cast<uint8_t>(text[pos]) & 0xC0) == 0x80) --pos;
  return next_code_point(text, &pos);
}

// Where the white space at the end of text[0, end) begins, not before `least`.
size_t trailing_space(std::string_view text, size_t least, size_t end) {
  while (end > least) {
    size_t begin = end - 1;
    while (begin > least && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    size_t pos = begin;
    if (!is_white_space(next_code_point(text, &pos))) break;
    end = begin;
  }
  return end;
}

size_t leading_space_end(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    size_t pos = begin;
    if (!is_white_space(next_code_point(text, &pos))) break;
    begin = pos;
  }
  return begin;
}

}  // namespace

StringMatcher::StringMatcher(const std::vector<std::pair<std::string, uint32_t>>& strings) {
  nodes_.emplace_back();
  for (const auto& [string, value] : strings) {
    if (string.empty()) continue;
    uint32_t node = 0;
    for (size_t i = string.size(); i-- > 0;) {
      const auto next = static_cast<uint32_t>(nodes_.size());
      const auto [it, is_new] =
          children_.try_emplace(uint64_t{node} << 8 | static_cast<uint8_t>(string[i]), next);
      if (is_new) nodes_.emplace_back();
      node = it->second;
    }
    Node& end = nodes_[node];
    end.value = end.length == 0 ? value : std::min(end.value, value);
    end.length = checked_size(string.size());
  }
  // Breadth first, so that a node's failure is finished before the node.
  std::vector<std::vector<std::pair<uint8_t, uint32_t>>> edges(nodes_.size());
  for (const auto& [key, node] : children_) {
    edges[static_cast<size_t>(key >> 8U)].emplace_back(static_cast<uint8_t>(key & 0xFF), node);
  }
  for (const auto& [byte, node] : edges[0]) {
    root_[byte] = node;
    last_bytes_.push_back(static_cast<char>(byte));
  }
  std::vector<uint32_t> queue = {0};
  for (size_t head = 0; head < queue.size(); ++head) {
    const uint32_t parent = queue[head];
    for (const auto& [byte, node] : edges[parent]) {
      uint32_t failure = 0;
      if (parent != 0) {
        uint32_t at = nodes_[parent].failure;
        while (at != 0 && child(at, byte) == 0) at = nodes_[at].failure;
        failure = child(at, byte);
      }
      nodes_[node].failure = failure;
      if (nodes_[node].length == 0) {
        nodes_[node].length = nodes_[failure].length;
        nodes_[node].value = nodes_[failure].value;
      }
      queue.push_back(node);
    }
  }
}

bool StringMatcher::matches_nowhere(std::string_view text) const {
  std::vector<Match> matches;
  find(text, &matches);
  return matches.empty();
}

bool StringMatcher::lacks_last_bytes(std::string_view text) const {
  return last_bytes_.size() <= kFewBytes &&
         std::none_of(last_bytes_.begin(), last_bytes_.end(), [&](char byte) {
           return std::memchr(text.data(), byte, text.size()) != nullptr;
         });
}

uint32_t StringMatcher::child(uint32_t node, uint8_t byte) const {
  if (node == 0) return root_[byte];
  const auto it = children_.find(uint64_t{node} << 8 | byte);
  return it == children_.end() ? 0 : it->second;
}

void StringMatcher::find(std::string_view text, std::vector<Match>* matches) const {
  matches->clear();
  if (empty() || text.empty() || lacks_last_bytes(text)) return;
  uint32_t node = 0;
  for (size_t i = text.size(); i-- > 0;) {
    const auto byte = static_cast<uint8_t>(text[i]);
    uint32_t next = child(node, byte);
    while (next == 0 && node != 0) {
      node = nodes_[node].failure;
      next = child(node, byte);
    }
    node = next;
    if (nodes_[node].length != 0) {
      const auto begin = static_cast<uint32_t>(i);
      matches->push_back({begin, begin + nodes_[node].length, nodes_[node].value});
    }
  }
  // Now the longest match at each byte, from the last byte to the first: keep the leftmost ones.
  std::reverse(matches->begin(), matches->end());
  size_t write = 0;
  uint32_t done = 0;
  for (const Match match : *matches) {
    if (match.begin < done) continue;
    done = match.end;
    (*matches)[write++] = match;
  }
  matches->resize(write);
}

AddedTokens::AddedTokens(const std::optional<Component>& json, const TokenModel& model,
                         const Normalizer* normalizer) {
  if (!json) return;
  const size_t base = model.vocab_size();
  uint64_t next_id = base;
  for (const Component& item : json->as_items()) {
    item.integer("id");
    Token token = {item.text("content"),   item.boolean("single_word"), item.boolean("lstrip"),
                   item.boolean("rstrip"), item.boolean("normalized"),  item.boolean("special")};
    if (token.content.empty()) continue;
    std::optional<uint32_t> id = token_to_id(token.content);
    if (!id) id = model.token_to_id(token.content);
    if (!id) {
      if (next_id > INT32_MAX) item.fail("has no id left");
      id = static_cast<uint32_t>(next_id++);
    }
    ids_[token.content] = *id;
    tokens_[*id] = std::move(token);
  }
  std::vector<std::pair<std::string, uint32_t>> verbatim, normalized;
  Pieces pieces;
  TextScratch scratch;
  for (const auto& [id, token] : tokens_) {
    if (!token.normalized) {
      verbatim.emplace_back(token.content, id);
      continue;
    }
    pieces.assign(token.content);
    if (normalizer != nullptr) normalizer->apply(&pieces, &scratch);
    const std::string_view pattern = pieces.view(pieces.pieces[0]).text;
    if (pattern.empty()) {
      // HF tokenizers would find it between any two bytes, and fail within a character.
      json->fail("the normaliser leaves nothing of the token \"" + token.content + "\"");
    }
    normalized.emplace_back(pattern, id);
  }
  verbatim_ = StringMatcher(verbatim);
  normalized_ = StringMatcher(normalized);
}

std::optional<uint32_t> AddedTokens::token_to_id(std::string_view token) const {
  const auto it = ids_.find(std::string(token));
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

const std::string* AddedTokens::id_to_token(uint32_t id) const {
  const auto it = tokens_.find(id);
  return it == tokens_.end() ? nullptr : &it->second.content;
}

bool AddedTokens::absent_before_normalization(std::string_view text) const {
  return verbatim_.matches_nowhere(text);
}

void AddedTokens::cut(const StringMatcher& matcher, Pieces* pieces, TextScratch* scratch) const {
  // A slice even of the whole: its part of the original text is what its bytes stand for, without
  // what a normaliser removed at the ends.
  const auto keep = [&](const Piece& piece, const PieceView&, std::vector<Piece>* out) {
    out->push_back(pieces->slice(piece.begin, piece.end));
  };
  if (matcher.empty()) return split_pieces(pieces, scratch, keep);
  std::vector<StringMatcher::Match> matches;
  split_pieces(pieces, scratch,
               [&](const Piece& piece, const PieceView& view, std::vector<Piece>* out) {
                 const std::string_view text = view.text;
                 size_t done = 0;
                 const auto add = [&](size_t begin, size_t end, int64_t token) {
                   if (begin >= end) return;
                   out->push_back(pieces->slice(piece.begin + static_cast<uint32_t>(begin),
                                                piece.begin + static_cast<uint32_t>(end)));
                   out->back().token = token;
                 };
                 matcher.find(text, &matches);
                 for (const StringMatcher::Match& match : matches) {
                   size_t begin = match.begin, end = match.end;
                   const Token& token = tokens_.at(match.value);
                   if (token.single_word) {
                     size_t after = end;
                     if (begin > 0 && is_regex_word(last_code_point(text.substr(0, begin))))
                       continue;
                     if (end < text.size() && is_regex_word(next_code_point(text, &after)))
                       continue;
                   }
                   if (token.lstrip) begin = std::max(trailing_space(text, done, begin), done);
                   if (token.rstrip) end = leading_space_end(text, end);
                   if (done < begin) add(done, begin, kNoToken);
                   add(begin, end, match.value);
                   done = end;
                 }
                 if (done != text.size()) add(done, text.size(), kNoToken);
               });
}

void AddedTokens::extract(Pieces* pieces, TextScratch* scratch,
                          const Normalizer* normalizer) const {
  cut(verbatim_, pieces, scratch);
  if (normalizer != nullptr) normalizer->apply(pieces, scratch);
  cut(normalized_, pieces, scratch);
}

}  // namespace affectrt
