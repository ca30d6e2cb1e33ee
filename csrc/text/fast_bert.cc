#include "text/fast_bert.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace affectrt {

struct FastBert::Word {
  std::vector<char> bytes;
  std::vector<uint32_t> characters;  // of each byte, unless `simple`
  std::vector<ModelToken> tokens;
  size_t size = 0;
  uint32_t begin = 0;
  bool with_offsets = true;
  bool simple = true;  // ASCII that stands together in the text: byte i is character begin + i

  void reserve(size_t more) {
    if (size + more <= bytes.size()) return;
    bytes.resize((size + more) * 2);
    characters.resize(bytes.size());
    tokens.resize(bytes.size());
  }

  void spell_out() {
    if (!simple) return;
    for (size_t i = 0; i < size; ++i) characters[i] = begin + static_cast<uint32_t>(i);
    simple = false;
  }

  void append(char32_t c, uint32_t character) {
    reserve(4);
    spell_out();
    char* out = bytes.data() + size;
    size_t count = 0;
    if (c < 0x80) {
      out[count++] = static_cast<char>(c);
    } else {
      if (c < 0x800) {
        out[count++] = static_cast<char>(0xC0 | c >> 6);
      } else {
        if (c < 0x10000) {
          out[count++] = static_cast<char>(0xE0 | c >> 12);
        } else {
          out[count++] = static_cast<char>(0xF0 | c >> 18);
          out[count++] = static_cast<char>(0x80 | (c >> 12 & 0x3F));
        }
        out[count++] = static_cast<char>(0x80 | (c >> 6 & 0x3F));
      }
      out[count++] = static_cast<char>(0x80 | (c & 0x3F));
    }
    for (size_t i = 0; i < count; ++i) characters[size + i] = character;
    size += count;
  }
};

FastBert::FastBert(const WordPiece& model, const BertNormalizerOptions& options,
                   const PostPlan& plan)
    : model_(model), plan_(plan), options_(options) {
  for (uint8_t c = 0; c < 128; ++c) {
    if (options.clean_text && is_bert_control(c)) {
      ascii_[c] = kRemoved;
    } else if (is_white_space(c)) {
      ascii_[c] = kSpace;
    } else if (is_bert_punctuation(c)) {
      ascii_[c] = kPunctuation;
    } else {
      ascii_[c] = options.lowercase ? static_cast<uint8_t>(to_lowercase(c).first) : c;
    }
  }
}

void FastBert::finish_word(Word* word, TokenRun* out) const {
  if (word->size == 0) return;
  const size_t count = model_.tokenize_word(word->bytes.data(), word->size, word->tokens.data());
  for (size_t i = 0; i < count; ++i) {
    const ModelToken& token = word->tokens[i];
    out->ids.push_back(token.id);
    if (!word->with_offsets) continue;
    if (word->simple) {
      out->offsets.push_back({word->begin + token.begin, word->begin + token.end});
    } else {
      out->offsets.push_back({word->characters[token.begin], word->characters[token.end - 1] + 1});
    }
  }
  word->size = 0;
  word->simple = true;
}

bool FastBert::add_character(char32_t c, uint32_t index, Word* word, TokenRun* out) const {
  if (options_.clean_text && is_bert_control(c)) {
    if (word->size > 0) word->spell_out();
    return true;
  }
  const bool cjk = options_.handle_chinese_chars && is_bert_cjk(c);
  if (cjk) finish_word(word, out);
  char32_t parts[kMaxDecomposition] = {c};
  const size_t count = options_.strip_accents ? decompose(c, false, parts) : 1;
  for (size_t i = 0; i < count; ++i) {
    if (options_.strip_accents) {
      if (is_nonspacing_mark(parts[i])) {
        if (word->size > 0) word->spell_out();
        continue;
      }
      if (combining_class(parts[i]) != 0) return false;
    }
    const auto [first, second] =
        options_.lowercase ? to_lowercase(parts[i]) : std::pair<char32_t, char32_t>(parts[i], 0);
    if (is_white_space(first)) {
      finish_word(word, out);
    } else if (is_bert_punctuation(first)) {
      finish_word(word, out);
      word->append(first, index);
      finish_word(word, out);
    } else {
      word->append(first, index);
      if (second != 0) word->append(second, index);
    }
  }
  if (cjk) finish_word(word, out);
  return true;
}

// Stops when there are more than `most` tokens.
bool FastBert::tokenize(std::string_view text, size_t most, Word* memory, TokenRun* out) const {
  Word& word = *memory;
  word.size = 0;
  word.simple = true;
  out->ids.clear();
  out->offsets.clear();
  const auto* const data = reinterpret_cast<const uint8_t*>(text.data());
  const size_t size = text.size();
  uint32_t index = 0;  // of the code point at `pos`
  for (size_t pos = 0; pos < size;) {
    if (data[pos] >= 0x80) {
      if (!add_character(next_code_point(text, &pos), index, &word, out)) return false;
      ++index;
      continue;
    }
    uint8_t kind = ascii_[data[pos]];
    if (kind < 0x80) {
      const size_t run_begin = pos;
      size_t run_end = pos + 1;
      while (run_end < size && data[run_end] < 0x80 && ascii_[data[run_end]] < 0x80) ++run_end;
      const size_t run = run_end - run_begin;
      word.reserve(run);
      if (word.size == 0) word.begin = index;
      // After a removed character or one beyond ASCII the word is spelt out already.
      for (size_t i = 0; i < run; ++i) {
        word.bytes[word.size + i] = static_cast<char>(ascii_[data[run_begin + i]]);
      }
      if (!word.simple) {
        for (size_t i = 0; i < run; ++i) {
          word.characters[word.size + i] = index + static_cast<uint32_t>(i);
        }
      }
      word.size += run;
      index += static_cast<uint32_t>(run);
      pos = run_end;
      continue;
    }
    if (kind == kRemoved) {
      if (word.size > 0) word.spell_out();
    } else {
      finish_word(&word, out);
      if (kind == kPunctuation) {
        word.reserve(1);
        word.bytes[0] = static_cast<char>(data[pos]);
        word.size = 1;
        word.begin = index;
        finish_word(&word, out);
      }
      if (out->ids.size() > most) return true;
    }
    ++pos;
    ++index;
  }
  finish_word(&word, out);
  return true;
}

std::optional<Encoding> FastBert::encode(std::string_view text,
                                         std::optional<std::string_view> pair,
                                         const EncodeOptions& options) const {
  struct Memory {
    Word word;
    TokenRun first, second;
  };
  // Kept by the thread while it is small.
  constexpr size_t kKeptTextBytes = 1 << 16;
  thread_local Memory kept;
  Memory large;
  Memory& memory = text.size() + pair.value_or("").size() < kKeptTextBytes ? kept : large;
  TokenRun& first = memory.first;
  TokenRun& second = memory.second;
  size_t most = SIZE_MAX;
  if (options.truncation != Truncation::kNone) {
    size_t special = 0;
    if (options.add_special_tokens) {
      for (const TemplatePart& part : plan_.parts(pair.has_value())) special += part.ids.size();
    }
    if (options.max_tokens <= special) return std::nullopt;
    most = options.max_tokens - special;
  }
  memory.word.with_offsets = options.with_offsets;
  if (!tokenize(text, most, &memory.word, &first)) return std::nullopt;
  if (pair && !tokenize(*pair, most, &memory.word, &second)) return std::nullopt;
  if (first.ids.size() + (pair ? second.ids.size() : 0) > most) {
    if (pair || options.truncation == Truncation::kOnlySecond || options.keep_overflowing ||
        options.truncate_left || options.stride >= most) {
      return std::nullopt;
    }
    first.ids.resize(most);
    if (options.with_offsets) first.offsets.resize(most);
  }
  return assemble(plan_, first, pair ? &second : nullptr, options);
}

}  // namespace affectrt
