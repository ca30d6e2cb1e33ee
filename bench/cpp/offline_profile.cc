// Where the time of an offline run goes, from texts to decided labels on one thread: each stage of
// Model::predict() on its own, and every kernel inside the encoder. JSON to standard output.
//
//     offline_profile MODEL.affect TEXTS.txt [--rounds N] [--call N]
//
// TEXTS has one text a line; `--call` texts go into one call (default: all). AFFECTRT_ISA chooses
// the instruction set.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/native_backend.h"
#include "kernels/dispatch.h"
#include "measure.h"
#include "peak.h"
#include "runtime/batch_plan.h"
#include "runtime/model.h"
#include "runtime/token_rows.h"
#include "tasks/decode.h"
#include "timed_kernels.h"

namespace affectrt::bench {
namespace {

using nlohmann::json;

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read '" + path + "'");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  if (lines.empty()) throw std::runtime_error("'" + path + "' has no text");
  return lines;
}

// Batches of one call, packed once: what the backend is given.
struct Packed {
  std::vector<int32_t> ids, type_ids, row_begin;
  TokenBatch view() const {
    return {ids.data(), type_ids.data(), row_begin.data(),
            static_cast<int32_t>(row_begin.size() - 1)};
  }
};

std::vector<Packed> pack(const std::vector<TokenRow>& rows, int32_t batch_tokens) {
  std::vector<int32_t> lengths;
  for (const TokenRow& row : rows) lengths.push_back(static_cast<int32_t>(row.ids.size()));
  const BatchPlan plan = plan_batches(lengths, batch_tokens);
  std::vector<Packed> batches(plan.batches());
  for (size_t batch = 0; batch < plan.batches(); ++batch) {
    Packed& packed = batches[batch];
    packed.row_begin = {0};
    for (size_t i = plan.batch_begin[batch]; i < plan.batch_begin[batch + 1]; ++i) {
      const TokenRow& row = rows[plan.order[i]];
      packed.ids.insert(packed.ids.end(), row.ids.begin(), row.ids.end());
      packed.type_ids.insert(packed.type_ids.end(), row.type_ids.begin(), row.type_ids.end());
      packed.row_begin.push_back(static_cast<int32_t>(packed.ids.size()));
    }
  }
  return batches;
}

// The output of the first head, which the peers of the bench have, too.
const std::vector<size_t> kFirst = {0};

// What Model::predict() does by default on one thread.
constexpr int32_t kBatchTokens = 1024;

class Profile {
 public:
  Profile(const std::string& path, std::vector<std::string> lines, size_t call)
      : lines_(std::move(lines)), kernels_(select_kernels()) {
    BackendOptions options;
    options.num_threads = 1;
    model_ = Model::load(path, {"native", options, kBatchTokens});
    timed_ = make_native_backend(Bundle::open(path), options, timed_kernels(kernels_, &tally_));
    if (call == 0) call = lines_.size();
    for (size_t i = 0; i < lines_.size(); i += call) {
      std::vector<TextInput>& inputs = calls_.emplace_back();
      for (size_t j = i; j < std::min(i + call, lines_.size()); ++j) {
        inputs.push_back({lines_[j], std::nullopt});
      }
    }
    for (const std::vector<TextInput>& inputs : calls_) {
      const std::vector<TokenRow> rows = tokenize(inputs);
      for (const TokenRow& row : rows) tokens_ += row.ids.size();
      for (Packed& batch : pack(rows, kBatchTokens)) batches_.push_back(std::move(batch));
    }
    check();
  }

  json run(size_t rounds) {
    Wanted wanted;
    wanted.heads = {0};
    const PeakLoops* loops = peak_loops(kernels_.isa);
    const size_t passes = loops == nullptr ? 0 : passes_for(0.02, [&] { loops->u8s8.run(256); });
    std::vector<double> whole, tokenise, encode, decode_, peak, share;
    std::vector<std::vector<double>> parts(kParts);
    std::vector<double> between;
    for (size_t round = 0; round < rounds; ++round) {
      const double peak_before = loops == nullptr ? 0.0 : peak_rate(*loops, passes);
      double start = now();
      for (const auto& inputs : calls_) (void)model_->predict(inputs, wanted);
      whole.push_back(now() - start);
      if (loops != nullptr) {
        const double rate = 0.5 * (peak_before + peak_rate(*loops, passes));
        peak.push_back(rate);
      }
      start = now();
      for (const auto& inputs : calls_) (void)tokenize(inputs);
      tokenise.push_back(now() - start);
      start = now();
      run_backend(model_->backend());
      encode.push_back(now() - start);
      start = now();
      decode_all();
      decode_.push_back(now() - start);
      tally_ = {};
      const uint64_t first = ticks();
      run_backend(*timed_);
      const double all = static_cast<double>(ticks() - first);
      double known = 0;
      uint64_t calls = 0;
      for (const uint64_t count : tally_.calls) calls += count;
      // Reading the clock twice a call adds to the whole, and once a call to its part.
      const double net = all - 2 * tick_cost_ * static_cast<double>(calls);
      for (size_t i = 0; i < kParts; ++i) {
        const double ticks_of_part = static_cast<double>(tally_.ticks[i]) -
                                     tick_cost_ * static_cast<double>(tally_.calls[i]);
        parts[i].push_back(ticks_of_part / net);
        known += ticks_of_part / net;
      }
      between.push_back(1.0 - known);
      if (loops != nullptr) share.push_back(tally_.macs_int / whole.back() / peak.back());
    }
    json kernels = json::object();
    for (size_t i = 0; i < kParts; ++i) {
      kernels[name_of(static_cast<Part>(i))] = quantile(parts[i], 0.5);
    }
    kernels["between the kernels"] = quantile(between, 0.5);
    json result = {{"isa", kernels_.isa},
                   {"texts", lines_.size()},
                   {"tokens", tokens_},
                   {"texts_a_call", calls_.front().size()},
                   {"rounds", rounds},
                   {"macs_int", tally_.macs_int},
                   {"macs_float", tally_.macs_float},
                   {"macs_attention", tally_.macs_attention},
                   {"seconds",
                    {{"predict", quantile(whole, 0.5)},
                     {"tokenise", quantile(tokenise, 0.5)},
                     {"encode", quantile(encode, 0.5)},
                     {"decode", quantile(decode_, 0.5)}}},
                   {"share_of_encode", kernels}};
    if (loops != nullptr) {
      result["peak_macs_per_s"] = quantile(peak, 0.5);
      result["share_of_peak"] = quantile(share, 0.5);
      result["share_of_peak_quartiles"] = {quantile(share, 0.25), quantile(share, 0.75)};
    }
    return result;
  }

 private:
  std::vector<TokenRow> tokenize(const std::vector<TextInput>& inputs) const {
    return tokenize_rows(model_->tokenizer(), inputs, {model_->manifest().max_tokens, false, 1},
                         nullptr);
  }

  static double peak_rate(const PeakLoops& loops, size_t passes) {
    return 256 * loops.u8s8.macs / seconds_a_pass(passes, [&] { loops.u8s8.run(256); });
  }

  void run_backend(const Backend& backend) {
    for (const Packed& batch : batches_) backend.run(batch.view(), kFirst, &logits_);
  }

  void decode_all() {
    const Head& head = model_->manifest().heads.front();
    const auto rows = static_cast<int32_t>(lines_.size());
    (void)decode(head, std::vector<float>(lines_.size() * head.labels.size()), rows);
  }

  // Throws unless the timed backend gives the same logits, and finds what reading the clock costs.
  void check() {
    std::vector<std::vector<float>> expected;
    const size_t checked = std::min<size_t>(batches_.size(), 3);
    for (size_t i = 0; i < checked; ++i) {
      model_->backend().run(batches_[i].view(), kFirst, &expected);
      timed_->run(batches_[i].view(), kFirst, &logits_);
      if (logits_ != expected) throw std::runtime_error("the timed kernels answer differently");
    }
    constexpr size_t kReads = 10000;
    const uint64_t start = ticks();
    uint64_t last = start;
    for (size_t i = 0; i < kReads; ++i) last = ticks();
    tick_cost_ = static_cast<double>(last - start) / kReads;
  }

  const std::vector<std::string> lines_;
  const Kernels& kernels_;
  Tally tally_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Backend> timed_;
  std::vector<std::vector<TextInput>> calls_;
  std::vector<Packed> batches_;
  std::vector<std::vector<float>> logits_;
  size_t tokens_ = 0;
  double tick_cost_ = 0;
};

size_t positive(const char* text) {
  const long value = std::strtol(text, nullptr, 10);
  if (value <= 0) throw std::runtime_error(std::string("'") + text + "' is not a positive number");
  return static_cast<size_t>(value);
}

int run(int count, char** arguments) {
  std::vector<std::string> paths;
  size_t rounds = 5;
  size_t call = 0;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--rounds" && i + 1 < count) {
      rounds = positive(arguments[++i]);
    } else if (argument == "--call" && i + 1 < count) {
      call = positive(arguments[++i]);
    } else {
      paths.push_back(argument);
    }
  }
  if (paths.size() != 2) {
    throw std::runtime_error("usage: offline_profile MODEL TEXTS [--rounds N] [--call N]");
  }
  Profile profile(paths[0], read_lines(paths[1]), call);
  std::printf("%s\n", profile.run(rounds).dump(1).c_str());
  return 0;
}

}  // namespace
}  // namespace affectrt::bench

int main(int count, char** arguments) {
  try {
    return affectrt::bench::run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "offline_profile: %s\n", error.what());
    return 1;
  }
}
