// Voice descriptors and their statistics: the extended Geneva minimalistic acoustic parameter set
// (eGeMAPS) from its publication, Eyben et al. 2016, "The Geneva Minimalistic Acoustic Parameter
// Set (GeMAPS) for voice research and affective computing", sections 3 and 4. Written from the
// definitions there; where they leave the method open it is named below, so that values are near to
// other programs' and not equal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "audio/pitch.h"

namespace affectrt {

enum Descriptor : size_t {
  kLoudness,    // Hermansky's auditory spectrum: 26 bands, equal loudness, cubic root, sum
  kAlphaRatio,  // dB of 1-5 kHz above 50-1000 Hz
  kHammarberg,  // dB of the peak in 0-2 kHz above that in 2-5 kHz
  kSlope500,    // dB / Hz over 0-500 Hz
  kSlope1500,   // dB / Hz over 500-1500 Hz
  kFlux,        // root mean square difference of two successive magnitude spectra
  kMfcc1,       // 26 bands of 20-8000 Hz, lifter 22
  kMfcc2,
  kMfcc3,
  kMfcc4,
  kPitch,    // semitones above 27.5 Hz; 0: unvoiced
  kJitter,   // mean difference of successive periods by their mean; 0: unvoiced, as all below
  kShimmer,  // dB, mean difference of successive peak-to-peak amplitudes
  kHnr,      // dB, from the autocorrelation at the period
  kH1H2,     // dB of the first harmonic above the second
  kH1A3,     // dB of the first harmonic above the strongest in the third formant
  kF1,       // Hz, bandwidth in Hz, dB of its strongest harmonic above the first
  kF1Bandwidth,
  kF1Amplitude,
  kF2,
  kF2Bandwidth,
  kF2Amplitude,
  kF3,
  kF3Bandwidth,
  kF3Amplitude,
  kDescriptors,
};

constexpr size_t kFunctionals = 88;

// The published names, in the order of Descriptor.
const char* const* descriptor_names();
// Those of the statistics, [kFunctionals].
const char* const* functional_names();

// Descriptors [frames, kDescriptors] of a clip at kProsodyRate, each smoothed over three frames; a
// frame every 10 ms, the first 30 ms into the clip, for as long as 60 ms fit around it.
std::vector<float> descriptors(const float* samples, int64_t count);
// How many frames that are.
constexpr int64_t descriptor_frames(int64_t count) {
  constexpr auto kLength = static_cast<int64_t>(kPitchLength);
  constexpr auto kShift = static_cast<int64_t>(kProsodyShift);
  return count < kLength ? 0 : (count - kLength) / kShift + 1;
}

// Of a clip; 0 of an empty one.
double mean_square(const float* samples, int64_t count);

// The 88 statistics of the descriptors of a clip whose samples have that mean square; 0 where there
// is nothing to take one of. In the order of functional_names().
void functionals(const std::vector<float>& values, double mean_square, double* out);

}  // namespace affectrt
