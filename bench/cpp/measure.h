// Times of short work on a machine whose clock drifts: each round measures two things at once after
// each other, so that their ratio means something where the times alone do not.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "base/aligned_buffer.h"
#include "peak.h"

namespace affectrt::bench {

// Seconds that this thread has had a CPU: what other processes take of it does not count.
inline double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The value below which `share` of the values lie, interpolated.
inline double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double at = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (values[high] - values[low]) * (at - static_cast<double>(low));
}

// Seconds that one of `times` passes of body() takes.
template <class Body>
double seconds_a_pass(size_t times, Body&& body) {
  const double start = now();
  for (size_t i = 0; i < times; ++i) body();
  return (now() - start) / static_cast<double>(times);
}

// As many passes as fill `seconds`, at least one.
template <class Body>
size_t passes_for(double seconds, Body&& body) {
  size_t times = 1;
  while (times < (size_t{1} << 40U)) {
    const double taken = seconds_a_pass(times, body) * static_cast<double>(times);
    if (taken >= seconds) break;
    const double wanted = taken > 0 ? 1.2 * seconds / taken : 16.0;
    times = static_cast<size_t>(static_cast<double>(times) * std::clamp(wanted, 1.2, 16.0)) + 1;
  }
  return times;
}

struct Settings {
  size_t rounds = 15;
  double seconds = 0.001;  // of one measurement
};

// The rate of `body`, whose pass is `units` of work, and its share of the rate of `peak`.
template <class Body, class Peak>
nlohmann::json compare(const Settings& settings, double units, Body&& body, double peak_units,
                       Peak&& peak) {
  const size_t body_passes = passes_for(settings.seconds, body);
  const size_t peak_passes = passes_for(settings.seconds / 2, peak);
  std::vector<double> rates;
  std::vector<double> shares;
  for (size_t round = 0; round < settings.rounds; ++round) {
    // The peak on both sides: a clock that drifts evenly then favours neither.
    const double before = seconds_a_pass(peak_passes, peak);
    const double taken = seconds_a_pass(body_passes, body);
    const double after = seconds_a_pass(peak_passes, peak);
    rates.push_back(units / taken);
    shares.push_back(units / taken / (2 * peak_units / (before + after)));
  }
  return {{"rate", quantile(rates, 0.5)},
          {"share", quantile(shares, 0.5)},
          {"share_quartiles", {quantile(shares, 0.25), quantile(shares, 0.75)}}};
}

// Rates in multiply-adds a second. `peak` may be null: no share then.
template <class Body>
nlohmann::json rate_of(const Settings& settings, const PeakLoop* peak, double macs, Body&& body) {
  constexpr size_t kPasses = 64;
  if (peak != nullptr) {
    return compare(settings, macs, body, peak->macs * kPasses, [&] { peak->run(kPasses); });
  }
  nlohmann::json result = compare(settings, macs, body, 1.0, [] {});
  result.erase("share");
  result.erase("share_quartiles");
  return result;
}

inline AlignedBuffer<float> random_floats(size_t count, float spread, std::mt19937* random) {
  AlignedBuffer<float> values(count);
  std::uniform_real_distribution<float> value(-spread, spread);
  for (size_t i = 0; i < count; ++i) values.data()[i] = value(*random);
  return values;
}

}  // namespace affectrt::bench
