#include "text/vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/json.h"

namespace affectrt {

using nlohmann::json;

namespace {

struct Entry {
  uint64_t head;  // the first eight bytes as a number: decides most comparisons
  std::string_view token;
  uint32_t id;

  Entry(std::string_view text, uint32_t value) : head(0), token(text), id(value) {
    for (size_t i = 0; i < 8; ++i) {
      head = head << 8U | (i < text.size() ? static_cast<uint8_t>(text[i]) : 0U);
    }
  }
  bool operator<(const Entry& other) const {
    return head != other.head ? head < other.head : token < other.token;
  }
};

}  // namespace

Vocabulary Vocabulary::from_object(const json& object, const std::string& path) {
  std::vector<Entry> entries;
  if (object.is_binary()) {
    for_each_packed(object, [&](std::string_view token, uint32_t id) {
      if (id > kMaxId) json_integer(id, kMaxId, path + "[" + json(token).dump() + "]");
      entries.emplace_back(token, id);
    });
  } else if (object.is_object()) {
    for (const auto& [token, id] : object.get_ref<const json::object_t&>()) {
      const uint64_t value = json_integer(id, kMaxId, path + "[" + json(token).dump() + "]");
      entries.emplace_back(token, static_cast<uint32_t>(value));
    }
  } else {
    throw Error(ErrorKind::kTokenizer,
                path + " is " + object.type_name() + "; expected an object of token: id");
  }
  std::sort(entries.begin(), entries.end());
  std::vector<std::string_view> tokens;
  std::vector<uint32_t> ids;
  tokens.reserve(entries.size());
  ids.reserve(entries.size());
  for (const Entry& entry : entries) {
    tokens.push_back(entry.token);
    ids.push_back(entry.id);
  }
  return Vocabulary(tokens, std::move(ids));
}

Vocabulary::Vocabulary(const std::vector<std::string_view>& tokens, std::vector<uint32_t> ids)
    : ids_(std::move(ids)) {
  size_t bytes = 0;
  for (std::string_view token : tokens) bytes += token.size();
  if (bytes > UINT32_MAX || tokens.size() > INT32_MAX) {
    throw Error(ErrorKind::kTokenizer, "the vocabulary has " + std::to_string(bytes) +
                                           " bytes; at most 4 GiB are supported");
  }
  pool_.reserve(bytes);
  begins_.reserve(tokens.size() + 1);
  for (std::string_view token : tokens) {
    pool_.append(token);
    begins_.push_back(static_cast<uint32_t>(pool_.size()));
  }
  size_t slot_count = 4;
  while (slot_count < 2 * tokens.size()) slot_count *= 2;
  slots_.assign(slot_count, 0);
  for (size_t entry = 0; entry < tokens.size(); ++entry) {
    size_t slot = hash_bytes(tokens[entry]) & (slot_count - 1);
    while (slots_[slot] != 0) slot = (slot + 1) & (slot_count - 1);
    slots_[slot] = static_cast<uint32_t>(entry + 1);
  }
  // Ids are almost always 0..n-1, each once: then they are places.
  constexpr uint32_t kNone = UINT32_MAX;
  by_id_.assign(ids_.size(), kNone);
  for (uint32_t entry = 0; entry < ids_.size(); ++entry) {
    const uint32_t id = ids_[entry];
    if (id >= by_id_.size() || by_id_[id] != kNone) {
      std::iota(by_id_.begin(), by_id_.end(), 0u);
      std::stable_sort(by_id_.begin(), by_id_.end(),
                       [this](uint32_t a, uint32_t b) { return ids_[a] < ids_[b]; });
      return;
    }
    by_id_[id] = entry;
  }
}

std::optional<uint32_t> Vocabulary::find(std::string_view text, uint64_t hash) const {
  if (slots_.empty()) return std::nullopt;
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const uint32_t entry = slots_[slot] - 1;
    if (token(entry) == text) return ids_[entry];
  }
  return std::nullopt;
}

std::string_view Vocabulary::id_to_token(uint32_t id) const {
  if (id < by_id_.size() && ids_[by_id_[id]] == id && (id == 0 || ids_[by_id_[id - 1]] != id)) {
    return token(by_id_[id]);
  }
  const auto found =
      std::lower_bound(by_id_.begin(), by_id_.end(), id,
                       [this](uint32_t entry, uint32_t x) { return ids_[entry] < x; });
  if (found == by_id_.end() || ids_[*found] != id) return {};
  return token(*found);
}

std::vector<std::string_view> Vocabulary::tokens() const {
  std::vector<std::string_view> all;
  all.reserve(size());
  for (size_t entry = 0; entry < size(); ++entry) all.push_back(token(entry));
  return all;
}

const json& json_member(const json& object, const char* key, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end()) {
    throw Error(ErrorKind::kTokenizer, path + "." + key + " is missing");
  }
  return *found;
}

std::optional<std::string> json_optional_string(const json& object, const char* key,
                                                const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  if (!found->is_string()) {
    throw Error(ErrorKind::kTokenizer,
                path + "." + key + " is " + found->type_name() + "; expected a string");
  }
  return found->get<std::string>();
}

std::string json_string(const json& object, const char* key, const std::string& path) {
  json_member(object, key, path);
  std::optional<std::string> value = json_optional_string(object, key, path);
  if (!value) throw Error(ErrorKind::kTokenizer, path + "." + key + " is null; expected a string");
  return *std::move(value);
}

bool json_flag(const json& object, const char* key, bool otherwise, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  if (!found->is_boolean()) {
    throw Error(ErrorKind::kTokenizer,
                path + "." + key + " is " + found->type_name() + "; expected true or false");
  }
  return found->get<bool>();
}

uint64_t json_integer(const json& value, uint64_t most, const std::string& path) {
  if (value.is_number_unsigned() && value.get<uint64_t>() <= most) return value.get<uint64_t>();
  // A value built in code rather than parsed may be a signed integer.
  if (value.is_number_integer() && !value.is_number_unsigned() && value.get<int64_t>() >= 0 &&
      static_cast<uint64_t>(value.get<int64_t>()) <= most) {
    return static_cast<uint64_t>(value.get<int64_t>());
  }
  throw Error(ErrorKind::kTokenizer, path + " is " +
                                         (value.is_number() ? value.dump() : value.type_name()) +
                                         "; expected an integer from 0 to " + std::to_string(most));
}

}  // namespace affectrt
