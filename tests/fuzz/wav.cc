// A WAV image: its samples lie inside of it, and each of them becomes a number.
#include "audio/wav.h"

#include <vector>

#include "audio/samples.h"
#include "fuzz.h"

using namespace affectrt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::refusing([&] {
    const WavView wav = parse_wav({data, size}, "image");
    AFFECTRT_PROMISED(wav.channels > 0 && wav.sample_rate > 0);
    const uint64_t frame_bytes = bytes_per_sample(wav.format) * wav.channels;
    AFFECTRT_PROMISED(wav.frames <= size / frame_bytes);
    const uint64_t bytes = wav.frames * frame_bytes;
    AFFECTRT_PROMISED(wav.samples >= data && wav.samples + bytes <= data + size);
    const auto frames = static_cast<size_t>(wav.frames);
    std::vector<float> mixed(frames);
    mix_samples(wav.format, wav.samples, frames, wav.channels, mixed.data());
    check_samples(mixed.data(), frames, "image");
    for (const float sample : mixed) AFFECTRT_PROMISED(sample == sample);
  });
  return 0;
}
