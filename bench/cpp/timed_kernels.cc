#include "timed_kernels.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <chrono>
#endif

namespace affectrt::bench {
namespace {

const Kernels* plain = nullptr;
Tally* tally = nullptr;
Kernels table;

template <class Work>
void timed(Part part, Work&& work) {
  const auto index = static_cast<size_t>(part);
  const uint64_t start = ticks();
  work();
  tally->ticks[index] += ticks() - start;
  ++tally->calls[index];
}

double macs_of(size_t rows, size_t panels, size_t inputs) {
  return static_cast<double>(rows) * static_cast<double>(panels * kPanelColumns) *
         static_cast<double>(inputs);
}

Part part_of(const GemmInt& g) {
  return g.epilogue == Epilogue::kBiasGelu ? Part::kGemmGelu : Part::kGemm;
}

void gemm_u8s8(const GemmInt& g) {
  tally->macs_int += macs_of(g.rows, g.panels, g.steps * 4);
  timed(part_of(g), [&] { plain->gemm_u8s8(g); });
}
void gemm_s16s16(const GemmInt& g) {
  tally->macs_int += macs_of(g.rows, g.panels, g.steps * 2);
  timed(part_of(g), [&] { plain->gemm_s16s16(g); });
}
void gemm_f32(const GemmF32& g) {
  tally->macs_float += macs_of(g.rows, g.panels, g.k);
  Part part = Part::kAttention;  // whose products alone have no bias
  if (g.bias != nullptr) part = g.epilogue == Epilogue::kBiasGelu ? Part::kGemmGelu : Part::kGemm;
  timed(part, [&] { plain->gemm_f32(g); });
}
void quantize_u8(const float* x, size_t stride, size_t rows, size_t n, uint8_t* codes,
                 size_t code_stride, RowQuant* quant) {
  timed(Part::kQuantize,
        [&] { plain->quantize_u8(x, stride, rows, n, codes, code_stride, quant); });
}
void quantize_s16(const float* x, size_t stride, size_t rows, size_t n, int32_t max_code,
                  uint8_t* codes, size_t code_stride, RowQuant* quant) {
  timed(Part::kQuantize,
        [&] { plain->quantize_s16(x, stride, rows, n, max_code, codes, code_stride, quant); });
}
void layer_norm(float* x, size_t stride, size_t rows, size_t n, float eps, const float* gamma,
                const float* beta) {
  timed(Part::kLayerNorm, [&] { plain->layer_norm(x, stride, rows, n, eps, gamma, beta); });
}
void softmax(float* x, size_t stride, size_t rows, size_t n, float scale, const float* bias,
             ptrdiff_t bias_stride) {
  timed(Part::kSoftmax, [&] { plain->softmax(x, stride, rows, n, scale, bias, bias_stride); });
}
void activate(Activation kind, float* x, size_t n) {
  timed(Part::kActivation, [&] { plain->activate(kind, x, n); });
}
void add_scaled_s8(const int8_t* codes, float scale, float* x, size_t n) {
  timed(Part::kEmbedding, [&] { plain->add_scaled_s8(codes, scale, x, n); });
}
void add(const float* x, float* y, size_t n) {
  timed(Part::kEmbedding, [&] { plain->add(x, y, n); });
}
void pack_keys(const float* keys, size_t stride, size_t tokens, size_t width, float* panels) {
  timed(Part::kPackKeys, [&] { plain->pack_keys(keys, stride, tokens, width, panels); });
}
float pack_keys_s16(const float* keys, size_t stride, size_t tokens, size_t width, int32_t max_code,
                    int8_t* panels) {
  float scale = 0.0F;
  timed(Part::kPackKeys, [&] {
    scale = plain->attention_s16.pack_keys(keys, stride, tokens, width, max_code, panels);
  });
  return scale;
}
void pack_values_s16(const float* values, size_t stride, size_t tokens, size_t width,
                     int8_t* panels, float* scales) {
  timed(Part::kPackKeys,
        [&] { plain->attention_s16.pack_values(values, stride, tokens, width, panels, scales); });
}
void scores_s16(const ProductS16& p, int32_t* sums, size_t sum_stride) {
  tally->macs_attention += macs_of(p.rows, p.panels, p.steps * 2);
  timed(Part::kAttention, [&] { plain->attention_s16.scores(p, sums, sum_stride); });
}
void softmax_s16(const int32_t* sums, size_t sum_stride, size_t rows, size_t n, float scale,
                 const float* bias, ptrdiff_t bias_stride, uint8_t* codes, size_t code_stride,
                 RowQuant* quant) {
  timed(Part::kSoftmax, [&] {
    plain->attention_s16.softmax(sums, sum_stride, rows, n, scale, bias, bias_stride, codes,
                                 code_stride, quant);
  });
}
void values_s16(const ProductS16& p, const RowQuant* quant, const float* scales, float* c,
                size_t c_stride) {
  tally->macs_attention += macs_of(p.rows, p.panels, p.steps * 2);
  timed(Part::kAttention, [&] { plain->attention_s16.values(p, quant, scales, c, c_stride); });
}

}  // namespace

const char* name_of(Part part) {
  switch (part) {
    case Part::kGemm:
      return "matrix products";
    case Part::kGemmGelu:
      return "matrix products with GELU";
    case Part::kAttention:
      return "attention products";
    case Part::kSoftmax:
      return "softmax";
    case Part::kPackKeys:
      return "packing of keys and values";
    case Part::kQuantize:
      return "quantisation";
    case Part::kLayerNorm:
      return "layer norm";
    case Part::kEmbedding:
      return "embedding and pooling sums";
    case Part::kActivation:
      return "activations";
    case Part::kCount:
      break;
  }
  return "";
}

uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  uint64_t count;
  asm volatile("mrs %0, cntvct_el0" : "=r"(count));
  return count;
#else
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

const Kernels& timed_kernels(const Kernels& kernels, Tally* counts) {
  plain = &kernels;
  tally = counts;
  table = kernels;  // what is not named below goes uncounted
  table.gemm_u8s8 = gemm_u8s8;
  table.gemm_s16s16 = gemm_s16s16;
  table.gemm_f32 = gemm_f32;
  table.quantize_u8 = quantize_u8;
  table.quantize_s16 = quantize_s16;
  table.layer_norm = layer_norm;
  table.softmax = softmax;
  table.activate = activate;
  table.add_scaled_s8 = add_scaled_s8;
  table.add = add;
  table.pack_keys = pack_keys;
  table.attention_s16 = {pack_keys_s16, pack_values_s16, scores_s16, softmax_s16, values_s16};
  return table;
}

}  // namespace affectrt::bench
