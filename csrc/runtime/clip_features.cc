#include "runtime/clip_features.h"

#include <algorithm>

#include "audio/samples.h"

namespace affectrt {
namespace {

FrameSettings settings_of(const AudioInput& input) {
  if (input.kind == FeatureKind::kWhisperLogMel) return whisper_settings(input.num_mels);
  KaldiOptions options;
  options.sample_rate = input.sample_rate;
  options.num_mels = input.num_mels;
  options.window = input.window;
  options.scale = double{input.scale};
  return kaldi_settings(options);
}

}  // namespace

// Convolutions over samples need some: 400 at 16 kHz in wav2vec 2.0 and its kin.
ClipFeatures::ClipFeatures(const AudioInput& input)
    : input_(input), least_samples_(input.sample_rate / 10) {
  if (input.kind != FeatureKind::kWaveform) frames_.emplace(settings_of(input));
}

int32_t ClipFeatures::compute(const float* samples, size_t count, ThreadPool* pool,
                              std::vector<float>* features) const {
  if (!frames_) {
    features->assign(samples, samples + count);
    features->resize(std::max(count, least_samples_), 0.0F);
    if (input_.normalise) normalise_waveform(features->data(), features->size(), features->data());
    return static_cast<int32_t>(features->size());
  }
  const bool whisper = input_.kind == FeatureKind::kWhisperLogMel;
  const FrameSettings& settings = frames_->settings();
  const auto given = static_cast<int64_t>(count);
  // Whisper hears the silence that a clip is filled up with; Kaldi's frames are filled up below.
  const auto least = static_cast<int64_t>(
      whisper ? size_t{std::max(input_.frames, 1U)} * settings.shift : settings.length);
  const int64_t total = std::max(given, least);
  ClipView clip{samples, 0, given, total};
  std::vector<float> filled;
  if (whisper && (input_.normalise || input_.silence_first)) {
    filled.resize(static_cast<size_t>(total), 0.0F);
    std::copy_n(samples, count, filled.begin() + (input_.silence_first ? total - given : 0));
    if (input_.normalise) normalise_waveform(filled.data(), filled.size(), filled.data());
    clip = {filled.data(), 0, total, total};
  }
  int64_t frames = frames_->frame_count(total);
  if (input_.frames != 0) frames = std::min<int64_t>(frames, input_.frames);
  features->resize(static_cast<size_t>(frames) * width());
  const float top =
      frames_->compute(clip, 0, frames, FrameFeatures::Layout::kFrameMajor, features->data(), pool);
  if (whisper) {
    normalise_log_mel(features->data(), features->size(), top);
    return static_cast<int32_t>(frames);
  }
  if (input_.frames != 0) {
    frames = input_.frames;
    features->resize(static_cast<size_t>(frames) * width(), 0.0F);
  }
  for (float& value : *features) value = (value - input_.mean) / input_.deviation;
  return static_cast<int32_t>(frames);
}

}  // namespace affectrt
