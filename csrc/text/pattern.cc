#include "text/pattern.h"

#include "base/error.h"
#include "text/unicode.h"

namespace affectrt {

Pattern Pattern::from_json(const Component& json) {
  if (json.has("String")) return Pattern(json.text("String"));
  if (!json.has("Regex")) json.fail("must be {\"String\": ...} or {\"Regex\": ...}");
  try {
    return Pattern(Regex(json.text("Regex")));
  } catch (const Error& error) {
    json.at("Regex").fail(error.what());
  }
}

std::optional<ByteRange> Pattern::find(std::string_view text, size_t from) const {
  if (regex_) return regex_->find(text, from);
  const size_t at = text.find(literal_, from);
  if (at == std::string_view::npos) return std::nullopt;
  return ByteRange(at, at + literal_.size());
}

void Pattern::find_all(std::string_view text, std::vector<ByteRange>* matches) const {
  matches->clear();
  for (size_t from = 0; from <= text.size();) {
    const auto match = find(text, from);
    if (!match) return;
    const auto [begin, end] = *match;
    if (begin == end && !matches->empty() && matches->back().second == end) {
      if (from >= text.size()) return;
      next_code_point(text, &from);
      continue;
    }
    matches->push_back(*match);
    from = end;
  }
}

}  // namespace affectrt
