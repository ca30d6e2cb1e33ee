// The regular expressions that tokenizer.json files use (Oniguruma syntax, Unicode, UTF-8).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace affectrt {

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
  std::optional<std::pair<size_t, size_t>> find(std::string_view text, size_t from) const;

 private:
  struct Program;
  std::unique_ptr<const Program> program_;
};

}  // namespace affectrt
