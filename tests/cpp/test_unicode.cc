#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "text/normalized.h"
#include "text/unicode.h"
#include "text/unicode_forms.h"

using namespace affectrt;

namespace {

std::string form(std::string_view text, UnicodeForm f) {
  std::vector<Change> changes;
  unicode_form_changes(text, f, &changes);
  std::string out;
  for (const Change& change : changes) append_utf8(change.c, &out);
  return out;
}

std::vector<std::string> graphemes(std::string_view text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = grapheme_end(text, begin);
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

}  // namespace

TEST_CASE("UTF-8 goes there and back at every length") {
  for (const char32_t c :
       {0x0u, 0x41u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    std::string text;
    append_utf8(c, &text);
    CHECK(text.size() == utf8_size(c));
    size_t pos = 0;
    CHECK(next_code_point(text, &pos) == c);
    CHECK(pos == text.size());
  }
}

TEST_CASE("properties") {
  CHECK(general_category(U'A') == GeneralCategory::Lu);
  CHECK(general_category(0x0378) == GeneralCategory::Cn);
  CHECK(general_category(0x110000) == GeneralCategory::Cn);
  CHECK(is_white_space(0x3000));
  CHECK_FALSE(is_white_space(0x200B));
  CHECK(is_alphabetic(0x0915));
  CHECK(is_word(U'_'));
  CHECK(is_regex_word(0x0301));
  CHECK(is_numeric(0x00B2));
  CHECK(is_bert_punctuation(U'$'));
  CHECK(is_bert_punctuation(0x3002));
  CHECK(is_bert_control(0));
  CHECK(is_bert_control(0xFFFD));
  CHECK_FALSE(is_bert_control(U'\n'));
  CHECK(is_bert_cjk(0x4E2D));
  CHECK_FALSE(is_bert_cjk(0x3042));
  CHECK(script_name(script(U'a')) == "Latin");
  CHECK(script_name(script(0x4E2D)) == "Han");
  CHECK(script_code(script(0x4E2D)) == "Hani");
  CHECK(script_class(0x3042) == script_class(0x4E2D));  // Hiragana counts as Han
  CHECK(script_class(U' ') == 0);
}

TEST_CASE("lower case") {
  CHECK(to_lowercase(U'A').first == U'a');
  CHECK(to_lowercase(0x0130) == std::pair<char32_t, char32_t>(U'i', 0x0307));
  CHECK(to_lowercase(0x10FFFF).first == 0x10FFFF);
}

TEST_CASE("normalisation forms") {
  CHECK(form("\u00e9", UnicodeForm::kNfd) == "e\u0301");
  CHECK(form("e\u0301", UnicodeForm::kNfc) == "\u00e9");
  CHECK(form("\ufb01\u2122", UnicodeForm::kNfkc) == "fiTM");
  CHECK(form("\uac01", UnicodeForm::kNfd) == "\u1100\u1161\u11a8");
  CHECK(form("\u1100\u1161\u11a8", UnicodeForm::kNfc) == "\uac01");
  CHECK(form("a\u0301\u0323", UnicodeForm::kNfd) == "a\u0323\u0301");  // canonical order
  CHECK(form("\u2126", UnicodeForm::kNfc) == "\u03a9");
  CHECK(form("a\u0345\u0301", UnicodeForm::kNfc) == "\u00e1\u0345");  // composes past a mark
}

TEST_CASE("the longest decomposition fits") {
  char32_t out[kMaxDecomposition];
  size_t longest = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    longest = std::max(longest, decompose(c, true, out));
    if (!has_decomposition(c, true)) REQUIRE(decompose(c, true, out) == 1);
  }
  CHECK(longest == kMaxDecomposition);
}

TEST_CASE("grapheme clusters") {
  using List = std::vector<std::string>;
  CHECK(graphemes("ab") == List{"a", "b"});
  CHECK(graphemes("e\u0301x") == List{"e\u0301", "x"});
  CHECK(graphemes("\r\n\n") == List{"\r\n", "\n"});
  CHECK(graphemes("\U0001F1E9\U0001F1EA\U0001F1EB") == List{"\U0001F1E9\U0001F1EA", "\U0001F1EB"});
  CHECK(graphemes("\U0001F468\u200D\U0001F469") == List{"\U0001F468\u200D\U0001F469"});
  CHECK(graphemes("a\u200D\U0001F469") == List{"a\u200D", "\U0001F469"});
  CHECK(graphemes("\u0915\u094d\u0937") == List{"\u0915\u094d\u0937"});
  CHECK(graphemes("\u1100\u1161\u11a8\uac00") == List{"\u1100\u1161\u11a8", "\uac00"});
}
