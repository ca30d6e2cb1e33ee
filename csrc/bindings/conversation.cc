// Conversations, and the passes that they are made of.
#include "runtime/conversation.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/arguments.h"
#include "bindings/bindings.h"
#include "bindings/calls.h"
#include "runtime/passes.h"

namespace py = pybind11;

namespace affectrt {
namespace {

// ----------------------------------------------------------------------------------------- passes

using Line = std::tuple<bool, std::optional<std::string>, std::string>;

// For tests against the reference: lines are (same speaker, emotion, text).
py::tuple make_pass(const Tokenizer& tokenizer, const std::string& text,
                    const std::vector<Line>& lines) {
  const PassMaker maker(tokenizer);
  std::vector<TurnTokens> tokens;
  for (const Line& line : lines) tokens.push_back(turn_tokens(tokenizer, std::get<2>(line)));
  std::vector<ContextLine> context;
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto& [same_speaker, emotion, said] = lines[i];
    const auto* place = emotion ? std::find(kToldEmotions.begin(), kToldEmotions.end(), *emotion)
                                : kToldEmotions.end();
    context.push_back({&maker.tag(same_speaker, static_cast<size_t>(place - kToldEmotions.begin())),
                       &tokens[i].ids});
  }
  const TokenRow pass = maker.make(turn_tokens(tokenizer, text), context);
  return py::make_tuple(pass.ids, pass.type_ids, pass.a_tokens);
}

// ------------------------------------------------------------------------------------------ turns

// Turns as (speaker, text, emotion or None), or with the shares of a voice or None behind these,
// where the text may be None, too; with what keeps their characters alive.
class Turns {
 public:
  void add(const py::tuple& turn, size_t first) {
    const std::string where = "turn at " + std::to_string(turns_.size());
    NewTurn made;
    made.speaker = utf8_view(turn[first], where + ": its speaker");
    if (turn.size() > first + 3 && !turn[first + 3].is_none()) {
      made.voice = &voices_.emplace_back(turn[first + 3].cast<FamilyShares>());
    }
    made.has_words = made.voice == nullptr || !turn[first + 1].is_none();
    if (made.has_words) made.text = utf8_view(turn[first + 1], where + ": its text");
    if (!turn[first + 2].is_none())
      made.emotion = utf8_view(turn[first + 2], where + ": its emotion");
    owners_.push_back(turn);
    turns_.push_back(made);
  }
  const std::vector<NewTurn>& views() const { return turns_; }

 private:
  std::vector<py::object> owners_;
  std::deque<FamilyShares> voices_;
  std::vector<NewTurn> turns_;
};

Turns turns_of(const std::vector<py::tuple>& list) {
  Turns turns;
  for (const py::tuple& turn : list) turns.add(turn, 0);
  return turns;
}

// (turn, emotion or None, score, valence or None, mix or None, whether words were fused, and a
// voice)
py::tuple point_tuple(const ConversationPlan& plan, const ArcPoint& point) {
  const py::object none = py::none();
  const bool has_emotion = plan.has_emotion(point);
  return py::make_tuple(point.turn, has_emotion ? py::cast(plan.emotion_of(point)) : none,
                        point.score, plan.has_valence(point) ? py::cast(point.valence) : none,
                        has_emotion ? py::cast(point.mix) : none, point.of_words, point.of_voice);
}

struct PyTurnAnswer {
  std::string speaker;
  std::string text;
  bool is_reply = false;
  std::string told_emotion;
  py::object point;
  py::object causes;
  py::object prediction;
};

PyTurnAnswer to_python(const ConversationPlan& plan, TurnAnswer answer) {
  PyTurnAnswer made;
  made.speaker = std::move(answer.speaker);
  made.text = std::move(answer.text);
  made.is_reply = answer.is_reply;
  made.told_emotion = std::move(answer.told_emotion);
  made.point = point_tuple(plan, answer.point);
  made.causes = py::none();
  if (answer.tells_causes) {
    py::list causes;
    for (const CausePair& one : answer.causes) {
      causes.append(py::make_tuple(one.turn, one.score, one.decided, one.begin, one.end,
                                   one.span_score, one.text));
    }
    made.causes = causes;
  }
  made.prediction = prediction_object(std::move(answer.prediction));
  return made;
}

// Answers are Python's before anything is changed.
std::vector<PyTurnAnswer> added(const std::vector<Conversation::Addition>& additions,
                                const py::object& progress, bool embeddings) {
  std::vector<PyTurnAnswer> made;
  Interrupts interrupts(progress);
  interrupts.run([&](const std::function<bool(size_t, size_t)>& going) {
    const auto finish = [&](std::vector<TurnAnswer>& answers) {
      const py::gil_scoped_acquire gil;
      for (size_t i = 0; i < answers.size(); ++i) {
        made.push_back(to_python(additions[i].to->plan(), std::move(answers[i])));
      }
    };
    Conversation::add(additions, going, finish, embeddings);
  });
  return made;
}

std::vector<PyTurnAnswer> add(Conversation& to, const std::vector<py::tuple>& list,
                              const py::object& progress, bool embeddings) {
  const Turns turns = turns_of(list);
  std::vector<Conversation::Addition> additions;
  for (const NewTurn& turn : turns.views()) additions.push_back({&to, turn});
  return added(additions, progress, embeddings);
}

// Of many: (conversation, speaker, text, emotion or None), with a voice behind or not.
std::vector<PyTurnAnswer> add_turns(const std::vector<py::tuple>& list, const py::object& progress,
                                    bool embeddings) {
  Turns turns;
  for (const py::tuple& turn : list) turns.add(turn, 1);
  std::vector<Conversation::Addition> additions;
  for (size_t i = 0; i < list.size(); ++i) {
    additions.push_back({list[i][0].cast<Conversation*>(), turns.views()[i]});
  }
  return added(additions, progress, embeddings);
}

py::object scores(const Conversation& of, const std::vector<py::tuple>& list, int64_t at,
                  int32_t head, const py::object& progress) {
  const Turns turns = turns_of(list);
  Interrupts interrupts(progress);
  return head_scores_object(interrupts.run([&](const std::function<bool(size_t, size_t)>& going) {
    return of.judge(turns.views(), at, head, going);
  }));
}

py::object expect(const Conversation& of, const py::object& speaker, const py::object& emotion,
                  const py::object& personality, int32_t head) {
  Conversation::Replier replier;
  replier.speaker = utf8_view(speaker, "the speaker");
  replier.emotion = utf8_view(emotion, "the emotion");
  replier.personality = utf8_view(personality, "the personality");
  const py::object no_progress = py::none();
  Interrupts interrupts(no_progress);
  return head_scores_object(interrupts.run([&](const std::function<bool(size_t, size_t)>& going) {
    return of.expect(replier, head, going);
  }));
}

py::list arc(const Conversation& of, size_t most) {
  py::list points;
  for (const ArcPoint& point : of.arc(most)) points.append(point_tuple(of.plan(), point));
  return points;
}

py::list said(const Conversation& of) {
  py::list turns;
  for (const Conversation::Said& one : of.said()) {
    turns.append(py::make_tuple(one.turn, one.speaker, one.text));
  }
  return turns;
}

}  // namespace

void bind_conversation(py::module_& m) {
  py::class_<PyTurnAnswer>(m, "TurnAnswer", py::is_final())
      .def_readonly("speaker", &PyTurnAnswer::speaker)
      .def_readonly("text", &PyTurnAnswer::text)
      .def_readonly("is_reply", &PyTurnAnswer::is_reply)
      .def_readonly("told_emotion", &PyTurnAnswer::told_emotion)
      .def_readonly("point", &PyTurnAnswer::point)
      .def_readonly("causes", &PyTurnAnswer::causes)
      .def_readonly("prediction", &PyTurnAnswer::prediction);

  py::class_<Conversation>(m, "Conversation", py::is_final())
      .def_static(
          "create",
          [](const std::shared_ptr<Model>& model, int32_t max_turns,
             const std::vector<int32_t>& heads, const std::shared_ptr<SpeechModel>& speech) {
            return as_call([&] { return Conversation::create(model, {max_turns, heads, speech}); });
          },
          py::arg("model"), py::arg("max_turns"), py::arg("heads"), py::arg("speech") = nullptr)
      .def_static(
          "restore",
          [](const std::shared_ptr<Model>& model, const py::object& state,
             const std::shared_ptr<SpeechModel>& speech) {
            return as_call([&] {
              return Conversation::restore(model, utf8_view(state, "the saved conversation"),
                                           speech);
            });
          },
          py::arg("model"), py::arg("state"), py::arg("speech") = nullptr)
      .def(
          "add",
          [](Conversation& to, const std::vector<py::tuple>& turns, const py::object& progress,
             bool embeddings) {
            return as_call([&] { return add(to, turns, progress, embeddings); });
          },
          py::arg("turns"), py::arg("progress") = py::none(), py::arg("embeddings") = false)
      .def(
          "scores",
          [](const Conversation& of, const std::vector<py::tuple>& turns, int64_t at, int32_t head,
             const py::object& progress) {
            return as_call([&] { return scores(of, turns, at, head, progress); });
          },
          py::arg("turns"), py::arg("at"), py::arg("head"), py::arg("progress") = py::none())
      .def(
          "expect",
          [](const Conversation& of, const py::object& speaker, const py::object& emotion,
             const py::object& personality, int32_t head) {
            return as_call([&] { return expect(of, speaker, emotion, personality, head); });
          },
          py::arg("speaker"), py::arg("emotion"), py::arg("personality"), py::arg("head"))
      .def(
          "arc",
          [](const Conversation& of, size_t most) {
            return as_call([&] { return arc(of, most); });
          },
          py::arg("most") = SIZE_MAX)
      .def("said", [](const Conversation& of) { return as_call([&] { return said(of); }); })
      .def("state_json",
           [](const Conversation& of) { return as_call([&] { return of.state_json(); }); })
      .def_property_readonly(
          "turns", [](const Conversation& of) { return as_call([&] { return of.turns(); }); })
      .def_property_readonly("max_turns", &Conversation::max_turns)
      .def_property_readonly("heads", [](const Conversation& of) { return of.plan().heads; });

  m.def(
      "add_turns",
      [](const std::vector<py::tuple>& additions, const py::object& progress, bool embeddings) {
        return as_call([&] { return add_turns(additions, progress, embeddings); });
      },
      py::arg("additions"), py::arg("progress") = py::none(), py::arg("embeddings") = false);
  m.def(
      "_make_pass",
      [](const Tokenizer& tokenizer, const std::string& text, const std::vector<Line>& lines) {
        return as_call([&] { return make_pass(tokenizer, text, lines); });
      },
      py::arg("tokenizer"), py::arg("text"), py::arg("lines"));
}

}  // namespace affectrt
