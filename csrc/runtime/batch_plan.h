// Which rows go to the backend together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace affectrt {

struct BatchPlan {
  std::vector<size_t> order;        // every row once, longest first
  std::vector<size_t> batch_begin;  // [batches + 1], ascending positions in `order`

  size_t batches() const { return batch_begin.size() - 1; }
};

// Rows of like length meet, so that little is padded. rows * longest row of a batch is at most
// `max_batch_tokens`; a row that is longer than that alone has a batch of its own. The longest go
// first: what a backend allocates for them serves all the others. Rows of one length keep their
// order, so that the plan is the same for the same input.
BatchPlan plan_batches(const std::vector<int32_t>& lengths, int32_t max_batch_tokens);

}  // namespace affectrt
