#include "runtime/speech_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "audio/samples.h"
#include "base/cpu.h"
#include "base/error.h"
#include "engine/native_speech.h"
#include "engine/onnxruntime_speech.h"

namespace affectrt {
namespace {

// What goes through the encoder at once, and so bounds the memory for features.
constexpr double kBatchSecondsPerThread = 32.0;
constexpr double kLeastBatchSeconds = 64.0;
constexpr size_t kKeptResamplers = 4;
constexpr float kFullScale = 0.999F;

std::shared_ptr<const Bundle> checked_bundle(std::shared_ptr<const Bundle> bundle,
                                             const ModelOptions& options) {
  if (!bundle->manifest().audio) {
    throw Error(ErrorKind::kInput,
                "'" + bundle->path() + "' is a text model, and a speech model is needed here");
  }
  if (options.max_batch_tokens != 0) {
    throw Error(ErrorKind::kInput, "max_batch_tokens is an option of text models; leave it out");
  }
  return bundle;
}

// The one place that knows which backends there are for sound.
std::unique_ptr<const SpeechBackend> make_backend(const std::shared_ptr<const Bundle>& bundle,
                                                  const ModelOptions& options) {
  const std::string& wanted = options.backend;
  if (wanted != "auto" && wanted != "native" && wanted != "onnxruntime") {
    throw Error(ErrorKind::kInput,
                "no backend '" + wanted + "'; there are 'auto', 'native' and 'onnxruntime'");
  }
  const BackendOptions& backend_options = options.backend_options;
  const bool wants_provider = !backend_options.providers.empty();
  if (wanted == "native" && wants_provider) {
    throw Error(ErrorKind::kInput,
                "execution providers belong to the backend 'onnxruntime'; leave them out for "
                "'native'");
  }
  const bool has_graph = bundle->has("model.onnx");
  if (wanted == "onnxruntime" || wants_provider) {
    return make_onnxruntime_speech(bundle, backend_options);
  }
  // Without a graph the native backend says what it lacks.
  if (wanted == "native" || native_speech_supports(*bundle) || !has_graph) {
    return make_native_speech(bundle, backend_options);
  }
  return make_onnxruntime_speech(bundle, backend_options);
}

int pool_threads(const BackendOptions& options) {
  const int usable = usable_cpus();
  return options.num_threads == 0 ? usable : std::min(options.num_threads, usable);
}

// As few windows as possible of at most `most` samples, all of the same length.
std::vector<ClipWindow> windows_of(int64_t samples, int64_t most) {
  const int64_t count = (samples + most - 1) / most;
  std::vector<ClipWindow> windows;
  for (int64_t i = 0; i < count; ++i) {
    // Products of hours and windows stay far below 2^63.
    windows.push_back({samples * i / count, samples * (i + 1) / count});
  }
  return windows;
}

// Of values [windows, width], the mean of each clip's weighted by their lengths: [clips, width].
std::vector<float> means_over_windows(const SpeechPrediction& prediction,
                                      const std::vector<float>& values, size_t width) {
  std::vector<float> means;
  std::vector<double> sums(width);
  for (size_t clip = 0; clip < prediction.facts.size(); ++clip) {
    const auto begin = static_cast<size_t>(prediction.window_begin[clip]);
    const auto end = static_cast<size_t>(prediction.window_begin[clip + 1]);
    if (end - begin == 1) {
      const float* row = values.data() + begin * width;
      means.insert(means.end(), row, row + width);
      continue;
    }
    std::fill(sums.begin(), sums.end(), 0.0);
    double total = 0.0;
    for (size_t window = begin; window < end; ++window) {
      const ClipWindow& at = prediction.windows[window];
      const auto length = static_cast<double>(at.end - at.begin);
      total += length;
      for (size_t j = 0; j < width; ++j) sums[j] += length * double{values[window * width + j]};
    }
    for (const double sum : sums) means.push_back(static_cast<float>(sum / total));
  }
  return means;
}

std::string clip_name(const SoundView& clip, size_t index) {
  return clip.name.empty() ? "clip " + std::to_string(index) : clip.name;
}

}  // namespace

// The windows of a call on their way through features and backend, some at a time.
class SpeechModel::Passes {
 public:
  Passes(const SpeechModel& model, std::vector<size_t> outputs)
      : model_(model), outputs_(std::move(outputs)), values_(outputs_.size()) {
    const double seconds =
        std::max(kLeastBatchSeconds, kBatchSecondsPerThread * model.pool_.num_threads());
    budget_ = static_cast<int64_t>(seconds * model.audio().sample_rate);
  }

  // `samples` must stay until the next flush().
  void add(const float* samples, const ClipWindow& window) {
    windows_.push_back({samples + window.begin, static_cast<size_t>(window.end - window.begin)});
    waiting_ += window.end - window.begin;
  }
  bool full() const { return waiting_ >= budget_; }
  bool empty() const { return windows_.empty(); }

  void flush() {
    if (windows_.empty()) return;
    make_features();
    std::vector<const float*> rows;
    for (size_t i = 0; i < windows_.size(); ++i) rows.push_back(features_[i].data());
    model_.backend_->run({rows.data(), frames_.data(), rows.size()}, outputs_, &batch_);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      values_[i].insert(values_[i].end(), batch_[i].begin(), batch_[i].end());
    }
    windows_.clear();
    waiting_ = 0;
  }

  // [windows, width] of the i-th output.
  const std::vector<float>& values(size_t i) const { return values_[i]; }

 private:
  void make_features() {
    const size_t count = windows_.size();
    if (features_.size() < count) features_.resize(count);
    frames_.assign(count, 0);
    const auto make = [&](size_t i, ThreadPool* pool) {
      frames_[i] =
          model_.features_.compute(windows_[i].samples, windows_[i].count, pool, &features_[i]);
    };
    if (count == 1) {
      make(0, &model_.pool_);
      return;
    }
    std::atomic<size_t> next{0};
    model_.pool_.run(model_.pool_.num_threads(), [&](Team&) {
      for (size_t i = next++; i < count; i = next++) make(i, nullptr);
    });
  }

  struct Window {
    const float* samples;
    size_t count;
  };
  const SpeechModel& model_;
  const std::vector<size_t> outputs_;
  int64_t budget_ = 0;
  int64_t waiting_ = 0;
  std::vector<Window> windows_;
  std::vector<std::vector<float>> features_;
  std::vector<int32_t> frames_;
  std::vector<std::vector<float>> batch_;
  std::vector<std::vector<float>> values_;
};

std::shared_ptr<const SpeechModel> SpeechModel::load(const std::string& path,
                                                     const ModelOptions& options) {
  return load(Bundle::open(path), options);
}

std::shared_ptr<const SpeechModel> SpeechModel::load(std::shared_ptr<const Bundle> bundle,
                                                     const ModelOptions& options) {
  return std::shared_ptr<const SpeechModel>(new SpeechModel(std::move(bundle), options));
}

SpeechModel::SpeechModel(std::shared_ptr<const Bundle> bundle, const ModelOptions& options)
    : bundle_(checked_bundle(std::move(bundle), options)),
      backend_(make_backend(bundle_, options)),
      features_(audio()),
      pool_(pool_threads(options.backend_options)) {
  const std::vector<OutputInfo>& outputs = backend_->outputs();
  for (const Head& head : manifest().heads) {
    const auto output = std::find_if(outputs.begin(), outputs.end(), [&](const OutputInfo& one) {
      return one.name == head.output && one.kind == OutputKind::kRow;
    });
    if (output == outputs.end() || static_cast<size_t>(output->width) != head.labels.size()) {
      throw Error(ErrorKind::kModelFile, "head '" + head.name + "' of '" + bundle_->path() +
                                             "' has " + std::to_string(head.labels.size()) +
                                             " labels, but the backend has no output '" +
                                             head.output + "' of that width");
    }
    head_outputs_.push_back(static_cast<size_t>(output - outputs.begin()));
  }
}

int32_t SpeechModel::embedding_width() const {
  const OutputInfo& last = backend_->outputs().back();
  return last.kind == OutputKind::kEmbedding ? last.width : 0;
}

std::shared_ptr<const Resampler> SpeechModel::resampler(int64_t from_rate) const {
  const auto rate = static_cast<int64_t>(audio().sample_rate);
  if (from_rate == rate) return nullptr;
  std::unique_lock<std::mutex> lock(resamplers_mutex_, std::try_to_lock);
  if (lock.owns_lock()) {
    for (const KeptResampler& kept : resamplers_) {
      if (kept.from_rate == from_rate) return kept.plan;
    }
  }
  auto plan = std::make_shared<const Resampler>(from_rate, rate);
  if (lock.owns_lock()) {
    if (resamplers_.size() == kKeptResamplers) resamplers_.erase(resamplers_.begin());
    resamplers_.push_back({from_rate, plan});
  }
  return plan;
}

std::shared_ptr<const Resampler> SpeechModel::checked_resampler(const SoundView& sound,
                                                                const std::string& name) const {
  if (sound.count == 0) {
    throw Error(ErrorKind::kInput, name + " is empty; at least one sample is needed");
  }
  // Two bits below the limit of the arithmetic of windows and resampling.
  if (sound.count > static_cast<size_t>(INT64_MAX >> 24U)) {
    throw Error(ErrorKind::kInput, name + " has " + std::to_string(sound.count) +
                                       " samples, which are too many at once");
  }
  check_samples(sound.samples, sound.count, name);
  const auto rate = static_cast<int64_t>(audio().sample_rate);
  const int64_t from_rate = sound.sample_rate == 0 ? rate : sound.sample_rate;
  check_sample_rate(from_rate, name);
  return resampler(from_rate);
}

std::vector<float> SpeechModel::at_model_rate(const SoundView& sound,
                                              const std::string& name) const {
  const std::shared_ptr<const Resampler> plan = checked_resampler(sound, name);
  if (plan == nullptr) return {sound.samples, sound.samples + sound.count};
  return resampled(*plan, sound);
}

std::vector<float> SpeechModel::resampled(const Resampler& plan, const SoundView& sound) const {
  const auto count = static_cast<int64_t>(sound.count);
  const int64_t outputs = plan.output_count(count);
  std::vector<float> result(static_cast<size_t>(outputs));
  plan.compute(sound.samples, 0, count, 0, outputs, result.data(), &pool_);
  return result;
}

std::vector<int32_t> SpeechModel::checked_heads(const SpeechWanted& wanted) const {
  std::vector<int32_t> heads(manifest().heads.size());
  std::iota(heads.begin(), heads.end(), 0);
  if (wanted.heads) heads = *wanted.heads;
  for (const int32_t head : heads) {
    if (head < 0 || static_cast<size_t>(head) >= manifest().heads.size()) {
      throw Error(ErrorKind::kInput, "no head " + std::to_string(head) + "; this model has " +
                                         std::to_string(manifest().heads.size()));
    }
  }
  if (wanted.embeddings && embedding_width() == 0) {
    throw Error(
        ErrorKind::kUnsupported,
        "'" + bundle_->path() + "' gives no embeddings on the backend '" + backend_->name() + "'");
  }
  return heads;
}

void SpeechModel::check_restrictions(const SpeechWanted& wanted) const {
  for (const Restriction& one : wanted.restrictions) {
    const std::vector<Head>& heads = manifest().heads;
    const bool there = one.head >= 0 && static_cast<size_t>(one.head) < heads.size();
    const Head* head = there ? &heads[static_cast<size_t>(one.head)] : nullptr;
    if (head == nullptr || (head->task != Task::kSingleLabel && head->task != Task::kOrdinal)) {
      throw Error(ErrorKind::kInput,
                  "labels of " +
                      (there ? "head '" + head->name + "' (" + task_name(head->task) + ")"
                             : "a head that is not there") +
                      " cannot be restricted; those of single_label and ordinal heads can");
    }
    const auto is_none = [&](int32_t label) {
      return label < 0 || static_cast<size_t>(label) >= head->labels.size();
    };
    if (one.labels.empty() || std::any_of(one.labels.begin(), one.labels.end(), is_none)) {
      throw Error(ErrorKind::kInput, "the labels of head '" + head->name +
                                         "' are to be restricted to none, or to one that it does "
                                         "not have; give some of its " +
                                         std::to_string(head->labels.size()));
    }
  }
}

HeadScores SpeechModel::decode_head(int32_t head, const std::vector<float>& logits, size_t rows,
                                    const SpeechWanted& wanted) const {
  const Head& own = manifest().heads[static_cast<size_t>(head)];
  const size_t width = own.labels.size();
  std::vector<float> allowed = logits;
  for (const Restriction& one : wanted.restrictions) {
    if (one.head != head) continue;
    std::vector<bool> possible(width, false);
    for (const int32_t label : one.labels) possible[static_cast<size_t>(label)] = true;
    for (size_t row = 0; row < rows; ++row) {
      float* values = allowed.data() + row * width;
      for (size_t i = 0; i < width; ++i) {  // an exponential of 0 at every temperature
        if (!possible[i]) values[i] = std::numeric_limits<float>::lowest();
      }
    }
  }
  HeadScores scores = decode(own, std::move(allowed), static_cast<int32_t>(rows));
  scores.logits = logits;
  return scores;
}

ClipFacts SpeechModel::facts_of(const float* samples, size_t count, double duration_s) const {
  double sum = 0.0;
  double squares = 0.0;
  size_t at_full_scale = 0;
  for (size_t i = 0; i < count; ++i) {
    const double sample = samples[i];
    sum += sample;
    squares += sample * sample;
    at_full_scale += std::fabs(samples[i]) >= kFullScale ? 1 : 0;
  }
  const double n = static_cast<double>(count);
  const double power = std::max(0.0, squares / n - (sum / n) * (sum / n));
  ClipFacts facts;
  facts.duration_s = duration_s;
  facts.clipped_share = static_cast<float>(static_cast<double>(at_full_scale) / n);
  facts.level_dbfs = std::max(kSilenceDbfs, static_cast<float>(10.0 * std::log10(power + 1e-13)));
  facts.audible = duration_s >= kLeastSeconds && facts.level_dbfs >= kAudibleDbfs;
  return facts;
}

SpeechPrediction SpeechModel::predict(const std::vector<SoundView>& clips,
                                      const SpeechWanted& wanted) const {
  SpeechPrediction prediction;
  prediction.answered = checked_heads(wanted);
  check_restrictions(wanted);
  std::vector<size_t> outputs;
  std::vector<size_t> of_head;  // index into `outputs`
  const auto want = [&](size_t output) {
    const auto known = std::find(outputs.begin(), outputs.end(), output);
    if (known != outputs.end()) return static_cast<size_t>(known - outputs.begin());
    outputs.push_back(output);
    return outputs.size() - 1;
  };
  for (const int32_t head : prediction.answered) {
    of_head.push_back(want(head_outputs_[static_cast<size_t>(head)]));
  }
  const size_t embedding = wanted.embeddings ? want(backend_->outputs().size() - 1) : 0;

  Passes passes(*this, outputs);
  std::vector<std::vector<float>> waiting;  // resampled clips that are not through yet
  const auto flush = [&](size_t done) {
    passes.flush();
    if (wanted.progress && !wanted.progress(done, clips.size())) {
      throw Error(ErrorKind::kInput, "interrupted after " + std::to_string(done) + " of " +
                                         std::to_string(clips.size()) + " clips");
    }
  };
  prediction.window_begin.push_back(0);
  for (size_t i = 0; i < clips.size(); ++i) {
    SoundView clip = clips[i];
    if (const auto plan = checked_resampler(clip, clip_name(clip, i)); plan != nullptr) {
      const std::vector<float>& samples = waiting.emplace_back(resampled(*plan, clip));
      clip.samples = samples.data();
      clip.count = samples.size();
    }
    const int64_t rate = clip.sample_rate == 0 ? audio().sample_rate : clip.sample_rate;
    const double duration_s = static_cast<double>(clips[i].count) / static_cast<double>(rate);
    prediction.facts.push_back(facts_of(clip.samples, clip.count, duration_s));
    for (const ClipWindow& window :
         windows_of(static_cast<int64_t>(clip.count), audio().max_samples())) {
      prediction.windows.push_back(window);
      passes.add(clip.samples, window);
      if (passes.full()) flush(i);
    }
    prediction.window_begin.push_back(static_cast<int32_t>(prediction.windows.size()));
    if (passes.empty()) waiting.clear();
  }
  if (!clips.empty()) flush(clips.size());

  for (size_t k = 0; k < prediction.answered.size(); ++k) {
    const int32_t head = prediction.answered[k];
    const std::vector<float>& values = passes.values(of_head[k]);
    const size_t width = manifest().heads[static_cast<size_t>(head)].labels.size();
    HeadScores scores =
        decode_head(head, means_over_windows(prediction, values, width), clips.size(), wanted);
    for (size_t clip = 0; clip < scores.unsure.size(); ++clip) {
      const bool rated = manifest().heads[static_cast<size_t>(head)].task != Task::kRegression;
      if (rated && !prediction.facts[clip].audible) scores.unsure[clip] = 1;
    }
    prediction.heads.push_back(std::move(scores));
    prediction.window_heads.push_back(decode_head(head, values, prediction.windows.size(), wanted));
  }
  if (wanted.embeddings) {
    prediction.embedding_width = embedding_width();
    prediction.embeddings = means_over_windows(prediction, passes.values(embedding),
                                               static_cast<size_t>(embedding_width()));
  }
  return prediction;
}

}  // namespace affectrt
