// WAV headers, samples, frames and the resampler: what Python's tests cannot see, and all of it
// under the sanitizers.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "audio/frame_features.h"
#include "audio/prosody.h"
#include "audio/resampler.h"
#include "audio/samples.h"
#include "audio/wav.h"
#include "base/error.h"

using namespace affectrt;

namespace {

void put(std::string* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) *out += static_cast<char>(value >> (8 * i) & 0xFF);
}

std::string wav_image(int channels, int bits, size_t frames, int tag = 1) {
  std::string data;
  for (size_t i = 0; i < frames * static_cast<size_t>(channels); ++i) {
    put(&data, i * 77777U, bits / 8);
  }
  std::string out = "RIFF";
  put(&out, 36 + data.size(), 4);
  out += "WAVEfmt ";
  put(&out, 16, 4);
  put(&out, static_cast<uint64_t>(tag), 2);
  put(&out, static_cast<uint64_t>(channels), 2);
  put(&out, 16000, 4);
  put(&out, static_cast<uint64_t>(16000 * channels * bits / 8), 4);
  put(&out, static_cast<uint64_t>(channels * bits / 8), 2);
  put(&out, static_cast<uint64_t>(bits), 2);
  out += "data";
  put(&out, data.size(), 4);
  return out + data;
}

WavView parse(const std::string& image) {
  return parse_wav({reinterpret_cast<const uint8_t*>(image.data()), image.size()}, "clip.wav");
}

std::vector<float> noise(size_t count) {
  std::mt19937 engine(11);
  std::normal_distribution<float> normal(0.0F, 0.1F);
  std::vector<float> x(count);
  for (float& v : x) v = normal(engine);
  return x;
}

}  // namespace

TEST_CASE("a WAV header, cut anywhere or with any byte changed, is read or refused") {
  const std::string good = wav_image(2, 16, 8);
  CHECK(parse(good).frames == 8);
  CHECK(parse(good).channels == 2);
  for (size_t size = 0; size < good.size(); ++size) {
    // A copy of its own, so that the sanitizer sees a read past its end.
    CHECK_THROWS_AS(parse(std::string(good, 0, size)), Error);
  }
  size_t read = 0;
  for (size_t at = 0; at < 44; ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bad = good;
      bad[at] = static_cast<char>(value);
      try {
        const WavView wav = parse(bad);
        std::vector<float> out(wav.frames);
        mix_samples(wav.format, wav.samples, out.size(), wav.channels, out.data());
        ++read;
      } catch (const Error& error) {
        CHECK(std::string(error.what()).find("clip.wav: ") == 0);
      }
    }
  }
  CHECK(read > 44);
}

TEST_CASE("each sample format has its full scale") {
  const auto decode = [](SampleFormat format, std::vector<uint8_t> bytes) {
    float out = 0.0F;
    decode_samples(format, bytes.data(), 1, &out);
    return out;
  };
  CHECK(decode(SampleFormat::kU8, {0}) == -1.0F);
  CHECK(decode(SampleFormat::kU8, {128}) == 0.0F);
  CHECK(decode(SampleFormat::kS16, {0, 0x80}) == -1.0F);
  CHECK(decode(SampleFormat::kS16, {0, 0x40}) == 0.5F);
  CHECK(decode(SampleFormat::kS24, {0, 0, 0x80}) == -1.0F);
  CHECK(decode(SampleFormat::kS24, {1, 0, 0}) == 1.0F / 8388608);
  CHECK(decode(SampleFormat::kS32, {0, 0, 0, 0xC0}) == -0.5F);
  CHECK(decode(SampleFormat::kF32, {0, 0, 0x80, 0x3F}) == 1.0F);
  CHECK(decode(SampleFormat::kF64, {0, 0, 0, 0, 0, 0, 0xF0, 0xBF}) == -1.0F);
  const uint8_t seven[7] = {128, 128, 128, 128, 128, 128, 198};
  float mixed = 0.0F;
  mix_samples(SampleFormat::kU8, seven, 1, 7, &mixed);
  CHECK(mixed == doctest::Approx(70.0 / 128 / 7));
}

TEST_CASE("samples that are no numbers are named") {
  std::vector<float> x = noise(10000);
  check_samples(x.data(), x.size(), "clip");
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 2e15F}) {
    x[7777] = bad;
    CHECK_THROWS_WITH_AS(check_samples(x.data(), x.size(), "clip"),
                         doctest::Contains("clip: sample 7777 is"), Error);
  }
}

TEST_CASE("streams equal whole clips to the bit, with any number of threads") {
  KaldiOptions options;
  options.snip_edges = false;
  KaldiOptions ceps = options;
  ceps.num_ceps = 13;
  ceps.snip_edges = true;
  const std::shared_ptr<const FrameFeatures> plans[] = {
      std::make_shared<FrameFeatures>(whisper_settings(80)),
      std::make_shared<FrameFeatures>(kaldi_settings(options)),
      std::make_shared<FrameFeatures>(kaldi_settings(ceps))};
  ThreadPool pool(3);
  for (const size_t samples : {0U, 1U, 2U, 159U, 160U, 201U, 399U, 400U, 561U, 4000U, 20001U}) {
    const std::vector<float> x = noise(samples);
    const auto count = static_cast<int64_t>(samples);
    for (const auto& plan : plans) {
      const int64_t frames = plan->frame_count(count);
      std::vector<float> whole(static_cast<size_t>(frames) * plan->columns());
      const ClipView clip{x.data(), 0, count, count};
      plan->compute(clip, 0, frames, FrameFeatures::Layout::kFrameMajor, whole.data(), &pool);
      for (const size_t chunk : {1U, 7U, 160U, 1000U}) {
        if (chunk == 1 && samples > 1000) continue;
        FrameStream stream(plan);
        std::vector<float> parts;
        for (size_t at = 0; at < samples; at += chunk) {
          stream.feed(x.data() + at, std::min(chunk, samples - at), &parts);
        }
        stream.finish(&parts);
        CHECK(parts == whole);
      }
    }
  }
}

TEST_CASE("resampling in chunks equals the whole to the bit") {
  const int64_t rates[][2] = {{48000, 16000}, {16000, 48000}, {44100, 16000},
                              {8000, 192000}, {8001, 16000},  {16000, 16000}};
  ThreadPool pool(3);
  for (const auto& pair : rates) {
    const auto resampler = std::make_shared<Resampler>(pair[0], pair[1]);
    for (const size_t samples : {0U, 1U, 100U, 5000U}) {
      const std::vector<float> x = noise(samples);
      const auto count = static_cast<int64_t>(samples);
      std::vector<float> whole(static_cast<size_t>(resampler->output_count(count)));
      resampler->compute(x.data(), 0, count, 0, static_cast<int64_t>(whole.size()), whole.data(),
                         &pool);
      for (const size_t chunk : {13U, 480U, 5000U}) {
        ResampleStream stream(resampler);
        std::vector<float> parts;
        for (size_t at = 0; at < samples; at += chunk) {
          stream.feed(x.data() + at, std::min(chunk, samples - at), &parts);
        }
        stream.finish(&parts);
        CHECK(parts == whole);
      }
    }
  }
  for (const int64_t rate : {0, -1, 7999, 192001}) CHECK_THROWS_AS(Resampler(rate, 16000), Error);
}

TEST_CASE("prosody of anything is finite, and of a tone its pitch") {
  std::vector<float> tone(16000);
  for (size_t i = 0; i < tone.size(); ++i) {
    const auto t = static_cast<float>(i) * 6.2831853F / 16000.0F;
    tone[i] = 0.1F * (std::sin(200.0F * t) + std::sin(400.0F * t) + std::sin(600.0F * t));
  }
  std::vector<float> clipped = noise(5000);
  for (float& v : clipped) v = v > 0.0F ? 1.0F : -1.0F;
  for (const auto& clip : {std::vector<float>{}, std::vector<float>(959), std::vector<float>(4000),
                           std::vector<float>(4000, 0.5F), clipped, noise(960), tone}) {
    const auto count = static_cast<int64_t>(clip.size());
    const std::vector<float> rows = descriptors(clip.data(), count);
    CHECK(rows.size() == (count < 960 ? 0U : (clip.size() - 960) / 160 + 1) * kDescriptors);
    for (const float value : rows) CHECK(std::isfinite(value));
    double statistics[kFunctionals];
    functionals(rows, 0.1, statistics);
    for (const double value : statistics) CHECK(std::isfinite(value));
  }
  const std::vector<float> rows = descriptors(tone.data(), 16000);
  for (size_t f = 2; f + 2 < rows.size() / kDescriptors; ++f) {
    CHECK(rows[f * kDescriptors + kPitch] ==
          doctest::Approx(12.0 * std::log2(200 / 27.5)).epsilon(0.002));
  }
}
