// Samples as they come to samples as features want them: float32, one channel, finite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace affectrt {

// How samples are stored. Integers map full scale to [-1, 1); u8 has its zero at 128.
enum class SampleFormat { kU8, kS16, kS24, kS32, kF32, kF64 };

size_t bytes_per_sample(SampleFormat format);

// `count` little-endian samples, at any alignment, to float32.
void decode_samples(SampleFormat format, const uint8_t* bytes, size_t count, float* out);

// The mean over the channels of interleaved samples [frames, channels] of any alignment, as
// float32.
void mix_samples(SampleFormat format, const uint8_t* bytes, size_t frames, size_t channels,
                 float* out);

// Throws Error(kInput), with the index of the first, when a sample is NaN or infinite or larger
// than 1e15, the square of which could not be summed. `origin` names the clip.
void check_samples(const float* samples, size_t count, const std::string& origin);

// 8000..192000, else Error(kInput).
void check_sample_rate(int64_t sample_rate, const std::string& name = "");

// out = (x - mean) / sqrt(variance + 1e-7), mean and variance of the whole clip: the input of
// wav2vec 2.0, HuBERT and WavLM with `do_normalize`. out may be samples.
void normalise_waveform(const float* samples, size_t count, float* out);

}  // namespace affectrt
