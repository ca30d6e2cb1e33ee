// What a Split or Replace looks for: a literal string or a regular expression.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/component.h"
#include "text/regex.h"

namespace affectrt {

using ByteRange = std::pair<size_t, size_t>;

// Immutable: concurrent calls are safe.
class Pattern {
 public:
  explicit Pattern(std::string literal) : literal_(std::move(literal)) {}
  explicit Pattern(Regex regex) : regex_(std::move(regex)) {}
  // From {"String": ...} or {"Regex": ...}.
  static Pattern from_json(const Component& json);

  // Replaces `*matches` by the successive matches in `text`. An empty match right after the match
  // before it does not count.
  void find_all(std::string_view text, std::vector<ByteRange>* matches) const;

 private:
  std::optional<ByteRange> find(std::string_view text, size_t from) const;

  std::string literal_;
  std::optional<Regex> regex_;
};

}  // namespace affectrt
