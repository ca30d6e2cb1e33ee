// Whole clips to features, and to other sample rates.
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/frame_features.h"
#include "audio/prosody.h"
#include "base/thread_pool.h"
#include "capi/call.h"
#include "capi/handles.h"
#include "engine/chunks.h"

namespace affectrt {
namespace {

constexpr size_t kFirstLogMel = sizeof(affectrt_log_mel_options);
constexpr size_t kFirstKaldi = sizeof(affectrt_kaldi_options);
constexpr size_t kFirstInfo = sizeof(affectrt_features_info);
constexpr int64_t kWhisperRate = 16000;

std::unique_ptr<ThreadPool> pool_of(int32_t num_threads) {
  const int threads = native_thread_count(num_threads);
  return threads == 1 ? nullptr : std::make_unique<ThreadPool>(threads);
}

size_t count_option(int32_t value, int32_t otherwise, const char* name) {
  if (value < 0) {
    throw Error(ErrorKind::kInput, std::string("options.") + name + " is " + std::to_string(value) +
                                       "; 0 (the default) or more is possible");
  }
  return static_cast<size_t>(value == 0 ? otherwise : value);
}

FrameFeatures::Layout layout_of(int32_t feature_major) {
  return feature_major != 0 ? FrameFeatures::Layout::kFeatureMajor
                            : FrameFeatures::Layout::kFrameMajor;
}

KaldiOptions kaldi_options(const affectrt_kaldi_options& from, bool cepstral) {
  KaldiOptions options;
  if (from.sample_rate != 0) options.sample_rate = from.sample_rate;
  options.num_mels = count_option(from.num_mels, cepstral ? 23 : 80, "num_mels");
  const size_t num_ceps = count_option(from.num_ceps, 13, "num_ceps");
  options.num_ceps = cepstral ? num_ceps : 0;
  if (from.window != nullptr) options.window = from.window;
  options.remove_mean = from.keep_dc_offset == 0;
  options.snip_edges = from.mirror_edges == 0;
  options.round_to_power_of_two = from.exact_transform == 0;
  options.use_energy = from.no_energy == 0;
  read_option(from.frame_length_ms, &options.frame_length_ms);
  read_option(from.frame_shift_ms, &options.frame_shift_ms);
  read_option(from.low_hz, &options.low_hz);
  options.high_hz = from.high_hz;
  read_option(from.preemphasis, &options.preemphasis);
  read_option(from.scale, &options.scale);
  read_option(from.lifter, &options.lifter);
  if (!std::isfinite(options.lifter)) {
    throw Error(ErrorKind::kInput, "options.lifter is not finite");
  }
  return options;
}

affectrt_features* made_features(FrameSettings settings) {
  auto made = std::make_unique<affectrt_features>();
  made->features = std::make_shared<const FrameFeatures>(std::move(settings));
  return made.release();
}

affectrt_features* made_kaldi(const affectrt_kaldi_options* given_options, bool cepstral) {
  const auto from = read_struct(given_options, kFirstKaldi, "options");
  const KaldiOptions options = kaldi_options(from, cepstral);
  affectrt_features* made = made_features(kaldi_settings(options));
  made->sample_rate = options.sample_rate;
  made->layout = layout_of(from.feature_major);
  return made;
}

// Samples of the clip, with those that it is filled up with.
int64_t whole_length(const affectrt_features& with, size_t count) {
  return with.pad_to > 0 ? with.pad_to : clip_length(count);
}

int64_t frames_of(const affectrt_features& with, size_t count) {
  const int64_t length = whole_length(with, count);
  return length == 0 ? 0 : with.features->frame_count(length);
}

}  // namespace

int64_t clip_length(size_t count) {
  // Far below the limit of what is computed of it.
  if (count > static_cast<size_t>(INT64_MAX >> 24U)) {
    throw Error(ErrorKind::kInput, std::to_string(count) + " samples are too many at once");
  }
  return static_cast<int64_t>(count);
}

void check_clip(const float* samples, size_t count) {
  clip_length(count);
  if (count > 0) check_samples(&given(samples, "samples"), count, "samples");
}

void check_room(size_t room, size_t rows, size_t columns) {
  if (columns != 0 && room / columns >= rows) return;
  throw Error(ErrorKind::kInput, "room is " + std::to_string(room) + " values; " +
                                     std::to_string(rows) + " rows of " + std::to_string(columns) +
                                     " need more");
}

}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_sound_mix(int32_t format, const void* samples, size_t frames,
                                   int32_t channels, float* out) noexcept {
  return guarded([&] {
    const SampleFormat from = sample_format(format, "format");
    if (channels < 1 || channels > 64) {
      throw Error(ErrorKind::kInput,
                  "channels is " + std::to_string(channels) + "; 1 to 64 are mixed");
    }
    clip_length(frames);
    if (frames == 0) return;
    given(static_cast<const uint8_t*>(samples), "samples");
    mix_samples(from, static_cast<const uint8_t*>(samples), frames, static_cast<size_t>(channels),
                &given(out, "out"));
  });
}

affectrt_status affectrt_normalise_waveform(const float* samples, size_t count,
                                            float* out) noexcept {
  return guarded([&] {
    check_clip(samples, count);
    if (count > 0) normalise_waveform(samples, count, &given(out, "out"));
  });
}

affectrt_status affectrt_log_mel_create(const affectrt_log_mel_options* given_options,
                                        affectrt_features** out) noexcept {
  return guarded([&] {
    affectrt_features*& features = emptied(out);
    const auto from = read_struct(given_options, kFirstLogMel, "options");
    check_reserved(from.reserved, "options");
    double seconds = 30.0;
    read_option(from.pad_to_s, &seconds);
    if (seconds != 0.0 && !(seconds >= 0.01 && seconds <= 3600.0)) {
      throw Error(ErrorKind::kInput,
                  "options.pad_to_s is " + std::to_string(seconds) +
                      "; 0.01 to 3600 seconds are possible, 0 for 30, or less for none");
    }
    affectrt_features* made =
        made_features(whisper_settings(count_option(from.num_mels, 80, "num_mels")));
    made->is_log_mel = true;
    made->raw = from.raw != 0;
    made->pad_to = std::llround(seconds * static_cast<double>(kWhisperRate));
    made->sample_rate = kWhisperRate;
    made->layout = layout_of(from.feature_major);
    features = made;
  });
}

affectrt_status affectrt_fbank_create(const affectrt_kaldi_options* options,
                                      affectrt_features** out) noexcept {
  return guarded([&] {
    affectrt_features*& features = emptied(out);
    features = made_kaldi(options, false);
  });
}

affectrt_status affectrt_mfcc_create(const affectrt_kaldi_options* options,
                                     affectrt_features** out) noexcept {
  return guarded([&] {
    affectrt_features*& features = emptied(out);
    features = made_kaldi(options, true);
  });
}

void affectrt_features_destroy(affectrt_features* features) noexcept { delete features; }

affectrt_status affectrt_features_get_info(const affectrt_features* features,
                                           affectrt_features_info* info) noexcept {
  return guarded([&] {
    const affectrt_features& of = given(features, "features");
    affectrt_features_info filled = {};
    filled.columns = of.features->columns();
    filled.sample_rate = static_cast<int32_t>(of.sample_rate);
    filled.frame_length = static_cast<uint32_t>(of.features->settings().length);
    filled.frame_shift = static_cast<uint32_t>(of.features->settings().shift);
    write_struct(info, filled, kFirstInfo, "info");
  });
}

affectrt_status affectrt_features_count_frames(const affectrt_features* features, size_t count,
                                               size_t* frames) noexcept {
  return guarded([&] {
    const affectrt_features& with = given(features, "features");
    given(frames, "frames") = static_cast<size_t>(frames_of(with, count));
  });
}

affectrt_status affectrt_features_compute(const affectrt_features* features, const float* samples,
                                          size_t count, int32_t num_threads, float* out,
                                          size_t room) noexcept {
  return guarded([&] {
    const affectrt_features& with = given(features, "features");
    check_clip(samples, count);
    const int64_t frames = frames_of(with, count);
    check_room(room, static_cast<size_t>(frames), with.features->columns());
    const std::unique_ptr<ThreadPool> pool = pool_of(num_threads);
    if (frames == 0) return;
    const int64_t length = whole_length(with, count);
    const ClipView clip{samples, 0, std::min(clip_length(count), length), length};
    const float top =
        with.features->compute(clip, 0, frames, with.layout, &given(out, "out"), pool.get());
    if (with.is_log_mel && !with.raw) {
      normalise_log_mel(out, static_cast<size_t>(frames) * with.features->columns(), top);
    }
  });
}

affectrt_status affectrt_resampler_create(int32_t from_rate, int32_t to_rate,
                                          affectrt_resampler** out) noexcept {
  return guarded([&] {
    affectrt_resampler*& resampler = emptied(out);
    auto made = std::make_unique<affectrt_resampler>();
    made->resampler = std::make_shared<const Resampler>(from_rate, to_rate);
    resampler = made.release();
  });
}

void affectrt_resampler_destroy(affectrt_resampler* resampler) noexcept { delete resampler; }

affectrt_status affectrt_resampler_count(const affectrt_resampler* resampler, size_t count,
                                         size_t* resampled) noexcept {
  return guarded([&] {
    const Resampler& with = *given(resampler, "resampler").resampler;
    given(resampled, "resampled") = static_cast<size_t>(with.output_count(clip_length(count)));
  });
}

affectrt_status affectrt_resampler_compute(const affectrt_resampler* resampler,
                                           const float* samples, size_t count, int32_t num_threads,
                                           float* out, size_t room) noexcept {
  return guarded([&] {
    const Resampler& with = *given(resampler, "resampler").resampler;
    check_clip(samples, count);
    const int64_t length = clip_length(count);
    const int64_t outputs = with.output_count(length);
    check_room(room, static_cast<size_t>(outputs), 1);
    const std::unique_ptr<ThreadPool> pool = pool_of(num_threads);
    if (outputs == 0) return;
    with.compute(samples, 0, length, 0, outputs, &given(out, "out"), pool.get());
  });
}

affectrt_status affectrt_prosody_get_names(const char* const** descriptors,
                                           const char* const** functionals) noexcept {
  return guarded([&] {
    if (descriptors != nullptr) *descriptors = descriptor_names();
    if (functionals != nullptr) *functionals = functional_names();
  });
}

affectrt_status affectrt_prosody_count_frames(size_t count, size_t* frames) noexcept {
  return guarded([&] {
    given(frames, "frames") = static_cast<size_t>(descriptor_frames(clip_length(count)));
  });
}

affectrt_status affectrt_prosody_compute(const float* samples, size_t count, float* descriptors,
                                         size_t room, double* functionals) noexcept {
  static_assert(size_t{kDescriptors} == size_t{AFFECTRT_PROSODY_DESCRIPTORS},
                "columns of descriptors");
  static_assert(kFunctionals == size_t{AFFECTRT_PROSODY_FUNCTIONALS}, "statistics of a clip");
  return guarded([&] {
    check_clip(samples, count);
    const int64_t length = clip_length(count);
    if (descriptors != nullptr) {
      check_room(room, static_cast<size_t>(descriptor_frames(length)), kDescriptors);
    }
    const std::vector<float> rows = affectrt::descriptors(samples, length);
    if (descriptors != nullptr) std::copy(rows.begin(), rows.end(), descriptors);
    if (functionals != nullptr)
      affectrt::functionals(rows, mean_square(samples, length), functionals);
  });
}

}  // extern "C"
