// Fundamental frequency by the autocorrelation of windowed frames and the best path through its
// maxima (Boersma 1993, "Accurate short-term analysis of the fundamental frequency and the
// harmonics-to-noise ratio of a sampled sound").
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace affectrt {

// All of prosody works at 16 kHz, on frames of 60 ms every 10 ms.
constexpr int64_t kProsodyRate = 16000;
constexpr size_t kPitchLength = 960;
constexpr size_t kProsodyShift = 160;

struct Pitch {
  float hz = 0.0F;        // 0: unvoiced
  float strength = 0.0F;  // normalised autocorrelation at the period, up to 1
  float rms = 0.0F;       // of the frame without its mean
};

// One for each whole frame of the clip.
std::vector<Pitch> track_pitch(const float* samples, int64_t count);

// The Gaussian window of the 60 ms frames, as wide as 0.4 of half a frame.
std::vector<float> pitch_window();

}  // namespace affectrt
