#include "engine/native_backend.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "encoders/classifier_heads.h"
#include "encoders/encoder_config.h"
#include "encoders/text_encoder.h"
#include "engine/chunks.h"
#include "kernels/dispatch.h"

namespace affectrt {
namespace {

constexpr const char* kConfigEntry = "config.json";
constexpr const char* kWeightsEntry = "weights.safetensors";

std::string entry_of(const Bundle& bundle, const char* entry) {
  return std::string(entry) + " of '" + bundle.path() + "'";
}

// What one thread needs while it works on a chunk.
struct Scratch {
  Workspace workspace;
  ClassifierHeads::Scratch heads;
  AlignedBuffer<float> pooled;
  std::vector<float*> logits;
};

class NativeBackend final : public Backend {
 public:
  NativeBackend(std::shared_ptr<const Bundle> bundle, const EncoderConfig& config,
                const SafeTensors& weights, const Kernels& kernels, int num_threads)
      : bundle_(std::move(bundle)),
        kernels_(kernels),
        heads_(config, weights, bundle_->manifest().heads),
        encoder_(make_text_encoder(config, weights, heads_.pooling(), kernels)),
        runner_(num_threads) {
    for (const ClassifierHeads::Output& output : heads_.outputs()) {
      outputs_.push_back({output.name, static_cast<int32_t>(output.width)});
    }
  }

  std::string name() const override { return "native"; }

  std::string detail() const override {
    const int threads = runner_.num_threads();
    return std::string(kernels_.isa) + ", " + std::to_string(threads) +
           (threads == 1 ? " thread" : " threads");
  }

  const std::vector<OutputInfo>& outputs() const override { return outputs_; }

  void run(const TokenBatch& batch, std::vector<std::vector<float>>* logits) const override {
    logits->resize(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      (*logits)[i].resize(static_cast<size_t>(batch.rows) * static_cast<size_t>(outputs_[i].width));
    }
    if (batch.rows == 0) return;
    const TokenRows rows = {batch.input_ids, batch.type_ids, batch.row_begin,
                            static_cast<size_t>(batch.rows)};
    encoder_->check(rows);
    runner_.run(rows.spans(), Work{*this, rows, logits});
    check_finite(*logits);
  }

 private:
  // One call, as ChunkRunner does it.
  struct Work {
    const NativeBackend& backend;
    const TokenRows& rows;
    std::vector<std::vector<float>>* logits;

    TokenRows chunk(size_t begin, size_t end) const {
      return {rows.ids, rows.type_ids, rows.row_begin + begin, end - begin};
    }
    void make_room(size_t begin, size_t end, bool whole, Scratch* scratch) const {
      const TextEncoder& encoder = *backend.encoder_;
      encoder.prepare(chunk(begin, end), whole, &scratch->workspace);
      const size_t pooled = (end - begin) * encoder.stride();
      if (whole && scratch->pooled.size() < pooled) scratch->pooled = AlignedBuffer<float>(pooled);
    }
    void forward(size_t begin, size_t end, Team& team, Scratch* shared, Scratch* own) const {
      backend.encoder_->forward(chunk(begin, end), team, &shared->workspace, &own->workspace,
                                shared->pooled.data());
    }
    void finish(size_t begin, size_t end, Scratch* scratch) const {
      scratch->logits.clear();
      for (size_t i = 0; i < logits->size(); ++i) {
        const auto width = static_cast<size_t>(backend.outputs_[i].width);
        scratch->logits.push_back((*logits)[i].data() + begin * width);
      }
      backend.heads_.run(backend.kernels_, scratch->pooled.data(), backend.encoder_->stride(),
                         end - begin, &scratch->heads, scratch->logits.data());
    }
  };

  void check_finite(const std::vector<std::vector<float>>& logits) const {
    for (size_t i = 0; i < logits.size(); ++i) {
      const auto bad = std::find_if(logits[i].begin(), logits[i].end(),
                                    [](float x) { return !std::isfinite(x); });
      if (bad == logits[i].end()) continue;
      const auto row =
          static_cast<size_t>(bad - logits[i].begin()) / static_cast<size_t>(outputs_[i].width);
      throw Error(ErrorKind::kBackend, "output '" + outputs_[i].name + "' of row " +
                                           std::to_string(row) +
                                           " is not finite: the weights of '" + bundle_->path() +
                                           "' make its numbers overflow");
    }
  }

  const std::shared_ptr<const Bundle> bundle_;
  const Kernels& kernels_;
  const ClassifierHeads heads_;
  const std::unique_ptr<const TextEncoder> encoder_;
  mutable ChunkRunner<Scratch> runner_;
  std::vector<OutputInfo> outputs_;
};

}  // namespace

bool native_backend_supports(const Bundle& bundle) {
  if (!bundle.has(kWeightsEntry) || !bundle.has(kConfigEntry)) return false;
  try {
    parse_encoder_config(bundle.entry(kConfigEntry).text(), kConfigEntry);
  } catch (const Error& error) {
    return error.kind() != ErrorKind::kUnsupported;
  }
  return true;
}

std::unique_ptr<Backend> make_native_backend(std::shared_ptr<const Bundle> bundle,
                                             const BackendOptions& options) {
  return make_native_backend(std::move(bundle), options, select_kernels(options.isa));
}

std::unique_ptr<Backend> make_native_backend(std::shared_ptr<const Bundle> bundle,
                                             const BackendOptions& options,
                                             const Kernels& kernels) {
  for (const char* entry : {kConfigEntry, kWeightsEntry}) {
    if (!bundle->has(entry)) {
      throw Error(ErrorKind::kUnsupported, "'" + bundle->path() + "' has no " + entry +
                                               ", which the native backend needs; `affectrt "
                                               "export` writes it");
    }
  }
  EncoderConfig config =
      parse_encoder_config(bundle->entry(kConfigEntry).text(), entry_of(*bundle, kConfigEntry));
  const SafeTensors weights =
      SafeTensors::parse(bundle->entry(kWeightsEntry), entry_of(*bundle, kWeightsEntry));
  const size_t max_tokens = bundle->manifest().max_tokens;
  if (max_tokens > config.max_tokens()) {
    throw Error(ErrorKind::kModelFile, "'" + bundle->path() + "' allows rows of " +
                                           std::to_string(max_tokens) +
                                           " tokens, but the positions in config.json end at " +
                                           std::to_string(config.max_tokens()));
  }
  // Positions that no row reaches need no rotary factors.
  if (config.family == EncoderFamily::kModernBert) config.positions = max_tokens;
  return std::make_unique<NativeBackend>(std::move(bundle), config, weights, kernels,
                                         native_thread_count(options.num_threads));
}

}  // namespace affectrt
