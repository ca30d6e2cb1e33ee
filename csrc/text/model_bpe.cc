#include "text/model_bpe.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <queue>

#include "base/error.h"

namespace affectrt {
namespace {

using nlohmann::json;

// Up to here, finding the next merge by looking at all of them beats a queue.
constexpr size_t kShortSymbols = 48;
// Beyond this much, scratch memory is given back after a call.
constexpr size_t kKeptSymbols = size_t{1} << 16;

uint64_t pair_key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

size_t char_size(char lead) {
  const uint8_t byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

Bpe::Bpe(const json& model)
    : vocabulary_(Vocabulary::from_object(json_member(model, "vocab", "model"), "model.vocab")),
      unknown_token_(json_optional_string(model, "unk_token", "model")),
      prefix_(json_optional_string(model, "continuing_subword_prefix", "model").value_or("")),
      suffix_(json_optional_string(model, "end_of_word_suffix", "model").value_or("")),
      fuse_unknown_(json_flag(model, "fuse_unk", false, "model")),
      byte_fallback_(json_flag(model, "byte_fallback", false, "model")),
      ignore_merges_(json_flag(model, "ignore_merges", false, "model")) {
  const auto dropout = model.find("dropout");
  if (dropout != model.end() && !dropout->is_null() &&
      !(dropout->is_number() && dropout->get<double>() == 0)) {
    throw Error(ErrorKind::kTokenizer, "model.dropout is " + dropout->dump() +
                                           "; BPE with dropout is random, only null or 0 is "
                                           "supported");
  }
  if (byte_fallback_ && !(prefix_.empty() && suffix_.empty())) {
    throw Error(ErrorKind::kTokenizer,
                "BPE with model.byte_fallback together with model.continuing_subword_prefix or "
                "model.end_of_word_suffix is not supported: its offsets leave the text");
  }
  if (unknown_token_) unknown_id_ = vocabulary_.find(*unknown_token_);
  read_merges(json_member(model, "merges", "model"));

  for (uint32_t c = 0; c < kTableChars; ++c) {
    char text[2] = {static_cast<char>(c), 0};
    size_t size = 1;
    if (c >= 0x80) {
      text[0] = static_cast<char>(0xC0 | c >> 6);
      text[1] = static_cast<char>(0x80 | (c & 0x3F));
      size = 2;
    }
    char_ids_[c] = vocabulary_.find(std::string_view(text, size)).value_or(kUnknownChar);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    byte_ids_[byte] = vocabulary_.find(text).value_or(kUnknownChar);
  }
}

void Bpe::read_merges(const json& merges) {
  if (!merges.is_array()) {
    throw Error(ErrorKind::kTokenizer, std::string("model.merges is ") + merges.type_name() +
                                           "; expected an array of \"a b\" or [a, b]");
  }
  size_t slot_count = 4;
  while (slot_count < 2 * merges.size()) slot_count *= 2;
  merges_.assign(slot_count, {kNoPair, {0, 0}});
  const bool pairs = !merges.empty() && merges[0].is_array();
  uint32_t rank = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    const json& item = merges[i];
    const std::string path = "model.merges[" + std::to_string(i) + "]";
    if (pairs) {
      if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string()) {
        throw Error(ErrorKind::kTokenizer, path + " is not a pair of strings as the first one is");
      }
      add_merge(item[0].get_ref<const std::string&>(), item[1].get_ref<const std::string&>(),
                rank++, path);
      continue;
    }
    if (!item.is_string()) {
      throw Error(ErrorKind::kTokenizer,
                  path + " is " + item.type_name() + "; expected a string \"a b\"");
    }
    const std::string_view line = item.get_ref<const std::string&>();
    if (line.rfind("#version", 0) == 0) continue;
    const size_t space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos) {
      throw Error(ErrorKind::kTokenizer,
                  path + " is " + item.dump() + "; expected two tokens with one space between");
    }
    add_merge(line.substr(0, space), line.substr(space + 1), rank++, path);
  }
}

void Bpe::add_merge(std::string_view left, std::string_view right, uint32_t rank,
                    const std::string& path) {
  const auto id_of = [&](std::string_view token) {
    const std::optional<uint32_t> id = vocabulary_.find(token);
    if (!id.has_value()) {
      throw Error(ErrorKind::kTokenizer,
                  path + " needs the token '" + std::string(token) + "', which model.vocab lacks");
    }
    return *id;
  };
  const uint32_t left_id = id_of(left);
  const uint32_t right_id = id_of(right);
  if (right.size() < prefix_.size()) {
    throw Error(ErrorKind::kTokenizer,
                path + ": '" + std::string(right) + "' is shorter than the continuing prefix");
  }
  // The prefix is dropped by its length, whether or not the token starts with it.
  std::string merged(left);
  merged += right.substr(prefix_.size());
  const Merge merge{rank, id_of(merged)};
  const uint64_t pair = pair_key(left_id, right_id);
  const size_t mask = merges_.size() - 1;
  size_t slot = hash_mix(pair * 0x9e3779b97f4a7c15ULL) & mask;
  while (merges_[slot].pair != kNoPair && merges_[slot].pair != pair) slot = (slot + 1) & mask;
  merges_[slot] = {pair, merge};  // of a repeated pair the last rank counts
}

const Bpe::Merge* Bpe::find_merge(uint32_t left, uint32_t right) const {
  const uint64_t pair = pair_key(left, right);
  const size_t mask = merges_.size() - 1;
  for (size_t slot = hash_mix(pair * 0x9e3779b97f4a7c15ULL) & mask;; slot = (slot + 1) & mask) {
    if (merges_[slot].pair == pair) return &merges_[slot].merge;
    if (merges_[slot].pair == kNoPair) return nullptr;
  }
}

std::optional<uint32_t> Bpe::char_id(std::string_view text, bool first, bool last) const {
  const bool with_prefix = !first && !prefix_.empty();
  const bool with_suffix = last && !suffix_.empty();
  if (!with_prefix && !with_suffix) {
    if (text.size() <= 2) {
      const uint32_t lead = static_cast<uint8_t>(text[0]);
      const uint32_t c =
          text.size() == 1 ? lead : (lead & 0x1F) << 6 | (static_cast<uint8_t>(text[1]) & 0x3F);
      const uint32_t id = char_ids_[c & (kTableChars - 1)];
      return id == kUnknownChar ? std::nullopt : std::optional<uint32_t>(id);
    }
    return vocabulary_.find(text);
  }
  std::string token;
  if (with_prefix) token += prefix_;
  token += text;
  if (with_suffix) token += suffix_;
  return vocabulary_.find(token);
}

bool Bpe::add_bytes(std::string_view bytes, std::vector<Symbol>* symbols) const {
  for (char byte : bytes) {
    if (byte_ids_[static_cast<uint8_t>(byte)] == kUnknownChar) return false;
  }
  for (char byte : bytes) symbols->push_back({byte_ids_[static_cast<uint8_t>(byte)], 1});
  return true;
}

void Bpe::split(std::string_view piece, std::vector<Symbol>* symbols) const {
  const uint32_t unknown = unknown_id_.value_or(0);
  uint32_t pending = 0;  // bytes of an unknown token that is not written yet
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = std::min(begin + char_size(piece[begin]), piece.size());
    const std::string_view text = piece.substr(begin, end - begin);
    const std::optional<uint32_t> id = char_id(text, begin == 0, end == piece.size());
    begin = end;
    const uint32_t size = static_cast<uint32_t>(text.size());
    if (id) {
      if (pending != 0) symbols->push_back({unknown, pending});
      pending = 0;
      symbols->push_back({*id, size});
      continue;
    }
    // As in HF, bytes overtake an unknown token that waits to be fused.
    if (byte_fallback_ && add_bytes(text, symbols)) continue;
    if (!unknown_token_) continue;  // as in HF, the character vanishes
    if (!unknown_id_) {
      throw Error(ErrorKind::kTokenizer,
                  "BPE met an unknown character, and model.vocab lacks the unk_token '" +
                      unknown_token_.value_or("") + "'");
    }
    if (pending != 0 && !fuse_unknown_) {
      symbols->push_back({unknown, pending});
      pending = 0;
    }
    pending += size;
  }
  if (pending != 0) symbols->push_back({unknown, pending});
}

// The lowest rank first, then the leftmost. Without a prefix a pair whose symbols have changed can
// never again give the same token (its text has grown), so this is what the queue does.
void Bpe::merge_short(std::vector<Symbol>* symbols) const {
  constexpr uint32_t kNoRank = UINT32_MAX;
  Symbol* s = symbols->data();
  size_t count = symbols->size();
  std::array<Merge, kShortSymbols> pairs;  // of each symbol with the next
  const auto look_up = [&](size_t i) {
    const Merge* merge = find_merge(s[i].id, s[i + 1].id);
    pairs[i] = merge ? *merge : Merge{kNoRank, 0};
  };
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNoRank) break;
    s[best] = {pairs[best].new_id, s[best].size + s[best + 1].size};
    std::copy(s + best + 2, s + count, s + best + 1);
    std::copy(pairs.begin() + static_cast<ptrdiff_t>(best) + 1,
              pairs.begin() + static_cast<ptrdiff_t>(count) - 1,
              pairs.begin() + static_cast<ptrdiff_t>(best));
    --count;
    if (best + 1 < count) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  symbols->resize(count);
}

// HF's queue of merges, with its rule for entries that have gone stale: they count as long as the
// pair now at their place makes the same token.
void Bpe::merge_long(std::vector<Symbol>* symbols) const {
  struct Entry {
    uint32_t rank, position, new_id;
    bool operator<(const Entry& other) const {  // std::priority_queue pops the greatest
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  constexpr uint32_t kEnd = UINT32_MAX;
  Symbol* s = symbols->data();
  const uint32_t count = static_cast<uint32_t>(symbols->size());
  std::vector<uint32_t> previous(count), next(count);
  std::vector<Entry> entries;
  entries.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i == 0 ? kEnd : i - 1;
    next[i] = i + 1 == count ? kEnd : i + 1;
    if (i + 1 == count) break;
    if (const Merge* merge = find_merge(s[i].id, s[i + 1].id)) {
      entries.push_back({merge->rank, i, merge->new_id});
    }
  }
  std::priority_queue<Entry> queue(std::less<Entry>(), std::move(entries));
  while (!queue.empty()) {
    const Entry top = queue.top();
    queue.pop();
    const uint32_t left = top.position;
    if (s[left].size == 0 || next[left] == kEnd) continue;
    const uint32_t right = next[left];
    const Merge* now = find_merge(s[left].id, s[right].id);
    if (now == nullptr || now->new_id != top.new_id) continue;
    s[left] = {top.new_id, s[left].size + s[right].size};
    s[right].size = 0;
    next[left] = next[right];
    if (next[left] != kEnd) previous[next[left]] = left;
    if (previous[left] != kEnd) {
      const uint32_t before = previous[left];
      if (const Merge* merge = find_merge(s[before].id, s[left].id)) {
        queue.push({merge->rank, before, merge->new_id});
      }
    }
    if (next[left] != kEnd) {
      if (const Merge* merge = find_merge(s[left].id, s[next[left]].id)) {
        queue.push({merge->rank, left, merge->new_id});
      }
    }
  }
  symbols->erase(std::remove_if(symbols->begin(), symbols->end(),
                                [](const Symbol& symbol) { return symbol.size == 0; }),
                 symbols->end());
}

void Bpe::tokenize(std::string_view piece, std::vector<ModelToken>* out) const {
  if (piece.empty()) return;
  if (piece.size() >= UINT32_MAX) {
    throw Error(ErrorKind::kInput, "a text of " + std::to_string(piece.size()) +
                                       " bytes is too long for BPE; at most 4 GiB");
  }
  const uint64_t hash = hash_bytes(piece);
  if (ignore_merges_) {
    if (const std::optional<uint32_t> id = vocabulary_.find(piece, hash)) {
      out->push_back({*id, 0, static_cast<uint32_t>(piece.size())});
      return;
    }
  }
  if (cache_.find(piece, hash, out)) return;

  thread_local std::vector<Symbol> symbols;
  symbols.clear();
  split(piece, &symbols);
  if (symbols.size() <= kShortSymbols && prefix_.empty()) {
    merge_short(&symbols);
  } else {
    merge_long(&symbols);
  }
  const size_t before = out->size();
  uint32_t begin = 0;
  for (const Symbol& symbol : symbols) {
    out->push_back({symbol.id, begin, begin + symbol.size});
    begin += symbol.size;
  }
  cache_.insert(piece, hash, out->data() + before, out->size() - before);
  if (symbols.capacity() > kKeptSymbols) std::vector<Symbol>().swap(symbols);
}

}  // namespace affectrt
