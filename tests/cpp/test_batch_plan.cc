#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "runtime/batch_plan.h"

using affectrt::BatchPlan;
using affectrt::plan_batches;

TEST_CASE("no rows, no batches") {
  const BatchPlan plan = plan_batches({}, 100);
  CHECK(plan.batches() == 0);
  CHECK(plan.order.empty());
}

TEST_CASE("like lengths meet, longest first, equals in their order") {
  const BatchPlan plan = plan_batches({3, 9, 3, 10, 2}, 20);
  CHECK(plan.order == std::vector<size_t>{3, 1, 0, 2, 4});
  CHECK(plan.batch_begin == std::vector<size_t>{0, 2, 5});
}

TEST_CASE("a row longer than the budget runs alone") {
  const BatchPlan plan = plan_batches({5, 100, 5}, 10);
  CHECK(plan.order.front() == 1);
  CHECK(plan.batch_begin == std::vector<size_t>{0, 1, 3});
}

TEST_CASE("every row once, every batch within the budget, for any lengths") {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<int32_t> lengths(std::uniform_int_distribution<size_t>(0, 60)(random));
    for (int32_t& length : lengths) length = std::uniform_int_distribution(1, 64)(random);
    const int32_t budget = std::uniform_int_distribution(1, 300)(random);
    const BatchPlan plan = plan_batches(lengths, budget);
    std::vector<size_t> sorted = plan.order;
    std::sort(sorted.begin(), sorted.end());
    std::vector<size_t> every(lengths.size());
    std::iota(every.begin(), every.end(), size_t{0});
    CHECK(sorted == every);
    CHECK(plan.batch_begin.front() == 0);
    CHECK(plan.batch_begin.back() == lengths.size());
    for (size_t batch = 0; batch < plan.batches(); ++batch) {
      const size_t rows = plan.batch_begin[batch + 1] - plan.batch_begin[batch];
      REQUIRE(rows > 0);
      const int32_t longest = lengths[plan.order[plan.batch_begin[batch]]];
      CHECK((rows == 1 || rows * static_cast<size_t>(longest) <= static_cast<size_t>(budget)));
      for (size_t i = plan.batch_begin[batch]; i < plan.batch_begin[batch + 1]; ++i) {
        CHECK(lengths[plan.order[i]] <= longest);
      }
    }
  }
}
