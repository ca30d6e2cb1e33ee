// SpeechModel and its predictions; and the speech encoder alone, for tests.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "engine/native_speech.h"
#include "runtime/model_json.h"
#include "runtime/speech_model.h"

namespace py = pybind11;

namespace affectrt {
namespace {

using Matrix = py::array_t<float, py::array::c_style>;

// A folder with config.json and weights.safetensors; immutable, calls may run at once.
class WhisperFolder {
 public:
  WhisperFolder(const std::string& folder, int num_threads)
      : config_(MappedFile::open(folder + "/config.json")),
        weights_(MappedFile::open(folder + "/weights.safetensors")),
        speech_(make_native_speech(config_.bytes().text(), weights_.bytes(), folder, num_threads)) {
  }

  std::string detail() const { return speech_->detail(); }

  std::vector<Matrix> forward(const std::vector<Matrix>& clips) const {
    const auto mels = static_cast<py::ssize_t>(speech_->config().mels);
    std::vector<const float*> features;
    std::vector<int32_t> frames;
    for (const Matrix& clip : clips) {
      if (clip.ndim() != 2 || clip.shape(1) != mels || clip.shape(0) > INT32_MAX) {
        throw Error(ErrorKind::kInput, "clip " + std::to_string(features.size()) +
                                           " must be float32 [frames, " + std::to_string(mels) +
                                           "]");
      }
      features.push_back(clip.data());
      frames.push_back(static_cast<int32_t>(clip.shape(0)));
    }
    std::vector<std::vector<float>> states;
    {
      const py::gil_scoped_release no_gil;
      speech_->states({features.data(), frames.data(), features.size()}, &states);
    }
    const auto hidden = static_cast<py::ssize_t>(speech_->config().hidden);
    std::vector<Matrix> result;
    for (const std::vector<float>& one : states) {
      Matrix matrix({static_cast<py::ssize_t>(one.size()) / hidden, hidden});
      std::memcpy(matrix.mutable_data(), one.data(), one.size() * sizeof(float));
      result.push_back(std::move(matrix));
    }
    return result;
  }

 private:
  MappedFile config_;
  MappedFile weights_;
  std::unique_ptr<NativeSpeech> speech_;
};

struct PySpeechPrediction {
  std::vector<int32_t> answered;
  std::vector<py::object> heads;         // _core.HeadScores: [clips]
  std::vector<py::object> window_heads;  // [windows]
  py::array duration_s;                  // float64 [clips]
  py::array level_dbfs;                  // float32 [clips]
  py::array clipped_share;               // float32 [clips]
  py::array audible;                     // bool [clips]
  py::array window_begin;                // int32 [clips + 1]
  py::array windows;                     // int64 [windows, 2], samples at the model's rate
  py::object embeddings = py::none();    // float32 [clips, width]
};

PySpeechPrediction to_python(SpeechPrediction prediction) {
  const auto clips = static_cast<py::ssize_t>(prediction.facts.size());
  const auto windows = static_cast<py::ssize_t>(prediction.windows.size());
  std::vector<double> duration_s;
  std::vector<float> level_dbfs;
  std::vector<float> clipped_share;
  std::vector<uint8_t> audible;
  for (const ClipFacts& facts : prediction.facts) {
    duration_s.push_back(facts.duration_s);
    level_dbfs.push_back(facts.level_dbfs);
    clipped_share.push_back(facts.clipped_share);
    audible.push_back(facts.audible ? 1 : 0);
  }
  std::vector<int64_t> bounds;
  for (const ClipWindow& window : prediction.windows) {
    bounds.insert(bounds.end(), {window.begin, window.end});
  }
  const py::dtype float32 = py::dtype::of<float>();
  PySpeechPrediction result;
  result.answered = std::move(prediction.answered);
  for (HeadScores& head : prediction.heads) {
    result.heads.push_back(head_scores_object(std::move(head)));
  }
  for (HeadScores& head : prediction.window_heads) {
    result.window_heads.push_back(head_scores_object(std::move(head)));
  }
  result.duration_s = array_of(std::move(duration_s), {clips}, py::dtype::of<double>());
  result.level_dbfs = array_of(std::move(level_dbfs), {clips}, float32);
  result.clipped_share = array_of(std::move(clipped_share), {clips}, float32);
  result.audible = array_of(std::move(audible), {clips}, py::dtype::of<bool>());
  result.window_begin =
      array_of(std::move(prediction.window_begin), {clips + 1}, py::dtype::of<int32_t>());
  result.windows = array_of(std::move(bounds), {windows, 2}, py::dtype::of<int64_t>());
  if (prediction.embedding_width > 0) {
    result.embeddings =
        array_of(std::move(prediction.embeddings), {clips, prediction.embedding_width}, float32);
  }
  return result;
}

using Sound = py::array_t<float, py::array::c_style>;

PySpeechPrediction predict(const SpeechModel& model, const std::vector<Sound>& clips,
                           const std::vector<int64_t>& sample_rates, SpeechWanted wanted,
                           py::object progress) {
  if (sample_rates.size() != clips.size()) {
    throw Error(ErrorKind::kInput, std::to_string(sample_rates.size()) + " sample rates for " +
                                       std::to_string(clips.size()) + " clips");
  }
  std::vector<SoundView> sounds;
  for (size_t i = 0; i < clips.size(); ++i) {
    if (clips[i].ndim() != 1) {
      throw Error(ErrorKind::kInput, "clip " + std::to_string(i) + " has " +
                                         std::to_string(clips[i].ndim()) +
                                         " dimensions; one is needed");
    }
    sounds.push_back({clips[i].data(), static_cast<size_t>(clips[i].size()), sample_rates[i]});
  }
  Interrupts interrupts(std::move(progress));
  return to_python(interrupts.run([&](const std::function<bool(size_t, size_t)>& notify) {
    wanted.progress = notify;
    return model.predict(sounds, wanted);
  }));
}

using Restrictions = std::vector<std::pair<int32_t, std::vector<int32_t>>>;

void bind_speech_model(py::module_& m) {
  py::class_<PySpeechPrediction>(m, "SpeechPrediction", py::is_final())
      .def_readonly("answered", &PySpeechPrediction::answered)
      .def_readonly("heads", &PySpeechPrediction::heads)
      .def_readonly("window_heads", &PySpeechPrediction::window_heads)
      .def_readonly("duration_s", &PySpeechPrediction::duration_s)
      .def_readonly("level_dbfs", &PySpeechPrediction::level_dbfs)
      .def_readonly("clipped_share", &PySpeechPrediction::clipped_share)
      .def_readonly("audible", &PySpeechPrediction::audible)
      .def_readonly("window_begin", &PySpeechPrediction::window_begin)
      .def_readonly("windows", &PySpeechPrediction::windows)
      .def_readonly("embeddings", &PySpeechPrediction::embeddings);

  py::class_<SpeechModel, std::shared_ptr<SpeechModel>>(m, "SpeechModel", py::is_final())
      .def(
          "predict",
          [](const SpeechModel& model, const std::vector<Sound>& clips,
             const std::vector<int64_t>& sample_rates, const py::object& heads,
             const Restrictions& restrictions, const py::object& progress, bool embeddings) {
            return as_call([&] {
              SpeechWanted wanted;
              if (!heads.is_none()) wanted.heads = heads.cast<std::vector<int32_t>>();
              for (const auto& [head, labels] : restrictions) {
                wanted.restrictions.push_back({head, labels});
              }
              wanted.embeddings = embeddings;
              return py::cast(predict(model, clips, sample_rates, std::move(wanted), progress));
            });
          },
          py::arg("clips"), py::arg("sample_rates"), py::kw_only(), py::arg("heads") = py::none(),
          py::arg("restrictions") = Restrictions(), py::arg("progress") = py::none(),
          py::arg("embeddings") = false)
      .def(
          "run_graph",
          [](const std::shared_ptr<SpeechModel>& model, const py::dict& inputs) {
            return as_call([&] { return run_graph(model->backend().session(), model, inputs); });
          },
          py::arg("inputs"))
      .def_property_readonly("sample_rate",
                             [](const SpeechModel& model) { return model.audio().sample_rate; })
      .def_property_readonly("max_seconds",
                             [](const SpeechModel& model) { return model.audio().max_seconds; })
      .def_property_readonly("embedding_width",
                             [](const SpeechModel& model) { return model.embedding_width(); })
      .def_property_readonly(
          "manifest_json", [](const SpeechModel& model) { return manifest_json(model.manifest()); })
      .def_property_readonly("raw_manifest",
                             [](const SpeechModel& model) { return model.manifest().json; })
      .def_property_readonly("backend_name",
                             [](const SpeechModel& model) { return model.backend().name(); })
      .def_property_readonly("backend_detail",
                             [](const SpeechModel& model) { return model.backend().detail(); })
      .def_property_readonly("path", [](const SpeechModel& model) {
        return py::reinterpret_steal<py::str>(
            PyUnicode_DecodeFSDefault(model.bundle().path().c_str()));
      });
}

}  // namespace

void bind_speech(py::module_& m) {
  bind_speech_model(m);
  py::class_<WhisperFolder>(m, "_WhisperEncoder", py::is_final())
      .def(py::init([](const std::string& folder, int num_threads) {
             return as_call([&] { return std::make_unique<WhisperFolder>(folder, num_threads); });
           }),
           py::arg("folder"), py::kw_only(), py::arg("num_threads") = 0)
      .def_property_readonly("detail", &WhisperFolder::detail)
      .def(
          "forward",
          [](const WhisperFolder& encoder, const std::vector<Matrix>& clips) {
            return as_call([&] { return encoder.forward(clips); });
          },
          py::arg("clips"));
}

}  // namespace affectrt
