#include "text/unicode_forms.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "text/unicode.h"

namespace affectrt {
namespace {

struct Mark {
  Change change;
  uint8_t combining_class;
};

// Appends the decomposition of `text` in canonical order: each run of marks sorted by class.
void decompose_text(std::string_view text, bool compatible, std::vector<Change>* out) {
  std::vector<Mark> marks;
  const auto flush = [&] {
    std::stable_sort(marks.begin(), marks.end(), [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
    for (const Mark& mark : marks) out->push_back(mark.change);
    marks.clear();
  };
  char32_t parts[kMaxDecomposition];
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = next_code_point(text, &pos);
    const size_t count = decompose(c, compatible, parts);
    for (size_t i = 0; i < count; ++i) {
      const Change change = {parts[i], i == 0 ? 0 : 1};
      const uint8_t combining = combining_class(parts[i]);
      if (combining != 0) {
        marks.push_back({change, combining});
        continue;
      }
      if (!marks.empty()) flush();
      out->push_back(change);
    }
  }
  flush();
}

// Composes in place. A mark that is composed counts as removed right after its base, wherever the
// marks between the two stood: that is how the crate counts, and offsets depend on it.
void compose_changes(std::vector<Change>* changes) {
  std::vector<Change>& all = *changes;
  size_t write = 0;
  constexpr size_t kNone = SIZE_MAX;
  size_t base = kNone;  // where the last starter was written
  int last_class = -1;  // of the last mark kept after `base`; -1 when there is none
  for (const Change change : all) {
    const uint8_t combining = combining_class(change.c);
    if (base == kNone) {
      if (combining == 0) base = write;
      all[write++] = change;
      continue;
    }
    const bool blocked = last_class >= combining;
    if (!blocked) {
      if (const auto composed = compose(all[base].c, change.c)) {
        all[base] = {*composed, all[base].change + change.change - 1};
        continue;
      }
    }
    if (combining == 0) {
      base = write;
      last_class = -1;
    } else {
      last_class = combining;
    }
    all[write++] = change;
  }
  all.resize(write);
}

}  // namespace

bool is_ascii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080u) != 0) return false;
  }
  for (; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0x80) != 0) return false;
  }
  return true;
}

void unicode_form_changes(std::string_view text, UnicodeForm form, std::vector<Change>* changes) {
  changes->clear();
  changes->reserve(text.size());
  const bool compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  decompose_text(text, compatible, changes);
  if (form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc) compose_changes(changes);
}

}  // namespace affectrt
