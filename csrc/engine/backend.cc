#include "engine/backend.h"

#include <numeric>
#include <string>

#include "base/error.h"

namespace affectrt {

size_t TokenBatch::judged_tokens() const {
  return std::accumulate(judged, judged + rows, size_t{0}, [](size_t sum, int32_t count) {
    return sum + static_cast<size_t>(count);
  });
}

std::optional<int32_t> Backend::absent_token(const std::vector<int32_t>& /*ids*/) const {
  return std::nullopt;
}

void Backend::run(const TokenBatch& batch, std::vector<std::vector<float>>* logits) const {
  std::vector<size_t> wanted;
  for (size_t i = 0; i < outputs().size(); ++i) {
    if (outputs()[i].kind != OutputKind::kEmbedding) wanted.push_back(i);
  }
  run(batch, wanted, logits);
}

void check_judged(const TokenBatch& batch) {
  for (int32_t row = 0; row < batch.rows; ++row) {
    const int32_t length = batch.row_begin[row + 1] - batch.row_begin[row];
    const int32_t count = batch.judged == nullptr ? 0 : batch.judged[row];
    if (count < 1 || count > length) {
      throw Error(ErrorKind::kInput, "row " + std::to_string(row) + " has " +
                                         std::to_string(length) + " tokens, of which " +
                                         std::to_string(count) +
                                         " cannot be judged; 1 to all of them can");
    }
  }
}

}  // namespace affectrt
