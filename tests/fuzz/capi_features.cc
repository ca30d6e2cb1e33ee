// The features of the C interface: any options, any sound. What they give in chunks is what they
// give at once; what cannot be is a status with words.
#include <affectrt_features.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "sound.h"

using namespace affectrt::fuzz;

namespace {

bool succeeded(affectrt_status status) {
  AFFECTRT_PROMISED(status == AFFECTRT_OK || status == AFFECTRT_INPUT ||
                    status == AFFECTRT_UNSUPPORTED);
  if (status != AFFECTRT_OK) AFFECTRT_PROMISED(*affectrt_last_error() != '\0');
  return status == AFFECTRT_OK;
}

double number(Input* input) {
  static constexpr double kOdd[] = {0.0, -1.0, 1e300, -1e300, 1e-300, 0.5};
  const uint8_t byte = input->byte();
  if (byte < 6) return kOdd[byte];
  if (byte == 6) return std::numeric_limits<double>::quiet_NaN();
  return byte * (input->byte() % 2 == 0 ? 0.25 : 20.0);
}

affectrt_features* log_mel(Input* input) {
  affectrt_log_mel_options options = AFFECTRT_LOG_MEL_OPTIONS_INIT;
  options.num_mels = input->byte() * 2 - 2;
  options.raw = 1;
  options.feature_major = input->byte() & 1;
  options.pad_to_s = input->below(2) == 0 ? -1.0 : number(input) / 100.0;
  affectrt_features* made = nullptr;
  AFFECTRT_PROMISED(succeeded(affectrt_log_mel_create(&options, &made)) == (made != nullptr));
  return made;
}

affectrt_features* kaldi(Input* input, bool cepstral) {
  static constexpr const char* kWindows[] = {nullptr,       "povey",    "hamming", "hanning",
                                             "rectangular", "blackman", "sine",    "x"};
  affectrt_kaldi_options options = AFFECTRT_KALDI_OPTIONS_INIT;
  options.window = kWindows[input->below(8)];
  options.sample_rate = input->below(4) == 0 ? input->byte() * 100 : 0;
  options.num_mels = input->byte() - 1;
  options.num_ceps = input->byte() - 1;
  const uint8_t flags = input->byte();
  options.keep_dc_offset = flags & 1;
  options.mirror_edges = flags & 2;
  options.exact_transform = flags & 4;
  options.no_energy = flags & 8;
  options.frame_length_ms = number(input);
  options.frame_shift_ms = number(input);
  options.low_hz = number(input);
  options.high_hz = number(input);
  options.preemphasis = number(input) / 64.0;
  options.scale = number(input);
  options.lifter = number(input);
  affectrt_features* made = nullptr;
  const affectrt_status status =
      cepstral ? affectrt_mfcc_create(&options, &made) : affectrt_fbank_create(&options, &made);
  AFFECTRT_PROMISED(succeeded(status) == (made != nullptr));
  return made;
}

void read_all(affectrt_row_stream* stream, size_t columns, std::vector<float>* rows) {
  std::vector<float> some(columns * 7);
  size_t read = 1;
  while (read > 0) {
    AFFECTRT_PROMISED(succeeded(affectrt_row_stream_read(stream, some.data(), 7, &read)));
    rows->insert(rows->end(), some.begin(), some.begin() + static_cast<long>(read * columns));
  }
}

// All rows of the sound, cut at `cuts`; false where it is refused.
bool stream_through(affectrt_row_stream* stream, size_t columns, const std::vector<float>& sound,
                    std::string_view cuts, std::vector<float>* rows) {
  size_t at = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t rest = sound.size() - at;
    const size_t count =
        i == cuts.size() ? rest : std::min(rest, size_t{static_cast<uint8_t>(cuts[i])} * 16);
    if (!succeeded(affectrt_row_stream_feed(stream, sound.data() + at, count, nullptr))) {
      return false;
    }
    at += count;
    if (i % 2 == 0) read_all(stream, columns, rows);
  }
  AFFECTRT_PROMISED(succeeded(affectrt_row_stream_finish(stream, nullptr)));
  read_all(stream, columns, rows);
  return true;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

void compare(affectrt_features* features, const std::vector<float>& sound, std::string_view cuts,
             bool comparable) {
  affectrt_features_info info = AFFECTRT_FEATURES_INFO_INIT;
  AFFECTRT_PROMISED(succeeded(affectrt_features_get_info(features, &info)));
  AFFECTRT_PROMISED(info.columns > 0 && info.frame_shift > 0);
  size_t frames = 0;
  AFFECTRT_PROMISED(succeeded(affectrt_features_count_frames(features, sound.size(), &frames)));
  if (frames * info.columns > size_t{1} << 22U) return;
  std::vector<float> whole(frames * info.columns);
  const bool heard = succeeded(affectrt_features_compute(features, sound.data(), sound.size(), 1,
                                                         whole.data(), whole.size()));
  affectrt_row_stream* stream = nullptr;
  AFFECTRT_PROMISED(succeeded(affectrt_row_stream_of_features(features, 0, &stream)));
  std::vector<float> rows;
  const bool streamed = stream_through(stream, info.columns, sound, cuts, &rows);
  AFFECTRT_PROMISED(heard == streamed);
  if (heard && comparable) AFFECTRT_PROMISED(same(whole, rows));
  affectrt_row_stream_destroy(stream);
}

void listen(Input* input, const std::vector<float>& sound, std::string_view cuts) {
  affectrt_voice_options options = AFFECTRT_VOICE_OPTIONS_INIT;
  options.sample_rate = input->below(3) == 0 ? 8000 + input->byte() * 100 : 0;
  options.keep_probabilities = 1;
  options.onset = number(input) / 64.0;
  options.offset = number(input) / 64.0;
  options.min_speech_ms = number(input);
  options.min_silence_ms = number(input);
  options.padding_ms = number(input);
  options.max_segment_s = number(input);
  affectrt_voice_detector* detector = nullptr;
  if (!succeeded(affectrt_voice_detector_create(&options, &detector))) return;
  size_t at = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t rest = sound.size() - at;
    const size_t count = i == cuts.size() ? rest : std::min(rest, size_t{64} * i);
    succeeded(affectrt_voice_detector_feed(detector, sound.data() + at, count, nullptr, nullptr));
    at += count;
  }
  size_t waiting = 0;
  size_t probabilities = 0;
  AFFECTRT_PROMISED(succeeded(affectrt_voice_detector_finish(detector, &waiting, &probabilities)));
  std::vector<affectrt_voice_segment> segments(waiting);
  size_t read = 0;
  affectrt_voice_detector_read_segments(detector, segments.data(), waiting, &read);
  AFFECTRT_PROMISED(read == waiting);
  double last = 0.0;
  for (const affectrt_voice_segment& one : segments) {
    AFFECTRT_PROMISED(one.start_s >= last && one.end_s > one.start_s);
    last = one.end_s;
  }
  affectrt_voice_detector_destroy(detector);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const size_t kind = input.below(4);
  const std::string_view cuts = input.take(input.below(8));
  std::vector<float> sound;
  for (size_t i = input.below(6); i > 0 && !input.empty(); --i) extend(&input, &sound);
  if (kind == 3) {
    listen(&input, sound, cuts);
    return 0;
  }
  affectrt_features* features = kind == 0 ? log_mel(&input) : kaldi(&input, kind == 2);
  // Clips that are filled up, and columns before rows, are not as in streams.
  if (features != nullptr) compare(features, sound, cuts, kind != 0);
  affectrt_features_destroy(features);
  return 0;
}
