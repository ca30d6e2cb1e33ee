// Late fusion of words and voice.
#include "tasks/fusion.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"

namespace py = pybind11;

namespace affectrt {

void bind_fusion(py::module_& m) {
  m.def(
      "family_shares",
      [](const std::vector<std::string>& labels, const std::vector<float>& scores, bool voice) {
        return as_call([&] {
          if (labels.size() != scores.size()) {
            throw Error(ErrorKind::kInput, std::to_string(scores.size()) + " scores for " +
                                               std::to_string(labels.size()) + " labels");
          }
          return family_shares(labels, scores, voice);
        });
      },
      py::arg("labels"), py::arg("scores"), py::arg("voice"));
  m.def(
      "fuse",
      [](const std::optional<FamilyShares>& text, const std::optional<FamilyShares>& voice) {
        return as_call([&] {
          if (!text && !voice) throw Error(ErrorKind::kInput, "neither words nor voice are given");
          return fuse(text ? &*text : nullptr, voice ? &*voice : nullptr);
        });
      },
      py::arg("text"), py::arg("voice"));
}

}  // namespace affectrt
