// Model, Prediction, errors and facts of the machine. Arguments are converted first, then the GIL
// is released for the work, then results are converted back.
#include "runtime/model.h"

#include <pthread.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "bindings/arguments.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "engine/onnxruntime_library.h"
#include "kernels/dispatch.h"
#include "runtime/conversation.h"
#include "runtime/model_json.h"
#include "runtime/speech_model.h"

namespace py = pybind11;

namespace affectrt {
namespace {

// ----------------------------------------------------------------------------------------- errors

// Classes of affectrt.errors, in the order of ErrorKind. Never released: errors may be raised while
// the interpreter takes itself down.
py::object* error_classes() {
  static py::object* classes = new py::object[6];
  return classes;
}

}  // namespace

void set_python_error(const Error& error) {
  const std::string message = error.what();
  // A message may quote a file name or a text that is not UTF-8.
  const py::object text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
      message.data(), static_cast<Py_ssize_t>(message.size()), "backslashreplace"));
  if (text) PyErr_SetObject(error_classes()[static_cast<int>(error.kind())].ptr(), text.ptr());
}

namespace {

// ------------------------------------------------------------------------------------ interpreter

void wait_for_calls() {
  interpreter_ends = true;
  const py::gil_scoped_release no_gil;
  // A call stops at its next batch. A backend that hangs must not hang the exit as well.
  constexpr int kLongestWaitMs = 60'000;
  for (int waited_ms = 0; calls_in_flight > 0 && waited_ms < kLongestWaitMs; ++waited_ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// The threads of the parent do not exist in a child.
void forget_calls() { calls_in_flight = 0; }

// -------------------------------------------------------------------------------------- arguments

struct Texts {
  std::vector<py::object> texts;
  std::vector<py::object> pairs;
  std::vector<TextInput> inputs;  // views into the objects above

  Texts(py::handle text_list, py::handle pair_list) : texts(items_of(text_list, "texts")) {
    if (!pair_list.is_none()) {
      pairs = items_of(pair_list, "pairs");
      if (pairs.size() != texts.size()) {
        throw Error(ErrorKind::kInput, std::to_string(pairs.size()) + " pairs for " +
                                           std::to_string(texts.size()) +
                                           " texts; one for each is needed");
      }
    }
    inputs.resize(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      inputs[i].text = utf8_view(texts[i], "text " + std::to_string(i));
      if (!pairs.empty() && !pairs[i].is_none()) {
        inputs[i].pair = utf8_view(pairs[i], "pair " + std::to_string(i));
      }
    }
  }
};

// ---------------------------------------------------------------------------------------- results

struct PyHeadScores {
  py::array logits;
  py::array scores;
  py::array decided;
  py::array unsure;
  py::object levels = py::none();       // of ordinal heads
  py::object token_begin = py::none();  // of heads that read tokens
  py::object spans = py::none();
  py::object span_scores = py::none();
  py::object span_begin = py::none();
};

struct PyPrediction {
  std::vector<int32_t> answered;
  std::vector<PyHeadScores> heads;
  py::array token_counts;
  py::array truncated;
  py::object embeddings = py::none();
};

// Spans as int32 [spans, 6]: first and last token, label, whether decided, characters begin:end.
constexpr py::ssize_t kSpanColumns = 6;

void add_spans(const HeadScores& head, PyHeadScores* to) {
  std::vector<int32_t> columns;
  std::vector<float> scores;
  for (const TokenSpan& span : head.spans) {
    columns.insert(columns.end(),
                   {span.first, span.last, span.label, span.decided ? 1 : 0, span.begin, span.end});
    scores.push_back(span.score);
  }
  const auto count = static_cast<py::ssize_t>(scores.size());
  const auto texts = static_cast<py::ssize_t>(head.span_begin.size());
  const py::dtype int32 = py::dtype::of<int32_t>();
  to->spans = array_of(std::move(columns), {count, kSpanColumns}, int32);
  to->span_scores = array_of(std::move(scores), {count}, py::dtype::of<float>());
  to->span_begin = array_of(head.span_begin, {texts}, int32);
  to->token_begin = array_of(head.token_begin, {texts}, int32);
}

PyHeadScores to_python(HeadScores head) {
  const py::dtype float32 = py::dtype::of<float>();
  const py::dtype boolean = py::dtype::of<bool>();
  const auto rows = static_cast<py::ssize_t>(head.logits.size()) / head.width;
  const auto texts = static_cast<py::ssize_t>(head.unsure.size());
  const std::vector<py::ssize_t> matrix = {rows, head.width};
  PyHeadScores result;
  if (!head.levels.empty()) result.levels = array_of(head.levels, {rows}, float32);
  if (!head.token_begin.empty()) add_spans(head, &result);
  result.logits = array_of(std::move(head.logits), matrix, float32);
  result.scores = array_of(std::move(head.scores), matrix, float32);
  result.decided = array_of(std::move(head.decided), matrix, boolean);
  result.unsure = array_of(std::move(head.unsure), {texts}, boolean);
  return result;
}

PyPrediction to_python(Prediction prediction) {
  const py::dtype boolean = py::dtype::of<bool>();
  const auto rows = static_cast<py::ssize_t>(prediction.token_counts.size());
  PyPrediction result;
  result.answered = std::move(prediction.answered);
  for (HeadScores& head : prediction.heads) result.heads.push_back(to_python(std::move(head)));
  result.token_counts =
      array_of(std::move(prediction.token_counts), {rows}, py::dtype::of<int32_t>());
  result.truncated = array_of(std::move(prediction.truncated), {rows}, boolean);
  if (prediction.embedding_width > 0) {
    result.embeddings = array_of(std::move(prediction.embeddings),
                                 {rows, prediction.embedding_width}, py::dtype::of<float>());
  }
  return result;
}

// What a call may ask for, and its work without the GIL.
class PyCall {
 public:
  PyCall(const py::object& heads, py::object progress, int32_t max_tokens, bool embeddings)
      : interrupts_(std::move(progress)) {
    // An empty list stands for the default, unless embeddings are something to ask for.
    if (!heads.is_none()) wanted_.heads = heads.cast<std::vector<int32_t>>();
    if (wanted_.heads && wanted_.heads->empty() && !embeddings) wanted_.heads.reset();
    wanted_.max_tokens = max_tokens;
    wanted_.embeddings = embeddings;
  }
  PyCall(const PyCall&) = delete;
  PyCall& operator=(const PyCall&) = delete;

  // work(wanted) -> Prediction
  template <class Work>
  PyPrediction run(const Work& work) {
    return to_python(interrupts_.run([&](const std::function<bool(size_t, size_t)>& progress) {
      wanted_.progress = progress;
      return work(wanted_);
    }));
  }

 private:
  Interrupts interrupts_;
  Wanted wanted_;
};

using IntArray = py::array_t<int32_t, py::array::c_style | py::array::forcecast>;

// Values of an int32 array of one dimension.
std::vector<int32_t> values_of(const IntArray& array, const char* name) {
  if (array.ndim() != 1) {
    throw Error(ErrorKind::kInput, std::string(name) + " has " + std::to_string(array.ndim()) +
                                       " dimensions; one is needed");
  }
  return {array.data(), array.data() + array.size()};
}

// (ids, type_ids, a_tokens, a_offsets or None) of each pass, or with a_first behind them.
std::vector<TokenRow> passes_of(py::handle list) {
  std::vector<TokenRow> rows;
  for (const py::object& item : items_of(list, "passes")) {
    TokenRow row;
    py::sequence given = item.cast<py::sequence>();
    if (given.size() == 5) {
      row.a_first = given[4].cast<int32_t>();
      given = given[py::slice(0, 4, 1)].cast<py::sequence>();
    }
    const auto [ids, types, a_tokens, offsets] =
        given.cast<std::tuple<IntArray, IntArray, int32_t, py::object>>();
    row.ids = values_of(ids, "ids");
    row.type_ids = values_of(types, "type_ids");
    row.a_tokens = a_tokens;
    if (!offsets.is_none()) {
      const auto pairs = offsets.cast<IntArray>();
      if (pairs.ndim() != 2 || pairs.shape(1) != 2) {
        throw Error(ErrorKind::kInput, "a_offsets must be an array [tokens, 2]");
      }
      for (py::ssize_t i = 0; i < pairs.shape(0); ++i) {
        row.a_offsets.push_back(
            {static_cast<uint32_t>(pairs.at(i, 0)), static_cast<uint32_t>(pairs.at(i, 1))});
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

PyPrediction predict(const Model& model, py::handle text_list, py::handle pair_list, PyCall* call) {
  const Texts texts(text_list, pair_list);
  return call->run([&](const Wanted& wanted) { return model.predict(texts.inputs, wanted); });
}

PyPrediction predict_passes(const Model& model, py::handle list, PyCall* call) {
  const std::vector<TokenRow> passes = passes_of(list);
  return call->run([&](const Wanted& wanted) { return model.predict_passes(passes, wanted); });
}

using FloatMatrix = py::array_t<float, py::array::c_style | py::array::forcecast>;

// What a head decides of logits [rows, labels] that were pooled from several of its answers.
PyHeadScores decoded(const Model& model, int32_t head, const FloatMatrix& logits) {
  const std::vector<Head>& heads = model.manifest().heads;
  if (head < 0 || static_cast<size_t>(head) >= heads.size() || logits.ndim() != 2) {
    throw Error(ErrorKind::kInput, "decode takes the index of a head and logits [rows, labels]");
  }
  return to_python(decode(heads[static_cast<size_t>(head)],
                          {logits.data(), logits.data() + logits.size()},
                          static_cast<int32_t>(logits.shape(0))));
}

py::dict cpu_info() {
  const CpuCounts counts = cpu_counts();
  py::dict features;
  for (const auto& [name, present] : cpu_feature_list()) {
    features[py::str(std::string(name))] = present;
  }
  py::dict info;
  info["architecture"] = std::string(cpu_architecture());
  info["features"] = features;
  info["hardware"] = counts.hardware;
  info["affinity"] = counts.affinity;
  info["cgroup_quota"] = counts.cgroup_quota > 0.0 ? py::object(py::float_(counts.cgroup_quota))
                                                   : py::object(py::none());
  info["usable"] = counts.usable;
  return info;
}

py::dict kernels_info() {
  std::vector<std::string> available;
  for (const Kernels* kernels : available_kernels()) available.emplace_back(kernels->isa);
  py::dict info;
  info["available"] = available;
  info["chosen"] = std::string(select_kernels().isa);
  return info;
}

py::dict onnxruntime_info(const py::object& library_path) {
  const std::string path = path_argument(library_path);
  const OnnxRuntimeLibrary* library = nullptr;
  std::vector<std::string> providers;
  {
    const py::gil_scoped_release no_gil;
    library = &OnnxRuntimeLibrary::get(path);
    providers = library->providers();
  }
  py::dict info;
  info["version"] = library->version();
  info["path"] = py::reinterpret_steal<py::str>(PyUnicode_DecodeFSDefault(library->path().c_str()));
  info["providers"] = providers;
  return info;
}

struct Opening {
  std::string file;
  ModelOptions options;
};

Opening opening(const py::object& path, const std::string& backend, int num_threads,
                const std::vector<std::string>& providers, int32_t max_batch_tokens,
                const py::object& onnxruntime_library) {
  ModelOptions options;
  options.backend = backend;
  options.backend_options.num_threads = num_threads;
  options.backend_options.providers = providers;
  options.backend_options.onnxruntime_library = path_argument(onnxruntime_library);
  options.max_batch_tokens = max_batch_tokens;
  return {path_argument(path), options};
}

std::shared_ptr<Model> load_text(const Opening& of) {
  const py::gil_scoped_release no_gil;
  // pybind11 holders are of non-const types; every bound method is const.
  return std::const_pointer_cast<Model>(Model::load(of.file, of.options));
}

// Model or SpeechModel, whichever the file is.
py::object load_any(const Opening& of) {
  std::shared_ptr<const Model> text;
  std::shared_ptr<const SpeechModel> speech;
  {
    const py::gil_scoped_release no_gil;
    std::shared_ptr<const Bundle> bundle = Bundle::open(of.file);
    if (bundle->manifest().audio) {
      speech = SpeechModel::load(std::move(bundle), of.options);
    } else {
      text = Model::load(std::move(bundle), of.options);
    }
  }
  if (speech != nullptr) return py::cast(std::const_pointer_cast<SpeechModel>(speech));
  return py::cast(std::const_pointer_cast<Model>(text));
}

void verify_bundle(const py::object& path) {
  const std::string file = path_argument(path);
  const py::gil_scoped_release no_gil;
  Bundle::open(file, true);
}

}  // namespace

py::object head_scores_object(HeadScores scores) { return py::cast(to_python(std::move(scores))); }

py::object prediction_object(Prediction prediction) {
  return py::cast(to_python(std::move(prediction)));
}

void bind_errors(py::module_& /*m*/) {
  const py::module_ errors = py::module_::import("affectrt.errors");
  const std::pair<ErrorKind, const char*> names[] = {
      {ErrorKind::kNotFound, "NotFoundError"},   {ErrorKind::kModelFile, "ModelFileError"},
      {ErrorKind::kTokenizer, "TokenizerError"}, {ErrorKind::kInput, "InputError"},
      {ErrorKind::kBackend, "BackendError"},     {ErrorKind::kUnsupported, "UnsupportedError"},
  };
  for (const auto& [kind, name] : names) {
    error_classes()[static_cast<int>(kind)] = errors.attr(name);
  }
  // NOLINTNEXTLINE(performance-unnecessary-value-param): pybind11 wants this very signature
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      set_python_error(error);
    }
  });
}

void bind_model(py::module_& m) {
  py::module_::import("atexit").attr("register")(py::cpp_function(&wait_for_calls));
  pthread_atfork(nullptr, nullptr, &forget_calls);

  py::class_<PyHeadScores>(m, "HeadScores", py::is_final())
      .def_readonly("logits", &PyHeadScores::logits)
      .def_readonly("scores", &PyHeadScores::scores)
      .def_readonly("decided", &PyHeadScores::decided)
      .def_readonly("unsure", &PyHeadScores::unsure)
      .def_readonly("levels", &PyHeadScores::levels)
      .def_readonly("token_begin", &PyHeadScores::token_begin)
      .def_readonly("spans", &PyHeadScores::spans)
      .def_readonly("span_scores", &PyHeadScores::span_scores)
      .def_readonly("span_begin", &PyHeadScores::span_begin);

  py::class_<PyPrediction>(m, "Prediction", py::is_final())
      .def_readonly("answered", &PyPrediction::answered)
      .def_readonly("heads", &PyPrediction::heads)
      .def_readonly("token_counts", &PyPrediction::token_counts)
      .def_readonly("truncated", &PyPrediction::truncated)
      .def_readonly("embeddings", &PyPrediction::embeddings);

  py::class_<Model, std::shared_ptr<Model>>(m, "Model", py::is_final())
      .def_static(
          "load",
          [](const py::object& path, const std::string& backend, int num_threads,
             const std::vector<std::string>& providers, int32_t max_batch_tokens,
             const py::object& library) {
            return as_call([&] {
              return py::cast(load_text(
                  opening(path, backend, num_threads, providers, max_batch_tokens, library)));
            });
          },
          py::arg("path"), py::kw_only(), py::arg("backend") = "auto", py::arg("num_threads") = 0,
          py::arg("providers") = std::vector<std::string>(), py::arg("max_batch_tokens") = 0,
          py::arg("onnxruntime_library") = "")
      .def(
          "predict",
          [](const Model& model, const py::object& texts, const py::object& pairs,
             const py::object& heads, const py::object& progress, int32_t max_tokens,
             bool embeddings) {
            return as_call([&] {
              PyCall call(heads, progress, max_tokens, embeddings);
              return py::cast(predict(model, texts, pairs, &call));
            });
          },
          py::arg("texts"), py::arg("pairs") = py::none(), py::arg("heads") = py::none(),
          py::arg("progress") = py::none(), py::arg("max_tokens") = 0,
          py::arg("embeddings") = false)
      .def(
          "predict_passes",
          [](const Model& model, const py::object& passes, const py::object& heads,
             const py::object& progress, bool embeddings) {
            return as_call([&] {
              PyCall call(heads, progress, 0, embeddings);
              return py::cast(predict_passes(model, passes, &call));
            });
          },
          py::arg("passes"), py::arg("heads") = py::none(), py::arg("progress") = py::none(),
          py::arg("embeddings") = false)
      .def(
          "run_graph",
          [](const std::shared_ptr<Model>& model, const py::dict& inputs) {
            return as_call([&] { return run_graph(model->backend().session(), model, inputs); });
          },
          py::arg("inputs"))
      .def_property_readonly("text_heads", [](const Model& model) { return model.text_heads(); })
      .def_property_readonly("embedding_width",
                             [](const Model& model) { return model.embedding_width(); })
      .def(
          "decode",
          [](const Model& model, int32_t head, const FloatMatrix& logits) {
            return as_call([&] { return py::cast(decoded(model, head, logits)); });
          },
          py::arg("head"), py::arg("logits"))
      .def_property_readonly(
          "identity",
          [](const Model& model) { return as_call([&] { return identity_of(model.bundle()); }); })
      .def_property_readonly("manifest_json",
                             [](const Model& model) { return manifest_json(model.manifest()); })
      .def_property_readonly("raw_manifest",
                             [](const Model& model) { return model.manifest().json; })
      .def_property_readonly("backend_name",
                             [](const Model& model) { return model.backend().name(); })
      .def_property_readonly("backend_detail",
                             [](const Model& model) { return model.backend().detail(); })
      .def_property_readonly("tokenizer",
                             [](const std::shared_ptr<Model>& model) {
                               // The model's own, kept alive by sharing the model's life.
                               return std::shared_ptr<Tokenizer>(
                                   model, const_cast<Tokenizer*>(&model->tokenizer()));
                             })
      .def_property_readonly("path", [](const Model& model) {
        return py::reinterpret_steal<py::str>(
            PyUnicode_DecodeFSDefault(model.bundle().path().c_str()));
      });

  m.def(
      "load",
      [](const py::object& path, const std::string& backend, int num_threads,
         const std::vector<std::string>& providers, int32_t max_batch_tokens,
         const py::object& library) {
        return as_call([&] {
          return load_any(
              opening(path, backend, num_threads, providers, max_batch_tokens, library));
        });
      },
      py::arg("path"), py::kw_only(), py::arg("backend") = "auto", py::arg("num_threads") = 0,
      py::arg("providers") = std::vector<std::string>(), py::arg("max_batch_tokens") = 0,
      py::arg("onnxruntime_library") = "");
  m.def(
      "verify_bundle", [](const py::object& path) { as_call([&] { verify_bundle(path); }); },
      py::arg("path"));
  m.def("cpu_info", &cpu_info);
  m.def("kernels_info", [] { return as_call([] { return kernels_info(); }); });
  m.def(
      "onnxruntime_info",
      [](const py::object& library) { return as_call([&] { return onnxruntime_info(library); }); },
      py::arg("library"));
}

}  // namespace affectrt
