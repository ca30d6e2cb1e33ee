#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/tokenizer.h"

using namespace affectrt;

namespace {

const char* const kBert = R"({
  "version": "1.0",
  "truncation": {"direction": "Left", "max_length": 9, "strategy": "OnlyFirst", "stride": 2},
  "added_tokens": [
    {"id": 0, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": true},
    {"id": 9, "content": "[NEW]", "single_word": true, "lstrip": true, "rstrip": true,
     "normalized": false, "special": true}],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                 "strip_accents": null, "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 0]},
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "happy": 3, "un": 4, "##happy": 5,
                      "!": 6, "\u4e2d": 7, "cafe": 8}}})";

std::unique_ptr<const Tokenizer> bert() { return Tokenizer::from_json(kBert, "test"); }

Encoding encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  const Encoding fast = tokenizer.encode(text, std::nullopt, options);
  const Encoding general = tokenizer.encode_general(text, std::nullopt, options);
  CHECK(fast.ids == general.ids);
  CHECK(fast.type_ids == general.type_ids);
  CHECK(fast.sequence_ids == general.sequence_ids);
  CHECK(fast.special_tokens_mask == general.special_tokens_mask);
  REQUIRE(fast.offsets.size() == general.offsets.size());
  for (size_t i = 0; i < fast.offsets.size(); ++i) {
    CHECK(fast.offsets[i].begin == general.offsets[i].begin);
    CHECK(fast.offsets[i].end == general.offsets[i].end);
  }
  return fast;
}

using Ids = std::vector<uint32_t>;

std::string error_of(const std::string& json) {
  try {
    Tokenizer::from_json(json, "file.json");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kTokenizer);
    return error.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("ids and offsets count code points of the original text") {
  const auto tokenizer = bert();
  const Encoding e = encode(*tokenizer, "Caf\u00e9 \u4e2dunHAPPY!");
  CHECK(e.ids == Ids{0, 8, 7, 4, 5, 6, 1});
  CHECK(e.offsets[1].begin == 0);
  CHECK(e.offsets[1].end == 4);
  CHECK(e.offsets[2].begin == 5);
  CHECK(e.offsets[4].begin == 8);
  CHECK(e.offsets[4].end == 13);
  CHECK(e.sequence_ids == std::vector<int32_t>{-1, 0, 0, 0, 0, 0, -1});
}

TEST_CASE("control characters vanish, within words too") {
  const std::string text = std::string("ha\0ppy", 6) + "\u00ad\u0301 \u00a0cafe\u0301";
  const Encoding e = encode(*bert(), text);
  CHECK(e.ids == Ids{0, 3, 8, 1});
  CHECK(e.offsets[1].end == 6);
}

TEST_CASE("added tokens strip their neighbourhood, and count as words") {
  const auto tokenizer = bert();
  CHECK(encode(*tokenizer, "happy  [NEW] \t!").ids == Ids{0, 3, 9, 6, 1});
  CHECK(encode(*tokenizer, "happy[NEW]").ids.size() > 4);  // not a single word
  CHECK(tokenizer->token_to_id("[NEW]") == 9u);
  CHECK(tokenizer->id_to_token(9) == "[NEW]");
  CHECK(tokenizer->id_to_token(77).empty());
  CHECK(tokenizer->vocab_size() == 10);
}

TEST_CASE("pairs") {
  const Encoding e = bert()->encode("happy", "unhappy", {});
  CHECK(e.ids == Ids{0, 3, 1, 4, 5, 1});
  CHECK(e.type_ids == std::vector<uint32_t>{0, 0, 0, 1, 1, 1});
  CHECK(e.sequence_ids == std::vector<int32_t>{-1, 0, -1, 1, 1, -1});
}

TEST_CASE("truncation") {
  const auto tokenizer = bert();
  EncodeOptions options;
  options.truncation = Truncation::kLongestFirst;
  options.max_tokens = 5;
  CHECK(encode(*tokenizer, "happy ! happy ! happy", options).ids == Ids{0, 3, 6, 3, 1});
  options.truncate_left = true;
  CHECK(encode(*tokenizer, "happy ! happy ! happy", options).ids == Ids{0, 3, 6, 3, 1});
  options.truncate_left = false;
  options.stride = 1;
  options.keep_overflowing = true;
  const Encoding e = tokenizer->encode("happy ! happy ! happy", std::nullopt, options);
  REQUIRE(e.overflowing.size() == 1);
  CHECK(e.overflowing[0].ids == Ids{0, 3, 6, 3, 1});
  options.stride = 3;
  CHECK_THROWS_AS(tokenizer->encode("happy ! happy ! happy", std::nullopt, options), Error);
  options.stride = 0;
  options.max_tokens = 1;
  CHECK_THROWS_AS(tokenizer->encode("happy", std::nullopt, options), Error);
  options.max_tokens = 4;
  options.truncation = Truncation::kOnlySecond;
  CHECK_THROWS_AS(tokenizer->encode("happy ! happy", std::nullopt, options), Error);
  CHECK(tokenizer->file_truncation().max_tokens == 9);
  CHECK(tokenizer->file_truncation().truncate_left);
}

TEST_CASE("text that is no UTF-8 is an error with its place") {
  for (const std::string bad : {"ab\xff", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xf0\x9f\x98"}) {
    try {
      bert()->encode(bad, std::nullopt, {});
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kInput);
      CHECK(std::string(error.what()).find("byte 2") != std::string::npos);
    }
  }
}

TEST_CASE("a batch on many threads is what one thread makes") {
  const auto tokenizer = bert();
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) {
    texts.push_back(std::string(static_cast<size_t>(i % 7), ' ') + "happy unhappy! caf\u00e9");
  }
  std::vector<TextInput> inputs;
  for (const std::string& text : texts) inputs.push_back({text, std::nullopt});
  const std::vector<Encoding> batch = tokenizer->encode_batch(inputs, {}, 4);
  REQUIRE(batch.size() == texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const Encoding one = tokenizer->encode(texts[i], std::nullopt, {});
    CHECK(batch[i].ids == one.ids);
    CHECK(batch[i].offsets.back().end == one.offsets.back().end);
  }
  inputs[501].text = "\xff";
  inputs[502].text = "\xff";
  try {
    tokenizer->encode_batch(inputs, {}, 4);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("text 501") != std::string::npos);
  }
}

TEST_CASE("long and odd texts") {
  const auto tokenizer = bert();
  CHECK(encode(*tokenizer, "").ids == Ids{0, 1});
  CHECK(encode(*tokenizer, std::string(1000, '\0')).ids == Ids{0, 1});
  CHECK(encode(*tokenizer, std::string(1 << 20, 'a')).ids == Ids{0, 2, 1});
  std::string marks = "a";
  for (int i = 0; i < 100000; ++i) marks += i % 2 == 0 ? "\u0301" : "\u302e";
  CHECK(encode(*tokenizer, marks).ids == Ids{0, 2, 1});
}

TEST_CASE("a damaged file is an error that names the part") {
  CHECK(error_of("{").find("file.json") != std::string::npos);
  CHECK(error_of("[]").find("file.json") != std::string::npos);
  CHECK(error_of("{}").find("model") != std::string::npos);
  CHECK(error_of(std::string(100000, '[')).find("file.json") != std::string::npos);
  const std::string json = kBert;
  CHECK(error_of(replaced(json, "\"BertNormalizer\"", "\"Spell\"")).find("Spell") !=
        std::string::npos);
  CHECK(error_of(replaced(json, "\"BertPreTokenizer\"", "\"Words\"")).find("Words") !=
        std::string::npos);
  CHECK(error_of(replaced(json, "\"BertProcessing\"", "\"Ends\"")).find("Ends") !=
        std::string::npos);
  CHECK(error_of(replaced(json, "\"WordPiece\"", "\"Stones\"")).find("Stones") !=
        std::string::npos);
  CHECK(error_of(replaced(json, "\"lowercase\": true", "\"lowercase\": 1")).find("lowercase") !=
        std::string::npos);
  CHECK(error_of(replaced(json, "\"1.0\"", "\"2.0\"")).find("version") != std::string::npos);
  CHECK(error_of(replaced(json, "[\"[SEP]\", 1]", "[\"[SEP]\"]")).find("sep") != std::string::npos);
}

TEST_CASE("the matcher takes the leftmost, then the longest") {
  const StringMatcher matcher({{"ab", 1}, {"abcd", 2}, {"bc", 3}, {"", 4}, {"d", 5}, {"ab", 0}});
  std::vector<StringMatcher::Match> matches;
  const auto values = [&](std::string_view text) {
    matcher.find(text, &matches);
    Ids out;
    for (const auto& match : matches) out.push_back(match.value);
    return out;
  };
  CHECK(values("abcd") == Ids{2});
  CHECK(values("abce") == Ids{0});
  CHECK(values("xbcd") == Ids{3, 5});
  CHECK(values("ababcd") == Ids{0, 2});
  CHECK(values("").empty());
  CHECK_FALSE(matcher.matches_nowhere("zzd"));
  CHECK(matcher.matches_nowhere("zza"));
  CHECK(matcher.matches_nowhere("cb"));
}

TEST_CASE("the matcher is linear in the text") {
  std::string needle(5000, 'a');
  needle += 'b';
  const StringMatcher matcher({{needle, 1}, {"aaaab", 2}});
  std::vector<StringMatcher::Match> matches;
  matcher.find(std::string(2'000'000, 'a') + "b", &matches);
  REQUIRE(matches.size() == 1);
  CHECK(matches[0].value == 1);
}
