// The C++ wrapper. Argument: tiny.affect.
#include <affectrt.hpp>
#include <fstream>
#include <iterator>

#include "check.h"

namespace {

template <class Body>
affectrt_status status_of(const Body& body) {
  try {
    body();
  } catch (const affectrt::Error& error) {
    CHECK(std::string(error.what()) == affectrt_last_error());
    return error.status();
  }
  return AFFECTRT_OK;
}

}  // namespace

int main(int argc, char** argv) {
  CHECK(argc == 2);
  const std::string path = argv[1];
  affectrt::Options options;
  options.num_threads = 1;
  const affectrt::Model model = affectrt::Model::load(path, options);
  CHECK(std::string(model.info().name) == "tiny");
  CHECK(model.labels() == (std::vector<std::string_view>{"joy", "sadness", "anger"}));
  CHECK(model.find_head("vad") == 1);
  CHECK(affectrt::map_label("ekman", "Gutted") == "sadness");
  CHECK(!affectrt::map_label("ekman", "train"));

  const std::string third = "!";
  const std::vector<affectrt::Text> texts = {"so happy", {"so", "sad"}, third};
  const affectrt::Result result = model.analyse(texts);
  CHECK(result.rows() == 3);
  const std::vector<float> scores = model.predict(texts);
  CHECK(scores.size() == 9);
  for (size_t row = 0; row < 3; ++row) {
    const affectrt::Answer answer = result.answer(row);
    size_t decided = 0;
    for (const affectrt_label_score& label : answer) {
      CHECK(label.score == scores[row * 3 + label.index]);
      decided += label.decided;
    }
    CHECK(answer.decided().size() == decided && !answer.truncated());
  }
  CHECK(model.analyse("so happy").answer()[0].score == result.answer()[0].score);
  CHECK(model.analyse_json({"so"}).find("\"text\":\"so\"") != std::string::npos);
  CHECK(model.analyse(std::vector<affectrt::Text>()).rows() == 0);
  CHECK(model.analyse(affectrt::Text(std::string_view())).rows() == 1);

  std::ifstream file(path, std::ios::binary);
  const auto bytes = std::make_shared<const std::vector<unsigned char>>(
      std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  {
    const affectrt::Model shared = affectrt::Model::from_memory(bytes);
    CHECK(shared.predict(texts) == scores);
    const affectrt::Model viewed = affectrt::Model::from_memory(bytes->data(), bytes->size());
    CHECK(viewed.predict(texts) == scores);
  }
  CHECK(bytes.use_count() == 1);
  const auto broken = std::make_shared<const std::vector<unsigned char>>(10);
  CHECK(status_of([&] { affectrt::Model::from_memory(broken); }) == AFFECTRT_MODEL_FILE);
  CHECK(broken.use_count() == 1);

  affectrt::Model moved = affectrt::Model::load(path);
  const affectrt::Tokenizer tokenizer = moved.tokenizer();
  moved = affectrt::Model::load(path);
  CHECK(tokenizer.encode("so happy").ids() == (std::vector<uint32_t>{2, 6, 7, 3}));
  CHECK(tokenizer.id_to_token(tokenizer.token_to_id("sad")) == "sad");
  CHECK(tokenizer.vocab_size() == 11);

  CHECK(status_of([] { affectrt::Model::load("/no/such"); }) == AFFECTRT_NOT_FOUND);
  CHECK(status_of([&] { model.analyse("\xff"); }) == AFFECTRT_INPUT);
  CHECK(status_of([&] { model.analyse(texts, [](size_t, size_t) { return false; }); }) ==
        AFFECTRT_CANCELLED);
  bool passed = false;
  try {
    model.predict(texts, 0, [](size_t, size_t) -> bool { throw std::string("mine"); });
  } catch (const std::string& thrown) {
    passed = thrown == "mine";
  }
  CHECK(passed);
  size_t last = 0;
  model.predict(texts, 0, [&](size_t done, size_t) {
    last = done;
    return true;
  });
  CHECK(last == 3);

  affectrt::Conversation conversation(model, 5, {"emotion"});
  CHECK(conversation.add("A", "so happy").find("[{\"turn\":1,\"speaker\":\"A\"") == 0);
  CHECK(conversation.add({{"B", "so sad", "sadness"}, {"A", "I am"}}).find("\"turn\":3") !=
        std::string::npos);
  const std::string state = conversation.save();
  affectrt::Conversation again = affectrt::Conversation::restore(model, state);
  CHECK(again.save() == state);
  CHECK(again.arc_json() == conversation.arc_json());
  CHECK(again.add("B", "happy") == conversation.add("B", "happy"));
  CHECK(status_of([&] { conversation.add("", "so sad"); }) == AFFECTRT_INPUT);
  return 0;
}
