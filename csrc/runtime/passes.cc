#include "runtime/passes.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.h"

namespace affectrt {
namespace {

constexpr int32_t kSpecial = 3;  // [CLS], and a [SEP] after each segment

EncodeOptions plain() {
  EncodeOptions options;
  options.add_special_tokens = false;
  return options;
}

int32_t size_of(const std::vector<int32_t>& tokens) { return static_cast<int32_t>(tokens.size()); }

}  // namespace

TurnTokens turn_tokens(const Tokenizer& tokenizer, std::string_view text) {
  const Encoding encoding = tokenizer.encode(text, std::nullopt, plain());
  if (encoding.ids.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw Error(ErrorKind::kInput, std::to_string(encoding.ids.size()) + " tokens are too many");
  }
  TurnTokens tokens;
  tokens.full_count = static_cast<int32_t>(encoding.ids.size());
  const size_t kept = std::min<size_t>(encoding.ids.size(), kPassTokens);
  tokens.ids.reserve(kept);
  for (size_t i = 0; i < kept; ++i) tokens.ids.push_back(static_cast<int32_t>(encoding.ids[i]));
  tokens.offsets.assign(encoding.offsets.begin(),
                        encoding.offsets.begin() + static_cast<std::ptrdiff_t>(kept));
  return tokens;
}

PassMaker::PassMaker(const Tokenizer& tokenizer) {
  const Encoding ends = tokenizer.encode("", std::nullopt, {});
  if (ends.ids.size() != 2) {
    throw Error(
        ErrorKind::kUnsupported,
        "heads that read a conversation need a tokenizer that puts one special token before "
        "a text and one behind it; this one adds " +
            std::to_string(ends.ids.size()));
  }
  cls_ = static_cast<int32_t>(ends.ids.front());
  sep_ = static_cast<int32_t>(ends.ids.back());
  this_ = turn_tokens(tokenizer, "this").ids;
  personality_ = turn_tokens(tokenizer, "personality:").ids;
  for (const bool same_speaker : {false, true}) {
    for (size_t emotion = 0; emotion <= kNoEmotion; ++emotion) {
      std::string tag = same_speaker ? "self" : "other";
      if (emotion != kNoEmotion) tag.append(" ").append(kToldEmotions[emotion]);
      tags_[same_speaker ? 1 : 0][emotion] = turn_tokens(tokenizer, tag + ":").ids;
    }
  }
}

TokenRow PassMaker::make(const TurnTokens& turn, const std::vector<ContextLine>& context) const {
  const int32_t a_tokens = std::min(size_of(turn.ids), kMostOfA);
  TokenRow pass;
  pass.a_tokens = a_tokens;
  pass.a_offsets.assign(turn.offsets.begin(), turn.offsets.begin() + a_tokens);
  pass.ids.reserve(static_cast<size_t>(kPassTokens));
  pass.ids.push_back(cls_);
  pass.ids.insert(pass.ids.end(), turn.ids.begin(), turn.ids.begin() + a_tokens);
  pass.ids.push_back(sep_);
  const size_t b_begin = pass.ids.size();
  if (!context.empty()) {
    int32_t room = std::max(kContextTokens - a_tokens - kSpecial, kLeastRoom);
    const auto length = [](const ContextLine& line) {
      return size_of(*line.tag) + size_of(*line.text);
    };
    size_t first = context.size() - 1;
    room -= length(context[first]);
    while (first > 0 && room >= length(context[first - 1])) room -= length(context[--first]);
    for (size_t i = first; i < context.size(); ++i) {
      const ContextLine& line = context[i];
      pass.ids.insert(pass.ids.end(), line.tag->begin(), line.tag->end());
      pass.ids.insert(pass.ids.end(), line.text->begin(), line.text->end());
    }
    // Only a newest line that is too long can have overdrawn the room, and then it stands alone.
    if (room < 0) pass.ids.resize(pass.ids.size() - static_cast<size_t>(-room));
    pass.ids.push_back(sep_);
  }
  pass.type_ids.assign(pass.ids.size(), 0);
  std::fill(pass.type_ids.begin() + static_cast<std::ptrdiff_t>(b_begin), pass.type_ids.end(), 1);
  return pass;
}

}  // namespace affectrt
