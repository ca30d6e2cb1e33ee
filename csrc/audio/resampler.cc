#include "audio/resampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "audio/samples.h"
#include "kernels/dispatch.h"
#include "kernels/signal.h"

namespace affectrt {
namespace {

constexpr double kPi = 3.141592653589793;
constexpr double kStopBandDb = 136.0;  // 130 at the edge, where Kaiser's rule falls short
constexpr double kPassBand = 0.9125;   // of the lower Nyquist frequency; the stop band begins at 1
constexpr int64_t kMostPoints = 32768;
constexpr size_t kPhases = 1024;
constexpr int64_t kSingles = 256;  // outputs of a block where there are no transforms
constexpr auto kLanes = static_cast<int64_t>(kFrameLanes);

// Modified Bessel function of the first kind, order 0, by its series.
double bessel_i0(double x) {
  double sum = 1.0;
  double term = 1.0;
  for (int k = 1; term > sum * 1e-17; ++k) {
    const double factor = x / (2.0 * k);
    term *= factor * factor;
    sum += term;
  }
  return sum;
}

const SignalKernels& kernels() { return select_kernels("").signal(); }

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

struct Resampler::Scratch {
  Scratch(const Fft& forward, const Fft& backward, int64_t shift)
      : samples(static_cast<size_t>((kLanes - 1) * shift) + (forward.size() + 15) / 16 * 16),
        tile((std::max(forward.size(), backward.size()) + 16) * kFrameLanes),
        spectrum((std::max(forward.size(), backward.size()) + 2) * kFrameLanes) {}
  AlignedBuffer<float> samples;
  AlignedBuffer<float> tile;
  AlignedBuffer<float> spectrum;
};

Resampler::Resampler(int64_t from_rate, int64_t to_rate)
    : from_rate_(from_rate), to_rate_(to_rate) {
  check_sample_rate(from_rate);
  check_sample_rate(to_rate);
  const int64_t common = std::gcd(from_rate, to_rate);
  down_ = from_rate / common;
  up_ = to_rate / common;
  const double nyquist = 0.5 * static_cast<double>(std::min(from_rate, to_rate));
  cutoff_hz_ = nyquist * (1.0 + kPassBand) / 2;
  // Kaiser's rule for the length.
  half_length_s_ = (kStopBandDb - 7.95) / (14.36 * 2.0 * (1.0 - kPassBand) * nyquist);
  const auto needed =
      static_cast<int64_t>(std::ceil(half_length_s_ * static_cast<double>(from_rate))) + 1;
  // The smallest block of which at most two fifths overlap with its neighbours, in whole periods of
  // the two rates and of sizes that can be transformed.
  const int64_t overlap = ceil_divide(needed, down_);  // periods
  const int64_t least = std::max<int64_t>(2 * overlap + 1, 5 * overlap);
  const int64_t most = kMostPoints / std::max(up_, down_);
  for (int64_t periods = least; periods <= most; ++periods) {
    const auto in = static_cast<size_t>(periods * down_);
    const auto out = static_cast<size_t>(periods * up_);
    if (in < 128 || !Fft::can_transform(in) || !Fft::can_transform(out)) continue;
    reach_ = overlap * down_;
    block_out_ = (periods - 2 * overlap) * up_;
    forward_ = std::make_unique<Fft>(in);
    backward_ = std::make_unique<Fft>(out);
    make_gains();
    return;
  }
  reach_ = needed;
  block_out_ = kSingles;
  make_table();
}

double Resampler::tap(double seconds) const {
  const double place = seconds / half_length_s_;
  if (std::fabs(place) >= 1.0) return 0.0;
  const double beta = 0.1102 * (kStopBandDb - 8.7);
  const double window = bessel_i0(beta * std::sqrt(1.0 - place * place)) / bessel_i0(beta);
  const double angle = 2.0 * kPi * cutoff_hz_ * seconds;
  return 2.0 * cutoff_hz_ * window * (seconds == 0.0 ? 1.0 : std::sin(angle) / angle);
}

// The filter's response at the bins of the transforms: the cosine sum of its impulse response at
// the higher of the two rates, by a transform of that size.
void Resampler::make_gains() {
  const bool up = to_rate_ > from_rate_;
  const Fft& fft = up ? *backward_ : *forward_;
  const auto rate = static_cast<double>(up ? to_rate_ : from_rate_);
  const size_t size = fft.size();
  const auto half = static_cast<size_t>(half_length_s_ * rate);
  AlignedBuffer<float> tile(size * kFrameLanes);
  AlignedBuffer<float> spectrum((size + 2) * kFrameLanes);
  std::fill_n(tile.data(), tile.size(), 0.0F);
  double sum = 0.0;
  for (size_t i = 0; i <= half; ++i) {
    const double value = tap(static_cast<double>(i) / rate);
    sum += i == 0 ? value : 2 * value;
    tile.data()[i * kFrameLanes] = static_cast<float>(value);
    if (i != 0) tile.data()[(size - i) * kFrameLanes] = static_cast<float>(value);
  }
  kernels().fft(fft.plan(), tile.data(), spectrum.data());
  const size_t bins = std::min(forward_->size(), backward_->size()) / 2;
  for (size_t k = 0; k < bins; ++k) {
    const auto response = static_cast<double>(spectrum.data()[k * 2 * kFrameLanes]);
    gains_.push_back(static_cast<float>(response / sum / static_cast<double>(forward_->size())));
  }
}

void Resampler::make_table() {
  taps_ = (static_cast<size_t>(2 * reach_) + 15) / 16 * 16;
  const auto rate = static_cast<double>(from_rate_);
  // Phase p of the outputs that lie (p - 1) / kPhases behind an input; one more on either side for
  // the cubic.
  table_.resize((kPhases + 3) * taps_);
  for (size_t p = 0; p < kPhases + 3; ++p) {
    const double behind = (static_cast<double>(p) - 1.0) / static_cast<double>(kPhases);
    for (size_t i = 0; i < static_cast<size_t>(2 * reach_); ++i) {
      const double distance = static_cast<double>(i) - static_cast<double>(reach_ - 1) - behind;
      table_[p * taps_ + i] = static_cast<float>(tap(distance / rate) / rate);
    }
  }
}

int64_t Resampler::output_count(int64_t samples) const {
  // Within int64: a clip of 2^63 / 192000 samples would last years.
  return ceil_divide(samples * up_, down_);
}

int64_t Resampler::ready(int64_t samples) const {
  if (samples < reach_) return 0;
  return (samples - reach_) * up_ / down_ / block_out_ * block_out_;
}

int64_t Resampler::first_sample(int64_t output) const { return output * down_ / up_ - reach_; }

double Resampler::latency_ms() const {
  const double block = static_cast<double>(block_out_) / static_cast<double>(to_rate_);
  return 1e3 * (block + static_cast<double>(reach_) / static_cast<double>(from_rate_));
}

void Resampler::blocks(const float* samples, int64_t at, int64_t count, int64_t begin, int64_t end,
                       float* out) const {
  const SignalKernels& k = kernels();
  const int64_t shift = block_out_ / up_ * down_;
  const size_t out_size = backward_->size();
  Scratch scratch(*forward_, *backward_, shift);
  const auto whole = static_cast<int64_t>(scratch.samples.size());
  const FrameShape shape{
      forward_->size(), static_cast<size_t>(shift), forward_->size(), false, 0.0F, nullptr};
  const auto lead = static_cast<size_t>(reach_ / down_ * up_);
  const auto columns = static_cast<size_t>(block_out_);
  for (int64_t first = begin; first < end; first += kLanes * block_out_) {
    const int64_t start = first_sample(first) - at;  // among what is at hand
    const float* input = samples + start;
    if (start < 0 || start + whole > count) {
      const int64_t from = std::max<int64_t>(0, start);
      const int64_t to = std::min(count, start + whole);
      std::fill_n(scratch.samples.data(), whole, 0.0F);
      if (from < to)
        std::copy(samples + from, samples + to, scratch.samples.data() + (from - start));
      input = scratch.samples.data();
    }
    k.load_frames(shape, input, scratch.tile.data(), nullptr);
    k.fft(forward_->plan(), scratch.tile.data(), scratch.spectrum.data());
    k.to_hartley(scratch.spectrum.data(), gains_.data(), gains_.size(), out_size,
                 scratch.tile.data());
    k.fft(backward_->plan(), scratch.tile.data(), scratch.spectrum.data());
    k.from_hartley(scratch.spectrum.data(), out_size, scratch.tile.data());
    const int64_t left = end - first;
    const auto full = static_cast<size_t>(std::min(kLanes, left / block_out_));
    float* place = out + (first - begin);
    const float* rows = scratch.tile.data() + lead * kFrameLanes;
    k.store_frames(rows, columns, full, place, columns);
    if (full < kFrameLanes && left > static_cast<int64_t>(full) * block_out_) {  // the clip's end
      const auto rest = static_cast<size_t>(left) - full * columns;
      for (size_t i = 0; i < rest; ++i) place[full * columns + i] = rows[i * kFrameLanes + full];
    }
  }
}

void Resampler::one_by_one(const float* samples, int64_t at, int64_t count, int64_t begin,
                           int64_t end, float* out) const {
  const SignalKernels& k = kernels();
  AlignedBuffer<float> filter(taps_);
  AlignedBuffer<float> input(taps_);
  const auto width = static_cast<int64_t>(taps_);
  for (int64_t n = begin; n < end; ++n) {
    const int64_t place = n * down_;
    const double phase =
        static_cast<double>(place % up_) / static_cast<double>(up_) * static_cast<double>(kPhases);
    const auto whole = static_cast<size_t>(phase);
    const double t = phase - static_cast<double>(whole);
    // Lagrange's cubic through the phases at -1, 0, 1 and 2.
    const auto w0 = static_cast<float>(-t * (t - 1) * (t - 2) / 6);
    const auto w1 = static_cast<float>((t + 1) * (t - 1) * (t - 2) / 2);
    const auto w2 = static_cast<float>(-(t + 1) * t * (t - 2) / 2);
    const auto w3 = static_cast<float>((t + 1) * t * (t - 1) / 6);
    const float* row = table_.data() + whole * taps_;
    for (size_t i = 0; i < taps_; ++i) {
      filter.data()[i] =
          w0 * row[i] + w1 * row[taps_ + i] + w2 * row[2 * taps_ + i] + w3 * row[3 * taps_ + i];
    }
    const int64_t start = place / up_ - (reach_ - 1) - at;
    const float* read = samples + start;
    if (start < 0 || start + width > count) {
      const int64_t from = std::max<int64_t>(0, start);
      const int64_t to = std::min(count, start + width);
      std::fill_n(input.data(), taps_, 0.0F);
      if (from < to) std::copy(samples + from, samples + to, input.data() + (from - start));
      read = input.data();
    }
    out[n - begin] = k.dot(read, filter.data(), taps_);
  }
}

void Resampler::compute(const float* samples, int64_t at, int64_t count, int64_t begin, int64_t end,
                        float* out, ThreadPool* pool) const {
  if (begin >= end) return;
  if (up_ == down_) {
    for (int64_t n = begin; n < end; ++n) out[n - begin] = n - at < count ? samples[n - at] : 0.0F;
    return;
  }
  const auto work = [&](Team& team) {
    size_t from = 0;
    size_t to = 0;
    team.share(static_cast<size_t>(end - begin), static_cast<size_t>(block_out_ * kLanes), &from,
               &to);
    if (from >= to) return;
    const auto first = begin + static_cast<int64_t>(from);
    const auto last = begin + static_cast<int64_t>(to);
    if (forward_ != nullptr) {
      blocks(samples, at, count, first, last, out + from);
    } else {
      one_by_one(samples, at, count, first, last, out + from);
    }
  };
  if (pool == nullptr) {
    Team alone;
    work(alone);
  } else {
    pool->run(pool->num_threads(), work);
  }
}

void ResampleStream::compute_until(int64_t end, std::vector<float>* out) {
  if (end <= made_) return;
  const size_t old = out->size();
  out->resize(old + static_cast<size_t>(end - made_));
  resampler_->compute(held_.data(), held_begin_, static_cast<int64_t>(held_.size()), made_, end,
                      out->data() + old, nullptr);
  made_ = end;
}

void ResampleStream::feed(const float* samples, size_t count, std::vector<float>* out) {
  held_.insert(held_.end(), samples, samples + count);
  total_ += static_cast<int64_t>(count);
  const int64_t before = made_;
  compute_until(resampler_->ready(total_), out);
  const int64_t drop = std::min(resampler_->first_sample(made_), total_) - held_begin_;
  if (made_ > before && drop > 0) {
    held_.erase(held_.begin(), held_.begin() + drop);
    held_begin_ += drop;
  }
}

void ResampleStream::finish(std::vector<float>* out) {
  compute_until(resampler_->output_count(total_), out);
  held_.clear();
  held_begin_ = total_ = made_ = 0;
}

}  // namespace affectrt
