// Label sets mapped onto one another, and scores of groups.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "base/error.h"
#include "tasks/emotion_families.h"
#include "tasks/label_map.h"

using namespace affectrt;

namespace {

std::string mapped(const char* map, std::string_view word) {
  const LabelMap& known = known_label_map(map);
  const auto place = known.find(word);
  return place ? known.labels()[*place] : "";
}

std::vector<std::string> split(const std::string& words) {
  std::vector<std::string> made;
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    made.push_back(words.substr(at, end - at));
    at = end + 1;
  }
  return made;
}

}  // namespace

TEST_CASE("words belong somewhere, in every map") {
  CHECK(mapped("goemotions", "gutted") == "disappointment");
  CHECK(mapped("ekman", "gutted") == "sadness");
  CHECK(mapped("sentiment", "gutted") == "negative");
  CHECK(mapped("families", "caring") == "love");
  CHECK(mapped("ekman", "caring") == "joy");
  CHECK(mapped("sentiment", "realization") == "ambiguous");
  CHECK(mapped("families", "disgust") == "anger");
  CHECK(mapped("goemotions", " Over-the Moon\n") == "excitement");
  CHECK(mapped("sentiment", "positive") == "positive");
  CHECK(mapped("sentiment", "others") == "neutral");
  for (const char* word : {"", " ", "train", "gutted ,", "joy joy", "_"}) {
    CHECK(mapped("ekman", word).empty());
  }
  CHECK(LabelMap::named("wheel") == nullptr);
  CHECK_THROWS_AS(known_label_map("wheel"), Error);
}

TEST_CASE("no word stands twice, and each is as it is looked for") {
  std::set<std::string> seen;
  for (const Emotion& emotion : kEmotionWords) {
    std::vector<std::string> words = split(emotion.words);
    words.emplace_back(emotion.name);
    for (const std::string& word : words) {
      CAPTURE(word);
      CHECK(normalised_word(word) == word);
      CHECK(seen.insert(word).second);
      CHECK(mapped("goemotions", word) == emotion.name);
      CHECK(mapped("ekman", word) == emotion.ekman);
      CHECK(mapped("families", word) == emotion.family);
      CHECK_FALSE(mapped("sentiment", word).empty());
      CHECK(family_of(word).has_value());
    }
  }
  CHECK(seen.size() > 500);
}

TEST_CASE("maps go through one another: 28 onto 7 onto 4 is 28 onto 4") {
  for (const std::string& label : known_label_map("goemotions").labels()) {
    CAPTURE(label);
    CHECK(mapped("sentiment", mapped("ekman", label)) == mapped("sentiment", label));
  }
}

TEST_CASE("a family's sign is that of its sentiment, but for what is neither") {
  for (const EmotionFamily& family : kEmotionFamilies) {
    const std::string sentiment = mapped("sentiment", family.name);
    CHECK((sentiment == "positive") == (family.valence > 0));
    CHECK((sentiment == "negative") == (family.valence < 0));
  }
}

TEST_CASE("scores of groups") {
  const float scores[] = {0.5F, 0.25F, 0.125F, 0.125F};
  const uint8_t decided[] = {0, 0, 1, 0};
  const std::vector<size_t> group = {0, 1, 0, 2};
  const GroupScores sums = group_scores(Task::kSingleLabel, group, 3, scores, decided);
  CHECK(sums.scores == std::vector<float>{0.625F, 0.25F, 0.125F});
  CHECK(sums.decided == std::vector<uint8_t>{1, 0, 0});
  const GroupScores any = group_scores(Task::kMultiLabel, group, 3, scores, decided);
  CHECK(any.scores == std::vector<float>{0.5625F, 0.25F, 0.125F});
  CHECK(any.decided == std::vector<uint8_t>{1, 0, 0});
  const float one[] = {0.7F, 0.3000001F};
  const uint8_t none[] = {0, 0};
  CHECK(group_scores(Task::kOrdinal, {0, 0}, 1, one, none).scores[0] == 1.0F);
}
