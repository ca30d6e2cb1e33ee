// Texts from Python. Each failure is Error(kInput) that says where.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace affectrt {

inline std::string type_name(pybind11::handle object) { return Py_TYPE(object.ptr())->tp_name; }

[[noreturn]] inline void throw_lone_surrogate(pybind11::handle text, const std::string& where) {
  const Py_ssize_t length = PyUnicode_GetLength(text.ptr());
  for (Py_ssize_t i = 0; i < length; ++i) {
    const Py_UCS4 character = PyUnicode_ReadChar(text.ptr(), i);
    if (character < 0xD800 || character > 0xDFFF) continue;
    char code[16];
    std::snprintf(code, sizeof(code), "U+%04X", static_cast<unsigned>(character));
    throw Error(ErrorKind::kInput, where + ": character " + std::to_string(i) +
                                       " is the lone surrogate " + code +
                                       ", which stands for no character; replace it, as in "
                                       "text.encode('utf-8', 'replace').decode()");
  }
  throw Error(ErrorKind::kInput, where + " cannot be encoded as UTF-8");
}

// A view into `text`, which must stay alive.
inline std::string_view utf8_view(pybind11::handle text, const std::string& where) {
  if (PyUnicode_Check(text.ptr())) {
    Py_ssize_t size = 0;
    const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (data != nullptr) return {data, static_cast<size_t>(size)};
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) throw pybind11::error_already_set();
    PyErr_Clear();
    throw_lone_surrogate(text, where);
  }
  if (PyBytes_Check(text.ptr())) {
    return {PyBytes_AS_STRING(text.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(text.ptr()))};
  }
  throw Error(ErrorKind::kInput,
              where + " is of type " + type_name(text) + "; str or UTF-8 bytes is needed");
}

// Its own references, since the caller's list may change while the GIL is released.
inline std::vector<pybind11::object> items_of(pybind11::handle list, const std::string& what) {
  if (!PyList_Check(list.ptr()) && !PyTuple_Check(list.ptr())) {
    throw Error(ErrorKind::kInput, what + " is of type " + type_name(list) +
                                       "; a list of str or UTF-8 bytes is needed");
  }
  const Py_ssize_t size = PySequence_Fast_GET_SIZE(list.ptr());
  std::vector<pybind11::object> items;
  items.reserve(static_cast<size_t>(size));
  for (Py_ssize_t i = 0; i < size; ++i) {
    items.push_back(
        pybind11::reinterpret_borrow<pybind11::object>(PySequence_Fast_GET_ITEM(list.ptr(), i)));
  }
  return items;
}

// A file name as the operating system has it, from str, bytes or os.PathLike.
inline std::string path_argument(pybind11::handle path) {
  PyObject* bytes = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), static_cast<void*>(&bytes)) == 0) {
    if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_TypeError)) {
      throw pybind11::error_already_set();
    }
    PyErr_Clear();
    throw Error(ErrorKind::kInput, "a path of type " + type_name(path) +
                                       " that cannot be one; a str, bytes or os.PathLike without "
                                       "NUL is needed");
  }
  const pybind11::bytes owner = pybind11::reinterpret_steal<pybind11::bytes>(bytes);
  return owner;
}

}  // namespace affectrt
