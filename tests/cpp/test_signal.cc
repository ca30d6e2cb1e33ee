// Kernels of sound features on every instruction set of this CPU: against sums in double, and the
// SIMD bodies against each other to the bit.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "audio/fft.h"
#include "base/aligned_buffer.h"
#include "base/error.h"
#include "kernels/dispatch.h"

using namespace affectrt;

namespace {

constexpr double kTwoPi = 6.283185307179586;

std::vector<float> noise(size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& v : x) v = normal(engine);
  return x;
}

AlignedBuffer<float> aligned(const std::vector<float>& x) {
  AlignedBuffer<float> buffer(x.size());
  std::memcpy(buffer.data(), x.data(), x.size() * sizeof(float));
  return buffer;
}

// The results of a kernel on all instruction sets; the SIMD ones have to be equal.
template <class Run>
std::vector<std::vector<float>> on_all(const Run& run) {
  std::vector<std::vector<float>> results;
  std::vector<float> first_simd;
  for (const Kernels* kernels : available_kernels()) {
    results.push_back(run(kernels->signal()));
    if (std::string(kernels->isa) == "scalar") continue;
    if (first_simd.empty()) first_simd = results.back();
    CHECK(std::memcmp(first_simd.data(), results.back().data(),
                      first_simd.size() * sizeof(float)) == 0);
  }
  return results;
}

}  // namespace

TEST_CASE("transforms of every factor agree with the definition, on every lane") {
  for (const size_t size :
       {4U, 6U, 8U, 10U, 14U, 30U, 42U, 64U, 98U, 140U, 210U, 400U, 512U, 630U}) {
    const Fft fft(size);
    const std::vector<float> x = noise(size * kFrameLanes, static_cast<unsigned>(size));
    const auto spectra = on_all([&](const SignalKernels& k) {
      AlignedBuffer<float> tile = aligned(x);
      AlignedBuffer<float> out(fft.bins() * 2 * kFrameLanes);
      k.fft(fft.plan(), tile.data(), out.data());
      return std::vector<float>(out.data(), out.data() + out.size());
    });
    const auto powers = on_all([&](const SignalKernels& k) {
      AlignedBuffer<float> tile = aligned(x);
      AlignedBuffer<float> out(fft.bins() * kFrameLanes);
      k.fft_power(fft.plan(), tile.data(), out.data());
      return std::vector<float>(out.data(), out.data() + out.size());
    });
    const double tolerance = 3e-6 * std::sqrt(static_cast<double>(size));
    for (const size_t lane : {0U, 5U, 15U}) {
      for (size_t k = 0; k < fft.bins(); ++k) {
        std::complex<double> sum = 0.0;
        for (size_t n = 0; n < size; ++n) {
          const double angle =
              -kTwoPi * static_cast<double>(k * n % size) / static_cast<double>(size);
          sum += static_cast<double>(x[n * kFrameLanes + lane]) * std::polar(1.0, angle);
        }
        for (size_t i = 0; i < spectra.size(); ++i) {
          CHECK(std::fabs(spectra[i][2 * k * kFrameLanes + lane] - sum.real()) < tolerance);
          CHECK(std::fabs(spectra[i][(2 * k + 1) * kFrameLanes + lane] - sum.imag()) < tolerance);
          CHECK(powers[i][k * kFrameLanes + lane] ==
                doctest::Approx(std::norm(sum)).epsilon(1e-4).scale(1));
        }
      }
    }
  }
}

TEST_CASE("sizes that cannot be transformed are named") {
  for (const size_t size : {0U, 2U, 5U, 22U, 26U, 131072U}) {
    CHECK_FALSE(Fft::can_transform(size));
    CHECK_THROWS_AS(Fft{size}, Error);
  }
}

TEST_CASE("logarithms") {
  std::vector<float> x;
  for (float v = 1.2e-7F; v < 1e12F; v *= 1.013F) x.push_back(v);
  for (const float v : {0.0F, -1.0F, 1.0F, 0.99999994F, 1.0000001F}) x.push_back(v);
  while (x.size() % kFrameLanes != 0) x.push_back(2.0F);
  const float floor = 1.19209290e-7F;
  for (const auto& y : on_all([&](const SignalKernels& k) {
         AlignedBuffer<float> tile = aligned(x);
         const float top = k.log_rows(tile.data(), x.size() / kFrameLanes, floor, 0.5F);
         CHECK(static_cast<double>(top) == doctest::Approx(0.5 * std::log(1e12)).epsilon(0.01));
         return std::vector<float>(tile.data(), tile.data() + tile.size());
       })) {
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = 0.5 * std::log(static_cast<double>(std::max(x[i], floor)));
      CHECK(std::fabs(static_cast<double>(y[i]) - expected) <= 2e-7 * std::fabs(expected) + 1e-12);
    }
  }
}

TEST_CASE("frames, sums of rows and their way out") {
  const size_t length = 37;
  const size_t shift = 11;
  const std::vector<float> x = noise(15 * shift + 48, 3);
  const std::vector<float> window = noise(length, 4);
  const FrameShape shape{length, shift, 64, true, 0.9F, window.data()};
  const auto tiles = on_all([&](const SignalKernels& k) {
    AlignedBuffer<float> tile(64 * kFrameLanes);
    alignas(64) float energy[kFrameLanes];
    k.load_frames(shape, x.data(), tile.data(), energy);
    std::vector<float> out(tile.data(), tile.data() + tile.size());
    out.insert(out.end(), energy, energy + kFrameLanes);
    return out;
  });
  for (const auto& tile : tiles) {
    for (size_t f = 0; f < kFrameLanes; ++f) {
      const float* frame = x.data() + f * shift;
      double mean = 0.0;
      for (size_t i = 0; i < length; ++i) mean += static_cast<double>(frame[i]) / length;
      double energy = 0.0;
      for (size_t i = 0; i < length; ++i) {
        const double v = static_cast<double>(frame[i]) - mean;
        const double before = static_cast<double>(frame[i == 0 ? 0 : i - 1]) - mean;
        energy += v * v;
        const double expected = (v - 0.9 * before) * static_cast<double>(window[i]);
        CHECK(std::fabs(static_cast<double>(tile[i * kFrameLanes + f]) - expected) < 3e-6);
      }
      CHECK(static_cast<double>(tile[64 * kFrameLanes + f]) == doctest::Approx(energy));
      for (size_t i = length; i < 64; ++i) CHECK(tile[i * kFrameLanes + f] == 0.0F);
    }
  }
  const std::vector<float> weights = noise(20, 5);
  const std::vector<uint32_t> first = {3, 0, 30};
  const std::vector<uint32_t> count = {7, 0, 13};
  const RowSums sums{3, first.data(), count.data(), weights.data()};
  for (const auto& out : on_all([&](const SignalKernels& k) {
         AlignedBuffer<float> rows(3 * kFrameLanes);
         const AlignedBuffer<float> tile = aligned(tiles[0]);
         k.sum_rows(sums, tile.data(), rows.data());
         std::vector<float> stored(5 * 7, -1.0F);
         k.store_frames(rows.data(), 3, 5, stored.data(), 7);
         return stored;
       })) {
    const float* weight = weights.data();
    for (size_t o = 0; o < 3; ++o) {
      for (size_t f = 0; f < 5; ++f) {
        double sum = 0.0;
        for (size_t i = 0; i < count[o]; ++i) {
          sum += static_cast<double>(weight[i]) *
                 static_cast<double>(tiles[0][(first[o] + i) * kFrameLanes + f]);
        }
        CHECK(std::fabs(static_cast<double>(out[f * 7 + o]) - sum) < 1e-5);
      }
      weight += count[o];
    }
    CHECK(out[3] == -1.0F);
  }
}

TEST_CASE("a Hartley transform there and back, and the dot product") {
  const Fft fft(60);
  const std::vector<float> x = noise(60 * kFrameLanes, 7);
  const std::vector<float> ones(30, 1.0F / 60);
  for (const auto& y : on_all([&](const SignalKernels& k) {
         AlignedBuffer<float> tile = aligned(x);
         AlignedBuffer<float> spectrum(62 * kFrameLanes);
         k.fft(fft.plan(), tile.data(), spectrum.data());
         k.to_hartley(spectrum.data(), ones.data(), 30, 60, tile.data());
         k.fft(fft.plan(), tile.data(), spectrum.data());
         k.from_hartley(spectrum.data(), 60, tile.data());
         return std::vector<float>(tile.data(), tile.data() + tile.size());
       })) {
    for (size_t f = 0; f < kFrameLanes; ++f) {  // all but what lies at half the rate
      double nyquist = 0.0;
      for (size_t n = 0; n < 60; ++n) {
        nyquist += static_cast<double>(x[n * kFrameLanes + f]) * (n % 2 == 0 ? 1.0 : -1.0) / 60;
      }
      for (size_t n = 0; n < 60; ++n) {
        const double expected =
            static_cast<double>(x[n * kFrameLanes + f]) - (n % 2 == 0 ? nyquist : -nyquist);
        CHECK(std::fabs(static_cast<double>(y[n * kFrameLanes + f]) - expected) < 2e-6);
      }
    }
  }
  const std::vector<float> a = noise(80, 8);
  const std::vector<float> b = noise(80, 9);
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  for (const auto& d : on_all([&](const SignalKernels& k) {
         return std::vector<float>{k.dot(a.data(), b.data(), a.size())};
       })) {
    CHECK(std::fabs(static_cast<double>(d[0]) - sum) < 1e-5);
  }
}
