#include "text/draft.h"

#include <algorithm>

#include "base/error.h"

namespace affectrt {
namespace {

constexpr size_t kMostWindows = 1'000'000;

template <typename T>
void append_range(std::vector<T>* to, const std::vector<T>& from, size_t begin, size_t end) {
  to->insert(to->end(), from.begin() + static_cast<std::ptrdiff_t>(begin),
             from.begin() + static_cast<std::ptrdiff_t>(end));
}

Draft part(const Draft& draft, size_t begin, size_t end) {
  Draft out = draft.like();
  out.append(draft, begin, end);
  return out;
}

size_t windows(const Draft& draft) {
  size_t count = 1;
  for (const Draft& d : draft.overflowing) count += windows(d);
  return count;
}

void merge_with(Draft* draft, const Draft& other) {
  std::vector<Draft> overflowing;
  if (windows(*draft) > kMostWindows / windows(other)) {
    throw Error(ErrorKind::kInput,
                "the two texts overflow into more than a million pairs of windows; cut only one "
                "of them, or allow more tokens");
  }
  for (const Draft& own : draft->overflowing) {
    overflowing.push_back(own);
    merge_with(&overflowing.back(), other);
    for (const Draft& theirs : other.overflowing) {
      overflowing.push_back(own);
      merge_with(&overflowing.back(), theirs);
    }
  }
  for (const Draft& theirs : other.overflowing) {
    overflowing.push_back(*draft);
    merge_with(&overflowing.back(), theirs);
  }
  const auto shift = static_cast<uint32_t>(draft->size());
  for (const SequenceRange& range : other.sequence_ranges) {
    const SequenceRange shifted = {range.sequence, range.begin + shift, range.end + shift};
    const auto same =
        std::find_if(draft->sequence_ranges.begin(), draft->sequence_ranges.end(),
                     [&](const SequenceRange& r) { return r.sequence == range.sequence; });
    if (same == draft->sequence_ranges.end()) {
      draft->sequence_ranges.push_back(shifted);
    } else {
      *same = shifted;
    }
  }
  draft->append(other, 0, other.size());
  draft->overflowing = std::move(overflowing);
}

}  // namespace

void Draft::append(const Draft& other, size_t begin, size_t end) {
  append_range(&ids, other.ids, begin, end);
  append_range(&type_ids, other.type_ids, begin, end);
  if (has_offsets) append_range(&offsets, other.offsets, begin, end);
  if (has_spaces) append_range(&spaces, other.spaces, begin, end);
  append_range(&special_tokens_mask, other.special_tokens_mask, begin, end);
}

Draft Draft::like() const {
  Draft out;
  out.has_offsets = has_offsets;
  out.has_spaces = has_spaces;
  return out;
}

void Draft::append_special(const std::vector<uint32_t>& special_ids, uint32_t type_id) {
  const size_t count = special_ids.size();
  ids.insert(ids.end(), special_ids.begin(), special_ids.end());
  type_ids.insert(type_ids.end(), count, type_id);
  if (has_offsets) offsets.insert(offsets.end(), count, Offset{0, 0});
  if (has_spaces) spaces.insert(spaces.end(), count, TokenSpace{});
  special_tokens_mask.insert(special_tokens_mask.end(), count, 1);
}

void Draft::set_sequence(uint32_t sequence) {
  const auto same = std::find_if(sequence_ranges.begin(), sequence_ranges.end(),
                                 [&](const SequenceRange& r) { return r.sequence == sequence; });
  const SequenceRange all = {sequence, 0, static_cast<uint32_t>(size())};
  if (same == sequence_ranges.end()) {
    sequence_ranges.push_back(all);
  } else {
    *same = all;
  }
}

void Draft::set_type(uint32_t type_id) { type_ids.assign(size(), type_id); }

void truncate(Draft* draft, size_t max_tokens, size_t stride, bool from_left, bool keep) {
  const size_t size = draft->size();
  if (max_tokens >= size) return;
  if (max_tokens == 0) {
    Draft all = draft->like();
    std::swap(all, *draft);
    if (keep) draft->overflowing.push_back(std::move(all));
    return;
  }
  if (stride >= max_tokens) {
    throw Error(ErrorKind::kInput, "stride is " + std::to_string(stride) +
                                       "; it must be less than the " + std::to_string(max_tokens) +
                                       " tokens that remain beside the special ones");
  }
  const size_t step = max_tokens - stride;
  Draft kept;
  bool first = true;
  const auto add = [&](size_t begin, size_t end) {
    if (first) {
      kept = part(*draft, begin, end);
    } else {
      kept.overflowing.push_back(part(*draft, begin, end));
    }
    first = false;
  };
  if (from_left) {
    for (size_t end = size; first || keep; end -= step) {
      const size_t begin = end > max_tokens ? end - max_tokens : 0;
      add(begin, end);
      if (begin == 0) break;
    }
  } else {
    for (size_t begin = 0; first || keep; begin += step) {
      const size_t end = std::min(begin + max_tokens, size);
      add(begin, end);
      if (end == size) break;
    }
  }
  *draft = std::move(kept);
}

void truncate_pair(Draft* first, Draft* second, size_t max_tokens, const EncodeOptions& options) {
  const auto cut = [&](Draft* draft, size_t most) {
    truncate(draft, most, options.stride, options.truncate_left, options.keep_overflowing);
  };
  if (max_tokens == 0) {
    cut(first, 0);
    if (second != nullptr) cut(second, 0);
    return;
  }
  const size_t total = first->size() + (second != nullptr ? second->size() : 0);
  if (total <= max_tokens) return;
  if (options.truncation == Truncation::kLongestFirst) {
    if (second == nullptr) return cut(first, max_tokens);
    // The longer one is cut to what the shorter one leaves, but not below it; then both to half.
    size_t shorter = std::min(first->size(), second->size());
    size_t longer = shorter > max_tokens ? shorter : std::max(shorter, max_tokens - shorter);
    if (shorter + longer > max_tokens) {
      shorter = max_tokens / 2;
      longer = shorter + max_tokens % 2;
    }
    const bool swapped = first->size() > second->size();
    cut(first, swapped ? longer : shorter);
    cut(second, swapped ? shorter : longer);
    return;
  }
  const bool only_first = options.truncation == Truncation::kOnlyFirst;
  Draft* target = only_first ? first : second;
  if (target == nullptr) {
    throw Error(ErrorKind::kInput,
                "truncation \"only_second\" needs a pair, and this text has none; use "
                "\"longest_first\" or \"only_first\"");
  }
  const size_t surplus = total - max_tokens;
  if (target->size() <= surplus) {
    throw Error(ErrorKind::kInput, std::string("truncation \"") +
                                       (only_first ? "only_first" : "only_second") +
                                       "\" would have to cut " + std::to_string(surplus) +
                                       " tokens from a text of " + std::to_string(target->size()) +
                                       "; use \"longest_first\" or allow more tokens");
  }
  cut(target, target->size() - surplus);
}

Draft merge(std::vector<Draft> drafts) {
  if (drafts.empty()) return {};
  Draft out = std::move(drafts.front());
  for (size_t i = 1; i < drafts.size(); ++i) merge_with(&out, drafts[i]);
  return out;
}

Encoding finish(Draft draft) {
  Encoding out;
  const size_t size = draft.size();
  if (draft.sequence_ranges.empty()) {
    out.sequence_ids.assign(size, 0);
  } else {
    out.sequence_ids.assign(size, -1);
    // As in HF tokenizers: as many sequences as there are ranges; one without a range has all.
    for (uint32_t sequence = 0; sequence < draft.sequence_ranges.size(); ++sequence) {
      size_t begin = 0, end = size;
      for (const SequenceRange& range : draft.sequence_ranges) {
        if (range.sequence != sequence) continue;
        begin = range.begin;
        end = range.end;
      }
      std::fill(out.sequence_ids.begin() + static_cast<std::ptrdiff_t>(begin),
                out.sequence_ids.begin() + static_cast<std::ptrdiff_t>(end),
                static_cast<int32_t>(sequence));
    }
  }
  out.ids = std::move(draft.ids);
  out.type_ids = std::move(draft.type_ids);
  out.offsets = std::move(draft.offsets);
  out.special_tokens_mask = std::move(draft.special_tokens_mask);
  out.overflowing.reserve(draft.overflowing.size());
  for (Draft& window : draft.overflowing) out.overflowing.push_back(finish(std::move(window)));
  return out;
}

}  // namespace affectrt
