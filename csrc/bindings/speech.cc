// The speech encoder, for tests until speech has an API of its own.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "engine/native_speech.h"

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
      speech_->run({features.data(), frames.data(), features.size()}, &states);
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

}  // namespace

void bind_speech(py::module_& m) {
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
