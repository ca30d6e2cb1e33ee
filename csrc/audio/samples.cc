#include "audio/samples.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/little_endian.h"

namespace affectrt {
namespace {

// One sample as a float, or as a double where float would round.
template <SampleFormat kFormat>
auto sample(const uint8_t* p) {
  if constexpr (kFormat == SampleFormat::kU8) {
    return static_cast<float>(static_cast<int32_t>(*p) - 128) * (1.0F / 128);
  } else if constexpr (kFormat == SampleFormat::kS16) {
    return static_cast<float>(static_cast<int16_t>(load_le16(p))) * (1.0F / 32768);
  } else if constexpr (kFormat == SampleFormat::kS24) {
    const uint32_t high = (static_cast<uint32_t>(p[0]) << 8U) |
                          (static_cast<uint32_t>(p[1]) << 16U) |
                          (static_cast<uint32_t>(p[2]) << 24U);
    return static_cast<float>(static_cast<int32_t>(high)) * (1.0F / 2147483648.0F);
  } else if constexpr (kFormat == SampleFormat::kS32) {
    return static_cast<float>(static_cast<int32_t>(load_le32(p))) * (1.0F / 2147483648.0F);
  } else if constexpr (kFormat == SampleFormat::kF32) {
    const uint32_t bits = load_le32(p);
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  } else {
    const uint64_t bits = load_le64(p);
    double x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  }
}

template <SampleFormat kFormat>
void mix(const uint8_t* bytes, size_t frames, size_t channels, float* out) {
  const size_t width = bytes_per_sample(kFormat);
  if (channels == 1) {
    for (size_t i = 0; i < frames; ++i)
      out[i] = static_cast<float>(sample<kFormat>(bytes + i * width));
    return;
  }
  const double scale = 1.0 / static_cast<double>(channels);
  for (size_t i = 0; i < frames; ++i) {
    double sum = 0.0;
    for (size_t c = 0; c < channels; ++c, bytes += width) {
      sum += static_cast<double>(sample<kFormat>(bytes));
    }
    out[i] = static_cast<float>(sum * scale);
  }
}

}  // namespace

size_t bytes_per_sample(SampleFormat format) {
  switch (format) {
    case SampleFormat::kU8:
      return 1;
    case SampleFormat::kS16:
      return 2;
    case SampleFormat::kS24:
      return 3;
    case SampleFormat::kS32:
    case SampleFormat::kF32:
      return 4;
    case SampleFormat::kF64:
      break;
  }
  return 8;
}

void mix_samples(SampleFormat format, const uint8_t* bytes, size_t frames, size_t channels,
                 float* out) {
  switch (format) {
    case SampleFormat::kU8:
      return mix<SampleFormat::kU8>(bytes, frames, channels, out);
    case SampleFormat::kS16:
      return mix<SampleFormat::kS16>(bytes, frames, channels, out);
    case SampleFormat::kS24:
      return mix<SampleFormat::kS24>(bytes, frames, channels, out);
    case SampleFormat::kS32:
      return mix<SampleFormat::kS32>(bytes, frames, channels, out);
    case SampleFormat::kF32:
      return mix<SampleFormat::kF32>(bytes, frames, channels, out);
    case SampleFormat::kF64:
      return mix<SampleFormat::kF64>(bytes, frames, channels, out);
  }
}

void decode_samples(SampleFormat format, const uint8_t* bytes, size_t count, float* out) {
  mix_samples(format, bytes, count, 1, out);
}

void check_samples(const float* samples, size_t count, const std::string& origin) {
  constexpr float kMost = 1e15F;
  constexpr size_t kBlock = 4096;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = count - begin < kBlock ? count : begin + kBlock;
    uint32_t bad = 0;
    for (size_t i = begin; i < end; ++i) {
      uint32_t bits;
      std::memcpy(&bits, samples + i, sizeof bits);
      constexpr uint32_t kMostBits = 0x58635FA9;  // 1e15
      bad |= static_cast<uint32_t>((bits & 0x7FFFFFFFU) > kMostBits);
    }
    if (bad == 0) continue;
    for (size_t i = begin; i < end; ++i) {
      if (std::fabs(samples[i]) <= kMost) continue;
      throw Error(ErrorKind::kInput, origin + ": sample " + std::to_string(i) + " is " +
                                         (std::isnan(samples[i])   ? "NaN"
                                          : std::isinf(samples[i]) ? "infinite"
                                                                   : "larger than 1e15") +
                                         "; finite numbers, usually within [-1, 1], are needed");
    }
  }
}

void check_sample_rate(int64_t sample_rate, const std::string& name) {
  if (sample_rate >= 8000 && sample_rate <= 192000) return;
  throw Error(ErrorKind::kInput, (name.empty() ? "" : name + ": ") + "sample rate " +
                                     std::to_string(sample_rate) +
                                     " Hz is not done; 8000 to 192000 Hz is");
}

void normalise_waveform(const float* samples, size_t count, float* out) {
  double sum = 0.0;
  for (size_t i = 0; i < count; ++i) sum += static_cast<double>(samples[i]);
  const double mean = count == 0 ? 0.0 : sum / static_cast<double>(count);
  double squares = 0.0;
  for (size_t i = 0; i < count; ++i) {
    const double d = static_cast<double>(samples[i]) - mean;
    squares += d * d;
  }
  const double variance = count == 0 ? 0.0 : squares / static_cast<double>(count);
  const double scale = 1.0 / std::sqrt(variance + 1e-7);
  for (size_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>((static_cast<double>(samples[i]) - mean) * scale);
  }
}

}  // namespace affectrt
