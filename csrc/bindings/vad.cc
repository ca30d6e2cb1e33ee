// Voice activity, and the segments of it.
#include "audio/vad.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <vector>

#include "audio/segmenter.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"

namespace py = pybind11;

namespace affectrt {

void read_segment_options(const py::dict& given, SegmentOptions* options) {
  const auto read = [&](const char* name, auto* to) {
    if (given.contains(name)) *to = given[name].cast<std::remove_reference_t<decltype(*to)>>();
  };
  read("onset", &options->onset);
  read("offset", &options->offset);
  read("min_speech_ms", &options->min_speech_ms);
  read("min_silence_ms", &options->min_silence_ms);
  read("padding_ms", &options->padding_ms);
  read("max_segment_s", &options->max_segment_s);
}

namespace {

using Samples = py::array_t<float, py::array::c_style>;
using Span = std::tuple<int64_t, int64_t, bool>;  // samples [begin, end) at 16 kHz, cut

// Threads take turns.
class VoiceStream {
 public:
  explicit VoiceStream(const SegmentOptions& options) : segmenter_(options) {}

  py::tuple feed(const Samples& chunk) {
    const float* samples = chunk.data();
    const auto count = static_cast<size_t>(chunk.size());
    return run([&] {
      vad_.feed(samples, count, &frames_);
      total_ += static_cast<int64_t>(count);
      follow();
    });
  }

  py::tuple finish() {
    return run([&] {
      vad_.finish(&frames_);
      follow();
      SpeechSpan span;
      if (segmenter_.finish(total_, &span)) spans_.emplace_back(span.begin, span.end, span.cut);
      total_ = 0;
    });
  }

 private:
  void follow() {
    SpeechSpan span;
    for (const VadFrame& frame : frames_) {
      if (segmenter_.feed(frame, &span)) spans_.emplace_back(span.begin, span.end, span.cut);
    }
  }

  template <class Work>
  py::tuple run(const Work& work) {
    std::vector<VadFrame> frames;
    std::vector<Span> spans;
    {
      const py::gil_scoped_release no_gil;
      const std::lock_guard<std::mutex> lock(mutex_);
      work();
      frames.swap(frames_);
      spans.swap(spans_);
    }
    Samples speech(static_cast<py::ssize_t>(frames.size()));
    float* out = speech.mutable_data();
    for (size_t i = 0; i < frames.size(); ++i) out[i] = frames[i].speech;
    return py::make_tuple(speech, spans);
  }

  std::mutex mutex_;
  VadStream vad_;
  Segmenter segmenter_;
  int64_t total_ = 0;
  std::vector<VadFrame> frames_;
  std::vector<Span> spans_;
};

}  // namespace

void bind_vad(py::module_& m) {
  m.attr("vad_latency_ms") = kVadLatencyMs;
  py::class_<VoiceStream>(m, "VoiceStream", py::is_final())
      .def(py::init([](const py::dict& options) {
             return as_call([&] {
               SegmentOptions read;
               read_segment_options(options, &read);
               return std::make_unique<VoiceStream>(read);
             });
           }),
           py::arg("options"))
      .def(
          "feed",
          [](VoiceStream& stream, const Samples& chunk) {
            return as_call([&] { return stream.feed(chunk); });
          },
          py::arg("chunk"))
      .def("finish", [](VoiceStream& stream) { return as_call([&] { return stream.finish(); }); });
}

}  // namespace affectrt
