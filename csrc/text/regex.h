// The regular expressions that tokenizer.json files use (Oniguruma syntax, Unicode, UTF-8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace affectrt {

namespace regex {
struct Program;
}

// Immutable; concurrent calls are safe. Never recurses without bound and never hangs: a match that
// exceeds its step budget throws Error(kTokenizer).
class Regex {
 public:
  // Throws Error(kTokenizer) naming the construct for syntax outside the supported subset.
  explicit Regex(std::string_view pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // The leftmost match at or after byte `from`, as a byte range; leftmost-first (Perl) semantics.
  // `text` is UTF-8 and `from` the start of a character.
  std::optional<std::pair<size_t, size_t>> find(std::string_view text, size_t from) const;

  // The same, on a budget shared by several calls: it is lowered by the steps taken.
  std::optional<std::pair<size_t, size_t>> find(std::string_view text, size_t from,
                                                uint64_t* steps) const;
  // Steps that any sane pattern leaves untouched on a text of this size.
  static uint64_t step_budget(size_t text_bytes);

 private:
  std::unique_ptr<const regex::Program> program_;
};

// The successive matches in a text, as the onig crate iterates over them: each search starts where
// the last match ended, and an empty match right there is skipped. All on one step budget, so that
// a text takes time in proportion to its size. `regex` and `text` must outlive the iterator.
class RegexMatches {
 public:
  RegexMatches(const Regex& regex, std::string_view text)
      : regex_(regex), text_(text), steps_(Regex::step_budget(text.size())) {}

  std::optional<std::pair<size_t, size_t>> next();

 private:
  const Regex& regex_;
  std::string_view text_;
  size_t from_ = 0;
  std::optional<size_t> last_end_;
  uint64_t steps_;
};

}  // namespace affectrt
