#include "text/split.h"

#include <algorithm>

namespace affectrt {
namespace {

// Joins each match with the span before it, or each run of matches or of other text into one.
// HF tokenizers starts as if a non-match came before the text; `contiguous` matters only then.
void merge_backwards(std::vector<Span>* spans, bool contiguous) {
  std::vector<Span>& all = *spans;
  size_t write = 0;
  bool previous = false;
  for (const Span span : all) {
    const bool joins = contiguous ? span.is_match == previous : span.is_match && !previous;
    if (joins && write > 0) {
      all[write - 1].end = span.end;
    } else {
      all[write++] = span;
    }
    previous = span.is_match;
  }
  all.resize(write);
}

// Joins each match with the span after it.
void merge_forwards(std::vector<Span>* spans) {
  std::vector<Span>& all = *spans;
  size_t write = all.size();
  bool next = false;
  for (size_t i = all.size(); i-- > 0;) {
    const Span span = all[i];
    if (span.is_match && !next && write < all.size()) {
      all[write].begin = span.begin;
    } else {
      all[--write] = span;
    }
    next = span.is_match;
  }
  all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(write));
}

}  // namespace

SplitBehavior split_behavior(const Component& json, std::optional<SplitBehavior> otherwise) {
  if (otherwise && !json.has("behavior")) return *otherwise;
  const std::string name = json.text("behavior");
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  json.fail("the behavior \"" + name +
            "\" is none of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

void spans_of_matches(const std::vector<std::pair<size_t, size_t>>& matches, size_t size,
                      bool invert, std::vector<Span>* spans) {
  spans->clear();
  size_t done = 0;
  const auto add = [&](size_t begin, size_t end, bool is_match) {
    spans->push_back(
        {static_cast<uint32_t>(begin), static_cast<uint32_t>(end), is_match != invert});
  };
  for (const auto& [begin, end] : matches) {
    if (done != begin) add(done, begin, false);
    add(begin, end, true);
    done = end;
  }
  if (done != size) add(done, size, false);
}

void split_piece(const Pieces& pieces, const Piece& piece, std::vector<Span>* spans,
                 SplitBehavior behavior, std::vector<Piece>* out) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      spans->erase(
          std::remove_if(spans->begin(), spans->end(), [](const Span& s) { return s.is_match; }),
          spans->end());
      break;
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kContiguous:
      merge_backwards(spans, true);
      break;
    case SplitBehavior::kMergedWithPrevious:
      merge_backwards(spans, false);
      break;
    case SplitBehavior::kMergedWithNext:
      merge_forwards(spans);
      break;
  }
  for (const Span& span : *spans) {
    if (span.begin < span.end) {
      out->push_back(pieces.slice(piece.begin + span.begin, piece.begin + span.end));
    }
  }
}

}  // namespace affectrt
