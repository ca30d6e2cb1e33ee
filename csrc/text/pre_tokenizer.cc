#include "text/pre_tokenizer.h"

#include "base/error.h"
#include "text/normalizer.h"
#include "text/pattern.h"
#include "text/split.h"
#include "text/unicode.h"

namespace affectrt {
namespace {

// GPT-2's pattern, which ByteLevel with use_regex has built in. It is written out by hand below;
// this is what it matches:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
enum class Kind { kLetter, kNumber, kSpace, kOther };

Kind kind_of(char32_t c) {
  if (c < 0x80) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return Kind::kLetter;
    if (c >= '0' && c <= '9') return Kind::kNumber;
    return c == ' ' || (c >= 0x09 && c <= 0x0D) ? Kind::kSpace : Kind::kOther;
  }
  switch (general_category(c)) {
    case GeneralCategory::Lu:
    case GeneralCategory::Ll:
    case GeneralCategory::Lt:
    case GeneralCategory::Lm:
    case GeneralCategory::Lo:
      return Kind::kLetter;
    case GeneralCategory::Nd:
    case GeneralCategory::Nl:
    case GeneralCategory::No:
      return Kind::kNumber;
    default:
      return is_white_space(c) ? Kind::kSpace : Kind::kOther;
  }
}

size_t contraction_size(std::string_view text) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const char a = text[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (text.size() < 3) return 0;
  const std::string_view two = text.substr(1, 2);
  return two == "re" || two == "ve" || two == "ll" ? 3 : 0;
}

// The end of the run of `kind` that starts at `pos`, and where its last character starts.
size_t run_end(std::string_view text, size_t pos, Kind kind, size_t* last) {
  while (pos < text.size()) {
    size_t next = pos;
    if (kind_of(next_code_point(text, &next)) != kind) break;
    *last = pos;
    pos = next;
  }
  return pos;
}

// The pattern matches everywhere: its matches tile the text.
size_t gpt2_match_end(std::string_view text, size_t begin) {
  const size_t contraction = contraction_size(text.substr(begin));
  if (contraction > 0) return begin + contraction;
  size_t pos = begin, last = begin;
  const char32_t first = next_code_point(text, &pos);
  Kind kind = kind_of(first);
  if (first == ' ' && pos < text.size()) {
    size_t next = pos;
    const Kind following = kind_of(next_code_point(text, &next));
    if (following != Kind::kSpace) return run_end(text, pos, following, &last);
  }
  const size_t end = run_end(text, begin, kind, &last);
  // \s+(?!\S) gives up its last character to the word behind it, unless it has only that one.
  if (kind == Kind::kSpace && end < text.size() && last > begin) return last;
  return end;
}

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    if (add_prefix_space_) {
      transform_pieces(pieces, scratch, [](const PieceView& piece, AlignedText* out) {
        if (piece.text.empty() || piece.text[0] == ' ') return false;
        prepend(piece, " ", out);
        return true;
      });
    }
    if (use_regex_) {
      split_pieces(pieces, scratch,
                   [&](const Piece& piece, const PieceView& view, std::vector<Piece>* out) {
                     for (size_t begin = 0; begin < view.text.size();) {
                       const size_t end = gpt2_match_end(view.text, begin);
                       out->push_back(pieces->slice(piece.begin + static_cast<uint32_t>(begin),
                                                    piece.begin + static_cast<uint32_t>(end)));
                       begin = end;
                     }
                   });
    }
    std::vector<Change>& changes = scratch->changes;
    transform_pieces(pieces, scratch, [&](const PieceView& piece, AlignedText* out) {
      byte_level_changes(piece.text, &changes);
      rewrite(piece, changes, 0, out);
      return true;
    });
  }

 private:
  bool add_prefix_space_;
  bool use_regex_;
};

// Splits at single characters.
template <typename Predicate>
class CharacterSplit final : public PreTokenizer {
 public:
  CharacterSplit(Predicate predicate, SplitBehavior behavior)
      : predicate_(predicate), behavior_(behavior) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    std::vector<ByteRange>& matches = scratch->matches;
    std::vector<Span>& spans = scratch->spans;
    split_pieces(pieces, scratch,
                 [&](const Piece& piece, const PieceView& view, std::vector<Piece>* out) {
                   matches.clear();
                   for (size_t pos = 0; pos < view.text.size();) {
                     const size_t begin = pos;
                     if (predicate_(next_code_point(view.text, &pos)))
                       matches.emplace_back(begin, pos);
                   }
                   spans_of_matches(matches, view.text.size(), false, &spans);
                   split_piece(*pieces, piece, &spans, behavior_, out);
                 });
  }

 private:
  Predicate predicate_;
  SplitBehavior behavior_;
};

template <typename Predicate>
std::unique_ptr<const PreTokenizer> character_split(Predicate predicate, SplitBehavior behavior) {
  return std::make_unique<CharacterSplit<Predicate>>(predicate, behavior);
}

// \w+|[^\w\s]+ : keeps the runs, drops the white space between.
class Whitespace final : public PreTokenizer {
 public:
  void apply(Pieces* pieces, TextScratch* scratch) const override {
    const auto kind = [](char32_t c) { return is_regex_word(c) ? 2 : is_white_space(c) ? 0 : 1; };
    split_pieces(pieces, scratch,
                 [&](const Piece& piece, const PieceView& view, std::vector<Piece>* out) {
                   size_t begin = 0;
                   int run = 0;
                   const auto close = [&](size_t end) {
                     if (run == 0) return;
                     out->push_back(pieces->slice(piece.begin + static_cast<uint32_t>(begin),
                                                  piece.begin + static_cast<uint32_t>(end)));
                   };
                   for (size_t pos = 0; pos < view.text.size();) {
                     const size_t at = pos;
                     const int next = kind(next_code_point(view.text, &pos));
                     if (next == run) continue;
                     close(at);
                     run = next;
                     begin = at;
                   }
                   close(view.text.size());
                 });
  }
};

class Metaspace final : public PreTokenizer {
 public:
  enum class Prepend { kFirst, kNever, kAlways };
  Metaspace(std::string replacement, Prepend scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    std::vector<ByteRange>& matches = scratch->matches;
    transform_pieces(pieces, scratch, [&](const PieceView& piece, AlignedText* out) {
      matches.clear();
      for (size_t at = piece.text.find(' '); at != std::string_view::npos;
           at = piece.text.find(' ', at + 1)) {
        matches.emplace_back(at, at + 1);
      }
      if (matches.empty()) return false;
      replace(piece, matches, replacement_, out);
      return true;
    });
    if (scheme_ != Prepend::kNever) {
      transform_pieces(pieces, scratch, [&](const PieceView& piece, AlignedText* out) {
        if (piece.text.empty() || piece.text.substr(0, replacement_.size()) == replacement_ ||
            (scheme_ == Prepend::kFirst && piece.original_begin != 0)) {
          return false;
        }
        prepend(piece, replacement_, out);
        return true;
      });
    }
    if (!split_) return;
    std::vector<Span>& spans = scratch->spans;
    split_pieces(pieces, scratch,
                 [&](const Piece& piece, const PieceView& view, std::vector<Piece>* out) {
                   matches.clear();
                   for (size_t at = view.text.find(replacement_); at != std::string_view::npos;
                        at = view.text.find(replacement_, at + replacement_.size())) {
                     matches.emplace_back(at, at + replacement_.size());
                   }
                   spans_of_matches(matches, view.text.size(), false, &spans);
                   split_piece(*pieces, piece, &spans, SplitBehavior::kMergedWithNext, out);
                 });
  }

 private:
  std::string replacement_;  // one character
  Prepend scheme_;
  bool split_;
};

class PatternSplit final : public PreTokenizer {
 public:
  PatternSplit(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    std::vector<ByteRange>& matches = scratch->matches;
    std::vector<Span>& spans = scratch->spans;
    split_pieces(pieces, scratch,
                 [&](const Piece& piece, const PieceView& view, std::vector<Piece>* out) {
                   pattern_.find_all(view.text, &matches);
                   spans_of_matches(matches, view.text.size(), invert_, &spans);
                   split_piece(*pieces, piece, &spans, behavior_, out);
                 });
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// Cuts where the script changes. What comes before the first character that has a script is lost,
// as in HF tokenizers.
class UnicodeScripts final : public PreTokenizer {
 public:
  void apply(Pieces* pieces, TextScratch* scratch) const override {
    split_pieces(pieces, scratch,
                 [&](const Piece& piece, const PieceView& view, std::vector<Piece>* out) {
                   uint32_t last = 0;
                   size_t begin = 0;
                   const auto close = [&](size_t end) {
                     if (last == 0) return;
                     out->push_back(pieces->slice(piece.begin + static_cast<uint32_t>(begin),
                                                  piece.begin + static_cast<uint32_t>(end)));
                   };
                   for (size_t pos = 0; pos < view.text.size();) {
                     const size_t at = pos;
                     const uint32_t next = script_class(next_code_point(view.text, &pos));
                     if (next == 0 || next == last) continue;
                     close(at);
                     last = next;
                     begin = at;
                   }
                   close(view.text.size());
                 });
  }
};

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(uint32_t length) : length_(length) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    split_pieces(pieces, scratch,
                 [&](const Piece& piece, const PieceView& view, std::vector<Piece>* out) {
                   for (size_t pos = 0; pos < view.text.size();) {
                     const size_t begin = pos;
                     for (uint32_t i = 0; i < length_ && pos < view.text.size(); ++i) {
                       next_code_point(view.text, &pos);
                     }
                     out->push_back(pieces->slice(piece.begin + static_cast<uint32_t>(begin),
                                                  piece.begin + static_cast<uint32_t>(pos)));
                   }
                 });
  }

 private:
  uint32_t length_;
};

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const PreTokenizer>> steps)
      : steps_(std::move(steps)) {}

  void apply(Pieces* pieces, TextScratch* scratch) const override {
    for (const auto& step : steps_) step->apply(pieces, scratch);
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> steps_;
};

char32_t single_character(const Component& json, const char* key) {
  const std::string text = json.text(key);
  size_t pos = 0;
  const char32_t c = text.empty() ? 0 : next_code_point(text, &pos);
  if (text.empty() || pos != text.size()) json.at(key).fail("must be one character");
  return c;
}

std::unique_ptr<const PreTokenizer> make_metaspace(const Component& json) {
  single_character(json, "replacement");
  const std::string scheme = json.text("prepend_scheme", "always");
  Metaspace::Prepend prepend{};
  if (scheme == "first") {
    prepend = Metaspace::Prepend::kFirst;
  } else if (scheme == "never") {
    prepend = Metaspace::Prepend::kNever;
  } else if (scheme == "always") {
    prepend = Metaspace::Prepend::kAlways;
  } else {
    json.fail("the prepend_scheme \"" + scheme + "\" is none of first, never, always");
  }
  if (!json.boolean("add_prefix_space", true)) {
    if (prepend != Metaspace::Prepend::kNever) {
      json.fail("\"add_prefix_space\" is false and \"prepend_scheme\" is not \"never\"");
    }
  }
  return std::make_unique<Metaspace>(json.text("replacement"), prepend,
                                     json.boolean("split", true));
}

}  // namespace

std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const Component& json) {
  const std::string type = json.type();
  if (type == "ByteLevel") {
    json.boolean("trim_offsets");
    return std::make_unique<ByteLevel>(json.boolean("add_prefix_space"),
                                       json.boolean("use_regex", true));
  }
  if (type == "BertPreTokenizer") {
    std::vector<std::unique_ptr<const PreTokenizer>> steps;
    steps.push_back(character_split(is_white_space, SplitBehavior::kRemoved));
    steps.push_back(character_split(is_bert_punctuation, SplitBehavior::kIsolated));
    return std::make_unique<Sequence>(std::move(steps));
  }
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") return character_split(is_white_space, SplitBehavior::kRemoved);
  if (type == "Punctuation") {
    return character_split(is_bert_punctuation, split_behavior(json, SplitBehavior::kIsolated));
  }
  if (type == "Digits") {
    return character_split(is_numeric, json.boolean("individual_digits")
                                           ? SplitBehavior::kIsolated
                                           : SplitBehavior::kContiguous);
  }
  if (type == "CharDelimiterSplit") {
    const char32_t delimiter = single_character(json, "delimiter");
    return character_split([delimiter](char32_t c) { return c == delimiter; },
                           SplitBehavior::kRemoved);
  }
  if (type == "Metaspace") return make_metaspace(json);
  if (type == "Split") {
    return std::make_unique<PatternSplit>(Pattern::from_json(json.at("pattern")),
                                          split_behavior(json, std::nullopt),
                                          json.boolean("invert"));
  }
  if (type == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
  if (type == "FixedLength") {
    const uint32_t length = json.integer("length", 5);
    if (length == 0) json.fail("\"length\" is 0; it must be at least 1");
    return std::make_unique<FixedLength>(length);
  }
  if (type == "Sequence") {
    std::vector<std::unique_ptr<const PreTokenizer>> steps;
    for (const Component& step : json.items("pretokenizers")) {
      steps.push_back(make_pre_tokenizer(step));
    }
    return std::make_unique<Sequence>(std::move(steps));
  }
  json.fail("the pre-tokeniser \"" + type + "\" is not one that affectrt knows");
}

}  // namespace affectrt
