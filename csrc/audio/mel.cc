#include "audio/mel.h"

#include <algorithm>
#include <cmath>

namespace affectrt {
namespace {

constexpr double kPi = 3.141592653589793;

// O'Shaughnessy's and Slaney's scale: 3 mel for 200 Hz, from 1000 Hz on 27 for a factor of 6.4.
double slaney_mel(double hz) {
  return hz < 1000.0 ? hz * 3.0 / 200.0 : 15.0 + 27.0 * std::log(hz / 1000.0) / std::log(6.4);
}
double slaney_hz(double mel) {
  return mel < 15.0 ? mel * 200.0 / 3.0 : 1000.0 * std::exp((mel - 15.0) * std::log(6.4) / 27.0);
}
double kaldi_mel(double hz) { return 1127.0 * std::log1p(hz / 700.0); }

// One triangle over the places of the bins, times `height`.
void add_triangle(double left, double centre, double right, double height,
                  const std::vector<double>& places, RowWeights* bank) {
  std::vector<float> weights;
  size_t first = 0;
  for (size_t k = 0; k < places.size(); ++k) {
    const double up = (places[k] - left) / (centre - left);
    const double down = (right - places[k]) / (right - centre);
    const double weight = std::min(up, down);
    if (weight <= 0.0) continue;
    if (weights.empty()) first = k;
    weights.push_back(static_cast<float>(weight * height));
  }
  bank->add(first, weights);
}

}  // namespace

void RowWeights::add(size_t first, const std::vector<float>& weights) {
  first_.push_back(static_cast<uint32_t>(first));
  count_.push_back(static_cast<uint32_t>(weights.size()));
  weights_.insert(weights_.end(), weights.begin(), weights.end());
}

RowWeights slaney_bank(size_t mels, double sample_rate, size_t fft_size) {
  std::vector<double> bins(fft_size / 2 + 1);
  for (size_t k = 0; k < bins.size(); ++k) {
    bins[k] = static_cast<double>(k) * sample_rate / static_cast<double>(fft_size);
  }
  std::vector<double> edges(mels + 2);
  const double top = slaney_mel(sample_rate / 2);
  for (size_t i = 0; i < edges.size(); ++i) {
    edges[i] = slaney_hz(top * static_cast<double>(i) / static_cast<double>(mels + 1));
  }
  RowWeights bank;
  for (size_t m = 0; m < mels; ++m) {
    const double height = 2.0 / (edges[m + 2] - edges[m]);
    add_triangle(edges[m], edges[m + 1], edges[m + 2], height, bins, &bank);
  }
  return bank;
}

RowWeights kaldi_bank(size_t mels, double sample_rate, size_t fft_size, double low_hz,
                      double high_hz) {
  std::vector<double> bins(fft_size / 2);
  for (size_t k = 0; k < bins.size(); ++k) {
    bins[k] = kaldi_mel(static_cast<double>(k) * sample_rate / static_cast<double>(fft_size));
  }
  const double low = kaldi_mel(low_hz);
  const double step = (kaldi_mel(high_hz) - low) / static_cast<double>(mels + 1);
  RowWeights bank;
  for (size_t m = 0; m < mels; ++m) {
    const double left = low + step * static_cast<double>(m);
    add_triangle(left, left + step, left + 2 * step, 1.0, bins, &bank);
  }
  return bank;
}

RowWeights cosine_transform(size_t outputs, size_t inputs, double lifter) {
  RowWeights rows;
  const double n = static_cast<double>(inputs);
  for (size_t i = 0; i < outputs; ++i) {
    const double k = static_cast<double>(i);
    double scale = std::sqrt((i == 0 ? 1.0 : 2.0) / n);
    if (lifter > 0.0) scale *= 1.0 + 0.5 * lifter * std::sin(kPi * k / lifter);
    std::vector<float> weights(inputs);
    for (size_t j = 0; j < inputs; ++j) {
      weights[j] =
          static_cast<float>(scale * std::cos(kPi / n * k * (static_cast<double>(j) + 0.5)));
    }
    rows.add(0, weights);
  }
  return rows;
}

}  // namespace affectrt
