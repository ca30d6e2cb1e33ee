// Label maps, and scores of groups.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/arguments.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "tasks/emotion_families.h"
#include "tasks/label_map.h"

namespace py = pybind11;

namespace affectrt {
namespace {

// All maps: name -> its labels.
py::dict label_maps() {
  py::dict maps;
  for (const std::string_view name : LabelMap::names()) {
    maps[py::str(std::string(name))] = LabelMap::named(name)->labels();
  }
  return maps;
}

// GoEmotions' labels: name -> their further words.
py::dict emotion_words() {
  py::dict words;
  for (const Emotion& emotion : kEmotionWords) {
    words[py::str(emotion.name)] = py::str(emotion.words).attr("split")();
  }
  return words;
}

// (name, valence)
py::list emotion_families() {
  py::list families;
  for (const EmotionFamily& family : kEmotionFamilies) {
    families.append(py::make_tuple(family.name, family.valence));
  }
  return families;
}

Task task_of(bool exclusive) { return exclusive ? Task::kSingleLabel : Task::kMultiLabel; }

}  // namespace

void bind_label_maps(py::module_& m) {
  m.def("label_maps", &label_maps);
  m.def("emotion_words", &emotion_words);
  m.def("emotion_families", &emotion_families);
  m.def(
      "map_label",
      [](const std::string& map, const py::object& word) {
        return as_call([&]() -> py::object {
          const LabelMap& known = known_label_map(map);
          const auto label = known.find(utf8_view(word, "the label"));
          return label ? py::cast(known.labels()[*label]) : py::none();
        });
      },
      py::arg("map"), py::arg("word"));
  m.def(
      "group_scores",
      [](const std::vector<size_t>& group, size_t groups, const std::vector<float>& scores,
         const std::vector<bool>& decided, bool exclusive) {
        return as_call([&] {
          const bool fits = scores.size() == group.size() && decided.size() == group.size() &&
                            groups <= group.size();
          bool inside = fits;
          for (const size_t one : group) inside = inside && one < groups;
          if (!inside) {
            throw Error(ErrorKind::kInput, "each label needs a group, a score and a decision");
          }
          const std::vector<uint8_t> flags(decided.begin(), decided.end());
          GroupScores made =
              group_scores(task_of(exclusive), group, groups, scores.data(), flags.data());
          const std::vector<bool> answer(made.decided.begin(), made.decided.end());
          return py::make_tuple(std::move(made.scores), answer);
        });
      },
      py::arg("group"), py::arg("groups"), py::arg("scores"), py::arg("decided"),
      py::arg("exclusive"));
}

}  // namespace affectrt
