// An encoding while it is truncated, given its special tokens and merged.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace affectrt {

// White space at the two ends of a token's text, for processors that trim offsets.
struct TokenSpace {
  uint32_t leading = 0;
  uint32_t trailing = 0;
};

// The tokens of one text.
struct TokenRun {
  std::vector<uint32_t> ids;
  std::vector<Offset> offsets;  // empty when the caller wants none
};

// What belongs to which sequence; HF tokenizers keeps one range for each.
struct SequenceRange {
  uint32_t sequence;
  uint32_t begin;
  uint32_t end;
};

struct Draft {
  std::vector<uint32_t> ids;
  std::vector<uint32_t> type_ids;
  std::vector<Offset> offsets;     // if has_offsets
  std::vector<TokenSpace> spaces;  // if has_spaces
  std::vector<uint8_t> special_tokens_mask;
  std::vector<SequenceRange> sequence_ranges;
  std::vector<Draft> overflowing;
  bool has_offsets = true;  // the caller wants them
  bool has_spaces = false;  // a processor trims offsets

  size_t size() const { return ids.size(); }
  // An empty draft with the same flags.
  Draft like() const;
  // Tokens [begin, end) of one with the same flags, without its ranges and windows.
  void append(const Draft& other, size_t begin, size_t end);
  // Special tokens, at offset (0, 0).
  void append_special(const std::vector<uint32_t>& special_ids, uint32_t type_id);
  void set_sequence(uint32_t sequence);
  void set_type(uint32_t type_id);
};

// Cuts `draft` to `max_tokens`, as HF tokenizers does. The windows that fall off become its
// overflowing ones when `keep` says so; each repeats `stride` tokens of its neighbour.
// Throws Error(kInput) when stride >= max_tokens > 0 and something must be cut.
void truncate(Draft* draft, size_t max_tokens, size_t stride, bool from_left, bool keep);

// Cuts one text or both until they hold at most `max_tokens` together.
// Throws Error(kInput) when that cannot be.
void truncate_pair(Draft* first, Draft* second, size_t max_tokens, const EncodeOptions& options);

// The drafts one after the other, and every combination of their overflowing windows.
// Throws Error(kInput) when those are more than a million.
Draft merge(std::vector<Draft> drafts);

Encoding finish(Draft draft);

}  // namespace affectrt
