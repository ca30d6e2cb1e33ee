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
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "engine/onnxruntime_library.h"
#include "kernels/dispatch.h"
#include "runtime/model_json.h"

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

// A file name as the operating system has it, from str, bytes or os.PathLike.
std::string path_argument(py::handle path) {
  PyObject* bytes = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), static_cast<void*>(&bytes)) == 0) {
    if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_TypeError)) {
      throw py::error_already_set();
    }
    PyErr_Clear();
    throw Error(ErrorKind::kInput, "a path of type " + type_name(path) +
                                       " that cannot be one; a str, bytes or os.PathLike without "
                                       "NUL is needed");
  }
  const py::bytes owner = py::reinterpret_steal<py::bytes>(bytes);
  return owner;
}

// ---------------------------------------------------------------------------------------- results

// An array that owns the vector's memory.
template <typename T>
py::array array_of(std::vector<T> values, std::vector<py::ssize_t> shape, const py::dtype& type) {
  auto* owner = new std::vector<T>(std::move(values));
  const py::capsule capsule(owner, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array(type, std::move(shape), {}, owner->data(), capsule);
}

struct PyHeadScores {
  py::array logits;
  py::array scores;
  py::array decided;
  py::array unsure;
};

struct PyPrediction {
  std::vector<PyHeadScores> heads;
  py::array token_counts;
  py::array truncated;
};

PyPrediction to_python(Prediction prediction) {
  const py::dtype float32 = py::dtype::of<float>();
  const py::dtype boolean = py::dtype::of<bool>();
  const py::ssize_t rows = static_cast<py::ssize_t>(prediction.token_counts.size());
  PyPrediction result;
  for (HeadScores& head : prediction.heads) {
    const std::vector<py::ssize_t> matrix = {rows, head.width};
    result.heads.push_back({array_of(std::move(head.logits), matrix, float32),
                            array_of(std::move(head.scores), matrix, float32),
                            array_of(std::move(head.decided), matrix, boolean),
                            array_of(std::move(head.unsure), {rows}, boolean)});
  }
  result.token_counts =
      array_of(std::move(prediction.token_counts), {rows}, py::dtype::of<int32_t>());
  result.truncated = array_of(std::move(prediction.truncated), {rows}, boolean);
  return result;
}

PyPrediction predict(const Model& model, py::handle text_list, py::handle pair_list,
                     const std::vector<int32_t>& heads, const py::object& progress,
                     int32_t max_tokens) {
  const Texts texts(text_list, pair_list);
  std::exception_ptr raised;  // by a signal handler or by `progress`
  const auto between_batches = [&](size_t done, size_t total) {
    if (interpreter_ends) return false;
    const py::gil_scoped_acquire gil;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (!progress.is_none()) progress(done, total);
      return true;
    } catch (...) {
      raised = std::current_exception();
      return false;
    }
  };
  Prediction prediction;
  try {
    const py::gil_scoped_release no_gil;
    prediction = model.predict(texts.inputs, heads, between_batches, max_tokens);
  } catch (const Error&) {
    if (raised) std::rethrow_exception(raised);
    throw;
  }
  return to_python(std::move(prediction));
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

std::shared_ptr<Model> load(const py::object& path, const std::string& backend, int num_threads,
                            const std::vector<std::string>& providers, int32_t max_batch_tokens,
                            const py::object& onnxruntime_library) {
  ModelOptions options;
  options.backend = backend;
  options.backend_options.num_threads = num_threads;
  options.backend_options.providers = providers;
  options.backend_options.onnxruntime_library = path_argument(onnxruntime_library);
  options.max_batch_tokens = max_batch_tokens;
  const std::string file = path_argument(path);
  const py::gil_scoped_release no_gil;
  // pybind11 holders are of non-const types; every bound method is const.
  return std::const_pointer_cast<Model>(Model::load(file, options));
}

void verify_bundle(const py::object& path) {
  const std::string file = path_argument(path);
  const py::gil_scoped_release no_gil;
  Bundle::open(file, true);
}

}  // namespace

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
      .def_readonly("unsure", &PyHeadScores::unsure);

  py::class_<PyPrediction>(m, "Prediction", py::is_final())
      .def_readonly("heads", &PyPrediction::heads)
      .def_readonly("token_counts", &PyPrediction::token_counts)
      .def_readonly("truncated", &PyPrediction::truncated);

  py::class_<Model, std::shared_ptr<Model>>(m, "Model", py::is_final())
      .def_static(
          "load",
          [](const py::object& path, const std::string& backend, int num_threads,
             const std::vector<std::string>& providers, int32_t max_batch_tokens,
             const py::object& library) {
            return as_call([&] {
              return py::cast(
                  load(path, backend, num_threads, providers, max_batch_tokens, library));
            });
          },
          py::arg("path"), py::kw_only(), py::arg("backend") = "auto", py::arg("num_threads") = 0,
          py::arg("providers") = std::vector<std::string>(), py::arg("max_batch_tokens") = 0,
          py::arg("onnxruntime_library") = "")
      .def(
          "predict",
          [](const Model& model, const py::object& texts, const py::object& pairs,
             const std::vector<int32_t>& heads, const py::object& progress, int32_t max_tokens) {
            return as_call([&] {
              return py::cast(predict(model, texts, pairs, heads, progress, max_tokens));
            });
          },
          py::arg("texts"), py::arg("pairs") = py::none(),
          py::arg("heads") = std::vector<int32_t>(), py::arg("progress") = py::none(),
          py::arg("max_tokens") = 0)
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
