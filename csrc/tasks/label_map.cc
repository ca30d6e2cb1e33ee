#include "tasks/label_map.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "tasks/emotion_families.h"

namespace affectrt {

const std::array<Emotion, kEmotions> kEmotionWords = {{
    {"admiration", "joy", "joy",
     "admire admiring impressed awe awed awestruck inspired reverence respect respectful amazed "
     "dazzled appreciative esteem"},
    {"amusement", "joy", "joy",
     "amused funny hilarious humour humor giggly playful tickled mirth entertained silly "
     "laughing laughter mischievous"},
    {"anger", "anger", "anger",
     "angry furious fury rage raging enraged mad livid irate outraged outrage wrath wrathful "
     "seething fuming hostile hostility hate hatred hateful vengeful bitter bitterness incensed "
     "infuriated violent spiteful aggressive aggression resentful resentment indignant "
     "indignation betrayed"},
    {"annoyance", "anger", "anger",
     "annoyed annoying irritated irritation irritable frustrated frustration cross grumpy miffed "
     "exasperated exasperation aggravated bothered impatient peeved vexed cranky jealous "
     "jealousy envy envious fed_up ticked_off"},
    {"approval", "joy", "joy",
     "approving agreeing agreement supportive accepting acceptance content_with confirmed valued "
     "validated confident confidence assured"},
    {"caring", "joy", "love",
     "care compassion compassionate sympathy sympathetic empathy empathetic kind kindness trust "
     "trusting nurturing protective concerned_for supported consoling comforting tender "
     "tenderness"},
    {"confusion", "surprise", "surprise",
     "confused puzzled perplexed bewildered baffled lost_for_words disoriented unsure uncertain "
     "uncertainty muddled torn ambivalent doubtful"},
    {"curiosity", "surprise", "surprise",
     "curious intrigued interested interest inquisitive wondering fascinated fascination engaged "
     "absorbed"},
    {"desire", "joy", "love",
     "desirous longing yearning craving lust want wanting wishful attracted attraction "
     "passionate passion infatuated lustful"},
    {"disappointment", "sadness", "sadness",
     "disappointed let_down disheartened discouraged dismayed dismay disillusioned gutted "
     "crushed dissatisfied deflated underwhelmed defeated thwarted unfulfilled"},
    {"disapproval", "anger", "anger",
     "disapproving critical judgmental judgemental contempt contemptuous scornful scorn disdain "
     "disdainful dismissive sceptical skeptical condemning"},
    {"disgust", "disgust", "anger",
     "disgusted disgusting revulsion revolted repulsed repulsion loathing nauseated nauseous "
     "sickened grossed_out appalled repelled aversion queasy distaste detestable"},
    {"embarrassment", "sadness", "sadness",
     "embarrassed ashamed shame humiliated humiliation mortified awkward self_conscious sheepish "
     "flustered foolish mocked ridiculed shameful"},
    {"excitement", "joy", "joy",
     "excited thrilled eager eagerness enthusiastic enthusiasm exhilarated exhilaration pumped "
     "stoked energetic energised energized psyched hyped elation elated ecstatic euphoric "
     "euphoria aroused over_the_moon zest"},
    {"fear", "fear", "fear",
     "afraid scared frightened terrified terror horror horrified panic panicked panicky "
     "petrified alarmed dread dreading phobic spooked threatened intimidated fearful helpless"},
    {"gratitude", "joy", "love",
     "grateful thankful thankfulness appreciation indebted obliged blessed thanks"},
    {"grief", "sadness", "sadness",
     "grieving grief_stricken mourning bereaved bereft heartbroken heartbreak devastated "
     "devastation sorrow sorrowful anguish anguished inconsolable despair despairing distraught "
     "desolate broken"},
    {"joy", "joy", "joy",
     "joyful joyous happy happiness glad gladness cheerful cheery delighted delight content "
     "contentment contented pleased pleasure bliss blissful merry jolly jubilant satisfied "
     "satisfaction calm peaceful serene serenity relaxed carefree good great enjoyment enjoying "
     "free upbeat radiant triumphant chuffed"},
    {"love", "joy", "love",
     "loving loved affection affectionate adore adoration adoring fond fondness romantic devoted "
     "devotion faithful cherished cherishing intimate warm warmth sentimental nostalgic "
     "nostalgia smitten besotted close"},
    {"nervousness", "fear", "fear",
     "nervous anxious anxiety worried worry apprehensive apprehension uneasy unease tense "
     "stressed stress jittery on_edge restless insecure insecurity overwhelmed shy timid "
     "hesitant rattled agitated distressed concerned troubled inadequate"},
    {"optimism", "joy", "joy",
     "optimistic hope hopeful anticipating anticipation expectant encouraged prepared ready "
     "positive determined determination motivated"},
    {"pride", "joy", "joy",
     "proud accomplished accomplishment achievement successful powerful empowered dignified "
     "self_assured victorious smug"},
    {"realization", "surprise", "surprise",
     "realisation realizing realising realised realized aware insight enlightened epiphany"},
    {"relief", "joy", "joy", "relieved reassured comforted unburdened at_ease eased soothed"},
    {"remorse", "sadness", "sadness",
     "remorseful guilt guilty regret regretful sorry apologetic repentant contrite penitent"},
    {"sadness", "sadness", "sadness",
     "sad unhappy unhappiness depressed depression down blue gloomy gloom miserable misery "
     "melancholy melancholic tearful weepy hurt lonely loneliness isolated abandoned forlorn "
     "dejected despondent hopeless hopelessness low homesick wistful empty numb bored boredom "
     "apathetic apathy tired pessimistic pessimism powerless neglected excluded rejected "
     "vulnerable victimised victimized pain suffering downcast glum"},
    {"surprise", "surprise", "surprise",
     "surprised shocked shock astonished astonishment astounded stunned startled speechless "
     "amazement flabbergasted gobsmacked unexpected taken_aback disbelief dumbfounded"},
    {"neutral", "neutral", "neutral",
     "none others other no_emotion indifferent unemotional matter_of_fact"},
}};

namespace {

constexpr const char* kSentiments[][2] = {
    {"anger", "negative"},  {"disgust", "negative"}, {"fear", "negative"},      {"joy", "positive"},
    {"neutral", "neutral"}, {"sadness", "negative"}, {"surprise", "ambiguous"},
};

const char* sentiment_of(std::string_view ekman) {
  for (const auto& [name, sentiment] : kSentiments) {
    if (ekman == name) return sentiment;
  }
  return "";
}

bool lists(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

std::optional<size_t> emotion_of(std::string_view normalised) {
  for (size_t i = 0; i < kEmotions; ++i) {
    if (normalised == kEmotionWords[i].name || lists(kEmotionWords[i].words, normalised)) return i;
  }
  return std::nullopt;
}

}  // namespace

std::string normalised_word(std::string_view word) {
  const char* blank = " \t\n\r";
  const size_t begin = word.find_first_not_of(blank);
  if (begin == std::string_view::npos) return "";
  std::string name(word.substr(begin, word.find_last_not_of(blank) + 1 - begin));
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    if (c == ' ' || c == '-') return '_';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

// All maps, made when the first is asked for.
struct LabelMaps {
  LabelMap goemotions;
  LabelMap ekman;
  LabelMap sentiment;
  LabelMap families;

  LabelMaps() {
    ekman.labels_ = {"anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"};
    sentiment.labels_ = {"positive", "negative", "ambiguous", "neutral"};
    for (const EmotionFamily& family : kEmotionFamilies) families.labels_.emplace_back(family.name);
    for (size_t i = 0; i < kEmotions; ++i) {
      const Emotion& emotion = kEmotionWords[i];
      goemotions.labels_.emplace_back(emotion.name);
      goemotions.of_emotion_[i] = i;
      ekman.of_emotion_[i] = place(ekman, emotion.ekman);
      sentiment.of_emotion_[i] = place(sentiment, sentiment_of(emotion.ekman));
      families.of_emotion_[i] = place(families, emotion.family);
    }
  }
  static size_t place(const LabelMap& map, std::string_view label) {
    return static_cast<size_t>(std::find(map.labels_.begin(), map.labels_.end(), label) -
                               map.labels_.begin());
  }
};

std::vector<std::string_view> LabelMap::names() {
  return {"goemotions", "ekman", "sentiment", "families"};
}

const LabelMap* LabelMap::named(std::string_view name) {
  static const LabelMaps maps;
  if (name == "goemotions") return &maps.goemotions;
  if (name == "ekman") return &maps.ekman;
  if (name == "sentiment") return &maps.sentiment;
  return name == "families" ? &maps.families : nullptr;
}

const LabelMap& known_label_map(std::string_view name) {
  const LabelMap* map = LabelMap::named(name);
  if (map != nullptr) return *map;
  std::string all;
  for (const std::string_view one : LabelMap::names()) {
    all.append(all.empty() ? "" : ", ").append(one);
  }
  throw Error(ErrorKind::kInput,
              "there is no label map '" + printable(name, 40) + "'; give one of: " + all);
}

std::optional<size_t> LabelMap::find(std::string_view word) const {
  const std::string name = normalised_word(word);
  const auto own = std::find(labels_.begin(), labels_.end(), name);
  if (own != labels_.end()) return static_cast<size_t>(own - labels_.begin());
  const std::optional<size_t> emotion = emotion_of(name);
  if (!emotion) return std::nullopt;
  return of_emotion_[*emotion];
}

GroupScores group_scores(Task task, const std::vector<size_t>& group, size_t groups,
                         const float* scores, const uint8_t* decided) {
  const bool exclusive = task == Task::kSingleLabel || task == Task::kOrdinal;
  std::vector<double> none(groups, 1.0);  // the probability that none of them holds
  GroupScores result;
  result.decided.assign(groups, 0);
  for (size_t i = 0; i < group.size(); ++i) {
    const double score = scores[i];
    none[group[i]] = exclusive ? none[group[i]] - score : none[group[i]] * (1.0 - score);
    if (decided[i] != 0) result.decided[group[i]] = 1;
  }
  for (const double rest : none) {
    result.scores.push_back(static_cast<float>(std::min(1.0 - rest, 1.0)));
  }
  return result;
}

}  // namespace affectrt
