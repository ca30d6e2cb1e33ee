#include "text/normalizer.h"

#include <array>

#include "base/error.h"
#include "text/pattern.h"
#include "text/precompiled_charsmap.h"
#include "text/unicode.h"
#include "text/unicode_forms.h"

namespace affectrt {
namespace {

// A normaliser made of one function from a piece to changes. `Plan::plan` returns how many leading
// characters go, or nothing when the text stays as it is.
template <typename Plan>
class ChangeNormalizer final : public Normalizer {
 public:
  explicit ChangeNormalizer(Plan plan) : plan_(std::move(plan)) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    std::vector<Change>& changes = scratch->changes;
    transform_pieces(pieces, scratch, [&](const PieceView& piece, AlignedText* out) {
      const std::optional<size_t> removed = plan_.plan(piece.text, &changes);
      if (removed) rewrite(piece, changes, *removed, out);
      return removed.has_value();
    });
  }

 private:
  Plan plan_;
};

template <typename Plan>
std::unique_ptr<const Normalizer> from_plan(Plan plan) {
  return std::make_unique<ChangeNormalizer<Plan>>(std::move(plan));
}

// Replaces each character by one other.
template <typename Map>
void map_changes(std::string_view text, Map map, std::vector<Change>* changes) {
  changes->clear();
  for (size_t pos = 0; pos < text.size();)
    changes->push_back({map(next_code_point(text, &pos)), 0});
}

struct Form {
  UnicodeForm form;
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    if (is_ascii(text)) return std::nullopt;
    unicode_form_changes(text, form, changes);
    return 0;
  }
};

struct Lowercase {
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    changes->clear();
    for (size_t pos = 0; pos < text.size();) {
      const auto [first, second] = to_lowercase(next_code_point(text, &pos));
      changes->push_back({first, 0});
      if (second != 0) changes->push_back({second, 1});
    }
    return 0;
  }
};

struct StripAccents {
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    return filter_changes(text, [](char32_t c) { return !is_combining_mark(c); }, changes);
  }
};

struct Nonspacing {
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    return filter_changes(text, [](char32_t c) { return !is_nonspacing_mark(c); }, changes);
  }
};

struct BertClean {
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    const size_t removed =
        filter_changes(text, [](char32_t c) { return !is_bert_control(c); }, changes);
    for (Change& change : *changes) {
      if (is_white_space(change.c)) change.c = ' ';
    }
    return removed;
  }
};

struct BertCjk {
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    changes->clear();
    for (size_t pos = 0; pos < text.size();) {
      const char32_t c = next_code_point(text, &pos);
      if (is_bert_cjk(c)) {
        changes->insert(changes->end(), {{U' ', 0}, {c, 1}, {U' ', 1}});
      } else {
        changes->push_back({c, 0});
      }
    }
    return 0;
  }
};

// The Nmt rules of SentencePiece, as HF tokenizers has them.
bool nmt_removes(char32_t c) {
  return (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
         c == 0x8F || c == 0x9F;
}
bool nmt_is_space(char32_t c) {
  return c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
         c == 0xFFFD;
}

struct Nmt {
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    const size_t removed =
        filter_changes(text, [](char32_t c) { return !nmt_removes(c); }, changes);
    for (Change& change : *changes) {
      if (nmt_is_space(change.c)) change.c = ' ';
    }
    return removed;
  }
};

struct Strip {
  bool left, right;
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    map_changes(text, [](char32_t c) { return c; }, changes);
    size_t begin = 0, end = changes->size();
    if (left) {
      while (begin < end && is_white_space((*changes)[begin].c)) ++begin;
    }
    if (right) {
      while (end > begin && is_white_space((*changes)[end - 1].c)) --end;
    }
    if (begin == 0 && end == changes->size()) return std::nullopt;
    changes->resize(end);
    changes->erase(changes->begin(), changes->begin() + static_cast<std::ptrdiff_t>(begin));
    return begin;
  }
};

struct ByteLevel {
  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    byte_level_changes(text, changes);
    return 0;
  }
};

struct Precompiled {
  std::shared_ptr<const PrecompiledCharsmap> map;

  // Follows HF tokenizers in how it counts, which for a character that vanishes at the beginning,
  // or after one that grew, shifts the alignments behind it.
  static void put(std::string_view old_text, std::string_view new_text,
                  std::vector<Change>* changes) {
    int32_t surplus = 0;
    for (size_t pos = 0; pos < old_text.size(); --surplus) next_code_point(old_text, &pos);
    for (size_t pos = 0; pos < new_text.size(); ++surplus) {
      changes->push_back({next_code_point(new_text, &pos), 0});
    }
    if (surplus > 0) {
      for (size_t i = changes->size() - static_cast<size_t>(surplus); i < changes->size(); ++i) {
        (*changes)[i].change = 1;
      }
    } else if (surplus < 0 && !changes->empty()) {
      changes->back().change += surplus;
    }
  }

  std::optional<size_t> plan(std::string_view text, std::vector<Change>* changes) const {
    changes->clear();
    bool modified = false;
    const auto put_if_mapped = [&](std::string_view part) {
      const auto mapped = map->transform(part);
      if (!mapped) return false;
      put(part, *mapped, changes);
      modified = true;
      return true;
    };
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = grapheme_end(text, begin);
      // SentencePiece's normaliser looks at clusters of at most five bytes as a whole.
      if (end - begin >= 6 || !put_if_mapped(text.substr(begin, end - begin))) {
        for (size_t pos = begin; pos < end;) {
          const size_t from = pos;
          const char32_t c = next_code_point(text, &pos);
          if (!put_if_mapped(text.substr(from, pos - from))) changes->push_back({c, 0});
        }
      }
      begin = end;
    }
    if (!modified) return std::nullopt;
    return 0;
  }
};

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    std::vector<ByteRange>& matches = scratch->matches;
    transform_pieces(pieces, scratch, [&](const PieceView& piece, AlignedText* out) {
      if (piece.text.empty()) return false;
      pattern_.find_all(piece.text, &matches);
      if (matches.empty()) return false;
      replace(piece, matches, content_, out);
      return true;
    });
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    transform_pieces(pieces, scratch, [&](const PieceView& piece, AlignedText* out) {
      prepend(piece, prefix_, out);
      return !piece.text.empty();
    });
  }

 private:
  std::string prefix_;
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const Normalizer>> steps)
      : steps_(std::move(steps)) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    for (const auto& step : steps_) step->apply(pieces, scratch);
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> steps_;
};

std::unique_ptr<const Normalizer> make_bert(const BertNormalizerOptions& options) {
  std::vector<std::unique_ptr<const Normalizer>> steps;
  if (options.clean_text) steps.push_back(from_plan(BertClean{}));
  if (options.handle_chinese_chars) steps.push_back(from_plan(BertCjk{}));
  if (options.strip_accents) {
    steps.push_back(from_plan(Form{UnicodeForm::kNfd}));
    steps.push_back(from_plan(Nonspacing{}));
  }
  if (options.lowercase) steps.push_back(from_plan(Lowercase{}));
  return std::make_unique<Sequence>(std::move(steps));
}

}  // namespace

char32_t byte_character(uint8_t byte) {
  static const auto table = [] {
    std::array<char32_t, 256> characters{};
    char32_t next = 256;
    for (char32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      characters[b] = printable ? b : next++;
    }
    return characters;
  }();
  return table[byte];
}

void byte_level_changes(std::string_view text, std::vector<Change>* changes) {
  changes->clear();
  for (const char byte : text) {
    const auto b = static_cast<uint8_t>(byte);
    const bool continuation = (b & 0xC0) == 0x80;
    changes->push_back({byte_character(b), continuation ? 1 : 0});
  }
}

std::optional<BertNormalizerOptions> bert_normalizer_options(const Component& json) {
  if (json.is_null() || json.type() != "BertNormalizer") return std::nullopt;
  BertNormalizerOptions options{};
  options.clean_text = json.boolean("clean_text");
  options.handle_chinese_chars = json.boolean("handle_chinese_chars");
  options.lowercase = json.boolean("lowercase");
  options.strip_accents = json.boolean("strip_accents", options.lowercase);
  return options;
}

std::unique_ptr<const Normalizer> make_normalizer(const Component& json) {
  const std::string type = json.type();
  if (type == "BertNormalizer") return make_bert(*bert_normalizer_options(json));
  if (type == "NFC") return from_plan(Form{UnicodeForm::kNfc});
  if (type == "NFD") return from_plan(Form{UnicodeForm::kNfd});
  if (type == "NFKC") return from_plan(Form{UnicodeForm::kNfkc});
  if (type == "NFKD") return from_plan(Form{UnicodeForm::kNfkd});
  if (type == "Lowercase") return from_plan(Lowercase{});
  if (type == "StripAccents") return from_plan(StripAccents{});
  if (type == "Nmt") return from_plan(Nmt{});
  if (type == "ByteLevel") return from_plan(ByteLevel{});
  if (type == "Strip") {
    return from_plan(Strip{json.boolean("strip_left"), json.boolean("strip_right")});
  }
  if (type == "Prepend") return std::make_unique<Prepend>(json.text("prepend"));
  if (type == "Replace") {
    return std::make_unique<Replace>(Pattern::from_json(json.at("pattern")), json.text("content"));
  }
  if (type == "Precompiled") {
    try {
      return from_plan(Precompiled{
          std::make_shared<const PrecompiledCharsmap>(json.text("precompiled_charsmap"))});
    } catch (const Error& error) {
      json.fail(error.what());
    }
  }
  if (type == "Sequence") {
    std::vector<std::unique_ptr<const Normalizer>> steps;
    for (const Component& step : json.items("normalizers")) steps.push_back(make_normalizer(step));
    return std::make_unique<Sequence>(std::move(steps));
  }
  json.fail("the normaliser \"" + type + "\" is not one that affectrt knows");
}

}  // namespace affectrt
