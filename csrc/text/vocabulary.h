// The tokens of a model: bytes in one pool, looked up by text and by id.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/hash.h"

namespace affectrt {

// Immutable after load; concurrent calls are safe. A token may stand for one id only; an id with
// several tokens is tolerated as Hugging Face does (id_to_token then gives the first of them).
class Vocabulary {
 public:
  static constexpr uint32_t kMaxId = INT32_MAX;  // ids leave as int32

  Vocabulary() = default;
  // From {"token": id}. `path` names the object in errors.
  static Vocabulary from_object(const nlohmann::json& object, const std::string& path);
  // Tokens sorted by bytes and unique.
  Vocabulary(const std::vector<std::string_view>& tokens, std::vector<uint32_t> ids);

  size_t size() const { return ids_.size(); }
  std::optional<uint32_t> find(std::string_view token) const {
    return find(token, hash_bytes(token));
  }
  std::optional<uint32_t> find(std::string_view token, uint64_t hash) const;
  std::string_view id_to_token(uint32_t id) const;

  // Entries in the byte order of their tokens.
  std::string_view token(size_t entry) const {
    return std::string_view(pool_).substr(begins_[entry], begins_[entry + 1] - begins_[entry]);
  }
  uint32_t id(size_t entry) const { return ids_[entry]; }
  // All tokens, as DoubleArray wants them. The views live as long as the vocabulary.
  std::vector<std::string_view> tokens() const;

 private:
  std::string pool_;
  std::vector<uint32_t> begins_{0};
  std::vector<uint32_t> ids_;
  std::vector<uint32_t> slots_;  // open addressing; entry + 1, 0 is empty
  std::vector<uint32_t> by_id_;  // entries sorted by id; where ids are 0..n-1, entry of each
};

// Readers of one member each; errors name `path` and the member.
const nlohmann::json& json_member(const nlohmann::json& object, const char* key,
                                  const std::string& path);
// Absent and null give nothing.
std::optional<std::string> json_optional_string(const nlohmann::json& object, const char* key,
                                                const std::string& path);
std::string json_string(const nlohmann::json& object, const char* key, const std::string& path);
// Absent and null give `otherwise`.
bool json_flag(const nlohmann::json& object, const char* key, bool otherwise,
               const std::string& path);
// A non-negative integer up to `most`.
uint64_t json_integer(const nlohmann::json& value, uint64_t most, const std::string& path);

}  // namespace affectrt
