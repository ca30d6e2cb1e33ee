#include "engine/native_backend.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <string>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "encoders/classifier_heads.h"
#include "encoders/encoder_config.h"
#include "encoders/post_ln_encoder.h"
#include "kernels/dispatch.h"

namespace affectrt {
namespace {

constexpr const char* kConfigEntry = "config.json";
constexpr const char* kWeightsEntry = "weights.safetensors";
constexpr int kMostThreads = 1024;

int thread_count(int wanted) {
  if (wanted < 0 || wanted > kMostThreads) {
    throw Error(ErrorKind::kInput, "num_threads is " + std::to_string(wanted) +
                                       "; 0 (as many as the CPU quota allows) to " +
                                       std::to_string(kMostThreads) + " is possible");
  }
  // More threads than CPUs would only wait for each other.
  return wanted == 0 ? usable_cpus() : std::min(wanted, usable_cpus());
}

std::string entry_of(const Bundle& bundle, const char* entry) {
  return std::string(entry) + " of '" + bundle.path() + "'";
}

// What one thread needs while it works on a chunk.
struct Scratch {
  PostLnEncoder::Workspace workspace;
  ClassifierHeads::Scratch heads;
  AlignedBuffer<float> pooled;
  std::vector<float*> logits;
};

// Scratch that calls borrow and give back, so that memory stays as it is after the largest ones.
// Only ever tries its lock: in a forked child nobody may be left to release it.
class ScratchPool {
 public:
  explicit ScratchPool(size_t most) : most_(most) {}

  std::unique_ptr<Scratch> take() {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock() || free_.empty()) return std::make_unique<Scratch>();
    std::unique_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give(std::unique_ptr<Scratch> scratch) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (lock.owns_lock() && free_.size() < most_) free_.push_back(std::move(scratch));
  }

 private:
  const size_t most_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

class NativeBackend final : public Backend {
 public:
  NativeBackend(std::shared_ptr<const Bundle> bundle, const EncoderConfig& config,
                const SafeTensors& weights, const Kernels& kernels, int num_threads)
      : bundle_(std::move(bundle)),
        kernels_(kernels),
        heads_(config, weights, bundle_->manifest().heads),
        encoder_(config, weights, heads_.pooling(), kernels),
        pool_(num_threads),
        scratch_(2 * static_cast<size_t>(num_threads)) {
    for (const ClassifierHeads::Output& output : heads_.outputs()) {
      outputs_.push_back({output.name, static_cast<int32_t>(output.width)});
    }
  }

  std::string name() const override { return "native"; }

  std::string detail() const override {
    const int threads = pool_.num_threads();
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
    encoder_.check(rows);
    const std::vector<size_t> chunks = split(rows);
    const size_t count = chunks.size() - 1;
    const auto threads = static_cast<size_t>(pool_.num_threads());
    if (threads == 1) {
      run_apart(rows, chunks, 1, logits);
    } else if (count >= 2 * threads) {
      run_apart(rows, chunks, pool_.num_threads(), logits);
    } else {
      run_together(rows, chunks, logits);
    }
    check_finite(*logits);
  }

 private:
  // Boundaries of chunks of whole rows: as many as fit a block, at least one.
  static std::vector<size_t> split(const TokenRows& rows) {
    std::vector<size_t> bounds = {0};
    size_t tokens = 0;
    for (size_t row = 0; row < rows.rows; ++row) {
      const size_t length = rows.length(row);
      if (tokens > 0 && tokens + length > PostLnEncoder::kBlockRows) {
        bounds.push_back(row);
        tokens = 0;
      }
      tokens += length;
    }
    bounds.push_back(rows.rows);
    return bounds;
  }

  static TokenRows chunk_of(const TokenRows& rows, size_t begin, size_t end) {
    return {rows.ids, rows.type_ids, rows.row_begin + begin, end - begin};
  }

  void read_heads(size_t first_row, size_t rows, Scratch* scratch,
                  std::vector<std::vector<float>>* logits) const {
    scratch->logits.clear();
    for (size_t i = 0; i < outputs_.size(); ++i) {
      scratch->logits.push_back((*logits)[i].data() +
                                first_row * static_cast<size_t>(outputs_[i].width));
    }
    heads_.run(kernels_, scratch->pooled.data(), encoder_.stride(), rows, &scratch->heads,
               scratch->logits.data());
  }

  void make_room(const TokenRows& chunk, bool whole, Scratch* scratch) const {
    scratch->workspace.prepare(encoder_, chunk, whole);
    const size_t pooled = chunk.rows * encoder_.stride();
    if (whole && scratch->pooled.size() < pooled) scratch->pooled = AlignedBuffer<float>(pooled);
  }

  // Each chunk on one thread, whichever is free.
  void run_apart(const TokenRows& rows, const std::vector<size_t>& chunks, int threads,
                 std::vector<std::vector<float>>* logits) const {
    std::atomic<size_t> next{0};
    const auto work = [&](Team&) {
      Team alone;
      std::unique_ptr<Scratch> scratch = scratch_.take();
      for (size_t i = next++; i + 1 < chunks.size(); i = next++) {
        const TokenRows chunk = chunk_of(rows, chunks[i], chunks[i + 1]);
        make_room(chunk, true, scratch.get());
        encoder_.forward(chunk, alone, &scratch->workspace, &scratch->workspace,
                         scratch->pooled.data());
        read_heads(chunks[i], chunk.rows, scratch.get(), logits);
      }
      scratch_.give(std::move(scratch));
    };
    if (threads == 1) {
      Team alone;
      work(alone);
    } else {
      pool_.run(threads, work);
    }
  }

  // Chunk by chunk, all threads on one.
  void run_together(const TokenRows& rows, const std::vector<size_t>& chunks,
                    std::vector<std::vector<float>>* logits) const {
    std::vector<std::unique_ptr<Scratch>> scratch;
    for (int i = 0; i < pool_.num_threads(); ++i) scratch.push_back(scratch_.take());
    for (size_t i = 0; i + 1 < chunks.size(); ++i) {
      const TokenRows chunk = chunk_of(rows, chunks[i], chunks[i + 1]);
      // All memory before the team starts: a member that failed would leave the others waiting.
      for (size_t j = 0; j < scratch.size(); ++j) make_room(chunk, j == 0, scratch[j].get());
      pool_.run(pool_.num_threads(), [&](Team& team) {
        encoder_.forward(chunk, team, &scratch[0]->workspace,
                         &scratch[static_cast<size_t>(team.rank())]->workspace,
                         scratch[0]->pooled.data());
      });
      read_heads(chunks[i], chunk.rows, scratch[0].get(), logits);
    }
    for (std::unique_ptr<Scratch>& one : scratch) scratch_.give(std::move(one));
  }

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
  const PostLnEncoder encoder_;
  mutable ThreadPool pool_;
  mutable ScratchPool scratch_;
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
  for (const char* entry : {kConfigEntry, kWeightsEntry}) {
    if (!bundle->has(entry)) {
      throw Error(ErrorKind::kUnsupported, "'" + bundle->path() + "' has no " + entry +
                                               ", which the native backend needs; `affectrt "
                                               "export` writes it");
    }
  }
  const EncoderConfig config =
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
  return std::make_unique<NativeBackend>(std::move(bundle), config, weights, select_kernels(),
                                         thread_count(options.num_threads));
}

}  // namespace affectrt
