#include "audio/pitch.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "audio/fft.h"
#include "audio/frame_reader.h"
#include "base/aligned_buffer.h"
#include "kernels/dispatch.h"

namespace affectrt {
namespace {

// At least a frame and the longest period, so that the circular autocorrelation is the linear one.
constexpr size_t kFftSize = 1280;
constexpr double kLowestHz = 55.0;
constexpr double kHighestHz = 1000.0;
constexpr size_t kShortest = static_cast<size_t>(kProsodyRate / kHighestHz);
constexpr size_t kLongest = static_cast<size_t>(kProsodyRate / kLowestHz);
constexpr size_t kCandidates = 8;  // the unvoiced one first

// Boersma's parameters, in his units.
constexpr float kVoicingThreshold = 0.45F;
constexpr float kSilenceThreshold = 0.03F;
constexpr float kOctaveCost = 0.01F;
constexpr float kOctaveJumpCost = 0.35F;
constexpr float kVoicedUnvoicedCost = 0.14F;

struct Candidate {
  float octave;    // log2 of Hz; 0 for unvoiced
  float strength;  // with its costs
  float correlation;
};

struct Frame {
  Candidate candidates[kCandidates];
  size_t count;
  float rms;
};

// Maxima of the normalised autocorrelation `r` [kLongest + 2], the strongest of them.
void find_candidates(const float* r, Frame* frame) {
  frame->count = 1;
  for (size_t lag = kShortest; lag <= kLongest; ++lag) {
    if (!(r[lag] > 0.3F && r[lag] >= r[lag - 1] && r[lag] > r[lag + 1])) continue;
    // The top of the parabola through three points.
    const float slope = 0.5F * (r[lag + 1] - r[lag - 1]);
    const float bend = 2.0F * r[lag] - r[lag - 1] - r[lag + 1];
    const float shift = bend > 0.0F ? slope / bend : 0.0F;
    const float top = std::min(0.99999F, r[lag] + 0.5F * slope * shift);
    const float octave =
        std::log2(static_cast<float>(kProsodyRate) / (static_cast<float>(lag) + shift));
    const float strength = top - kOctaveCost * (std::log2(static_cast<float>(kHighestHz)) - octave);
    size_t place = frame->count;
    if (place == kCandidates) {
      const auto* weakest = std::min_element(
          frame->candidates + 1, frame->candidates + kCandidates,
          [](const Candidate& a, const Candidate& b) { return a.strength < b.strength; });
      if (weakest->strength >= strength) continue;
      place = static_cast<size_t>(weakest - frame->candidates);
    } else {
      ++frame->count;
    }
    frame->candidates[place] = {octave, strength, top};
  }
}

float transition_cost(const Candidate& a, const Candidate& b) {
  const bool voiced_a = a.octave > 0.0F;
  const bool voiced_b = b.octave > 0.0F;
  if (!voiced_a && !voiced_b) return 0.0F;
  if (voiced_a != voiced_b) return kVoicedUnvoicedCost;
  return kOctaveJumpCost * std::fabs(a.octave - b.octave);
}

std::vector<Pitch> best_path(const std::vector<Frame>& frames) {
  std::vector<uint8_t> back(frames.size() * kCandidates);
  float score[kCandidates] = {};
  for (size_t f = 0; f < frames.size(); ++f) {
    const Frame& frame = frames[f];
    float next[kCandidates] = {};
    for (size_t c = 0; c < frame.count; ++c) {
      float best = 0.0F;
      for (size_t p = 0; f > 0 && p < frames[f - 1].count; ++p) {
        const float total =
            score[p] - transition_cost(frames[f - 1].candidates[p], frame.candidates[c]);
        if (p == 0 || total > best) {
          best = total;
          back[f * kCandidates + c] = static_cast<uint8_t>(p);
        }
      }
      next[c] = best + frame.candidates[c].strength;
    }
    // Only differences matter; without this a float would run out of digits over hours.
    const float top = *std::max_element(next, next + frame.count);
    for (size_t c = 0; c < frame.count; ++c) score[c] = next[c] - top;
  }
  std::vector<Pitch> path(frames.size());
  size_t choice = 0;
  for (size_t f = frames.size(); f-- > 0;) {
    const Frame& frame = frames[f];
    if (f + 1 == frames.size()) {
      choice = static_cast<size_t>(std::max_element(score, score + frame.count) - score);
    } else {
      choice = back[(f + 1) * kCandidates + choice];
    }
    const Candidate& chosen = frame.candidates[choice];
    path[f].rms = frame.rms;
    if (choice == 0) continue;
    path[f].hz = std::exp2(chosen.octave);
    path[f].strength = chosen.correlation;
  }
  return path;
}

}  // namespace

std::vector<float> pitch_window() {
  std::vector<float> window(kPitchLength);
  const double middle = (static_cast<double>(kPitchLength) - 1.0) / 2;
  for (size_t i = 0; i < kPitchLength; ++i) {
    const double place = (static_cast<double>(i) - middle) / (0.4 * middle);
    window[i] = static_cast<float>(std::exp(-0.5 * place * place));
  }
  return window;
}

std::vector<Pitch> track_pitch(const float* samples, int64_t count) {
  const SignalKernels& k = select_kernels("").signal();
  const Fft fft(kFftSize);
  const std::vector<float> window = pitch_window();
  const FrameShape shape{kPitchLength, kProsodyShift, kFftSize, true, 0.0F, window.data()};
  FrameReader reader(samples, count, kPitchLength, kProsodyShift, 0);
  AlignedBuffer<float> tile(kFftSize * kFrameLanes);
  AlignedBuffer<float> power(fft.bins() * kFrameLanes);
  AlignedBuffer<float> spectrum(fft.bins() * 2 * kFrameLanes);
  alignas(64) float energy[kFrameLanes];

  // What the window alone does to the autocorrelation.
  std::vector<float> window_factor(kLongest + 2);
  for (size_t lag = 0; lag < window_factor.size(); ++lag) {
    double sum = 0.0;
    for (size_t i = 0; i + lag < kPitchLength; ++i) {
      sum += static_cast<double>(window[i]) * static_cast<double>(window[i + lag]);
    }
    window_factor[lag] = static_cast<float>(sum);
  }
  const float whole_window = window_factor.front();
  for (float& factor : window_factor) factor = whole_window / factor;

  std::vector<Frame> frames(static_cast<size_t>(reader.frames()));
  float loudest = 1e-9F;
  for (size_t first = 0; first < frames.size(); first += kFrameLanes) {
    k.load_frames(shape, reader.tile(static_cast<int64_t>(first)), tile.data(), energy);
    k.fft_power(fft.plan(), tile.data(), power.data());
    constexpr size_t kRowBytes = kFrameLanes * sizeof(float);
    std::memcpy(tile.data(), power.data(), fft.bins() * kRowBytes);
    for (size_t bin = 1; bin < kFftSize / 2; ++bin) {
      std::memcpy(tile.data() + (kFftSize - bin) * kFrameLanes, power.data() + bin * kFrameLanes,
                  kRowBytes);
    }
    k.fft(fft.plan(), tile.data(), spectrum.data());
    const size_t lanes = std::min(kFrameLanes, frames.size() - first);
    for (size_t lane = 0; lane < lanes; ++lane) {
      Frame& frame = frames[first + lane];
      float r[kLongest + 2];
      const float at_zero = spectrum.data()[lane];
      const float scale = at_zero > 0.0F ? 1.0F / at_zero : 0.0F;
      for (size_t lag = 0; lag < kLongest + 2; ++lag) {
        r[lag] = spectrum.data()[lag * 2 * kFrameLanes + lane] * scale * window_factor[lag];
      }
      find_candidates(r, &frame);
      frame.rms = std::sqrt(energy[lane] / static_cast<float>(kPitchLength));
      loudest = std::max(loudest, frame.rms);
    }
  }
  for (Frame& frame : frames) {
    const float silence =
        2.0F - frame.rms / loudest * (1.0F + kVoicingThreshold) / kSilenceThreshold;
    frame.candidates[0] = {0.0F, kVoicingThreshold + std::max(0.0F, silence), 0.0F};
  }
  return best_path(frames);
}

}  // namespace affectrt
