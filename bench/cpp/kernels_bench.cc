// Rates of every kernel at the shapes that encoders have, each beside what the machine could do at
// that very moment: GEMMs beside a loop over registers of the same instructions, row kernels beside
// memcpy of as many bytes. JSON to standard output.
//
//     kernels_bench [--rounds N] [--seconds S]        AFFECTRT_ISA chooses the instruction set
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "attention_bench.h"
#include "base/aligned_buffer.h"
#include "base/error.h"
#include "kernels/dispatch.h"
#include "kernels/pack.h"
#include "kernels/tables.h"
#include "measure.h"
#include "peak.h"

namespace affectrt::bench {
namespace {

using nlohmann::json;

// Weights of one pass through a model come from beyond the second-level cache, since the other
// layers were there in between: that many bytes of them are read in turn, about as many as the
// default model has.
constexpr size_t kStreamedBytes = size_t{12} << 20U;

struct Shape {
  const char* model;
  const char* layer;
  size_t inputs;
  size_t outputs;
  Epilogue epilogue;
};

constexpr Shape kShapes[] = {
    {"MiniLM-L6", "query, key, value", 384, 1152, Epilogue::kBias},
    {"MiniLM-L6", "attention output", 384, 384, Epilogue::kBiasResidual},
    {"MiniLM-L6", "up", 384, 1536, Epilogue::kBiasGelu},
    {"MiniLM-L6", "down", 1536, 384, Epilogue::kBiasResidual},
    {"BERT-base", "query, key, value", 768, 2304, Epilogue::kBias},
    {"BERT-base", "attention output", 768, 768, Epilogue::kBiasResidual},
    {"BERT-base", "up", 768, 3072, Epilogue::kBiasGelu},
    {"BERT-base", "down", 3072, 768, Epilogue::kBiasResidual},
};
constexpr size_t kRows[] = {1, 2, 4, 8, 16, 24, 48, 96};
constexpr size_t kMostRows = 96;

const char* name_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kBias:
      return "bias";
    case Epilogue::kBiasGelu:
      return "bias, GELU";
    case Epilogue::kBiasResidual:
      return "bias, residual";
  }
  return "";
}

enum class Kind { kU8S8, kS16S16, kF32 };
constexpr Kind kKinds[] = {Kind::kU8S8, Kind::kS16S16, Kind::kF32};

const char* name_of(Kind kind) {
  return kind == Kind::kU8S8 ? "u8s8" : kind == Kind::kS16S16 ? "s16s16" : "f32";
}

// One layer's multiplication, and as many copies of its weights as make them come from afar.
class Gemm {
 public:
  Gemm(Kind kind, const Shape& shape, std::mt19937* random)
      : kind_(kind), shape_(shape), panels_(panel_count(shape.outputs)) {
    const size_t width = panels_ * kPanelColumns;
    x_ = random_floats(kMostRows * shape.inputs, 2.0F, random);
    scale_ = random_floats(width, 1e-3F, random);
    bias_ = random_floats(width, 0.1F, random);
    residual_ = random_floats(kMostRows * width, 1.0F, random);
    sums_ = AlignedBuffer<float>(width);
    quant_ = AlignedBuffer<RowQuant>(kMostRows);
    steps_ = shape.inputs / (kind == Kind::kS16S16 ? 2 : 4);
    code_bytes_ = shape.inputs * (kind == Kind::kS16S16 ? 2 : 1);
    codes_ = AlignedBuffer<uint8_t>(kMostRows * code_bytes_);
    if (kind == Kind::kF32) {
      copies_ = kStreamedBytes / (weight_count() * sizeof(float)) + 1;
      values_ = AlignedBuffer<float>(copies_ * weight_count());
      const AlignedBuffer<float> one = random_floats(weight_count(), 0.1F, random);
      for (size_t i = 0; i < copies_; ++i) {
        std::copy_n(one.data(), weight_count(), values_.data() + i * weight_count());
      }
      return;
    }
    copies_ = kStreamedBytes / weight_count() + 1;
    weights_ = AlignedBuffer<int8_t>(copies_ * weight_count());
    for (size_t i = 0; i < weight_count(); ++i) {  // codes within +-63, of one byte or two
      const auto code = static_cast<int8_t>(static_cast<int32_t>((*random)() % 127U) - 63);
      const bool sign_byte = kind == Kind::kS16S16 && i % 2 == 1;
      weights_.data()[i] =
          sign_byte ? static_cast<int8_t>(weights_.data()[i - 1] < 0 ? -1 : 0) : code;
    }
    for (size_t i = 1; i < copies_; ++i) {
      std::copy_n(weights_.data(), weight_count(), weights_.data() + i * weight_count());
    }
    add_up_columns();
  }

  double macs(size_t rows) const {
    return static_cast<double>(rows) * static_cast<double>(shape_.inputs) *
           static_cast<double>(panels_ * kPanelColumns);
  }
  size_t output_count() const { return kMostRows * panels_ * kPanelColumns; }

  void quantize(const Kernels& kernels) {
    if (kind_ == Kind::kU8S8) {
      kernels.quantize_u8(x_.data(), shape_.inputs, kMostRows, shape_.inputs, codes_.data(),
                          code_bytes_, quant_.data());
    } else if (kind_ == Kind::kS16S16) {
      kernels.quantize_s16(x_.data(), shape_.inputs, kMostRows, shape_.inputs,
                           max_activation_code_s16(shape_.inputs), codes_.data(), code_bytes_,
                           quant_.data());
    }
  }

  // The product of the first `rows`; `streamed`: with the next copy of the weights.
  void run(const Kernels& kernels, size_t rows, bool streamed, float* out) {
    const size_t width = panels_ * kPanelColumns;
    const size_t copy = streamed ? next_ : 0;
    if (streamed) next_ = next_ + 1 == copies_ ? 0 : next_ + 1;
    if (kind_ == Kind::kF32) {
      kernels.gemm_f32({x_.data(), shape_.inputs, values_.data() + copy * weight_count(),
                        kPanelColumns, shape_.inputs * kPanelColumns, bias_.data(), rows, panels_,
                        shape_.inputs, out, width, residual_.data(), shape_.epilogue});
      return;
    }
    const GemmInt gemm = {
        codes_.data(),    code_bytes_,    quant_.data(), weights_.data() + copy * weight_count(),
        scale_.data(),    sums_.data(),   bias_.data(),  rows,
        panels_,          steps_,         out,           width,
        residual_.data(), shape_.epilogue};
    kind_ == Kind::kU8S8 ? kernels.gemm_u8s8(gemm) : kernels.gemm_s16s16(gemm);
  }

 private:
  size_t weight_count() const {
    return panels_ * kPanelColumns * (kind_ == Kind::kF32 ? shape_.inputs : steps_ * 4);
  }

  void add_up_columns() {
    for (size_t column = 0; column < panels_ * kPanelColumns; ++column) {
      const int8_t* at =
          weights_.data() + column / kPanelColumns * steps_ * 64 + column % kPanelColumns * 4;
      int32_t sum = 0;
      for (size_t step = 0; step < steps_; ++step, at += 64) {
        int16_t words[2];
        std::memcpy(words, at, sizeof words);
        sum += kind_ == Kind::kS16S16 ? words[0] + words[1] : at[0] + at[1] + at[2] + at[3];
      }
      sums_.data()[column] = static_cast<float>(sum);
    }
  }

  Kind kind_;
  Shape shape_;
  size_t panels_;
  size_t steps_ = 0;
  size_t code_bytes_ = 0;
  size_t copies_ = 1;
  size_t next_ = 0;
  AlignedBuffer<float> x_, scale_, bias_, residual_, sums_, values_;
  AlignedBuffer<RowQuant> quant_;
  AlignedBuffer<uint8_t> codes_;
  AlignedBuffer<int8_t> weights_;
};

// Throws where the kernels and the scalar reference do not mean the same product.
void check(const Kernels& kernels, Gemm* gemm) {
  constexpr size_t kChecked = 7;
  AlignedBuffer<float> actual(gemm->output_count());
  AlignedBuffer<float> expected(gemm->output_count());
  gemm->quantize(scalar_kernels());
  gemm->run(scalar_kernels(), kChecked, false, expected.data());
  gemm->quantize(kernels);
  gemm->run(kernels, kChecked, false, actual.data());
  for (size_t i = 0; i < gemm->output_count() / kMostRows * kChecked; ++i) {
    const float bound = 1e-3F + 1e-3F * std::fabs(expected.data()[i]);
    if (!(std::fabs(actual.data()[i] - expected.data()[i]) <= bound)) {
      throw std::runtime_error(std::string(kernels.isa) + " and scalar differ at value " +
                               std::to_string(i));
    }
  }
}

const PeakLoop& peak_of(Kind kind, const PeakLoops& loops) {
  return kind == Kind::kU8S8 ? loops.u8s8 : kind == Kind::kS16S16 ? loops.s16s16 : loops.f32;
}

json measure_gemms(const Settings& settings, const Kernels& kernels, const PeakLoops* loops) {
  json results = json::array();
  std::mt19937 random(1);
  for (const Kind kind : kKinds) {
    const PeakLoop* peak = loops == nullptr ? nullptr : &peak_of(kind, *loops);
    for (const Shape& shape : kShapes) {
      Gemm gemm(kind, shape, &random);
      check(kernels, &gemm);
      AlignedBuffer<float> out(gemm.output_count());
      for (const size_t rows : kRows) {
        for (const bool streamed : {false, true}) {
          json result = rate_of(settings, peak, gemm.macs(rows),
                                [&] { gemm.run(kernels, rows, streamed, out.data()); });
          result.update({{"kind", name_of(kind)},
                         {"model", shape.model},
                         {"layer", shape.layer},
                         {"inputs", shape.inputs},
                         {"outputs", shape.outputs},
                         {"epilogue", name_of(shape.epilogue)},
                         {"rows", rows},
                         {"weights", streamed ? "streamed" : "cached"}});
          results.push_back(result);
        }
      }
    }
  }
  return results;
}

struct RowKernel {
  const char* name;
  size_t rows;
  size_t columns;
  double bytes;  // read and written once
  std::function<void()> run;
};

json measure_rows(const Settings& settings, const Kernels& kernels) {
  json results = json::array();
  std::mt19937 random(3);
  constexpr size_t kBlock = 96;
  constexpr size_t kWidest = 1536;
  const AlignedBuffer<float> source = random_floats(kBlock * kWidest, 2.0F, &random);
  const AlignedBuffer<float> gamma = random_floats(kWidest, 1.0F, &random);
  AlignedBuffer<float> work = random_floats(kBlock * kWidest, 2.0F, &random);
  AlignedBuffer<float> positive(kBlock * kWidest);  // GELU leaves them be, however often
  std::fill_n(positive.data(), positive.size(), 7.0F);
  AlignedBuffer<uint8_t> codes(kBlock * kWidest * 2);
  AlignedBuffer<RowQuant> quant(kBlock);
  const auto bytes = [](size_t rows, size_t columns, size_t each) {
    return static_cast<double>(rows * columns * each);
  };
  std::vector<RowKernel> all;
  for (const size_t n : {size_t{384}, size_t{1536}}) {
    all.push_back({"quantise to 8 bits", kBlock, n, bytes(kBlock, n, 5), [&, n] {
                     kernels.quantize_u8(source.data(), n, kBlock, n, codes.data(), n,
                                         quant.data());
                   }});
  }
  all.push_back({"quantise to 16 bits", kBlock, 384, bytes(kBlock, 384, 6), [&] {
                   kernels.quantize_s16(source.data(), 384, kBlock, 384, 32767, codes.data(), 768,
                                        quant.data());
                 }});
  all.push_back({"layer norm", kBlock, 384, bytes(kBlock, 384, 8), [&] {
                   kernels.layer_norm(work.data(), 384, kBlock, 384, 1e-12F, gamma.data(),
                                      gamma.data());
                 }});
  for (const size_t n : {size_t{20}, size_t{64}, size_t{128}}) {
    const size_t stride = round_up(n, kPanelColumns);
    const size_t rows = n < kBlock ? n : kBlock;
    all.push_back({"softmax", rows, n, bytes(rows, n, 8), [&, n, stride, rows] {
                     kernels.softmax(work.data(), stride, rows, n, 0.177F, nullptr, 0);
                   }});
  }
  all.push_back({"GELU", kBlock, 1536, bytes(kBlock, 1536, 8),
                 [&] { kernels.activate(Activation::kGelu, positive.data(), kBlock * 1536); }});
  all.push_back({"add a table row of codes", kBlock, 384, bytes(kBlock, 384, 9), [&] {
                   for (size_t row = 0; row < kBlock; ++row) {
                     kernels.add_scaled_s8(
                         reinterpret_cast<const int8_t*>(codes.data()) + row * 384, 1e-3F,
                         work.data() + row * 384, 384);
                   }
                 }});
  all.push_back({"pack keys", 20, 32, bytes(20, 32, 8),
                 [&] { kernels.pack_keys(source.data(), 1152, 20, 32, work.data()); }});
  AlignedBuffer<char> from(kBlock * kWidest * 8);
  AlignedBuffer<char> to(kBlock * kWidest * 8);
  std::memset(from.data(), 1, from.size());
  for (const RowKernel& kernel : all) {
    const auto half = static_cast<size_t>(kernel.bytes / 2);
    json result = compare(settings, kernel.bytes, kernel.run, kernel.bytes,
                          [&] { std::memcpy(to.data(), from.data(), half); });
    result.update({{"kernel", kernel.name}, {"rows", kernel.rows}, {"columns", kernel.columns}});
    results.push_back(result);
    std::copy_n(source.data(), source.size(), work.data());
  }
  return results;
}

json measure_peaks(const Settings& settings, const PeakLoops& loops) {
  json results;
  for (const Kind kind : kKinds) {
    const PeakLoop& loop = peak_of(kind, loops);
    const auto body = [&] { loop.run(256); };
    const size_t passes = passes_for(settings.seconds, body);
    std::vector<double> rates;
    for (size_t round = 0; round < 4 * settings.rounds; ++round) {
      rates.push_back(256 * loop.macs / seconds_a_pass(passes, body));
    }
    results[name_of(kind)] = {{"instructions", loop.instructions},
                              {"rate", quantile(rates, 0.5)},
                              {"best", quantile(rates, 1.0)}};
  }
  return results;
}

double number(const char* text, double least, double most) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= least && value <= most)) {
    throw std::runtime_error(std::string("'") + text + "' is not a number from " +
                             std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

int run(int count, char** arguments) {
  Settings settings;
  for (int i = 1; i < count; ++i) {
    const std::string option = arguments[i];
    if (option == "--rounds" && i + 1 < count) {
      settings.rounds = static_cast<size_t>(number(arguments[++i], 1, 1000));
    } else if (option == "--seconds" && i + 1 < count) {
      settings.seconds = number(arguments[++i], 1e-6, 1.0);
    } else {
      throw std::runtime_error("usage: kernels_bench [--rounds N] [--seconds S]");
    }
  }
  const Kernels& kernels = select_kernels();
  const PeakLoops* loops = peak_loops(kernels.isa);
  const double start = now();
  json report = {{"isa", kernels.isa}, {"rounds", settings.rounds}, {"seconds", settings.seconds}};
  if (loops != nullptr) report["peak"] = measure_peaks(settings, *loops);
  report["gemm"] = measure_gemms(settings, kernels, loops);
  report["attention"] = measure_attention(settings, kernels, loops);
  report["rows"] = measure_rows(settings, kernels);
  report["duration_s"] = now() - start;
  std::printf("%s\n", report.dump(1).c_str());
  return 0;
}

}  // namespace
}  // namespace affectrt::bench

int main(int count, char** arguments) {
  try {
    return affectrt::bench::run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels_bench: %s\n", error.what());
    return 1;
  }
}
