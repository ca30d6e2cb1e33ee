// The four vocabulary models on small vocabularies. Expected tokens are what tokenizers 0.23.3
// gives; tests/test_text_models.py compares at large.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "base/error.h"
#include "text/double_array.h"
#include "text/hash.h"
#include "text/model_unigram.h"
#include "text/model_wordpiece.h"
#include "text/token_model.h"
#include "text/vocabulary.h"
#include "text/word_cache.h"

using namespace affectrt;
using nlohmann::json;

namespace {

std::string encode(const TokenModel& model, std::string_view piece) {
  std::vector<ModelToken> tokens;
  model.tokenize(piece, &tokens);
  std::string out;
  for (const ModelToken& t : tokens) {
    out += std::to_string(t.id) + ":" + std::to_string(t.begin) + "-" + std::to_string(t.end) + " ";
  }
  if (!out.empty()) out.pop_back();
  return out;
}

// The message of the error that building the model throws.
std::string refusal(const json& model) {
  try {
    make_token_model(model);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kTokenizer);
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return true;
  MESSAGE(text);
  return false;
}

json wordpiece() {
  return {
      {"type", "WordPiece"},
      {"unk_token", "[UNK]"},
      {"continuing_subword_prefix", "##"},
      {"max_input_chars_per_word", 6},
      {"vocab",
       {{"[UNK]", 0}, {"un", 1}, {"##aff", 2}, {"##able", 3}, {"é", 4}, {"##é", 5}, {"##a", 6}}}};
}

json bpe() {
  return {{"type", "BPE"},
          {"vocab", {{"a", 0}, {"b", 1}, {"c", 2}, {"ab", 3}, {"bc", 4}, {"abc", 5}, {"<u>", 6}}},
          {"merges", {"b c", "a b", "a bc"}}};
}

json unigram() {
  return json::parse(R"({"type": "Unigram", "unk_id": 0, "byte_fallback": false,
    "vocab": [["<unk>", 0], ["a", -1], ["b", -1], ["ab", -1.5], ["bc", -1.0], ["c", -3]]})");
}

}  // namespace

TEST_CASE("double array finds every key and nothing else") {
  std::mt19937 random(7);
  std::set<std::string> keys;
  for (int i = 0; i < 20000; ++i) {
    std::string key(random() % 12, ' ');
    // Few letters make deep sharing; some keys use every byte.
    for (char& c : key) c = static_cast<char>(i % 3 == 0 ? random() % 256 : 'a' + random() % 4);
    keys.insert(key);
  }
  std::vector<std::string> sorted(keys.begin(), keys.end());
  const std::vector<std::string_view> views(sorted.begin(), sorted.end());
  const DoubleArray trie(views);
  for (size_t i = 0; i < views.size(); ++i) {
    const uint32_t node = trie.walk(DoubleArray::kRoot, views[i]);
    REQUIRE(node != DoubleArray::kDead);
    CHECK(trie.value(node) == i);
  }
  for (int i = 0; i < 20000; ++i) {
    std::string other(random() % 12, ' ');
    for (char& c : other) c = static_cast<char>(i % 2 == 0 ? random() % 256 : 'a' + random() % 5);
    const uint32_t node = trie.walk(DoubleArray::kRoot, other);
    const bool found = node != DoubleArray::kDead && trie.value(node) != DoubleArray::kNoValue;
    CHECK(found == (keys.count(other) != 0));
  }
  CHECK(DoubleArray().walk(DoubleArray::kRoot, "a") == DoubleArray::kDead);
}

TEST_CASE("vocabulary looks up both ways") {
  const Vocabulary sparse =
      Vocabulary::from_object({{"x", 5}, {"", 2000000000}, {"ÿ", 7}, {"y", 5}}, "v");
  CHECK(sparse.size() == 4);
  CHECK(sparse.find("x") == 5u);
  CHECK(sparse.find("") == 2000000000u);
  CHECK_FALSE(sparse.find("z").has_value());
  CHECK(sparse.id_to_token(5) == "x");
  CHECK(sparse.id_to_token(7) == "ÿ");
  CHECK(sparse.id_to_token(2000000000) == "");
  CHECK(sparse.id_to_token(0) == "");
  CHECK(sparse.id_to_token(UINT32_MAX) == "");
  const Vocabulary none = Vocabulary::from_object(json::object(), "v");
  CHECK_FALSE(none.find("a").has_value());
  CHECK(none.id_to_token(0) == "");
}

TEST_CASE("WordPiece takes the longest match") {
  const auto model = make_token_model(wordpiece());
  CHECK(encode(*model, "") == "");
  CHECK(encode(*model, "unaff") == "1:0-2 2:2-5");
  CHECK(encode(*model, "una") == "1:0-2 6:2-3");
  CHECK(encode(*model, "unx") == "0:0-3");
  CHECK(encode(*model, "aff") == "0:0-3");
  CHECK(encode(*model, "##aff") == "2:0-5");  // literally so at the start of a word
  CHECK(encode(*model, "éééééé") == "4:0-2 5:2-4 5:4-6 5:6-8 5:8-10 5:10-12");
  CHECK(encode(*model, "ééééééé") == "0:0-14");  // seven characters
  CHECK(model->vocab_size() == 7);
  CHECK(model->token_to_id("##a") == 6u);
  CHECK(model->id_to_token(3) == "##able");
}

TEST_CASE("WordPiece without allocation") {
  const WordPiece model(wordpiece());
  ModelToken tokens[5];
  CHECK(model.tokenize_word("unaff", 5, tokens) == 2);
  CHECK(tokens[1].id == 2);
  CHECK(tokens[1].begin == 2);
  CHECK(tokens[1].end == 5);
  CHECK(model.tokenize_word("zz", 2, tokens) == 1);
  CHECK(model.tokenize_word("", 0, tokens) == 0);
}

TEST_CASE("WordPiece without its unknown token fails only where it needs it") {
  json model = wordpiece();
  model["unk_token"] = "[NO]";
  const auto built = make_token_model(model);
  CHECK(encode(*built, "un") == "1:0-2");
  CHECK_THROWS_WITH_AS(encode(*built, "x"), doctest::Contains("'[NO]'"), Error);
}

TEST_CASE("WordLevel") {
  const auto model = make_token_model(
      {{"type", "WordLevel"}, {"unk_token", "?"}, {"vocab", {{"a", 1}, {"?", 9}, {"b c", 2}}}});
  CHECK(encode(*model, "a") == "1:0-1");
  CHECK(encode(*model, "b c") == "2:0-3");
  CHECK(encode(*model, "ab") == "9:0-2");
  CHECK(encode(*model, "") == "9:0-0");
}

TEST_CASE("BPE merges by rank, then position") {
  const auto model = make_token_model(bpe());
  CHECK(encode(*model, "abc") == "5:0-3");
  CHECK(encode(*model, "abab") == "3:0-2 3:2-4");
  CHECK(encode(*model, "abcbc") == "5:0-3 4:3-5");
  CHECK(encode(*model, "xaxb") == "3:0-2");  // as in tokenizers, what is unknown vanishes
  for (int i = 0; i < 3; ++i) CHECK(encode(*model, "abcab") == "5:0-3 3:3-5");  // cached
  json pairs = bpe();
  pairs["merges"] = json::array({{"b", "c"}, {"a", "b"}, {"a", "bc"}});
  CHECK(encode(*make_token_model(pairs), "abcab") == "5:0-3 3:3-5");
  json repeated = bpe();  // the last rank of a repeated pair counts
  repeated["merges"] = {"b c", "a b", "a bc", "b c"};
  CHECK(encode(*make_token_model(repeated), "abc") == "3:0-2 2:2-3");
}

TEST_CASE("BPE: long pieces take the queue and give the same") {
  const auto model = make_token_model(bpe());
  std::string text;
  std::vector<ModelToken> expected;
  for (uint32_t i = 0; i < 2000; ++i) {
    text += "abcab";
    expected.push_back({5, 5 * i, 5 * i + 3});
    expected.push_back({3, 5 * i + 3, 5 * i + 5});
  }
  std::vector<ModelToken> tokens;
  model->tokenize(text, &tokens);
  REQUIRE(tokens.size() == expected.size());
  const auto same = [](const ModelToken& a, const ModelToken& b) {
    return a.id == b.id && a.begin == b.begin && a.end == b.end;
  };
  CHECK(std::equal(tokens.begin(), tokens.end(), expected.begin(), same));
}

TEST_CASE("BPE: unknown characters") {
  json model = bpe();
  model["unk_token"] = "<u>";
  CHECK(encode(*make_token_model(model), "xéa") == "6:0-1 6:1-3 0:3-4");
  model["fuse_unk"] = true;
  CHECK(encode(*make_token_model(model), "xéa") == "6:0-3 0:3-4");
  model["byte_fallback"] = true;
  model["vocab"]["<0xC3>"] = 10;
  model["vocab"]["<0xA9>"] = 11;
  CHECK(encode(*make_token_model(model), "éa") == "10:0-1 11:1-2 0:2-3");
  // As in tokenizers, bytes overtake an unknown token that waits to be fused.
  CHECK(encode(*make_token_model(model), "xéa") == "10:0-1 11:1-2 6:2-3 0:3-4");
  model["unk_token"] = "absent";
  const auto absent = make_token_model(model);
  CHECK(encode(*absent, "a") == "0:0-1");
  CHECK_THROWS_WITH_AS(encode(*absent, "x"), doctest::Contains("'absent'"), Error);
}

TEST_CASE("BPE: prefix, suffix, whole words") {
  json model = {
      {"type", "BPE"},
      {"continuing_subword_prefix", "##"},
      {"end_of_word_suffix", "</w>"},
      {"vocab", {{"a", 0}, {"##b", 1}, {"##b</w>", 2}, {"ab", 3}, {"ab</w>", 4}, {"a</w>", 5}}},
      {"merges", {"a ##b", "a ##b</w>"}}};
  const auto built = make_token_model(model);
  CHECK(encode(*built, "ab") == "4:0-2");
  CHECK(encode(*built, "abb") == "3:0-2 2:2-3");
  CHECK(encode(*built, "a") == "5:0-1");
  json whole = bpe();
  whole["merges"] = {"b c"};
  CHECK(encode(*make_token_model(whole), "abc") == "0:0-1 4:1-3");
  whole["ignore_merges"] = true;
  CHECK(encode(*make_token_model(whole), "abc") == "5:0-3");
}

TEST_CASE("Unigram finds the best path") {
  const auto model = make_token_model(unigram());
  CHECK(encode(*model, "abc") == "1:0-1 4:1-3");
  CHECK(encode(*model, "ab") == "3:0-2");
  CHECK(encode(*model, "xéb") == "0:0-3 2:3-4");  // runs of unknown characters are one
  CHECK(encode(*model, "") == "");
  for (int i = 0; i < 3; ++i) CHECK(encode(*model, "abab") == "3:0-2 3:2-4");
  CHECK(model->vocab_size() == 6);
}

TEST_CASE("Unigram: repeated pieces, byte fallback, no unknown piece") {
  json repeated = unigram();
  repeated["vocab"].push_back({"ab", -9.0});
  const auto built = make_token_model(repeated);
  CHECK(encode(*built, "ab") == "1:0-1 2:1-2");  // the last score counts
  CHECK(built->vocab_size() == 7);
  CHECK(built->token_to_id("ab") == 6u);

  json bytes = unigram();
  bytes["byte_fallback"] = true;
  bytes["vocab"].push_back({"<0xC3>", -5.0});
  bytes["vocab"].push_back({"<0xA9>", -5.0});
  for (int i = 0; i < 2; ++i) {
    CHECK(encode(*make_token_model(bytes), "aé") == "1:0-1 6:1-3 7:1-3");
    CHECK(encode(*make_token_model(bytes), "aéx") == "1:0-1 0:1-4");  // all bytes or none
  }
  json without = unigram();
  without.erase("unk_id");
  const auto strict = make_token_model(without);
  CHECK(encode(*strict, "bc") == "4:0-2");
  CHECK_THROWS_WITH_AS(encode(*strict, "x"), doctest::Contains("unk_id"), Error);
}

TEST_CASE("scores are read as serde_json reads them") {
  // Rounded twice, these come out one unit in the last place off; the last three do not.
  CHECK(serde_number(-15.275492379532281) == -15.27549237953228);
  CHECK(serde_number(-9.908701741838819) == -9.90870174183882);
  CHECK(serde_number(-1.8771917354846979) == -1.877191735484698);
  CHECK(serde_number(-11.377769470214844) == -11.377769470214844);
  CHECK(serde_number(0.0) == 0.0);
  CHECK(serde_number(1e-310) > 0);
}

TEST_CASE("the type may be missing, as in old files") {
  json model = wordpiece();
  model.erase("type");
  CHECK(encode(*make_token_model(model), "unaff") == "1:0-2 2:2-5");
  model = bpe();
  model.erase("type");
  CHECK(encode(*make_token_model(model), "abc") == "5:0-3");
  model = unigram();
  model.erase("type");
  CHECK(encode(*make_token_model(model), "ab") == "3:0-2");
  CHECK(encode(*make_token_model({{"unk_token", "?"}, {"vocab", {{"?", 4}}}}), "x") == "4:0-1");
}

TEST_CASE("what is wrong is named by its path") {
  CHECK(contains(refusal(json::array()), "model is array"));
  CHECK(contains(refusal({{"type", "GPT"}}), "'GPT'"));
  CHECK(contains(refusal({{"type", 3}}), "model.type"));
  CHECK(contains(refusal(json::object()), "model.type is missing"));
  json model = wordpiece();
  model["vocab"] = 3;
  CHECK(contains(refusal(model), "model.vocab is number"));
  model["vocab"] = {{"a\"b", -1}};
  CHECK(contains(refusal(model), R"(model.vocab["a\"b"] is -1)"));
  model["vocab"] = {{"a", 1.5}};
  CHECK(contains(refusal(model), R"(model.vocab["a"] is 1.5)"));
  model["vocab"] = {{"a", 4294967296}};
  CHECK(contains(refusal(model), "2147483647"));
  model["vocab"] = {{"a", "1"}};
  CHECK(contains(refusal(model), R"(model.vocab["a"] is string)"));
  model = wordpiece();
  model.erase("unk_token");
  CHECK(contains(refusal(model), "model.unk_token is missing"));
  model["unk_token"] = nullptr;
  CHECK(contains(refusal(model), "model.unk_token is null"));
  model = wordpiece();
  model["max_input_chars_per_word"] = -1;
  CHECK(contains(refusal(model), "model.max_input_chars_per_word is -1"));

  model = bpe();
  model["dropout"] = 0.1;
  CHECK(contains(refusal(model), "model.dropout is 0.1"));
  model["dropout"] = 0;
  CHECK(refusal(model).empty());
  model["merges"] = {"a b", "a  b"};
  CHECK(contains(refusal(model), "model.merges[1]"));
  model["merges"] = {"a z"};
  CHECK(contains(refusal(model), "'z'"));
  model["merges"] = {"c a"};
  CHECK(contains(refusal(model), "'ca'"));
  model["merges"] = json::array({json::array({"a"})});
  CHECK(contains(refusal(model), "model.merges[0]"));
  model["merges"] = json::array({json::array({"a", "b"}), "b c"});
  CHECK(contains(refusal(model), "model.merges[1]"));
  model["merges"] = "a b";
  CHECK(contains(refusal(model), "model.merges is string"));
  model = bpe();
  model["fuse_unk"] = "yes";
  CHECK(contains(refusal(model), "model.fuse_unk is string"));
  model = bpe();
  model["byte_fallback"] = true;
  model["end_of_word_suffix"] = "</w>";
  CHECK(contains(refusal(model), "byte_fallback"));
  model = bpe();
  model["continuing_subword_prefix"] = "####";
  CHECK(contains(refusal(model), "shorter than the continuing prefix"));

  model = unigram();
  model["unk_id"] = 6;
  CHECK(contains(refusal(model), "model.unk_id is 6"));
  model = unigram();
  model["vocab"][2] = {"b", "c"};
  CHECK(contains(refusal(model), "model.vocab[2]"));
  model["vocab"] = json::array();
  CHECK(contains(refusal(model), "empty"));
  model["vocab"] = json::object();
  CHECK(contains(refusal(model), "model.vocab is object"));
}

TEST_CASE("truncated UTF-8 stays inside the piece") {
  for (const json& model : {wordpiece(), bpe(), unigram()}) {
    const auto built = make_token_model(model);
    for (std::string_view piece : {"\xf0", "a\xf0\x9f", "\x80\x80", "ab\xc3"}) {
      std::vector<ModelToken> tokens;
      built->tokenize(piece, &tokens);
      for (const ModelToken& token : tokens) CHECK(token.end <= piece.size());
    }
  }
}

TEST_CASE("word cache keeps what tiles the word, in bounded space") {
  const WordCache cache(4);
  const ModelToken tiles[] = {{7, 0, 2}, {8, 2, 5}};
  const ModelToken gap[] = {{7, 0, 2}, {8, 3, 5}};
  std::vector<ModelToken> out;
  cache.insert("hello", hash_bytes("hello"), tiles, 2);
  cache.insert("world", hash_bytes("world"), gap, 2);
  CHECK(cache.find("hello", hash_bytes("hello"), &out));
  REQUIRE(out.size() == 2);
  CHECK(out[1].id == 8);
  CHECK(out[1].begin == 2);
  CHECK(out[1].end == 5);
  CHECK_FALSE(cache.find("world", hash_bytes("world"), &out));
  CHECK_FALSE(cache.find("hellp", hash_bytes("hello"), &out));
  CHECK_FALSE(cache.find(std::string(41, 'a'), 0, &out));
}

TEST_CASE("models answer alike from many threads") {
  const auto model = make_token_model(bpe());
  const auto other = make_token_model(unigram());
  std::vector<std::string> words;
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    std::string word(1 + random() % 8, 'a');
    for (char& c : word) c = static_cast<char>('a' + random() % 4);
    words.push_back(word);
  }
  std::vector<std::string> expected;
  for (const std::string& word : words) {
    expected.push_back(encode(*make_token_model(bpe()), word) + "|" + encode(*other, word));
  }
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t round = 0; round < 3; ++round) {
        for (size_t i = 0; i < words.size(); ++i) {
          const size_t k = (i * (t + 1) * 7 + round) % words.size();
          const std::string got = encode(*model, words[k]) + "|" + encode(*other, words[k]);
          wrong[t] += got == expected[k] ? 0 : 1;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int count : wrong) CHECK(count == 0);
}
