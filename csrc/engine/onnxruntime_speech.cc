#include "engine/onnxruntime_speech.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "engine/chunks.h"
#include "engine/float16.h"
#include "engine/onnxruntime_session.h"

namespace affectrt {
namespace {

using Matrix = OnnxRuntimeSession::Matrix;

constexpr const char* kModelEntry = "model.onnx";
constexpr const char* kMaskInput = "attention_mask";

class OnnxRuntimeSpeech final : public SpeechBackend {
 public:
  OnnxRuntimeSpeech(std::shared_ptr<const Bundle> bundle, const BackendOptions& options)
      : bundle_(std::move(bundle)),
        origin_(std::string(kModelEntry) + " of '" + bundle_->path() + "'"),
        width_(bundle_->manifest().audio->kind == FeatureKind::kWaveform
                   ? 0
                   : bundle_->manifest().audio->num_mels),
        library_(OnnxRuntimeLibrary::get(options.onnxruntime_library)),
        session_(library_, {origin_, bundle_->entry(kModelEntry)},
                 {native_thread_count(options.num_threads), options.providers}) {
    read_inputs();
    const Manifest& manifest = bundle_->manifest();
    for (const Head& head : manifest.heads) {
      add_output(head.output, "head '" + head.name + "'", head.labels.size());
    }
    if (!manifest.embedding.empty()) add_output(manifest.embedding, "the embedding", 0);
  }

  std::string name() const override { return "onnxruntime"; }

  std::string detail() const override {
    std::string providers;
    for (const std::string& one : session_.settings().providers) providers += one + ", ";
    if (providers.empty()) providers = "CPUExecutionProvider, ";
    const int threads = session_.settings().num_threads;
    return library_.describe() + ", " + providers + std::to_string(threads) +
           (threads == 1 ? " thread" : " threads");
  }

  const std::vector<OutputInfo>& outputs() const override { return outputs_; }
  const OnnxRuntimeSession* session() const override { return &session_.get(); }

  void run(const ClipBatch& batch, const std::vector<size_t>& wanted,
           std::vector<std::vector<float>>* values) const override {
    values->resize(wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      (*values)[i].resize(batch.clips * static_cast<size_t>(outputs_[wanted[i]].width));
    }
    if (wanted.empty()) return;
    check_features(batch, std::max<size_t>(width_, 1));
    const OnnxRuntimeSession& session = session_.get();
    for (size_t clip = 0; clip < batch.clips; ++clip)
      run_clip(session, batch, clip, wanted, values);
  }

 private:
  void read_inputs() {
    const std::vector<TensorSpec>& inputs = session_.get().inputs();
    const size_t rank = width_ == 0 ? 2 : 3;
    const std::string needed = width_ == 0
                                   ? "(float [clips, samples])"
                                   : "(float [clips, frames, " + std::to_string(width_) + "])";
    for (const TensorSpec& spec : inputs) {
      const bool is_mask = spec.name == kMaskInput &&
                           (spec.element_type == ort::kInt64 || spec.element_type == ort::kInt32);
      if (is_mask) {
        mask_type_ = spec.element_type;
        continue;
      }
      const bool fits = spec.element_type == ort::kFloat &&
                        (spec.shape.empty() || spec.shape.size() == rank) && input_.empty();
      if (!fits) {
        throw Error(ErrorKind::kModelFile,
                    origin_ + " has the input " + to_string(spec) + "; a speech model of these " +
                        "features has one input " + needed + " and perhaps an attention_mask");
      }
      input_ = spec.name;
    }
    if (input_.empty()) {
      throw Error(ErrorKind::kModelFile, origin_ + " has no input " + needed);
    }
  }

  // `labels` 0: any width that the graph says.
  void add_output(const std::string& name, const std::string& reader, size_t labels) {
    const bool known = std::any_of(outputs_.begin(), outputs_.end(),
                                   [&](const OutputInfo& one) { return one.name == name; });
    if (known) return;
    const std::vector<TensorSpec>& all = session_.get().outputs();
    const auto spec =
        std::find_if(all.begin(), all.end(), [&](const TensorSpec& s) { return s.name == name; });
    if (spec == all.end()) {
      throw Error(ErrorKind::kModelFile,
                  origin_ + " has no output '" + name + "', which " + reader + " reads");
    }
    const int64_t width = spec->shape.size() == 2 ? spec->shape[1] : -1;
    const bool is_float = spec->element_type == ort::kFloat || spec->element_type == ort::kFloat16;
    if (!is_float || width < 1 || width > kManifestMaxLabels ||
        (labels != 0 && static_cast<size_t>(width) != labels)) {
      throw Error(ErrorKind::kModelFile, origin_ + " has output " + to_string(*spec) + " for " +
                                             reader + "; (float [clips, " +
                                             (labels == 0 ? "values" : std::to_string(labels)) +
                                             "]) is needed");
    }
    outputs_.push_back({name, static_cast<int32_t>(width),
                        labels == 0 ? OutputKind::kEmbedding : OutputKind::kRow});
    types_.push_back(spec->element_type);
  }

  void run_clip(const OnnxRuntimeSession& session, const ClipBatch& batch, size_t clip,
                const std::vector<size_t>& wanted, std::vector<std::vector<float>>* values) const {
    const int64_t frames = batch.frames[clip];
    if (frames < 1) {
      throw Error(ErrorKind::kInput,
                  "clip " + std::to_string(clip) + " has no frames; one at least is needed");
    }
    // ONNX Runtime's C interface takes inputs as memory that could be written to; it is not.
    auto* features = const_cast<float*>(batch.features[clip]);
    std::vector<Matrix> inputs = {
        {input_.c_str(), ort::kFloat, 1, frames, features, static_cast<int64_t>(width_)}};
    std::vector<int64_t> wide;
    std::vector<int32_t> narrow;
    if (mask_type_ == ort::kInt64) {
      wide.assign(static_cast<size_t>(frames), 1);
      inputs.push_back({kMaskInput, mask_type_, 1, frames, wide.data()});
    } else if (mask_type_ == ort::kInt32) {
      narrow.assign(static_cast<size_t>(frames), 1);
      inputs.push_back({kMaskInput, mask_type_, 1, frames, narrow.data()});
    }
    std::vector<Matrix> outputs;
    std::vector<std::vector<uint16_t>> half(wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      const OutputInfo& output = outputs_[wanted[i]];
      const auto width = static_cast<size_t>(output.width);
      void* data = (*values)[i].data() + clip * width;
      if (types_[wanted[i]] == ort::kFloat16) {
        half[i].resize(width);
        data = half[i].data();
      }
      outputs.push_back({output.name.c_str(), types_[wanted[i]], 1, output.width, data});
    }
    session.run(inputs, outputs);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const auto width = static_cast<size_t>(outputs_[wanted[i]].width);
      float* out = (*values)[i].data() + clip * width;
      if (!half[i].empty()) {
        std::transform(half[i].begin(), half[i].end(), out, float_from_float16);
      }
      if (std::all_of(out, out + width, [](float x) { return std::isfinite(x); })) continue;
      throw Error(ErrorKind::kBackend, "output '" + outputs_[wanted[i]].name + "' of clip " +
                                           std::to_string(clip) + " is not finite: " + origin_ +
                                           " makes its numbers overflow");
    }
  }

  const std::shared_ptr<const Bundle> bundle_;
  const std::string origin_;
  const size_t width_;  // of a frame; 0: samples
  const OnnxRuntimeLibrary& library_;
  const SessionOfProcess session_;
  std::string input_;
  int mask_type_ = 0;  // 0: the graph takes none
  std::vector<OutputInfo> outputs_;
  std::vector<int> types_;  // of each output in the graph
};

}  // namespace

std::unique_ptr<SpeechBackend> make_onnxruntime_speech(std::shared_ptr<const Bundle> bundle,
                                                       const BackendOptions& options) {
  if (!bundle->has(kModelEntry)) {
    throw Error(ErrorKind::kModelFile, "'" + bundle->path() + "' has no " + kModelEntry +
                                           ", which the onnxruntime backend needs");
  }
  return std::make_unique<OnnxRuntimeSpeech>(std::move(bundle), options);
}

}  // namespace affectrt
