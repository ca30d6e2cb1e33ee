// Sound at one rate to sound at another: a windowed-sinc filter, by transforms where the two rates
// have small prime factors, else output by output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "audio/fft.h"
#include "base/aligned_buffer.h"
#include "base/thread_pool.h"

namespace affectrt {

// The filter: a sinc under a Kaiser window, flat up to 91.25 % of the lower Nyquist frequency and
// 130 dB down from that frequency on; linear phase, the delay taken out. Output sample n lies at
// the time n / to_rate. Beyond its two ends the clip is silent.
//
// Equal-sized blocks of input go through a transform, the filter's response, and the inverse
// transform at the other rate; sixteen blocks at a time. Blocks begin at fixed places, so that any
// chunking gives the same bits. Immutable; concurrent calls are safe.
class Resampler {
 public:
  // Rates in Hz, 8000 to 192000, else Error(kInput).
  Resampler(int64_t from_rate, int64_t to_rate);

  // Of a whole clip: samples * to_rate / from_rate, rounded up.
  int64_t output_count(int64_t samples) const;
  // Outputs that are certain once `samples` have come, in whole blocks.
  int64_t ready(int64_t samples) const;
  // The first input that output `output`, the first of a block, and all later ones read; may be
  // negative.
  int64_t first_sample(int64_t output) const;
  // Longest time from a sample to the output of its instant, in ms, when samples come one by one.
  double latency_ms() const;

  // Outputs [begin, end) of a clip whose samples [at, at + count) are at hand, and silence beyond;
  // `begin` is the first of a block.
  void compute(const float* samples, int64_t at, int64_t count, int64_t begin, int64_t end,
               float* out, ThreadPool* pool) const;

 private:
  struct Scratch;
  double tap(double seconds) const;  // the filter's impulse response
  void make_gains();
  void make_table();
  void blocks(const float* samples, int64_t at, int64_t count, int64_t begin, int64_t end,
              float* out) const;
  void one_by_one(const float* samples, int64_t at, int64_t count, int64_t begin, int64_t end,
                  float* out) const;

  int64_t from_rate_;
  int64_t to_rate_;
  int64_t down_;  // from_rate / their greatest common divisor
  int64_t up_;    // to_rate / that
  double cutoff_hz_;
  double half_length_s_;   // the filter ends here on both sides
  int64_t reach_ = 0;      // inputs that an output reads before and behind its place
  int64_t block_out_ = 1;  // outputs of a block, a multiple of up_
  // By transforms: block_in + 2 * reach inputs. Null: one by one.
  std::unique_ptr<Fft> forward_;
  std::unique_ptr<Fft> backward_;
  std::vector<float> gains_;
  // One by one: the impulse response at kPhases places between two inputs, taps_ each.
  std::vector<float> table_;
  size_t taps_ = 0;
};

// The same chunk by chunk, bit-equal to the whole. One caller at a time.
class ResampleStream {
 public:
  explicit ResampleStream(std::shared_ptr<const Resampler> resampler)
      : resampler_(std::move(resampler)) {}

  // Appends what is certain by now to `out`.
  void feed(const float* samples, size_t count, std::vector<float>* out);
  // The rest. The stream is as new after it.
  void finish(std::vector<float>* out);

  const Resampler& resampler() const { return *resampler_; }

 private:
  void compute_until(int64_t end, std::vector<float>* out);

  std::shared_ptr<const Resampler> resampler_;
  std::vector<float> held_;
  int64_t held_begin_ = 0;
  int64_t total_ = 0;
  int64_t made_ = 0;
};

}  // namespace affectrt
