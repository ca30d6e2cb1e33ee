#include "attention_bench.h"

#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>

#include "encoders/attention.h"
#include "kernels/pack.h"

namespace affectrt::bench {
namespace {

using nlohmann::json;

constexpr size_t kHeads = 12;
constexpr size_t kWidth = 32;
constexpr size_t kRow = kHeads * kWidth;
constexpr size_t kStride = 3 * kRow;

// One row of tokens through the attention of a layer, as the encoders run it.
class Layer {
 public:
  Layer(const Kernels& kernels, size_t tokens, const float* qkv)
      : kernels_(kernels), qkv_(qkv), context_(tokens * kRow) {
    begin_[1] = static_cast<int32_t>(tokens);
    attention_.layout = HeadLayout(kHeads, kWidth, false);
    Room room;
    add_attention_room(attention_.layout, rows(), false, rows(), &room);
    space_.make(room);
  }
  void run(bool integers) {
    attention_.run(kernels_, rows(), qkv_, {}, integers, context_.data(), team_, &space_);
  }
  // Throws where integers and floats do not mean the same.
  void check() {
    run(false);
    AlignedBuffer<float> floats(context_.size());
    std::memcpy(floats.data(), context_.data(), context_.size() * sizeof(float));
    run(true);
    for (size_t i = 0; i < context_.size(); ++i) {
      if (!(std::fabs(context_.data()[i] - floats.data()[i]) <= 5e-3F)) {
        throw std::runtime_error(std::string(kernels_.isa) + ": attention in integers differs");
      }
    }
  }

 private:
  RowSpans rows() const { return {begin_, 1}; }

  const Kernels& kernels_;
  const float* qkv_;
  int32_t begin_[2] = {0, 0};
  Attention attention_;
  AlignedBuffer<float> context_;
  Team team_;
  Workspace space_;
};

}  // namespace

json measure_attention(const Settings& settings, const Kernels& kernels, const PeakLoops* loops) {
  json results = json::array();
  std::mt19937 random(2);
  for (const size_t tokens :
       {size_t{8}, size_t{16}, size_t{20}, size_t{32}, size_t{64}, size_t{128}, size_t{512}}) {
    const AlignedBuffer<float> qkv = random_floats(tokens * kStride, 1.0F, &random);
    const float* keys = qkv.data() + kRow;
    const float* values = keys + kRow;
    const size_t panels = panel_count(tokens);
    const size_t stride = panels * kPanelColumns;
    // Useful products only: what fills the last panel of keys is work, not progress.
    const double macs = static_cast<double>(tokens * tokens * kWidth);
    const auto add = [&](const char* arithmetic, const char* step, double units, auto&& body) {
      const bool integers = std::string(arithmetic) == "s16";
      const PeakLoop* peak = loops == nullptr ? nullptr : (integers ? &loops->s16s16 : &loops->f32);
      json result = rate_of(settings, peak, units, body);
      result.update(
          {{"arithmetic", arithmetic}, {"step", step}, {"tokens", tokens}, {"width", kWidth}});
      results.push_back(result);
    };

    AlignedBuffer<float> key_panels(stride * kWidth);
    kernels.pack_keys(keys, kStride, tokens, kWidth, key_panels.data());
    AlignedBuffer<float> weights = random_floats(tokens * stride, 1.0F, &random);
    AlignedBuffer<float> context(tokens * kWidth);
    add("f32", "queries x keys", macs, [&] {
      kernels.gemm_f32({qkv.data(), kStride, key_panels.data(), kPanelColumns, kWidth * 16, nullptr,
                        tokens, panels, kWidth, weights.data(), stride, nullptr, Epilogue::kBias});
    });
    add("f32", "weights x values", macs, [&] {
      kernels.gemm_f32({weights.data(), stride, values, kStride, kPanelColumns, nullptr, tokens,
                        kWidth / 16, tokens, context.data(), kWidth, nullptr, Epilogue::kBias});
    });

    const AttentionS16& s16 = kernels.attention_s16;
    AlignedBuffer<int8_t> key_codes(panels * key_panel_bytes(kWidth));
    AlignedBuffer<int8_t> value_codes(panels * 16 * kWidth * 2);
    AlignedBuffer<float> value_scales(kWidth);
    AlignedBuffer<uint8_t> query_codes(tokens * kWidth * 2);
    AlignedBuffer<RowQuant> quant(tokens);
    AlignedBuffer<int32_t> sums(tokens * stride);
    const int32_t max_code = max_score_code(kWidth);
    const size_t value_bytes = (tokens + 1) / 2 * 64;
    const float scale = s16.pack_keys(keys, kStride, tokens, kWidth, max_code, key_codes.data());
    s16.pack_values(values, kStride, tokens, kWidth, value_codes.data(), value_scales.data());
    kernels.quantize_s16(qkv.data(), kStride, tokens, kWidth, max_code, query_codes.data(),
                         kWidth * 2, quant.data());
    add("s16", "queries x keys", macs, [&] {
      s16.scores({query_codes.data(), kWidth * 2, key_codes.data(), key_panel_bytes(kWidth), tokens,
                  panels, kWidth / 2},
                 sums.data(), stride);
    });
    AlignedBuffer<uint8_t> codes(tokens * stride * 2);
    s16.softmax(sums.data(), stride, tokens, tokens, scale, nullptr, 0, codes.data(), stride * 2,
                quant.data());
    add("s16", "weights x values", macs, [&] {
      s16.values({codes.data(), stride * 2, value_codes.data(), value_bytes, tokens, kWidth / 16,
                  (tokens + 1) / 2},
                 quant.data(), value_scales.data(), context.data(), kWidth);
    });

    Layer layer(kernels, tokens, qkv.data());
    layer.check();
    add("f32", "all", 2 * kHeads * macs, [&] { layer.run(false); });
    add("s16", "all", 2 * kHeads * macs, [&] { layer.run(true); });
  }
  return results;
}

}  // namespace affectrt::bench
