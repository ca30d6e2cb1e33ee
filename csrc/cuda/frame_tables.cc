#include "cuda/device_frames.h"

namespace affectrt {
namespace {

std::vector<uint32_t> starts_of(const RowSums& sums) {
  std::vector<uint32_t> starts(sums.outputs);
  uint32_t next = 0;
  for (size_t i = 0; i < sums.outputs; ++i) {
    starts[i] = next;
    next += sums.count[i];
  }
  return starts;
}

}  // namespace

FrameTables::FrameTables(const FrameSettings& settings)
    : settings_(settings),
      fft_(settings.fft_size),
      band_starts_(starts_of(settings.bands.sums())),
      transform_starts_(starts_of(settings.transform.sums())) {
  const FrameSettings& s = settings_;
  frames_.shape = {s.length,      s.shift,       s.fft_size,
                   s.remove_mean, s.preemphasis, s.window.empty() ? nullptr : s.window.data()};
  frames_.repeat_border = s.framing == Framing::kKaldiCentred;
  frames_.offset = first_frame_begin(s);
  frames_.fft = fft_.plan();
  frames_.bands = {s.bands.sums(), band_starts_.data()};
  frames_.transform = {s.transform.sums(), transform_starts_.data()};
  frames_.floor = s.floor;
  frames_.log_scale = s.log_scale;
  frames_.energy_first = s.energy_first;
  frames_.energy_scale = s.energy_scale;
}

}  // namespace affectrt
