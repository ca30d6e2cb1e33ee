// WAV files: RIFF, and RF64 for what is larger than 4 GiB; PCM of 8, 16, 24 and 32 bits, float of
// 32 and 64, each also as WAVE_FORMAT_EXTENSIBLE.
#pragma once

#include <cstdint>
#include <string>

#include "audio/samples.h"
#include "base/bytes.h"

namespace affectrt {

// Where the samples of a WAV image lie; a view of the bytes that were parsed.
struct WavView {
  SampleFormat format = SampleFormat::kS16;
  uint32_t channels = 0;
  uint32_t sample_rate = 0;          // Hz
  uint64_t frames = 0;               // samples a channel
  const uint8_t* samples = nullptr;  // [frames, channels], little-endian, interleaved
};

// Reads the header. The size in the RIFF header does not matter. A data chunk of size 0xFFFFFFFF,
// or of size 0 at the very end of the header, as programs write that stream to a pipe, means all
// that follows, less an incomplete last frame. Throws Error(kInput), with `origin`, for what is no
// WAV file, contradicts itself or ends before its data does, Error(kUnsupported) for other
// encodings.
WavView parse_wav(ByteView bytes, const std::string& origin);

}  // namespace affectrt
