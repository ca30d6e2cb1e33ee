// Streams of a speech model.
#include "runtime/speech_stream.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/calls.h"

namespace py = pybind11;

namespace affectrt {
namespace {

using Samples = py::array_t<float, py::array::c_style>;

struct PySegment {
  int64_t index;
  double start_s;
  double end_s;
  bool interim;
  bool cut;
  std::vector<float> smoothed;
  py::object label;  // an index, or None
  py::list heads;    // of _core.HeadScores
  std::string json;
};

std::vector<PySegment> to_python(const SpeechStream& stream, std::vector<SpeechSegment> segments) {
  std::vector<PySegment> made;
  for (SpeechSegment& one : segments) {
    PySegment segment;
    segment.json = segment_json(stream.manifest(), one);
    segment.index = one.index;
    segment.start_s = one.start_s;
    segment.end_s = one.end_s;
    segment.interim = one.interim;
    segment.cut = one.cut;
    segment.smoothed = std::move(one.smoothed);
    segment.label = one.label ? py::cast(*one.label) : py::none();
    for (HeadScores& scores : one.prediction.heads) {
      segment.heads.append(head_scores_object(std::move(scores)));
    }
    made.push_back(std::move(segment));
  }
  return made;
}

std::vector<PySegment> feed(SpeechStream& stream, const Samples& chunk) {
  std::vector<SpeechSegment> segments;
  {
    const float* samples = chunk.data();
    const auto count = static_cast<size_t>(chunk.size());
    const py::gil_scoped_release no_gil;
    stream.feed(samples, count, &segments);
  }
  return to_python(stream, std::move(segments));
}

std::vector<PySegment> flush(SpeechStream& stream) {
  std::vector<SpeechSegment> segments;
  {
    const py::gil_scoped_release no_gil;
    stream.flush(&segments);
  }
  return to_python(stream, std::move(segments));
}

SpeechStreamOptions stream_options(const py::dict& given) {
  SpeechStreamOptions options;
  // The model's, unless something else was asked for.
  options.segments.max_segment_s = 0.0;
  read_segment_options(given, &options.segments);
  const auto read = [&](const char* name, auto* to) {
    if (given.contains(name)) *to = given[name].cast<std::remove_reference_t<decltype(*to)>>();
  };
  read("interim_ms", &options.interim_ms);
  read("smoothing_s", &options.smoothing_s);
  read("margin", &options.margin);
  return options;
}

}  // namespace

void bind_speech_stream(py::module_& m) {
  py::class_<PySegment>(m, "SpeechSegment", py::is_final())
      .def_readonly("index", &PySegment::index)
      .def_readonly("start_s", &PySegment::start_s)
      .def_readonly("end_s", &PySegment::end_s)
      .def_readonly("interim", &PySegment::interim)
      .def_readonly("cut", &PySegment::cut)
      .def_readonly("smoothed", &PySegment::smoothed)
      .def_readonly("label", &PySegment::label)
      .def_readonly("heads", &PySegment::heads)
      .def_readonly("json", &PySegment::json);

  py::class_<SpeechStream>(m, "SpeechStream", py::is_final())
      .def(py::init([](std::shared_ptr<SpeechModel> model, int64_t sample_rate,
                       const py::dict& options) {
             return as_call([&] {
               return std::make_unique<SpeechStream>(judge_of(std::move(model)), sample_rate,
                                                     stream_options(options));
             });
           }),
           py::arg("model"), py::arg("sample_rate"), py::arg("options"))
      .def(
          "feed",
          [](SpeechStream& stream, const Samples& chunk) {
            return as_call([&] { return feed(stream, chunk); });
          },
          py::arg("chunk"))
      .def("flush", [](SpeechStream& stream) { return as_call([&] { return flush(stream); }); })
      .def_property_readonly("latency_ms", &SpeechStream::latency_ms)
      .def_property_readonly("max_segment_s", &SpeechStream::max_segment_s);
}

}  // namespace affectrt
