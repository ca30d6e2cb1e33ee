// Sound: samples, WAV files and features.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "audio/frame_features.h"
#include "audio/prosody.h"
#include "audio/resampler.h"
#include "audio/samples.h"
#include "audio/wav.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "bindings/arguments.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"

namespace py = pybind11;

namespace affectrt {
namespace {

using Samples = py::array_t<float, py::array::c_style>;

Samples new_samples(size_t count) { return Samples(static_cast<py::ssize_t>(count)); }

SampleFormat format_of(const py::dtype& type, const std::string& name) {
  const char kind = type.kind();
  const py::ssize_t size = type.itemsize();
  if (type.byteorder() != '>') {
    if (kind == 'f' && size == 4) return SampleFormat::kF32;
    if (kind == 'f' && size == 8) return SampleFormat::kF64;
    if (kind == 'i' && size == 2) return SampleFormat::kS16;
    if (kind == 'i' && size == 4) return SampleFormat::kS32;
    if (kind == 'u' && size == 1) return SampleFormat::kU8;
  }
  throw Error(ErrorKind::kInput, name + " has dtype " + std::string(py::str(type)) +
                                     "; float32, float64, int16, int32 or uint8 is needed");
}

// Samples of any kind, [samples] or [samples, channels], as finite float32 of one channel. The very
// same array where it is that already.
Samples mono(const py::array& given, const std::string& name) {
  const SampleFormat format = format_of(given.dtype(), name);
  if (given.ndim() != 1 && given.ndim() != 2) {
    throw Error(ErrorKind::kInput, name + " has " + std::to_string(given.ndim()) +
                                       " dimensions; [samples] or [samples, channels] is needed");
  }
  const py::ssize_t channels = given.ndim() == 2 ? given.shape(1) : 1;
  if (channels < 1 || channels > 64) {
    throw Error(ErrorKind::kInput, name + " has " + std::to_string(channels) +
                                       " channels; 1 to 64 are read: its shape has to be "
                                       "[samples, channels]");
  }
  const py::array array = py::array::ensure(given, py::array::c_style);
  if (!array) throw py::error_already_set();
  const auto frames = static_cast<size_t>(array.shape(0));
  const bool as_is = format == SampleFormat::kF32 && channels == 1 && given.ndim() == 1;
  Samples result = as_is ? py::reinterpret_borrow<Samples>(array) : new_samples(frames);
  const auto* bytes = static_cast<const uint8_t*>(array.data());
  float* out = as_is ? nullptr : result.mutable_data();
  const float* samples = result.data();
  const py::gil_scoped_release no_gil;
  if (!as_is) mix_samples(format, bytes, frames, static_cast<size_t>(channels), out);
  check_samples(samples, frames, name);
  return result;
}

// (float32 [samples, channels], sample rate)
py::tuple wav_of(ByteView bytes, const std::string& origin) {
  const WavView wav = parse_wav(bytes, origin);
  py::array_t<float, py::array::c_style> samples(
      {static_cast<py::ssize_t>(wav.frames), static_cast<py::ssize_t>(wav.channels)});
  float* out = samples.mutable_data();
  {
    const py::gil_scoped_release no_gil;
    decode_samples(wav.format, wav.samples, static_cast<size_t>(wav.frames) * wav.channels, out);
    check_samples(out, static_cast<size_t>(wav.frames) * wav.channels, origin);
  }
  return py::make_tuple(samples, wav.sample_rate);
}

// A WAV file of any length, read part by part. Immutable: threads may read at once.
class WavFile {
 public:
  explicit WavFile(const std::string& path)
      : path_(path),
        file_(MappedFile::open(path)),
        wav_(parse_wav(file_.bytes(), "'" + path + "'")) {}

  const WavView& wav() const { return wav_; }
  // float32 [frames, channels] from frame `begin` on, at most `most` of them.
  py::array_t<float, py::array::c_style> read(uint64_t begin, uint64_t most) const {
    const uint64_t from = std::min(begin, wav_.frames);
    const uint64_t frames = std::min(most, wav_.frames - from);
    py::array_t<float, py::array::c_style> samples(
        {static_cast<py::ssize_t>(frames), static_cast<py::ssize_t>(wav_.channels)});
    float* out = samples.mutable_data();
    const py::gil_scoped_release no_gil;
    const size_t frame_bytes = bytes_per_sample(wav_.format) * wav_.channels;
    const auto count = static_cast<size_t>(frames) * wav_.channels;
    decode_samples(wav_.format, wav_.samples + from * frame_bytes, count, out);
    check_samples(out, count, "'" + path_ + "', from frame " + std::to_string(from) + " on");
    return samples;
  }

 private:
  const std::string path_;
  const MappedFile file_;
  const WavView wav_;
};

std::unique_ptr<ThreadPool> pool_of(int num_threads) {
  return num_threads == 1 ? nullptr : std::make_unique<ThreadPool>(num_threads);
}

struct Task {
  ClipView clip;
  int64_t frames;
  float* out;
};

// total_samples: 0, or the length to which each clip is cut or filled with zeros.
std::vector<Samples> compute(const FrameFeatures& features, const std::vector<Samples>& clips,
                             int64_t total_samples, bool feature_major, bool normalise,
                             int num_threads) {
  std::vector<Samples> results;
  std::vector<Task> tasks;
  for (const Samples& clip : clips) {
    const auto given = static_cast<int64_t>(clip.size());
    const int64_t total = total_samples > 0 ? total_samples : given;
    const ClipView view{clip.data(), 0, std::min(given, total), total};
    const int64_t frames = given == 0 && total_samples <= 0 ? 0 : features.frame_count(total);
    const auto rows = static_cast<py::ssize_t>(frames);
    const auto columns = static_cast<py::ssize_t>(features.columns());
    results.push_back(feature_major ? Samples({columns, rows}) : Samples({rows, columns}));
    tasks.push_back({view, frames, results.back().mutable_data()});
  }
  const py::gil_scoped_release no_gil;
  const std::unique_ptr<ThreadPool> pool = pool_of(num_threads);
  const auto layout =
      feature_major ? FrameFeatures::Layout::kFeatureMajor : FrameFeatures::Layout::kFrameMajor;
  for (const Task& task : tasks) {
    const float top = features.compute(task.clip, 0, task.frames, layout, task.out, pool.get());
    if (normalise) {
      normalise_log_mel(task.out, static_cast<size_t>(task.frames) * features.columns(), top);
    }
  }
  return results;
}

std::vector<Samples> resample(const Resampler& resampler, const std::vector<Samples>& clips,
                              int num_threads) {
  std::vector<Samples> results;
  std::vector<float*> outs;
  for (const Samples& clip : clips) {
    results.push_back(new_samples(static_cast<size_t>(resampler.output_count(clip.size()))));
    outs.push_back(results.back().mutable_data());
  }
  const py::gil_scoped_release no_gil;
  const std::unique_ptr<ThreadPool> pool = pool_of(num_threads);
  for (size_t i = 0; i < clips.size(); ++i) {
    const int64_t count = clips[i].size();
    resampler.compute(clips[i].data(), 0, count, 0, resampler.output_count(count), outs[i],
                      pool.get());
  }
  return results;
}

// Of one clip at 16 kHz: (descriptors [frames, 25], functionals [88]).
py::tuple prosody(const Samples& clip) {
  std::vector<float> rows;
  py::array_t<double> statistics(static_cast<py::ssize_t>(kFunctionals));
  double* out = statistics.mutable_data();
  {
    const float* samples = clip.data();
    const int64_t count = clip.size();
    const py::gil_scoped_release no_gil;
    rows = descriptors(samples, count);
    functionals(rows, mean_square(samples, count), out);
  }
  const auto columns = static_cast<py::ssize_t>(kDescriptors);
  Samples matrix({static_cast<py::ssize_t>(rows.size()) / columns, columns});
  if (!rows.empty()) std::memcpy(matrix.mutable_data(), rows.data(), rows.size() * sizeof(float));
  return py::make_tuple(matrix, statistics);
}

// `work` appends to a vector without the GIL.
template <class Work>
Samples collected(const Work& work) {
  std::vector<float> made;
  {
    const py::gil_scoped_release no_gil;
    work(&made);
  }
  Samples result = new_samples(made.size());
  if (!made.empty()) std::memcpy(result.mutable_data(), made.data(), made.size() * sizeof(float));
  return result;
}

std::shared_ptr<FrameFeatures> kaldi(const py::dict& fields) {
  const auto number = [&](const char* name) { return fields[name].cast<double>(); };
  const auto flag = [&](const char* name) { return fields[name].cast<bool>(); };
  const auto count = [&](const char* name) {
    return static_cast<size_t>(std::max<int64_t>(0, fields[name].cast<int64_t>()));
  };
  KaldiOptions options;
  options.sample_rate = fields["sample_rate"].cast<int64_t>();
  options.num_mels = count("num_mels");
  options.frame_length_ms = number("frame_length_ms");
  options.frame_shift_ms = number("frame_shift_ms");
  options.low_hz = number("low_hz");
  options.high_hz = number("high_hz");
  options.preemphasis = number("preemphasis");
  options.remove_mean = flag("remove_dc_offset");
  options.snip_edges = flag("snip_edges");
  options.round_to_power_of_two = flag("round_to_power_of_two");
  options.window = fields["window"].cast<std::string>();
  options.scale = number("scale");
  if (fields.contains("num_ceps")) {
    options.num_ceps = std::max<size_t>(1, count("num_ceps"));
    options.use_energy = flag("use_energy");
    options.lifter = number("lifter");
  }
  return std::make_shared<FrameFeatures>(kaldi_settings(options));
}

// feed() and finish() of a stream return what it appended, flat; threads take turns.
template <class Stream, class Plan>
void bind_stream(py::module_& m, const char* name) {
  struct Shared {
    explicit Shared(std::shared_ptr<Plan> plan) : stream(std::move(plan)) {}
    Stream stream;
    std::mutex mutex;
  };
  py::class_<Shared>(m, name, py::is_final())
      .def(py::init<std::shared_ptr<Plan>>(), py::arg("plan"))
      .def(
          "feed",
          [](Shared& shared, const Samples& chunk) {
            return as_call([&] {
              const float* samples = chunk.data();
              const auto count = static_cast<size_t>(chunk.size());
              return collected([&](auto* out) {
                const std::lock_guard<std::mutex> lock(shared.mutex);
                shared.stream.feed(samples, count, out);
              });
            });
          },
          py::arg("chunk"))
      .def("finish", [](Shared& shared) {
        return as_call([&] {
          return collected([&](auto* out) {
            const std::lock_guard<std::mutex> lock(shared.mutex);
            shared.stream.finish(out);
          });
        });
      });
}

}  // namespace

void bind_features(py::module_& m) {
  m.def(
      "mono",
      [](const py::array& samples, const std::string& name) {
        return as_call([&] { return mono(samples, name); });
      },
      py::arg("samples"), py::arg("name"));
  m.def(
      "read_wav",
      [](const std::string& path) {
        return as_call([&] {
          const MappedFile file = MappedFile::open(path);
          return wav_of(file.bytes(), "'" + path + "'");
        });
      },
      py::arg("path"));
  py::class_<WavFile>(m, "WavFile", py::is_final())
      .def(py::init([](const std::string& path) {
             return as_call([&] { return std::make_unique<WavFile>(path); });
           }),
           py::arg("path"))
      .def_property_readonly("sample_rate", [](const WavFile& f) { return f.wav().sample_rate; })
      .def_property_readonly("channels", [](const WavFile& f) { return f.wav().channels; })
      .def_property_readonly("frames", [](const WavFile& f) { return f.wav().frames; })
      .def(
          "read",
          [](const WavFile& file, uint64_t begin, uint64_t most) {
            return as_call([&] { return file.read(begin, most); });
          },
          py::arg("begin"), py::arg("most"));
  m.def(
      "parse_wav",
      [](const py::bytes& image, const std::string& origin) {
        return as_call([&] {
          const std::string_view text = image;
          return wav_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, origin);
        });
      },
      py::arg("image"), py::arg("origin"));
  m.def(
      "check_sample_rate", [](int64_t rate) { as_call([&] { check_sample_rate(rate); }); },
      py::arg("sample_rate"));
  m.def(
      "normalise_waveform",
      [](const Samples& samples) {
        return as_call([&] {
          Samples result = new_samples(static_cast<size_t>(samples.size()));
          float* out = result.mutable_data();
          const py::gil_scoped_release no_gil;
          normalise_waveform(samples.data(), static_cast<size_t>(samples.size()), out);
          return result;
        });
      },
      py::arg("samples"));

  m.attr("prosody_names") = py::tuple(
      py::cast(std::vector<std::string>(descriptor_names(), descriptor_names() + kDescriptors)));
  m.attr("prosody_functional_names") = py::tuple(
      py::cast(std::vector<std::string>(functional_names(), functional_names() + kFunctionals)));
  m.def(
      "prosody", [](const Samples& clip) { return as_call([&] { return prosody(clip); }); },
      py::arg("clip"));

  py::class_<FrameFeatures, std::shared_ptr<FrameFeatures>>(m, "FrameFeatures", py::is_final())
      .def_property_readonly("columns", &FrameFeatures::columns)
      .def_static(
          "whisper",
          [](int64_t num_mels) {
            return as_call([&] {
              return std::make_shared<FrameFeatures>(
                  whisper_settings(static_cast<size_t>(std::max<int64_t>(0, num_mels))));
            });
          },
          py::arg("num_mels"))
      .def_static(
          "kaldi", [](const py::dict& fields) { return as_call([&] { return kaldi(fields); }); },
          py::arg("fields"))
      .def(
          "compute",
          [](const FrameFeatures& features, const std::vector<Samples>& clips,
             int64_t total_samples, bool feature_major, bool normalise, int num_threads) {
            return as_call([&] {
              return compute(features, clips, total_samples, feature_major, normalise, num_threads);
            });
          },
          py::arg("clips"), py::kw_only(), py::arg("total_samples") = 0,
          py::arg("feature_major") = false, py::arg("normalise") = false,
          py::arg("num_threads") = 1);

  bind_stream<FrameStream, FrameFeatures>(m, "FrameStream");

  py::class_<Resampler, std::shared_ptr<Resampler>>(m, "Resampler", py::is_final())
      .def(py::init([](int64_t from_rate, int64_t to_rate) {
             return as_call([&] { return std::make_shared<Resampler>(from_rate, to_rate); });
           }),
           py::arg("from_rate"), py::arg("to_rate"))
      .def_property_readonly("latency_ms", &Resampler::latency_ms)
      .def(
          "compute",
          [](const Resampler& resampler, const std::vector<Samples>& clips, int num_threads) {
            return as_call([&] { return resample(resampler, clips, num_threads); });
          },
          py::arg("clips"), py::kw_only(), py::arg("num_threads") = 1);
  bind_stream<ResampleStream, Resampler>(m, "ResampleStream");
}

}  // namespace affectrt
