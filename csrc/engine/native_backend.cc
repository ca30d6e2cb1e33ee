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
#include "engine/other_rows.h"
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
  AlignedBuffer<float> pooling;
  std::vector<AlignedBuffer<float>> read;  // of each reading: [rows or judged tokens, stride]
  std::vector<float*> logits;
};

template <class T>
void grow(AlignedBuffer<T>* buffer, size_t count) {
  if (buffer->size() < count) *buffer = AlignedBuffer<T>(count);
}

class NativeBackend final : public Backend {
 public:
  NativeBackend(std::shared_ptr<const Bundle> bundle, EncoderConfig config,
                const SafeTensors& weights, std::unique_ptr<const OtherRows> other_rows,
                const Kernels& kernels, int num_threads)
      : bundle_(std::move(bundle)),
        other_rows_(std::move(other_rows)),
        kernels_(kernels),
        heads_(&config, weights, bundle_->manifest().heads),
        encoder_(make_text_encoder(config, weights, kernels,
                                   other_rows_ ? &other_rows_->tensors : nullptr)),
        runner_(num_threads) {
    for (const ClassifierHeads::Output& output : heads_.outputs()) {
      const bool of_tokens = heads_.readings()[output.reading].of_tokens();
      outputs_.push_back({output.name, static_cast<int32_t>(output.width),
                          of_tokens ? OutputKind::kToken : OutputKind::kRow});
    }
    const std::string& embedding = bundle_->manifest().embedding;
    outputs_.push_back({embedding.empty() ? "embedding" : embedding,
                        static_cast<int32_t>(config.hidden), OutputKind::kEmbedding});
  }

  std::string name() const override { return "native"; }

  std::string detail() const override {
    const int threads = runner_.num_threads();
    return std::string(kernels_.isa) + ", " + std::to_string(threads) +
           (threads == 1 ? " thread" : " threads");
  }

  const std::vector<OutputInfo>& outputs() const override { return outputs_; }

  std::optional<int32_t> absent_token(const std::vector<int32_t>& ids) const override {
    const Table& words = encoder_->words();
    if (words.absent_rows() == 0) return std::nullopt;
    const auto found = std::find_if(ids.begin(), ids.end(), [&](int32_t id) {
      return id >= 0 && static_cast<size_t>(id) < words.rows() &&
             !words.has(static_cast<size_t>(id));
    });
    if (found == ids.end()) return std::nullopt;
    return *found;
  }

  using Backend::run;
  void run(const TokenBatch& batch, const std::vector<size_t>& wanted,
           std::vector<std::vector<float>>* values) const override {
    Call call;
    call.buffers.resize(outputs_.size(), nullptr);
    call.is_read.resize(heads_.readings().size(), false);
    values->resize(wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      const OutputInfo& output = outputs_[wanted[i]];
      const bool of_tokens = output.kind == OutputKind::kToken;
      if (of_tokens && !call.wants_tokens) check_judged(batch);
      call.wants_tokens = call.wants_tokens || of_tokens;
      call.is_read[reading_of(wanted[i])] = true;
      const size_t rows = of_tokens ? batch.judged_tokens() : static_cast<size_t>(batch.rows);
      (*values)[i].resize(rows * static_cast<size_t>(output.width));
      call.buffers[wanted[i]] = (*values)[i].data();
    }
    if (batch.rows == 0 || wanted.empty()) return;
    call.rows = {batch.input_ids, batch.type_ids, batch.row_begin, static_cast<size_t>(batch.rows)};
    encoder_->check(call.rows);
    call.plan_rows(heads_.readings(), batch.judged);
    runner_.run(call.rows.spans(), Work{*this, call});
    for (size_t i = 0; i < wanted.size(); ++i) check_finite(outputs_[wanted[i]], (*values)[i]);
  }

 private:
  using Reading = ClassifierHeads::Reading;

  struct Call {
    TokenRows rows;
    std::vector<float*> buffers;  // one an output, or null
    std::vector<bool> is_read;    // one a reading
    bool wants_tokens = false;
    size_t depth = 0;                   // of the deepest reading
    std::vector<int32_t> kept_begin;    // [rows + 1]: as TokenRows has it
    std::vector<int32_t> judged_begin;  // [rows + 1]: where each row's judged tokens begin

    void plan_rows(const std::vector<Reading>& readings, const int32_t* judged) {
      for (size_t i = 0; i < readings.size(); ++i) {
        if (!is_read[i]) continue;
        if (readings[i].pooler) readings[i].pooler->check(rows);
        depth = std::max(depth, readings[i].layer);
      }
      kept_begin.push_back(0);
      judged_begin.push_back(0);
      for (size_t row = 0; row < rows.rows; ++row) {
        const int32_t own = wants_tokens ? judged[row] : 0;
        int32_t kept = 0;
        for (size_t i = 0; i < readings.size(); ++i) {
          if (!is_read[i] || readings[i].layer != depth) continue;
          kept = std::max(kept, readings[i].pooler
                                    ? static_cast<int32_t>(readings[i].pooler->tokens(rows, row))
                                    : own);
        }
        kept_begin.push_back(kept_begin.back() + kept);
        judged_begin.push_back(judged_begin.back() + own);
      }
      rows.kept_begin = kept_begin.data();
    }
  };

  // Takes what the readings of a call are made of, chunk by chunk.
  class Taker final : public LayerReader {
   public:
    Taker(const NativeBackend& backend, const Call& call, const TokenRows& rows,
          const RowSpans& judged, Scratch* scratch)
        : backend_(backend), call_(call), rows_(rows), judged_(judged), scratch_(scratch) {}

    size_t depth() const override { return call_.depth; }

    void read(size_t layer, const float* x, const RowSpans& spans) override {
      const std::vector<Reading>& readings = backend_.heads_.readings();
      for (size_t i = 0; i < readings.size(); ++i) {
        if (!call_.is_read[i] || readings[i].layer != layer) continue;
        float* to = scratch_->read[i].data();
        const size_t stride = backend_.encoder_->stride();
        if (readings[i].pooler) {
          readings[i].pooler->run(backend_.kernels_, rows_, spans, x, stride,
                                  scratch_->pooling.data(), to);
        } else {
          gather(x, spans, stride, to);
        }
      }
    }

   private:
    // The judged tokens' hidden states, one row's behind the other's.
    void gather(const float* x, const RowSpans& spans, size_t stride, float* to) const {
      for (size_t row = 0; row < rows_.rows; ++row) {
        std::copy_n(x + spans.first(row) * stride, judged_.length(row) * stride,
                    to + judged_.first(row) * stride);
      }
    }

    const NativeBackend& backend_;
    const Call& call_;
    const TokenRows& rows_;
    const RowSpans& judged_;
    Scratch* scratch_;
  };

  // One call, as ChunkRunner does it.
  struct Work {
    const NativeBackend& backend;
    const Call& call;

    TokenRows chunk(size_t begin, size_t end) const {
      return {call.rows.ids, call.rows.type_ids, call.rows.row_begin + begin, end - begin,
              call.rows.kept_begin + begin};
    }
    RowSpans judged(size_t begin, size_t end) const {
      return {call.judged_begin.data() + begin, end - begin};
    }
    // Rows of what a reading takes of a chunk.
    size_t rows(const Reading& reading, size_t begin, size_t end) const {
      return reading.of_tokens() ? judged(begin, end).tokens() : end - begin;
    }
    void make_room(size_t begin, size_t end, bool whole, Scratch* scratch) const {
      const TextEncoder& encoder = *backend.encoder_;
      const TokenRows rows_of_chunk = chunk(begin, end);
      encoder.prepare(rows_of_chunk, whole, &scratch->workspace);
      if (!whole) return;
      const std::vector<Reading>& readings = backend.heads_.readings();
      scratch->read.resize(readings.size());
      for (size_t i = 0; i < readings.size(); ++i) {
        if (!call.is_read[i]) continue;
        grow(&scratch->read[i], rows(readings[i], begin, end) * encoder.stride());
        if (readings[i].pooler) {
          grow(&scratch->pooling, readings[i].pooler->scratch(rows_of_chunk, encoder.stride()));
        }
      }
    }
    void forward(size_t begin, size_t end, Team& team, Scratch* shared, Scratch* own) const {
      const TokenRows rows_of_chunk = chunk(begin, end);
      const RowSpans judged_of_chunk = judged(begin, end);
      Taker taker(backend, call, rows_of_chunk, judged_of_chunk, shared);
      backend.encoder_->forward(rows_of_chunk, team, &shared->workspace, &own->workspace, &taker);
    }
    void finish(size_t begin, size_t end, Scratch* scratch) const {
      const size_t stride = backend.encoder_->stride();
      scratch->logits.clear();
      for (size_t i = 0; i < backend.heads_.outputs().size(); ++i) {
        const OutputInfo& output = backend.outputs_[i];
        const size_t first = output.kind == OutputKind::kToken
                                 ? static_cast<size_t>(call.judged_begin[begin])
                                 : begin;
        float* buffer = call.buffers[i];
        if (buffer != nullptr) buffer += first * static_cast<size_t>(output.width);
        scratch->logits.push_back(buffer);
      }
      const std::vector<Reading>& readings = backend.heads_.readings();
      for (size_t i = 0; i < readings.size(); ++i) {
        if (!call.is_read[i]) continue;
        backend.heads_.run(backend.kernels_, scratch->read[i].data(), stride,
                           rows(readings[i], begin, end), i, &scratch->heads,
                           scratch->logits.data());
      }
      copy_embeddings(begin, end, scratch->read[backend.heads_.embedding()].data());
    }
    void copy_embeddings(size_t begin, size_t end, const float* pooled) const {
      float* to = call.buffers.back();
      if (to == nullptr) return;
      const auto width = static_cast<size_t>(backend.outputs_.back().width);
      for (size_t row = begin; row < end; ++row, pooled += backend.encoder_->stride()) {
        std::copy_n(pooled, width, to + row * width);
      }
    }
  };

  // What an output is made of; the last one is that of embeddings.
  size_t reading_of(size_t output) const {
    return output < heads_.outputs().size() ? heads_.outputs()[output].reading : heads_.embedding();
  }

  void check_finite(const OutputInfo& output, const std::vector<float>& values) const {
    const auto bad =
        std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
    if (bad == values.end()) return;
    const auto row = static_cast<size_t>(bad - values.begin()) / static_cast<size_t>(output.width);
    const char* of = output.kind == OutputKind::kToken ? "' of token " : "' of row ";
    throw Error(ErrorKind::kBackend, "output '" + output.name + of + std::to_string(row) +
                                         " is not finite: the weights of '" + bundle_->path() +
                                         "' make its numbers overflow");
  }

  const std::shared_ptr<const Bundle> bundle_;
  const std::unique_ptr<const OtherRows> other_rows_;
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
  auto other_rows = open_other_rows(*bundle, weights);
  // Positions that no row reaches need no rotary factors.
  if (config.family == EncoderFamily::kModernBert) config.positions = max_tokens;
  return std::make_unique<NativeBackend>(std::move(bundle), config, weights, std::move(other_rows),
                                         kernels, native_thread_count(options.num_threads));
}

}  // namespace affectrt
