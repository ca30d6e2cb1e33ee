// Regular expressions. Expected matches are what Oniguruma in tokenizers 0.23.3 gives;
// tests/test_text_models.py compares at large.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "text/regex.h"
#include "text/regex_sets.h"

using affectrt::CodeSet;
using affectrt::Error;
using affectrt::Regex;
using affectrt::RegexMatches;

namespace {

// The matches, each between brackets; empty ones as "[]".
std::string matches(std::string_view pattern, std::string_view text) {
  const Regex regex(pattern);
  RegexMatches found(regex, text);
  std::string out;
  while (const auto match = found.next()) {
    out += "[" + std::string(text.substr(match->first, match->second - match->first)) + "]";
  }
  return out;
}

std::string refusal(std::string_view pattern) {
  try {
    Regex regex(pattern);
  } catch (const Error& error) {
    CHECK(error.kind() == affectrt::ErrorKind::kTokenizer);
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return true;
  MESSAGE(text);
  return false;
}

constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

TEST_CASE("patterns of well-known tokenizers") {
  CHECK(matches(kGpt2, "I'll  be there...  é1234 \n\n") ==
        "[I]['ll][ ][ be][ there][...][ ][ é][1234][ \n\n]");
  CHECK(matches(kLlama3, "I'LL pay 12345€\n\n  now\t!") ==
        "[I]['LL][ pay][ ][123][45][€\n\n][ ][ now][\t][!]");
  CHECK(matches(kLlama3, "It'\u017F") == "[It]['\u017F]");  // the long s is an s
  CHECK(matches(" {2,}", "a  b c   d") == "[  ][   ]");
  CHECK(matches(R"(<\|end\|>|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)", "ab1<|end|>!") ==
        "[ab][1][<|end|>][!]");
}

TEST_CASE("literals and escapes") {
  CHECK(matches(R"(\.\x41\u00e9\x{1F600}\t\07\101)", ".Aé😀\t\aA") == "[.Aé😀\t\aA]");
  CHECK(matches(R"(\xe4\xbd\xa0)", "你") == "[你]");
  CHECK(matches(R"(\cA\C-B\e\a\f\v)", "\x01\x02\x1b\a\f\v") == "[\x01\x02\x1b\a\f\v]");
  CHECK(matches("a{,}{", "a{,}{") == "[a{,}{]");
  CHECK(matches("]", "]") == "[]]");
}

TEST_CASE("classes") {
  CHECK(matches("[a-c-]+", "ab-cd") == "[ab-c]");
  CHECK(matches("[]a]+", "a]b") == "[a]]");
  CHECK(matches("[^]a]+", "a]bc") == "[bc]");
  CHECK(matches("[a-w&&[^c-g]z]+", "abcghw") == "[ab][hw]");
  CHECK(matches("[a[^b-z]]+", "abA1") == "[a][A1]");
  CHECK(matches(R"([\w&&[^\d_]]+)", "ab1_é") == "[ab][é]");
  CHECK(matches("[[:alpha:][:^print:]]+", "ab \x01 1") == "[ab][\x01]");
  CHECK(matches("[[:x]]+", "[:x") == "[:x]");
  CHECK(matches(R"([\b])", "\b") == "[\b]");
  CHECK(matches(R"([\x41-\x{44}]+)", "ABCDE") == "[ABCD]");
  CHECK(matches("[^a]", "\n") == "[\n]");
}

TEST_CASE("properties") {
  CHECK(matches(R"(\p{Lu}\P{Lu}\p{^Lu}\pL)", "Aa1b") == "[Aa1b]");
  CHECK(matches(R"([\p{Han}\p{Hiragana}]+)", "漢字かな カナ") == "[漢字かな]");
  CHECK(matches(R"(\p{greek}+)", "aΩω") == "[Ωω]");
  CHECK(matches(R"(\p{White_Space}\p{whitespace})", "\u00a0\u3000") == "[\u00a0\u3000]");
  CHECK(matches(R"(\d+|\s|\w)", "١٢ é") == "[١٢][ ][é]");
  CHECK(matches(R"(\h+)", "xFf09g") == "[Ff09]");
  CHECK(matches(R"(\w+|[\w]+|[^\w]+)", "a\u00b9\u00bd") == "[a\u00b9\u00bd]");
  CHECK(matches(R"([\w]+)", "a\u00b9\u00bd\u0660") == "[a][\u0660]");
  CHECK(matches(R"([[:punct:]]|\p{Punct})", "$!") == "[$][!]");
  CHECK(matches(R"([\p{Punct}])", "$!") == "[!]");
  CHECK(affectrt::named_set("Lu", false)->contains('A'));
  CHECK_FALSE(affectrt::named_set("Lu", false)->contains('a'));
  CHECK_FALSE(affectrt::named_set("nonsense", false).has_value());
}

TEST_CASE("quantifiers") {
  CHECK(matches("a{2,3}", "aaaaaa a") == "[aaa][aaa]");
  CHECK(matches("a{,2}b", "aaab") == "[aab]");
  CHECK(matches("a+?b", "aab") == "[aab]");
  CHECK(matches("a*?", "ab") == "[][][]");
  CHECK(matches("a++a", "aaa") == "");
  CHECK(matches("a*+b", "aab") == "[aab]");
  CHECK(matches("a?+a", "a") == "");
  CHECK(matches("a{3,1}a", "aaa") == "");  // with the bounds swapped it is possessive
  CHECK(matches("(?>a+)b|a", "aac") == "[a][a]");
  CHECK(matches("(?:ab){2}?", "abab") == "[abab]");  // {n}? is {n} and then ?
  CHECK(matches("(?:ab)+c", "ababc abc") == "[ababc][abc]");
  CHECK(matches("(?:a|ab)(?:c|bcd)(?:d*)", "abcd") == "[abcd]");
  CHECK(matches("(?:a?)*b", "aab") == "[aab]");
  CHECK(matches("(?:a|b)*?c", "abac") == "[abac]");
  CHECK(matches("é{2}", "ééé") == "[éé]");
}

TEST_CASE("anchors") {
  CHECK(matches("^a|a$", "a\na\nba") == "[a][a][a]");
  CHECK(matches("^", "a\nb\n") == "[][]");  // no line begins at the very end
  CHECK(matches("$", "a\n") == "[][]");
  CHECK(matches(R"(\Aa|a\z|b\Z)", "aab\n") == "[a][b]");
  CHECK(matches(R"(\bé\b)", "é éa") == "[é]");
  CHECK(matches(R"(\B.)", "ab c") == "[b]");
  CHECK(matches(R"(\Ga)", "aaba") == "[a][a]");
}

TEST_CASE("look-around") {
  CHECK(matches(R"(\s+(?!\S))", "a  b ") == "[ ][ ]");
  CHECK(matches("a(?=b)", "abac") == "[a]");
  CHECK(matches("(?<=a|bc)x", "ax cx bcx") == "[x][x]");
  CHECK(matches("(?<!a|bc)x", "ax cx bcx") == "[x]");
  CHECK(matches(R"((?<![^\s])\w+)", "ab cd") == "[ab][cd]");
  CHECK(matches(R"((?<=^|\s)é)", "é é") == "[é][é]");
  CHECK(matches("(?<=a+)b", "aab") == "[b]");
  CHECK(matches(R"((?<=\d)(?=(?:\d{3})+(?!\d)))", "1234567") == "[][]");
  CHECK(matches("(?=ab)a|(?!a)b", "ab") == "[a][b]");
}

TEST_CASE("groups and options") {
  CHECK(matches("(a)(?:b)(?<name>c)(?'other'd)", "abcd") == "[abcd]");
  CHECK(matches("a(?i)b|c", "aB aC ac") == "[aB][aC][ac]");  // to the end of the group
  CHECK(matches("(?i:a)b", "Ab AB") == "[Ab]");
  CHECK(matches("(?m:.)(?-m).", "\n\na") == "[\na]");
  CHECK(matches("(?x) a b # comment\n c", "abc") == "[abc]");
  CHECK(matches("a(?#comment \\) )b", "ab") == "[ab]");
  CHECK(matches(R"(\R|\N)", "\r\n\ra") == "[\r\n][\r][a]");
}

TEST_CASE("case folding knows sequences") {
  CHECK(matches("(?i)strasse", "STRAßE") == "[STRAßE]");
  CHECK(matches("(?i)straße", "STRASSE") == "[STRASSE]");
  CHECK(matches("(?i)[ß]", "ss") == "[ss]");
  CHECK(matches("(?i)[^ß]", "sẞ") == "[s]");
  CHECK(matches("(?i)office", "oﬃce") == "[oﬃce]");
  CHECK(matches("(?i)k", "K\u212a") == "[K][\u212a]");
  CHECK(matches("(?i)Σ", "σς") == "[σ][ς]");
}

TEST_CASE("what is not supported is named, with its place") {
  CHECK(contains(refusal(R"((a)\1)"), "backreference, at byte 3"));
  CHECK(contains(refusal(R"(ab\k<n>)"), "backreference"));
  CHECK(contains(refusal(R"(\g<1>)"), "subexpression call"));
  CHECK(contains(refusal("a(?(1)b)"), "conditional, at byte 1"));
  CHECK(contains(refusal("(?~ab)"), "absent"));
  CHECK(contains(refusal("(?{x})"), "callout"));
  CHECK(contains(refusal("(*FAIL)"), "callout"));
  CHECK(contains(refusal(R"(a\Kb)"), "keep"));
  CHECK(contains(refusal(R"(\X)"), "text segment"));
  CHECK(contains(refusal("(?W:a)"), "option"));
  CHECK(contains(refusal(R"(\p{Nonsense})"), "'Nonsense'"));
  CHECK(contains(refusal("(?:a?b?){2}"), "counted repetition"));
  CHECK(contains(refusal(R"(\b.*a)"), ".* at the beginning"));
  CHECK(contains(refusal(R"((?<=\R)a)"), "look-behind"));
  CHECK(refusal("^.*a|x(?=y).+").empty());
}

TEST_CASE("what is wrong is an error") {
  for (const char* pattern :
       {"(",       ")",         "(?",      "(?i",    "(?<",         "(?<n",     "[",
        "[a",      "[]",        "[^]",     "a[",     "*",           "+a",       "|*",
        "\\",      "[\\",       "\\p{L",   "\\u12",  "\\x{110000}", "\\x{}",    "[b-a]",
        "[a-\\d]", "[\\d-a]",   "^*",      "(?=a)*", "a{100001}",   "(?#",      "[[:nope:]]",
        "\\xff",   "\\x{d800}", "(?<1>a)", "\xff",   "[\xc3",       "a\xe2\x82"}) {
    CAPTURE(pattern);
    CHECK_FALSE(refusal(pattern).empty());
  }
}

TEST_CASE("hostile patterns end in an error, not in a crash or a hang") {
  const auto times = [](const char* part, size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += part;
    return out;
  };
  CHECK(contains(refusal(times("(", 100000)), "nested"));
  CHECK(contains(refusal(times("[", 100000)), "nested"));
  CHECK(contains(refusal("a" + times("{2}", 5000)), "nested"));
  CHECK(contains(refusal(times("(?:", 20) + "ab" + times("{100000})", 20)), "large"));
  CHECK(contains(refusal(times("(?:", 20) + times(")*", 20) + times("(?:(?:^a){9}b){9999}", 9)),
                 "large"));
  CHECK(contains(refusal("(?:ab|cd){0,100000}"), "large"));
  const std::string wide = times("[ab]|", 5000) + "c";
  CHECK(matches(wide, "c") == "[c]");
}

TEST_CASE("a match that takes too long is an error") {
  const Regex exponential("(?:a|a|b)*c");
  CHECK_THROWS_WITH_AS(exponential.find(std::string(40, 'a'), 0),
                       doctest::Contains("too many steps"), Error);
  const Regex quadratic("a(?=.*b)");
  const std::string text(200000, 'a');
  RegexMatches found(quadratic, text);
  CHECK_THROWS_WITH_AS(found.next(), doctest::Contains("too many steps"), Error);
}

TEST_CASE("long texts need little stack") {
  const std::string spaces(1000000, ' ');
  CHECK(matches(kGpt2, spaces + "x").size() == spaces.size() + 1 + 4);
  CHECK(matches(kLlama3, spaces).size() == spaces.size() + 2);
  CHECK(matches("(?:a|b)*", std::string(300000, 'a')).size() == 300000 + 2);
}

TEST_CASE("text that is not UTF-8 stays in bounds") {
  const Regex regex(R"(\p{L}+|[^\p{L}]|(?<=..)\b.$)");
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text(random() % 12, ' ');
    for (char& c : text) c = static_cast<char>(random());
    RegexMatches found(regex, text);
    while (const auto match = found.next()) {
      CHECK(match->first <= match->second);
      CHECK(match->second <= text.size());
    }
  }
}

TEST_CASE("random patterns never crash") {
  std::mt19937 random(23);
  const std::string alphabet = "aab()[]{}*+?|^$\\.-&,:=!<>123ipPxwsLu\xc3\xa9";
  size_t compiled = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string pattern(random() % 14, ' ');
    for (char& c : pattern) c = alphabet[random() % alphabet.size()];
    try {
      const Regex regex(pattern);
      ++compiled;
      RegexMatches found(regex, "ab1 é\nba,(]}x");
      while (found.next()) {
      }
    } catch (const Error& error) {
      CHECK(error.kind() == affectrt::ErrorKind::kTokenizer);
    }
  }
  CHECK(compiled > 500);
}

TEST_CASE("sets of code points") {
  CodeSet set = CodeSet::range('a', 'd');
  set.add('c', 'f');
  set.add('x', 'y');
  CHECK(set.ranges().size() == 2);
  CHECK(set.contains('e'));
  CHECK_FALSE(set.contains('f'));
  CodeSet rest = set;
  rest.invert();
  CHECK_FALSE(rest.intersects(set));
  rest.add(set);
  CHECK(rest == CodeSet::all());
  set.intersect(CodeSet::range('b', 'y'));
  CHECK(set.ranges() == std::vector<CodeSet::Range>{{'b', 'f'}, {'x', 'y'}});
  CHECK(CodeSet::one('q').single() == 'q');
  CHECK_FALSE(set.single().has_value());
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    CodeSet a, b;
    std::vector<bool> in_a(600), in_b(600);
    for (int i = 0; i < 12; ++i) {
      const uint32_t begin = static_cast<uint32_t>(random() % 500);
      const uint32_t end = begin + static_cast<uint32_t>(random() % 60);
      (i % 2 == 0 ? a : b).add(begin, end);
      for (uint32_t c = begin; c < end; ++c) (i % 2 == 0 ? in_a : in_b)[c] = true;
    }
    CodeSet both = a, either = a;
    both.intersect(b);
    either.add(b);
    const affectrt::SetTable table(either);
    bool meet = false;
    for (uint32_t c = 0; c < 600; ++c) {
      REQUIRE(a.contains(c) == in_a[c]);
      REQUIRE(both.contains(c) == (in_a[c] && in_b[c]));
      REQUIRE(either.contains(c) == (in_a[c] || in_b[c]));
      REQUIRE(table.contains(c) == (in_a[c] || in_b[c]));
      meet = meet || (in_a[c] && in_b[c]);
    }
    CHECK(a.intersects(b) == meet);
  }
}
