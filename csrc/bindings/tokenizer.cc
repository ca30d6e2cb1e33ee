// Tokenizer and Encoding.
#include "text/tokenizer.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/arguments.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "bundle/bundle.h"

namespace py = pybind11;

namespace affectrt {
namespace {

// Below this a text is done sooner than another thread gets the GIL.
constexpr size_t kReleaseGilBytes = 4096;

// An array of its own; T and Element have the same size.
template <typename T, typename Element>
py::array_t<T> array_of(const std::vector<Element>& values) {
  static_assert(sizeof(T) == sizeof(Element));
  py::array_t<T> array(static_cast<py::ssize_t>(values.size()));
  if (!values.empty()) std::memcpy(array.mutable_data(), values.data(), values.size() * sizeof(T));
  return array;
}

py::array_t<int32_t> offsets_of(const Encoding& encoding) {
  static_assert(sizeof(Offset) == 2 * sizeof(int32_t));
  const auto rows = static_cast<py::ssize_t>(encoding.offsets.size());
  py::array_t<int32_t> array(std::vector<py::ssize_t>{rows, 2});
  if (rows > 0) {
    std::memcpy(array.mutable_data(), encoding.offsets.data(),
                encoding.offsets.size() * sizeof(Offset));
  }
  return array;
}

py::list overflowing_of(const Encoding& encoding) {
  py::list list(encoding.overflowing.size());
  for (size_t i = 0; i < encoding.overflowing.size(); ++i) list[i] = encoding.overflowing[i];
  return list;
}

uint32_t count_argument(py::ssize_t value, const char* name) {
  if (value < 0 || value > INT32_MAX) {
    throw Error(ErrorKind::kInput, std::string(name) + " is " + std::to_string(value) +
                                       "; it must be from 0 to 2147483647");
  }
  return static_cast<uint32_t>(value);
}

Truncation truncation_argument(const std::string& name) {
  if (name == "none") return Truncation::kNone;
  if (name == "longest_first") return Truncation::kLongestFirst;
  if (name == "only_first") return Truncation::kOnlyFirst;
  if (name == "only_second") return Truncation::kOnlySecond;
  throw Error(ErrorKind::kInput,
              "truncation is '" + name +
                  "'; it must be 'none', 'longest_first', 'only_first' or 'only_second'");
}

EncodeOptions options_of(bool add_special_tokens, const std::string& truncation,
                         py::ssize_t max_tokens, py::ssize_t stride, bool keep_overflowing,
                         const std::string& truncation_side, bool with_offsets) {
  EncodeOptions options;
  options.add_special_tokens = add_special_tokens;
  options.truncation = truncation_argument(truncation);
  options.max_tokens = count_argument(max_tokens, "max_tokens");
  options.stride = count_argument(stride, "stride");
  options.keep_overflowing = keep_overflowing;
  if (truncation_side != "right" && truncation_side != "left") {
    throw Error(ErrorKind::kInput,
                "truncation_side is '" + truncation_side + "'; it must be 'right' or 'left'");
  }
  options.truncate_left = truncation_side == "left";
  options.with_offsets = with_offsets;
  return options;
}

Encoding encode(const Tokenizer& tokenizer, const TextInput& input, const EncodeOptions& options) {
  if (input.text.size() + input.pair.value_or("").size() < kReleaseGilBytes) {
    return tokenizer.encode(input.text, input.pair, options);
  }
  const py::gil_scoped_release no_gil;
  return tokenizer.encode(input.text, input.pair, options);
}

// One text, or a tuple of a text and its pair.
TextInput input_of(py::handle item, size_t index) {
  const auto where = [&](const char* what) { return what + std::to_string(index); };
  if (!PyTuple_Check(item.ptr())) return {utf8_view(item, where("text ")), std::nullopt};
  if (PyTuple_GET_SIZE(item.ptr()) != 2) {
    throw Error(ErrorKind::kInput, where("text ") + " is a tuple of " +
                                       std::to_string(PyTuple_GET_SIZE(item.ptr())) +
                                       "; a pair (text, pair) is needed");
  }
  return {utf8_view(PyTuple_GET_ITEM(item.ptr(), 0), where("text ")),
          utf8_view(PyTuple_GET_ITEM(item.ptr(), 1), where("pair "))};
}

py::list encode_batch(const Tokenizer& tokenizer, py::handle texts, py::ssize_t num_threads,
                      const EncodeOptions& options) {
  const std::vector<py::object> items = items_of(texts, "texts");
  std::vector<TextInput> inputs;
  inputs.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    Py_ssize_t size = 0;
    const char* data =
        PyUnicode_Check(items[i].ptr()) ? PyUnicode_AsUTF8AndSize(items[i].ptr(), &size) : nullptr;
    if (data != nullptr) {
      inputs.push_back({{data, static_cast<size_t>(size)}, std::nullopt});
      continue;
    }
    PyErr_Clear();
    inputs.push_back(input_of(items[i], i));
  }
  const uint32_t threads = count_argument(num_threads, "num_threads");
  std::vector<Encoding> encodings;
  {
    const py::gil_scoped_release no_gil;
    encodings = tokenizer.encode_batch(inputs, options, threads);
  }
  py::list out(encodings.size());
  for (size_t i = 0; i < encodings.size(); ++i) {
    PyList_SET_ITEM(out.ptr(), static_cast<Py_ssize_t>(i),
                    py::cast(std::move(encodings[i])).release().ptr());
  }
  return out;
}

std::shared_ptr<Tokenizer> shared(std::unique_ptr<const Tokenizer> tokenizer) {
  // pybind11 holders are of non-const types; every bound method is const.
  return std::const_pointer_cast<Tokenizer>(std::shared_ptr<const Tokenizer>(std::move(tokenizer)));
}

std::string origin_of(py::handle origin) {
  const py::bytes bytes = py::reinterpret_steal<py::bytes>(
      PyUnicode_AsEncodedString(origin.ptr(), "utf-8", "backslashreplace"));
  if (!bytes) throw py::error_already_set();
  return bytes;
}

std::shared_ptr<Tokenizer> from_json(py::handle json, py::handle origin) {
  const std::string_view text = utf8_view(json, "json");
  const std::string name = origin_of(origin);
  const py::gil_scoped_release no_gil;
  return shared(Tokenizer::from_json(text, name));
}

std::shared_ptr<Tokenizer> from_bundle(py::handle path) {
  PyObject* encoded = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), &encoded) == 0) throw py::error_already_set();
  const std::string file = py::reinterpret_steal<py::bytes>(encoded);
  const py::gil_scoped_release no_gil;
  const std::shared_ptr<const Bundle> bundle = Bundle::open(file);
  constexpr const char* kEntry = "tokenizer.json";
  if (!bundle->has(kEntry)) {
    throw Error(ErrorKind::kModelFile, "'" + file + "' has no " + kEntry);
  }
  return shared(Tokenizer::from_json(bundle->entry(kEntry).text(),
                                     std::string(kEntry) + " of '" + file + "'"));
}

py::object token_to_id(const Tokenizer& tokenizer, py::handle token) {
  const auto id = tokenizer.token_to_id(utf8_view(token, "token"));
  return id ? py::object(py::int_(*id)) : py::object(py::none());
}

py::str id_to_token(const Tokenizer& tokenizer, py::ssize_t id) {
  const std::string_view token = tokenizer.id_to_token(count_argument(id, "id"));
  if (token.empty()) throw Error(ErrorKind::kInput, "no token has the id " + std::to_string(id));
  return py::str(token.data(), token.size());
}

void bind_encoding(py::module_& m) {
  py::class_<Encoding>(
      m, "Encoding", py::is_final(),
      "The tokens of one text or pair; arrays are copies. Unpacks into ids, offsets.")
      .def_property_readonly(
          "ids", [](const Encoding& e) { return array_of<int32_t>(e.ids); },
          "Token ids, int32 [tokens].")
      .def_property_readonly(
          "type_ids", [](const Encoding& e) { return array_of<int32_t>(e.type_ids); },
          "Type (segment) ids, int32 [tokens].")
      .def_property_readonly(
          "special_tokens_mask",
          [](const Encoding& e) { return array_of<uint8_t>(e.special_tokens_mask); },
          "1 for tokens that the post-processor added, uint8 [tokens].")
      .def_property_readonly(
          "sequence_ids", [](const Encoding& e) { return array_of<int32_t>(e.sequence_ids); },
          "0 for tokens of the text, 1 for those of the pair, -1 for special ones; int32 [tokens].")
      .def_property_readonly("offsets", &offsets_of,
                             "Code points [begin, end) of the text (or of the pair) that each "
                             "token stands for, int32 [tokens, 2]; [0, 2] without offsets.")
      .def_property_readonly("overflowing", &overflowing_of, "The windows that truncation cut off.")
      .def("__len__", [](const Encoding& e) { return e.ids.size(); })
      .def("__iter__",
           [](const Encoding& e) {
             return py::iter(py::make_tuple(array_of<int32_t>(e.ids), offsets_of(e)));
           })
      .def("__repr__", [](const Encoding& e) {
        std::string text = "Encoding(" + std::to_string(e.ids.size()) + " tokens";
        if (!e.overflowing.empty()) {
          text += ", " + std::to_string(e.overflowing.size()) + " overflowing";
        }
        return text + ")";
      });
}

}  // namespace

void bind_tokenizer(py::module_& m) {
  bind_encoding(m);
  py::class_<Tokenizer, std::shared_ptr<Tokenizer>>(m, "Tokenizer", py::is_final())
      .def_static(
          "from_json",
          [](const py::object& json, const py::str& origin) {
            return as_call([&] { return py::cast(from_json(json, origin)); });
          },
          py::arg("json"), py::arg("origin"))
      .def_static(
          "from_bundle",
          [](const py::object& path) {
            return as_call([&] { return py::cast(from_bundle(path)); });
          },
          py::arg("path"))
      .def(
          "encode",
          [](const Tokenizer& tokenizer, const py::object& text, const py::object& pair,
             bool add_special_tokens, const std::string& truncation, py::ssize_t max_tokens,
             py::ssize_t stride, bool keep_overflowing, const std::string& truncation_side,
             bool with_offsets) {
            return as_call([&] {
              TextInput input = {utf8_view(text, "text"), std::nullopt};
              if (!pair.is_none()) input.pair = utf8_view(pair, "pair");
              return py::cast(encode(tokenizer, input,
                                     options_of(add_special_tokens, truncation, max_tokens, stride,
                                                keep_overflowing, truncation_side, with_offsets)));
            });
          },
          py::arg("text"), py::arg("pair") = py::none(), py::kw_only(),
          py::arg("add_special_tokens") = true, py::arg("truncation") = "none",
          py::arg("max_tokens") = 0, py::arg("stride") = 0, py::arg("keep_overflowing") = false,
          py::arg("truncation_side") = "right", py::arg("with_offsets") = true)
      .def(
          "encode_batch",
          [](const Tokenizer& tokenizer, const py::object& texts, py::ssize_t num_threads,
             bool add_special_tokens, const std::string& truncation, py::ssize_t max_tokens,
             py::ssize_t stride, bool keep_overflowing, const std::string& truncation_side,
             bool with_offsets) {
            return as_call([&] {
              return encode_batch(tokenizer, texts, num_threads,
                                  options_of(add_special_tokens, truncation, max_tokens, stride,
                                             keep_overflowing, truncation_side, with_offsets));
            });
          },
          py::arg("texts"), py::arg("num_threads") = 1, py::kw_only(),
          py::arg("add_special_tokens") = true, py::arg("truncation") = "none",
          py::arg("max_tokens") = 0, py::arg("stride") = 0, py::arg("keep_overflowing") = false,
          py::arg("truncation_side") = "right", py::arg("with_offsets") = true)
      .def(
          "token_to_id",
          [](const Tokenizer& t, const py::object& token) { return token_to_id(t, token); },
          py::arg("token"))
      .def("id_to_token", &id_to_token, py::arg("id"))
      .def_property_readonly("vocab_size", &Tokenizer::vocab_size)
      .def_property_readonly("file_truncation", [](const Tokenizer& tokenizer) {
        const EncodeOptions& o = tokenizer.file_truncation();
        static constexpr const char* kNames[] = {"none", "longest_first", "only_first",
                                                 "only_second"};
        return py::make_tuple(kNames[static_cast<int>(o.truncation)], o.max_tokens, o.stride,
                              o.truncate_left ? "left" : "right");
      });
}

}  // namespace affectrt
