// Every kernel body that this CPU can run, against the scalar reference at ragged sizes; and the
// promise that a row's result depends on that row alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "kernel_checks.h"
#include "kernels/dispatch.h"
#include "kernels/pack.h"

using namespace affectrt;

namespace {

// The products of the integer GEMM are exact in the reference as well.
constexpr Tolerance kGemmInt = {2e-6F, 1e-6F};
constexpr Tolerance kGemmGelu = {4e-6F, 1e-6F};
constexpr Tolerance kGemmGeluOfBytes = {2.9e-4F, 1e-6F};
constexpr Tolerance kGemmF32 = {3e-5F, 2e-6F};  // sums of up to 384 products of unit normals
constexpr Tolerance kLayerNorm = {3e-6F, 1e-6F};
constexpr Tolerance kSoftmax = {3e-7F, 2e-6F};
constexpr Tolerance kGelu = {3e-7F, 3e-7F};
constexpr Tolerance kGeluTanh = {4e-7F, 1e-6F};
constexpr Tolerance kTanh = {3e-7F, 0.0F};
constexpr Tolerance kRotation = {3e-7F, 2e-7F};
constexpr Tolerance kExact = {0.0F, 0.0F};

// std::vector of 64-byte aligned storage, for weight panels.
template <class T>
class Aligned {
 public:
  explicit Aligned(size_t count) : storage_(count * sizeof(T) + 64) {}
  T* data() {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return reinterpret_cast<T*>(storage_.data() + (64 - address % 64) % 64);
  }

 private:
  std::vector<uint8_t> storage_;
};

float value_of(const Kernels& kernels, uint8_t code, RowQuant quant) {
  const bool is_signed = std::string(kernels.isa) == "neon-dotprod";
  const int value = is_signed ? static_cast<int8_t>(code) : code;
  return (static_cast<float>(value) - quant.zero) * quant.scale;
}

struct IntProblem {
  bool wide;
  size_t rows, inputs, outputs, steps, panels, stride, code_stride;
  std::vector<float> x;
  std::vector<uint8_t> codes;
  std::vector<RowQuant> quant;
  Aligned<int8_t> panel_codes;
  std::vector<float> scale, sum, bias, residual;

  IntProblem(size_t rows_, size_t inputs_, size_t outputs_, bool wide_)
      : wide(wide_),
        rows(rows_),
        inputs(inputs_),
        outputs(outputs_),
        steps(wide ? (inputs + 1) / 2 : (inputs + 3) / 4),
        panels(panel_count(outputs)),
        stride(panels * 16),
        code_stride(round_up(inputs, 16) * (wide ? 2 : 1)),
        codes(rows * code_stride),
        quant(rows),
        panel_codes(panels * steps * 64),
        scale(stride, 0.0F),
        sum(stride, 0.0F),
        bias(stride, 0.0F) {
    x = random_rows(rows, inputs, round_up(inputs, 16), 3.0F);
    const int32_t max_code = wide ? kMaxCode8 : kMaxCode7;
    std::uniform_int_distribution<int> code(-max_code, max_code);
    std::vector<int8_t> weights(outputs * inputs);
    for (int8_t& w : weights) w = static_cast<int8_t>(code(random_engine()));
    // The largest products of all, where vpmaddubsw would saturate with wider codes.
    std::fill_n(weights.begin(), inputs, static_cast<int8_t>(max_code));
    for (size_t p = 0; p < panels; ++p) {
      const int8_t* panel_rows[kPanelColumns];
      for (size_t c = 0; c < kPanelColumns; ++c) {
        const size_t output = p * 16 + c;
        panel_rows[c] = output < outputs ? weights.data() + output * inputs : nullptr;
      }
      const auto pack = wide ? pack_panel_s16 : pack_panel_u8s8;
      REQUIRE(pack(panel_rows, inputs, max_code, panel_codes.data() + p * steps * 64,
                   sum.data() + p * 16));
    }
    for (size_t i = 0; i < outputs; ++i) {
      scale[i] = 0.001F + 0.0001F * static_cast<float>(i % 7);
      bias[i] = 0.1F * static_cast<float>(i % 5) - 0.2F;
    }
    residual = random_rows(rows, outputs, stride);
  }

  static const Kernels& scalar() { return *available_kernels().back(); }

  // Codes are between the two kernels of one table.
  GemmInt args(const Kernels& kernels, std::vector<float>* out, Epilogue epilogue) {
    out->assign(rows * stride, -1.0F);
    if (wide) {
      kernels.quantize_s16(x.data(), round_up(inputs, 16), rows, inputs,
                           max_activation_code_s16(inputs), codes.data(), code_stride,
                           quant.data());
    } else {
      kernels.quantize_u8(x.data(), round_up(inputs, 16), rows, inputs, codes.data(), code_stride,
                          quant.data());
    }
    return {codes.data(),    code_stride, quant.data(), panel_codes.data(),
            scale.data(),    sum.data(),  bias.data(),  rows,
            panels,          steps,       out->data(),  stride,
            residual.data(), epilogue};
  }
};

constexpr Epilogue kEpilogues[] = {Epilogue::kBias, Epilogue::kBiasGelu, Epilogue::kBiasResidual};

}  // namespace

TEST_CASE("every instruction set of this CPU has a body") {
  std::vector<std::string> names;
  for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->isa);
  const auto has = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const CpuFeatures& cpu = cpu_features();
  CHECK(has("scalar"));
  CHECK(has("avx2") == (cpu.avx2 && cpu.fma));
  CHECK(has("avx-vnni") == (cpu.avx2 && cpu.fma && cpu.avx_vnni));
  CHECK(has("avx512-vnni") ==
        (cpu.avx2 && cpu.fma && cpu.avx512f && cpu.avx512bw && cpu.avx512_vnni));
  CHECK(has("neon-dotprod") == cpu.dotprod);
  CHECK(has("neon-i8mm") == (cpu.dotprod && cpu.i8mm));
  MESSAGE("tested against the reference: " << simd_bodies().size() << " bodies");
}

TEST_CASE("AFFECTRT_ISA forces a body, and an unknown name is refused with the possible ones") {
  for (const Kernels* kernels : available_kernels()) {
    ::setenv("AFFECTRT_ISA", kernels->isa, 1);
    CHECK(&select_kernels() == kernels);
  }
  ::setenv("AFFECTRT_ISA", "sse9", 1);
  try {
    select_kernels();
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kUnsupported);
    CHECK(std::string(error.what()).find("scalar") != std::string::npos);
  }
  ::unsetenv("AFFECTRT_ISA");
  CHECK(&select_kernels() == available_kernels().front());
}

TEST_CASE("integer GEMM") {
  const size_t shapes[][3] = {{1, 4, 16},   {1, 1, 1},     {2, 7, 17},   {3, 33, 48},
                              {5, 64, 64},  {6, 100, 80},  {7, 31, 100}, {13, 384, 112},
                              {19, 96, 28}, {25, 12, 192}, {96, 20, 36}};
  for (const bool wide : {false, true}) {
    for (const auto& shape : shapes) {
      IntProblem problem(shape[0], shape[1], shape[2], wide);
      for (const Epilogue epilogue : kEpilogues) {
        std::vector<float> expected;
        std::vector<float> actual;
        std::vector<float> first;
        const auto gemm = wide ? &Kernels::gemm_s16s16 : &Kernels::gemm_u8s8;
        (IntProblem::scalar().*gemm)(problem.args(IntProblem::scalar(), &expected, epilogue));
        for (const Kernels* kernels : simd_bodies()) {
          CAPTURE(std::string(kernels->isa));
          CAPTURE(wide);
          CAPTURE(static_cast<int>(epilogue));
          CAPTURE(shape[0]);
          CAPTURE(shape[1]);
          CAPTURE(shape[2]);
          (kernels->*gemm)(problem.args(*kernels, &actual, epilogue));
          const Tolerance gelu = wide ? kGemmGelu : kGemmGeluOfBytes;
          check_close(actual, expected, epilogue == Epilogue::kBiasGelu ? gelu : kGemmInt);
          if (first.empty()) first = actual;
          CHECK(std::memcmp(actual.data(), first.data(), actual.size() * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST_CASE("integer GEMM: a row alone, and any range of panels, give the same bits") {
  IntProblem problem(23, 70, 150, false);
  for (const Kernels* kernels : available_kernels()) {
    CAPTURE(std::string(kernels->isa));
    std::vector<float> all;
    kernels->gemm_u8s8(problem.args(*kernels, &all, Epilogue::kBiasGelu));
    std::vector<float> pieces;
    const GemmInt whole = problem.args(*kernels, &pieces, Epilogue::kBiasGelu);
    for (size_t row = 0; row < problem.rows; ++row) {
      const size_t cut = row % problem.panels;
      for (const size_t begin : {size_t{0}, cut}) {
        GemmInt part = whole;
        part.a += row * whole.a_stride;
        part.quant += row;
        part.rows = 1;
        part.b += begin * whole.steps * 64;
        part.b_scale += begin * 16;
        part.b_sum += begin * 16;
        part.bias += begin * 16;
        part.panels = begin == 0 ? cut : whole.panels - cut;
        part.c += row * whole.c_stride + begin * 16;
        kernels->gemm_u8s8(part);
        if (cut == 0) break;
      }
      if (cut == 0) {
        GemmInt part = whole;
        part.a += row * whole.a_stride;
        part.quant += row;
        part.rows = 1;
        part.c += row * whole.c_stride;
        kernels->gemm_u8s8(part);
      }
    }
    CHECK(std::memcmp(all.data(), pieces.data(), all.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("float GEMM, with weights in panels and with rows read in place") {
  const size_t shapes[][3] = {{1, 1, 1},      {2, 7, 17},   {5, 64, 64}, {7, 31, 100},
                              {13, 384, 112}, {19, 96, 28}, {25, 5, 192}};
  for (const auto& shape : shapes) {
    const size_t rows = shape[0];
    const size_t k = shape[1];
    const size_t outputs = shape[2];
    const size_t panels = panel_count(outputs);
    const size_t stride = panels * 16;
    const std::vector<float> a = random_rows(rows, k, round_up(k, 16));
    const std::vector<float> weights = random_rows(outputs, k, k);
    const std::vector<float> bias = random_rows(1, outputs, stride);
    const std::vector<float> residual = random_rows(rows, outputs, stride);
    Aligned<float> packed(panels * k * 16);
    std::vector<float> in_place(k * stride, 0.0F);
    for (size_t p = 0; p < panels; ++p) {
      const float* panel_rows[kPanelColumns];
      for (size_t c = 0; c < kPanelColumns; ++c) {
        const size_t output = p * 16 + c;
        panel_rows[c] = output < outputs ? weights.data() + output * k : nullptr;
        for (size_t i = 0; i < k && output < outputs; ++i) {
          in_place[i * stride + output] = weights[output * k + i];
        }
      }
      REQUIRE(pack_panel_f32(panel_rows, k, packed.data() + p * k * 16));
    }
    for (const Epilogue epilogue : kEpilogues) {
      std::vector<float> expected(rows * stride);
      GemmF32 gemm = {a.data(), round_up(k, 16), packed.data(), 16,
                      k * 16,   bias.data(),     rows,          panels,
                      k,        expected.data(), stride,        residual.data(),
                      epilogue};
      IntProblem::scalar().gemm_f32(gemm);
      std::vector<float> first;
      for (const Kernels* kernels : simd_bodies()) {
        CAPTURE(std::string(kernels->isa));
        CAPTURE(rows);
        std::vector<float> actual(rows * stride, -1.0F);
        gemm.c = actual.data();
        kernels->gemm_f32(gemm);
        check_close(actual, expected, kGemmF32);
        if (first.empty()) first = actual;
        CHECK(std::memcmp(actual.data(), first.data(), actual.size() * sizeof(float)) == 0);

        std::vector<float> strided(rows * stride, -1.0F);
        GemmF32 other = gemm;
        other.b = in_place.data();
        other.b_row_stride = stride;
        other.b_panel_stride = 16;
        other.c = strided.data();
        kernels->gemm_f32(other);
        CHECK(std::memcmp(actual.data(), strided.data(), actual.size() * sizeof(float)) == 0);
        for (size_t row = 0; row < rows; ++row) {
          GemmF32 one = gemm;
          one.a += row * one.a_stride;
          one.c = strided.data() + row * stride;
          one.residual += row * stride;
          one.rows = 1;
          kernels->gemm_f32(one);
        }
        CHECK(std::memcmp(actual.data(), strided.data(), actual.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("quantisation keeps within half a step, and marks what is not finite") {
  for (const size_t n : {1U, 15U, 16U, 33U, 384U}) {
    const size_t stride = round_up(n, 16);
    std::vector<float> x = random_rows(4, n, stride, 5.0F);
    std::fill_n(x.begin() + static_cast<ptrdiff_t>(stride), n, 0.0F);       // all zeros
    std::fill_n(x.begin() + static_cast<ptrdiff_t>(2 * stride), n, -2.5F);  // one sign only
    for (const Kernels* kernels : available_kernels()) {
      CAPTURE(std::string(kernels->isa));
      std::vector<uint8_t> codes(4 * stride);
      std::vector<RowQuant> quant(4);
      kernels->quantize_u8(x.data(), stride, 4, n, codes.data(), stride, quant.data());
      std::vector<uint8_t> words(4 * stride * 2);
      std::vector<RowQuant> quant16(4);
      kernels->quantize_s16(x.data(), stride, 4, n, 11000, words.data(), stride * 2,
                            quant16.data());
      for (size_t r = 0; r < 4; ++r) {
        for (size_t i = 0; i < n; ++i) {
          const float value = x[r * stride + i];
          const float back = value_of(*kernels, codes[r * stride + i], quant[r]);
          // Half a step, and half a step more where the zero point was rounded at a clamped end.
          CHECK(std::fabs(back - value) <= 1.01F * quant[r].scale);
          int16_t word;
          std::memcpy(&word, &words[(r * stride + i) * 2], 2);
          CHECK(std::fabs(static_cast<float>(word) * quant16[r].scale - value) <=
                0.51F * quant16[r].scale + 1e-6F);
        }
      }
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
            -std::numeric_limits<float>::infinity()}) {
        std::vector<float> broken = x;
        broken[n - 1] = bad;
        kernels->quantize_u8(broken.data(), stride, 1, n, codes.data(), stride, quant.data());
        CHECK(std::isnan(quant[0].scale));
        kernels->quantize_s16(broken.data(), stride, 1, n, 11000, words.data(), stride * 2,
                              quant16.data());
        CHECK(std::isnan(quant16[0].scale));
      }
    }
  }
}

TEST_CASE("all bodies quantise to the same values") {
  const size_t n = 200;
  const size_t stride = 208;
  const std::vector<float> x = random_rows(50, n, stride, 2.0F);
  std::vector<float> first;
  for (const Kernels* kernels : available_kernels()) {
    std::vector<uint8_t> codes(50 * stride);
    std::vector<RowQuant> quant(50);
    kernels->quantize_u8(x.data(), stride, 50, n, codes.data(), stride, quant.data());
    std::vector<float> values;
    for (size_t i = 0; i < codes.size(); ++i) {
      values.push_back(value_of(*kernels, codes[i], quant[i / stride]));
    }
    if (first.empty()) first = values;
    CHECK(first == values);
  }
}

TEST_CASE("layer norm") {
  for (const size_t n : {1U, 3U, 16U, 31U, 64U, 100U, 384U, 770U}) {
    const size_t stride = round_up(n, 16);
    const std::vector<float> x = random_rows(5, n, stride, 4.0F);
    const std::vector<float> gamma = random_rows(1, n, stride);
    const std::vector<float> beta = random_rows(1, n, stride);
    std::vector<float> expected = x;
    IntProblem::scalar().layer_norm(expected.data(), stride, 5, n, 1e-5F, gamma.data(),
                                    beta.data());
    std::vector<float> first;
    for (const Kernels* kernels : simd_bodies()) {
      CAPTURE(std::string(kernels->isa));
      CAPTURE(n);
      std::vector<float> actual = x;
      kernels->layer_norm(actual.data(), stride, 5, n, 1e-5F, gamma.data(), beta.data());
      check_close(actual, expected, kLayerNorm);
      if (first.empty()) first = actual;
      CHECK(first == actual);
      std::vector<float> alone(x.begin() + static_cast<ptrdiff_t>(3 * stride),
                               x.begin() + static_cast<ptrdiff_t>(4 * stride));
      kernels->layer_norm(alone.data(), stride, 1, n, 1e-5F, gamma.data(), beta.data());
      CHECK(std::memcmp(alone.data(), actual.data() + 3 * stride, stride * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("softmax, with and without a bias that slides by row") {
  for (const size_t n : {1U, 2U, 15U, 16U, 17U, 40U, 129U}) {
    const size_t stride = round_up(n, 16);
    std::vector<float> x = random_rows(6, n, stride, 6.0F);
    x[0] = 300.0F;  // one score far above the others
    const std::vector<float> bias = random_rows(1, 200, 208);
    for (const bool with_bias : {false, true}) {
      const float* row_bias = with_bias ? bias.data() + 8 : nullptr;
      std::vector<float> expected = x;
      IntProblem::scalar().softmax(expected.data(), stride, 6, n, 0.3F, row_bias, -1);
      std::vector<float> first;
      for (const Kernels* kernels : simd_bodies()) {
        CAPTURE(std::string(kernels->isa));
        CAPTURE(n);
        std::vector<float> actual = x;
        kernels->softmax(actual.data(), stride, 6, n, 0.3F, row_bias, -1);
        check_close(actual, expected, kSoftmax);
        if (first.empty()) first = actual;
        CHECK(first == actual);
      }
    }
  }
}

TEST_CASE("activations over their whole range") {
  std::vector<float> x;
  for (float v = -12.0F; v <= 12.0F; v += 0.0037F) x.push_back(v);
  for (const float v : {0.0F, 1e-30F, -1e-30F, 50.0F, -50.0F, 1e4F, -1e4F}) x.push_back(v);
  x.resize(round_up(x.size(), 16));
  const std::pair<Activation, Tolerance> kinds[] = {{Activation::kNone, kExact},
                                                    {Activation::kGelu, kGelu},
                                                    {Activation::kGeluTanh, kGeluTanh},
                                                    {Activation::kRelu, kExact},
                                                    {Activation::kTanh, kTanh}};
  for (const auto& entry : kinds) {
    const auto kind = entry.first;  // C++17's lambdas capture no structured bindings
    const auto tolerance = entry.second;
    std::vector<float> expected = x;
    IntProblem::scalar().activate(kind, expected.data(), x.size());
    std::vector<float> first;
    for (const Kernels* kernels : simd_bodies()) {
      CAPTURE(std::string(kernels->isa));
      CAPTURE(static_cast<int>(kind));
      std::vector<float> actual = x;
      kernels->activate(kind, actual.data(), actual.size());
      // The erf GELU multiplies x by a Phi that is exact to 3e-7.
      for (size_t i = 0; i < actual.size(); ++i) {
        const float size = std::max(1.0F, std::fabs(x[i]));
        const float bound = tolerance.absolute + tolerance.relative * size;
        if (!(std::fabs(actual[i] - expected[i]) <= bound)) {
          FAIL_CHECK("f(" << x[i] << ") = " << actual[i] << " but reference " << expected[i]);
          break;
        }
      }
      if (first.empty()) first = actual;
      CHECK(first == actual);
    }
  }
}

#if defined(__EMSCRIPTEN__)  // has no fused multiply-add
constexpr Tolerance kFused = {1e-6F, 1e-6F};
#else
constexpr Tolerance kFused = kExact;
#endif

TEST_CASE("additions and key panels") {
  for (const size_t n : {1U, 16U, 35U, 384U}) {
    std::vector<int8_t> codes(n);
    for (size_t i = 0; i < n; ++i) codes[i] = static_cast<int8_t>(static_cast<int>(i % 255) - 127);
    const std::vector<float> x = random_rows(1, n, n);
    const std::vector<float> y = random_rows(1, n, n);
    std::vector<float> expected = y;
    IntProblem::scalar().add_scaled_s8(codes.data(), 0.03F, expected.data(), n);
    IntProblem::scalar().add(x.data(), expected.data(), n);
    for (const Kernels* kernels : simd_bodies()) {
      std::vector<float> actual = y;
      kernels->add_scaled_s8(codes.data(), 0.03F, actual.data(), n);
      kernels->add(x.data(), actual.data(), n);
      check_close(actual, expected, kFused);
    }
  }
  for (const size_t tokens : {1U, 15U, 16U, 17U, 50U}) {
    const size_t width = 48;
    const std::vector<float> keys = random_rows(tokens, width, 80);
    std::vector<float> expected(round_up(tokens, 16) * width, -1.0F);
    IntProblem::scalar().pack_keys(keys.data(), 80, tokens, width, expected.data());
    for (const Kernels* kernels : simd_bodies()) {
      std::vector<float> actual(expected.size(), -2.0F);
      kernels->pack_keys(keys.data(), 80, tokens, width, actual.data());
      check_close(actual, expected, kExact);
    }
  }
}

TEST_CASE("products and rotations") {
  for (const size_t n : {1U, 16U, 35U, 384U}) {
    const std::vector<float> x = random_rows(1, n, n);
    const std::vector<float> y = random_rows(1, n, n);
    std::vector<float> expected = y;
    IntProblem::scalar().multiply(x.data(), expected.data(), n);
    for (const Kernels* kernels : simd_bodies()) {
      std::vector<float> actual = y;
      kernels->multiply(x.data(), actual.data(), n);
      check_close(actual, expected, kExact);
    }
  }
  for (const size_t half : {16U, 32U, 48U}) {
    for (const size_t heads : {1U, 3U, 12U}) {
      const std::vector<float> x = random_rows(1, heads * 2 * half, heads * 2 * half);
      std::vector<float> cosines(half);
      std::vector<float> sines(half);
      for (size_t i = 0; i < half; ++i) {
        cosines[i] = std::cos(static_cast<float>(i));
        sines[i] = std::sin(static_cast<float>(i));
      }
      std::vector<float> expected = x;
      IntProblem::scalar().rotate(expected.data(), heads, half, cosines.data(), sines.data());
      for (const Kernels* kernels : simd_bodies()) {
        std::vector<float> actual = x;
        kernels->rotate(actual.data(), heads, half, cosines.data(), sines.data());
        check_close(actual, expected, kRotation);
      }
    }
  }
}

TEST_CASE("packing refuses codes out of range and values that are not finite") {
  std::vector<int8_t> codes(16 * 8, 1);
  std::vector<int8_t> panel(2 * 64);
  std::vector<int8_t> wide(4 * 64);
  float sums[16];
  const int8_t* rows[kPanelColumns] = {};
  for (size_t c = 0; c < 16; ++c) rows[c] = codes.data() + c * 8;
  CHECK(pack_panel_u8s8(rows, 8, kMaxCode7, panel.data(), sums));
  CHECK(sums[3] == 8.0F);
  codes[77] = 64;
  CHECK_FALSE(pack_panel_u8s8(rows, 8, kMaxCode7, panel.data(), sums));
  CHECK(pack_panel_s16(rows, 8, kMaxCode8, wide.data(), sums));
  codes[77] = -128;
  CHECK_FALSE(pack_panel_s16(rows, 8, kMaxCode8, wide.data(), sums));

  std::vector<float> values(16 * 3, 1.0F);
  std::vector<float> out(3 * 16);
  const float* value_rows[kPanelColumns] = {};
  for (size_t c = 0; c < 16; ++c) value_rows[c] = values.data() + c * 3;
  CHECK(pack_panel_f32(value_rows, 3, out.data()));
  values[10] = std::numeric_limits<float>::infinity();
  CHECK_FALSE(pack_panel_f32(value_rows, 3, out.data()));
  CHECK(max_activation_code_s16(384) == 32767);
  CHECK(int64_t{max_activation_code_s16(1536)} * 1536 * 127 < (int64_t{1} << 31));
}
