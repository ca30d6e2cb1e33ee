#include "audio/formants.h"

#include <algorithm>
#include <cmath>
#include <complex>

namespace affectrt {
namespace {

constexpr double kPi = 3.141592653589793;
constexpr size_t kOrder = kPredictionOrder;

// Levinson's and Durbin's recursion: x[n] is predicted as -sum a[i] x[n - i], a[0] = 1. False where
// the signal is nothing, or so simple that it needs no more.
bool predictor(const double* r, double* a) {
  double error = r[0];
  a[0] = 1.0;
  for (size_t i = 1; i <= kOrder; ++i) {
    if (!(error > 1e-12 * r[0])) return false;
    double sum = r[i];
    for (size_t j = 1; j < i; ++j) sum += a[j] * r[i - j];
    const double reflection = -sum / error;
    double next[kOrder + 1];
    for (size_t j = 1; j < i; ++j) next[j] = a[j] + reflection * a[i - j];
    std::copy(next + 1, next + i, a + 1);
    a[i] = reflection;
    error *= 1.0 - reflection * reflection;
  }
  return true;
}

std::complex<double> product(std::complex<double> x, std::complex<double> y) {
  return {x.real() * y.real() - x.imag() * y.imag(), x.real() * y.imag() + x.imag() * y.real()};
}

std::complex<double> inverse(std::complex<double> x) {
  const double square = x.real() * x.real() + x.imag() * x.imag();
  return square > 0.0 ? std::complex<double>(x.real() / square, -x.imag() / square) : 0.0;
}

// All zeros of z^kOrder + a[1] z^(kOrder - 1) + ... at once, by the method of Ehrlich and Aberth.
void find_roots(const double* a, std::complex<double>* roots) {
  for (size_t i = 0; i < kOrder; ++i) {
    roots[i] = std::polar(0.9, 2.0 * kPi * (static_cast<double>(i) + 0.35) / kOrder);
  }
  for (int round = 0; round < 40; ++round) {
    double moved = 0.0;
    for (size_t i = 0; i < kOrder; ++i) {
      std::complex<double> value = 1.0;
      std::complex<double> slope = 0.0;
      for (size_t j = 1; j <= kOrder; ++j) {
        slope = product(slope, roots[i]) + value;
        value = product(value, roots[i]) + a[j];
      }
      const std::complex<double> newton = product(value, inverse(slope));
      std::complex<double> others = 0.0;
      for (size_t j = 0; j < kOrder; ++j) {
        if (j != i) others += inverse(roots[i] - roots[j]);
      }
      const std::complex<double> step = product(newton, inverse(1.0 - product(newton, others)));
      roots[i] -= step;
      moved = std::max(moved, std::fabs(step.real()) + std::fabs(step.imag()));
    }
    if (moved < 1e-7) return;
  }
}

}  // namespace

void find_formants(const double* autocorrelation, double rate, Formant* formants) {
  std::fill_n(formants, kFormants, Formant{});
  double a[kOrder + 1];
  if (!(autocorrelation[0] > 0.0) || !predictor(autocorrelation, a)) return;
  std::complex<double> roots[kOrder];
  find_roots(a, roots);
  Formant found[kOrder];
  size_t count = 0;
  for (const std::complex<double>& root : roots) {
    const double radius = std::abs(root);
    if (!(root.imag() > 0.0) || !(radius > 0.0)) continue;
    const double hz = std::arg(root) * rate / (2.0 * kPi);
    const double bandwidth = -std::log(std::min(radius, 0.99999)) * rate / kPi;
    if (hz < 90.0 || hz > rate / 2 - 400.0 || bandwidth > 1000.0) continue;
    size_t place = count++;
    for (; place > 0 && found[place - 1].hz > static_cast<float>(hz); --place) {
      found[place] = found[place - 1];
    }
    found[place] = {static_cast<float>(hz), static_cast<float>(bandwidth)};
  }
  std::copy(found, found + std::min(count, kFormants), formants);
}

}  // namespace affectrt
