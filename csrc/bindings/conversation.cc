// Conversations, and the passes that they are made of.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "bindings/arguments.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "runtime/passes.h"

namespace py = pybind11;

namespace affectrt {
namespace {

using Line = std::tuple<bool, std::optional<std::string>, std::string>;

// For tests against the reference: lines are (same speaker, emotion, text), and None as a text
// stands for "this".
py::tuple make_pass(const Tokenizer& tokenizer, const std::string& text,
                    const std::vector<Line>& lines) {
  const PassMaker maker(tokenizer);
  std::vector<TurnTokens> tokens;
  for (const Line& line : lines) tokens.push_back(turn_tokens(tokenizer, std::get<2>(line)));
  std::vector<ContextLine> context;
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto& [same_speaker, emotion, said] = lines[i];
    const size_t told =
        emotion
            ? static_cast<size_t>(std::find(kToldEmotions.begin(), kToldEmotions.end(), *emotion) -
                                  kToldEmotions.begin())
            : kNoEmotion;
    context.push_back({&maker.tag(same_speaker, told), &tokens[i].ids});
  }
  const Pass pass = maker.make(turn_tokens(tokenizer, text), context);
  return py::make_tuple(pass.ids, pass.type_ids, pass.a_tokens);
}

}  // namespace

void bind_conversation(py::module_& m) {
  m.def(
      "_make_pass",
      [](const Tokenizer& tokenizer, const std::string& text, const std::vector<Line>& lines) {
        return as_call([&] { return make_pass(tokenizer, text, lines); });
      },
      py::arg("tokenizer"), py::arg("text"), py::arg("lines"));
}

}  // namespace affectrt
