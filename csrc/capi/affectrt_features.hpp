// affectrt_features for C++17: the functions of affectrt_features.h with objects that give
// themselves back. Header only; failures are thrown as affectrt::Error.
#ifndef AFFECTRT_FEATURES_HPP
#define AFFECTRT_FEATURES_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "affectrt.hpp"
#include "affectrt_features.h"

namespace affectrt {
inline namespace c_api_1 {

// Rows of values, one behind the other.
struct Rows {
  std::vector<float> values;  // [rows, columns]
  size_t columns = 1;

  size_t rows() const { return values.size() / columns; }
  const float* operator[](size_t row) const { return values.data() + row * columns; }
};

// How to make features; any number of threads may use one.
class Features {
 public:
  static Features log_mel(const affectrt_log_mel_options* options = nullptr) {
    return made(affectrt_log_mel_create, options);
  }
  static Features fbank(const affectrt_kaldi_options* options = nullptr) {
    return made(affectrt_fbank_create, options);
  }
  static Features mfcc(const affectrt_kaldi_options* options = nullptr) {
    return made(affectrt_mfcc_create, options);
  }

  affectrt_features_info info() const {
    affectrt_features_info filled = AFFECTRT_FEATURES_INFO_INIT;
    detail::check(affectrt_features_get_info(handle_.get(), &filled));
    return filled;
  }
  // Of a whole clip; where the options say feature_major, `values` is [columns, rows].
  Rows compute(const float* samples, size_t count, int32_t num_threads = 1) const {
    size_t frames = 0;
    detail::check(affectrt_features_count_frames(handle_.get(), count, &frames));
    Rows rows;
    rows.columns = info().columns;
    rows.values.resize(frames * rows.columns);
    detail::check(affectrt_features_compute(handle_.get(), samples, count, num_threads,
                                            rows.values.data(), rows.values.size()));
    return rows;
  }
  const affectrt_features* raw() const { return handle_.get(); }

 private:
  template <class Create, class Options>
  static Features made(Create create, const Options* options) {
    affectrt_features* handle = nullptr;
    detail::check(create(options, &handle));
    return Features(handle);
  }
  explicit Features(affectrt_features* handle) : handle_(handle) {}
  detail::Handle<affectrt_features, affectrt_features_destroy> handle_;
};

// One sample rate to another; any number of threads may use one.
class Resampler {
 public:
  Resampler(int32_t from_rate, int32_t to_rate) {
    affectrt_resampler* made = nullptr;
    detail::check(affectrt_resampler_create(from_rate, to_rate, &made));
    handle_.reset(made);
  }
  std::vector<float> compute(const float* samples, size_t count, int32_t num_threads = 1) const {
    size_t outputs = 0;
    detail::check(affectrt_resampler_count(handle_.get(), count, &outputs));
    std::vector<float> resampled(outputs);
    detail::check(affectrt_resampler_compute(handle_.get(), samples, count, num_threads,
                                             resampled.data(), resampled.size()));
    return resampled;
  }
  const affectrt_resampler* raw() const { return handle_.get(); }

 private:
  detail::Handle<affectrt_resampler, affectrt_resampler_destroy> handle_;
};

// Sound as it comes to rows, bit-equal to those of the whole; one call at a time may use it.
class RowStream {
 public:
  // `sample_rate` of the sound; 0: that of the features.
  explicit RowStream(const Features& features, int32_t sample_rate = 0)
      : columns_(features.info().columns) {
    affectrt_row_stream* made = nullptr;
    detail::check(affectrt_row_stream_of_features(features.raw(), sample_rate, &made));
    handle_.reset(made);
  }
  explicit RowStream(const Resampler& resampler) {
    affectrt_row_stream* made = nullptr;
    detail::check(affectrt_row_stream_of_resampler(resampler.raw(), &made));
    handle_.reset(made);
  }

  // What the samples complete.
  Rows feed(const float* samples, size_t count) {
    size_t ready = 0;
    detail::check(affectrt_row_stream_feed(handle_.get(), samples, count, &ready));
    return taken(ready);
  }
  // What only the end completes; the stream is as new after it.
  Rows finish() {
    size_t ready = 0;
    detail::check(affectrt_row_stream_finish(handle_.get(), &ready));
    return taken(ready);
  }

 private:
  Rows taken(size_t ready) {
    Rows rows;
    rows.columns = columns_;
    rows.values.resize(ready * columns_);
    size_t read = 0;
    detail::check(affectrt_row_stream_read(handle_.get(), rows.values.data(), ready, &read));
    return rows;
  }

  size_t columns_ = 1;
  detail::Handle<affectrt_row_stream, affectrt_row_stream_destroy> handle_;
};

// Voice descriptors of a clip at 16 kHz and their statistics.
struct Prosody {
  Rows frames;
  std::array<double, AFFECTRT_PROSODY_FUNCTIONALS> functionals = {};

  static Prosody of(const float* samples, size_t count) {
    size_t rows = 0;
    detail::check(affectrt_prosody_count_frames(count, &rows));
    Prosody made;
    made.frames.columns = AFFECTRT_PROSODY_DESCRIPTORS;
    made.frames.values.resize(rows * made.frames.columns);
    detail::check(affectrt_prosody_compute(samples, count, made.frames.values.data(),
                                           made.frames.values.size(), made.functionals.data()));
    return made;
  }
};

// Where somebody speaks, as the sound comes; one call at a time may use it.
class VoiceDetector {
 public:
  explicit VoiceDetector(const affectrt_voice_options* options = nullptr) {
    affectrt_voice_detector* made = nullptr;
    detail::check(affectrt_voice_detector_create(options, &made));
    handle_.reset(made);
  }

  std::vector<affectrt_voice_segment> feed(const float* samples, size_t count) {
    size_t waiting = 0;
    detail::check(affectrt_voice_detector_feed(handle_.get(), samples, count, &waiting, nullptr));
    return taken(waiting);
  }
  std::vector<affectrt_voice_segment> finish() {
    size_t waiting = 0;
    detail::check(affectrt_voice_detector_finish(handle_.get(), &waiting, nullptr));
    return taken(waiting);
  }
  affectrt_voice_detector* raw() const { return handle_.get(); }

 private:
  std::vector<affectrt_voice_segment> taken(size_t waiting) {
    std::vector<affectrt_voice_segment> segments(waiting);
    size_t read = 0;
    detail::check(
        affectrt_voice_detector_read_segments(handle_.get(), segments.data(), waiting, &read));
    return segments;
  }
  detail::Handle<affectrt_voice_detector, affectrt_voice_detector_destroy> handle_;
};

// As affectrt_fuse(); either may be null.
inline affectrt_fused fuse(const Answer* words, const Answer* voice) {
  affectrt_fused fused = AFFECTRT_FUSED_INIT;
  detail::check(affectrt_fuse(words == nullptr ? nullptr : words->raw(),
                              voice == nullptr ? nullptr : voice->raw(), &fused));
  return fused;
}

}  // namespace c_api_1
}  // namespace affectrt

#endif  // AFFECTRT_FEATURES_HPP
