#include "runtime/batch_plan.h"

#include <algorithm>
#include <numeric>

namespace affectrt {

BatchPlan plan_batches(const std::vector<int32_t>& lengths, int32_t max_batch_tokens) {
  BatchPlan plan;
  plan.order.resize(lengths.size());
  std::iota(plan.order.begin(), plan.order.end(), size_t{0});
  std::stable_sort(plan.order.begin(), plan.order.end(),
                   [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
  plan.batch_begin.push_back(0);
  for (size_t begin = 0; begin < plan.order.size();) {
    const int64_t longest = std::max<int64_t>(1, lengths[plan.order[begin]]);
    const size_t rows = static_cast<size_t>(std::max<int64_t>(1, max_batch_tokens / longest));
    begin += std::min(rows, plan.order.size() - begin);
    plan.batch_begin.push_back(begin);
  }
  return plan;
}

}  // namespace affectrt
