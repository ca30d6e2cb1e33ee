#include "audio/frame_features.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "audio/reflect.h"
#include "base/aligned_buffer.h"
#include "kernels/dispatch.h"

namespace affectrt {
namespace {

constexpr size_t kLanes = kFrameLanes;
constexpr float kNothing = -3.4e38F;

size_t round_up16(size_t n) { return (n + 15) / 16 * 16; }

}  // namespace

int64_t first_frame_begin(const FrameSettings& settings) {
  const auto length = static_cast<int64_t>(settings.length);
  if (settings.framing == Framing::kCentred) return -(length / 2);
  if (settings.framing == Framing::kKaldiCentred) {
    return static_cast<int64_t>(settings.shift) / 2 - length / 2;
  }
  return 0;
}

struct FrameFeatures::Scratch {
  Scratch(const FrameSettings& s, size_t bins, size_t columns)
      : samples((kLanes - 1) * s.shift + round_up16(s.length)),
        tile(std::max(s.fft_size, round_up16(s.length)) * kLanes),
        power(bins * kLanes),
        bands(s.bands.outputs() * kLanes),
        transformed(columns * kLanes) {}
  AlignedBuffer<float> samples;
  AlignedBuffer<float> tile;
  AlignedBuffer<float> power;
  AlignedBuffer<float> bands;
  AlignedBuffer<float> transformed;
  alignas(64) float energy[kLanes];
};

FrameFeatures::FrameFeatures(FrameSettings settings)
    : settings_(std::move(settings)),
      fft_(settings_.fft_size),
      kernels_(select_kernels("").signal()) {
  offset_ = first_frame_begin(settings_);
  const size_t transformed = settings_.transform.outputs();
  columns_ = transformed != 0 ? transformed : settings_.bands.outputs();
}

int64_t FrameFeatures::frame_count(int64_t samples) const {
  const auto shift = static_cast<int64_t>(settings_.shift);
  switch (settings_.framing) {
    case Framing::kWhole:
      return ready_frames(samples);
    case Framing::kCentred:
      return samples / shift;
    case Framing::kKaldiCentred:
      break;
  }
  return (samples + shift / 2) / shift;
}

int64_t FrameFeatures::ready_frames(int64_t samples) const {
  const int64_t behind_first = samples - offset_ - static_cast<int64_t>(settings_.length);
  if (behind_first < 0) return 0;
  // A reflected begin reads one sample more than the frame itself has.
  if (settings_.framing == Framing::kCentred && samples <= -offset_) return 0;
  return behind_first / static_cast<int64_t>(settings_.shift) + 1;
}

int64_t FrameFeatures::first_sample(int64_t frame) const {
  // A frame that reaches past the end reads at most its length before that, in the mirror.
  const int64_t mirrored =
      settings_.framing == Framing::kWhole ? 0 : static_cast<int64_t>(settings_.length);
  return std::max<int64_t>(0, start_of(frame) - mirrored);
}

const float* FrameFeatures::samples_of(const ClipView& clip, int64_t start, size_t frames,
                                       Scratch* scratch) const {
  const size_t whole = scratch->samples.size();
  if (start >= clip.begin && start + static_cast<int64_t>(whole) <= clip.end) {
    return clip.samples + (start - clip.begin);
  }
  float* out = scratch->samples.data();
  const size_t needed = (frames - 1) * settings_.shift + settings_.length;
  std::fill(out + needed, out + whole, 0.0F);
  const bool repeat = settings_.framing == Framing::kKaldiCentred;
  for (size_t i = 0; i < needed; ++i) {
    const int64_t at = reflect(start + static_cast<int64_t>(i), clip.total, repeat);
    out[i] = at < clip.end ? clip.samples[at - clip.begin] : 0.0F;
  }
  return out;
}

float FrameFeatures::compute_tiles(const ClipView& clip, int64_t begin, int64_t end, int64_t row,
                                   Layout layout, float* out, size_t stride,
                                   Scratch* scratch) const {
  const FrameShape shape{settings_.length,      settings_.shift,       settings_.fft_size,
                         settings_.remove_mean, settings_.preemphasis, settings_.window.data()};
  const RowSums bands = settings_.bands.sums();
  float top = kNothing;
  for (int64_t frame = begin; frame < end; frame += static_cast<int64_t>(kLanes)) {
    const auto frames = static_cast<size_t>(std::min<int64_t>(end - frame, kLanes));
    if (start_of(frame) >= clip.end &&
        clip.total - start_of(frame) >= static_cast<int64_t>((kLanes - 1) * settings_.shift +
                                                             settings_.length)) {  // zeros alone
      std::fill_n(scratch->bands.data(), scratch->bands.size(), 0.0F);
      std::fill_n(scratch->energy, kLanes, 0.0F);
    } else {
      const float* samples = samples_of(clip, start_of(frame), frames, scratch);
      kernels_.load_frames(shape, samples, scratch->tile.data(),
                           settings_.energy_first ? scratch->energy : nullptr);
      kernels_.fft_power(fft_.plan(), scratch->tile.data(), scratch->power.data());
      kernels_.sum_rows(bands, scratch->power.data(), scratch->bands.data());
    }
    if (frames < kLanes) {  // what else the tile has seen is no frame, and not to be the largest
      for (size_t band = 0; band < bands.outputs; ++band) {
        float* lanes = scratch->bands.data() + band * kLanes;
        std::fill(lanes + frames, lanes + kLanes, 0.0F);
      }
    }
    const float highest = kernels_.log_rows(scratch->bands.data(), bands.outputs, settings_.floor,
                                            settings_.log_scale);
    top = std::max(top, highest);
    const float* features = scratch->bands.data();
    if (settings_.transform.outputs() != 0) {
      features = scratch->transformed.data();
      kernels_.sum_rows(settings_.transform.sums(), scratch->bands.data(),
                        scratch->transformed.data());
    }
    if (settings_.energy_first) {
      for (float& energy : scratch->energy) energy *= settings_.energy_scale;
      kernels_.log_rows(scratch->energy, 1, settings_.floor, 1.0F);
      std::memcpy(scratch->transformed.data(), scratch->energy, sizeof scratch->energy);
    }
    const auto place = static_cast<size_t>(row + frame - begin);
    if (layout == Layout::kFrameMajor) {
      kernels_.store_frames(features, columns_, frames, out + place * stride, stride);
    } else {
      for (size_t c = 0; c < columns_; ++c) {
        std::memcpy(out + c * stride + place, features + c * kLanes, frames * sizeof(float));
      }
    }
  }
  return top;
}

float FrameFeatures::compute(const ClipView& clip, int64_t begin, int64_t end, Layout layout,
                             float* out, ThreadPool* pool) const {
  if (begin >= end) return kNothing;
  const auto count = static_cast<size_t>(end - begin);
  const size_t stride = layout == Layout::kFrameMajor ? columns_ : count;
  std::vector<float> tops(pool == nullptr ? 1 : static_cast<size_t>(pool->num_threads()), kNothing);
  const auto work = [&](Team& team) {
    size_t from = 0;
    size_t to = 0;
    team.share(count, kLanes, &from, &to);
    if (from >= to) return;
    Scratch scratch(settings_, fft_.bins(), columns_);
    tops[static_cast<size_t>(team.rank())] =
        compute_tiles(clip, begin + static_cast<int64_t>(from), begin + static_cast<int64_t>(to),
                      static_cast<int64_t>(from), layout, out, stride, &scratch);
  };
  if (pool == nullptr) {
    Team alone;
    work(alone);
  } else {
    pool->run(pool->num_threads(), work);
  }
  return *std::max_element(tops.begin(), tops.end());
}

int64_t FrameStream::compute_until(int64_t end, std::vector<float>* out) {
  const int64_t begin = next_frame_;
  if (end <= begin) return 0;
  const size_t old = out->size();
  out->resize(old + static_cast<size_t>(end - begin) * features_->columns());
  const ClipView clip{held_.data(), held_begin_, total_, total_};
  features_->compute(clip, begin, end, FrameFeatures::Layout::kFrameMajor, out->data() + old,
                     nullptr);
  next_frame_ = end;
  return end - begin;
}

int64_t FrameStream::feed(const float* samples, size_t count, std::vector<float>* out) {
  held_.insert(held_.end(), samples, samples + count);
  total_ += static_cast<int64_t>(count);
  const int64_t made = compute_until(features_->ready_frames(total_), out);
  const int64_t drop = std::min(features_->first_sample(next_frame_), total_) - held_begin_;
  // Moving the rest to the front costs little beside the frames that went.
  if (made > 0 && drop > 0) {
    held_.erase(held_.begin(), held_.begin() + drop);
    held_begin_ += drop;
  }
  return made;
}

int64_t FrameStream::finish(std::vector<float>* out) {
  const int64_t made = compute_until(features_->frame_count(total_), out);
  held_.clear();
  held_begin_ = total_ = next_frame_ = 0;
  return made;
}

}  // namespace affectrt
