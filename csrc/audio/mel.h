// Banks of triangular filters over the bins of a power spectrum, and the cosine transform of MFCCs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/signal.h"

namespace affectrt {

// Weighted sums of rows, with their memory.
class RowWeights {
 public:
  // The next output: weights of the rows from `first` on.
  void add(size_t first, const std::vector<float>& weights);
  size_t outputs() const { return first_.size(); }
  RowSums sums() const { return {first_.size(), first_.data(), count_.data(), weights_.data()}; }

 private:
  std::vector<uint32_t> first_;
  std::vector<uint32_t> count_;
  std::vector<float> weights_;
};

// Slaney's scale (linear to 1000 Hz, logarithmic above) with filters of area 1, straight in Hz, as
// librosa and Whisper have them: `mels` filters from 0 to sample_rate / 2.
RowWeights slaney_bank(size_t mels, double sample_rate, size_t fft_size);

// Kaldi's: mel = 1127 ln(1 + f / 700), filters of height 1, straight in mel; the bin of half the
// sample rate is left out.
RowWeights kaldi_bank(size_t mels, double sample_rate, size_t fft_size, double low_hz,
                      double high_hz);

// The first `outputs` rows of the orthonormal DCT-II of `inputs` values, row i times
// 1 + lifter / 2 * sin(pi i / lifter); no lifter: 0.
RowWeights cosine_transform(size_t outputs, size_t inputs, double lifter);

}  // namespace affectrt
