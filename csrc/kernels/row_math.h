// Elementwise functions on 16 lanes, one source for every SIMD instruction set (see gemm_body.h on
// instances). Every step is an exactly rounded operation, so all instruction sets agree to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace affectrt {

// The largest of magnitudes, as S::magnitude() gives them: NaN or Inf where there is one.
template <class S>
inline float largest(typename S::I magnitudes) {
  const int32_t bits = S::reduce_max_i(magnitudes);
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// Two vectors side by side: elementwise code written for S then works on both in turn, so that the
// steps of one fill the waiting times of the other. Nests.
template <class S>
struct Two {
  struct F {
    typename S::F a, b;
  };
  static F set1(float x) { return {S::set1(x), S::set1(x)}; }
  static F mul(F x, F y) { return {S::mul(x.a, y.a), S::mul(x.b, y.b)}; }
  static F fma(F x, F y, F z) { return {S::fma(x.a, y.a, z.a), S::fma(x.b, y.b, z.b)}; }
  static F max(F x, F y) { return {S::max(x.a, y.a), S::max(x.b, y.b)}; }
  static F min(F x, F y) { return {S::min(x.a, y.a), S::min(x.b, y.b)}; }
};

// Horner's scheme, of every kStep-th coefficient from kFirst.
template <class S, size_t kFirst, size_t kStep, size_t kCount>
inline typename S::F horner(const float (&coefficients)[kCount], typename S::F x) {
  const typename S::F first = S::set1(coefficients[kFirst]);
  if constexpr (kFirst + kStep >= kCount) {
    return first;
  } else {
    return S::fma(horner<S, kFirst + kStep, kStep>(coefficients, x), x, first);
  }
}

// Even and odd powers apart: half the waiting for one more product.
template <class S, size_t kCount>
inline typename S::F polynomial(const float (&coefficients)[kCount], typename S::F x) {
  const typename S::F square = S::mul(x, x);
  return S::fma(horner<S, 1, 2>(coefficients, square), x, horner<S, 0, 2>(coefficients, square));
}

// e^x for x <= 88, relative error below 2e-7; below -64 it stays at e^-64, which is nothing beside
// 1 but far from denormal numbers, that would make every product with it slow. NaN stays NaN.
template <class S>
inline typename S::F exp(typename S::F x) {
  // e^r = 1 + r + r^2 p(r) on |r| <= ln(2) / 2; p fitted for the least largest relative error.
  constexpr float kTail[] = {0.49999994F, 0.16666521F, 0.04166839F, 0.00836871F, 0.0013814613F};
  x = S::max(S::set1(-64.0F), x);
  const typename S::I n = S::round_to_int(S::mul(x, S::set1(1.44269504F)));
  const typename S::F whole = S::to_float(n);
  // ln(2) in two parts; the first has trailing zeros, so that its product with n is exact.
  typename S::F r = S::fnma(whole, S::set1(0.693359375F), x);
  r = S::fnma(whole, S::set1(-2.12194440e-4F), r);
  typename S::F sum = polynomial<S>(kTail, r);
  sum = S::fma(S::mul(r, r), sum, S::add(S::set1(1.0F), r));
  return S::scale_pow2(sum, n);
}

// x * Phi(x), the erf form; |error| <= 2.1e-7 * max(1, |x|), less than torch's own.
template <class S>
inline typename S::F gelu(typename S::F x) {
  // Phi(x) = 1/2 + x h(x^2) on |x| <= 5.25, where 1 - Phi(5.25) = 7.6e-8; h as a polynomial in
  // v = 2 x^2 / 5.25^2 - 1, which keeps the coefficients small, fitted for the least largest error
  // of Phi (8.4e-8) among those that end in Phi(5.25) = 1.
  constexpr float kH[] = {0x1.13c84ap-3F, -0x1.12f35ap-4F, 0x1.96aebap-5F,  -0x1.45cbecp-5F,
                          0x1.06ac9p-5F,  -0x1.994df8p-6F, 0x1.2c389ap-6F,  -0x1.aa173ep-7F,
                          0x1.2957f6p-7F, -0x1.49bb2cp-8F, 0x1.e92beap-10F, -0x1.6fc726p-10F,
                          0x1.7e228p-10F, -0x1.18d8acp-11F};
  const typename S::F c = S::min(S::set1(5.25F), S::max(S::set1(-5.25F), x));
  const typename S::F v = S::fma(S::mul(c, c), S::set1(2.0F / (5.25F * 5.25F)), S::set1(-1.0F));
  const typename S::F phi = S::fma(c, polynomial<S>(kH, v), S::set1(0.5F));
  return S::mul(x, phi);
}

// The same for sums of 8-bit codes, whose own steps are far wider: |error| <= 2.8e-4, and beyond
// 3.8 no more than rounding. Phi(x) = 1/2 + x h(x^2) on |x| <= 3.8, h fitted for the least largest
// error of Phi (7.3e-5) among those that end in Phi(3.8) = 1.
template <class S>
inline typename S::F gelu_of_codes(typename S::F x) {
  constexpr float kH[] = {0x1.985a9ap-2F,  -0x1.0dc6cep-4F,  0x1.336c12p-7F, -0x1.ef8722p-11F,
                          0x1.048b5ap-14F, -0x1.3afa14p-19F, 0x1.47ce22p-25F};
  const typename S::F c = S::min(S::set1(3.8F), S::max(S::set1(-3.8F), x));
  const typename S::F phi = S::fma(c, horner<S, 0, 1>(kH, S::mul(c, c)), S::set1(0.5F));
  return S::mul(x, phi);
}

// 1 - 2 / (e^2x + 1); absolute error below 2e-7.
template <class S>
inline typename S::F tanh(typename S::F x) {
  // tanh(9.1) rounds to 1.
  const typename S::F c = S::min(S::set1(9.1F), S::max(S::set1(-9.1F), x));
  const typename S::F e = exp<S>(S::add(c, c));
  return S::sub(S::set1(1.0F), S::div(S::set1(2.0F), S::add(e, S::set1(1.0F))));
}

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = x / (1 + e^-2z)
template <class S>
inline typename S::F gelu_tanh(typename S::F x) {
  const typename S::F square = S::mul(x, x);
  const typename S::F z =
      S::mul(S::mul(x, S::set1(0.797884561F)), S::fma(square, S::set1(0.044715F), S::set1(1.0F)));
  const typename S::F c = S::min(S::set1(40.0F), S::max(S::set1(-40.0F), z));
  const typename S::F e = exp<S>(S::mul(c, S::set1(-2.0F)));
  return S::div(x, S::add(S::set1(1.0F), e));
}

}  // namespace affectrt
