// score_model MODEL: the logits of the first head for each line of standard input, one line of
// hexadecimal floats a text. No test in itself: tests/test_aarch64.py compares what it prints under
// emulation with what this machine computes.
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/model.h"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: score_model MODEL < TEXTS\n");
    return 2;
  }
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
  try {
    affectrt::ModelOptions options;
    options.backend = "native";
    const auto model = affectrt::Model::load(arguments[1], options);
    std::vector<affectrt::TextInput> inputs(lines.size());
    for (size_t i = 0; i < lines.size(); ++i) inputs[i].text = lines[i];
    const affectrt::Prediction prediction = model->predict(inputs, {});
    const affectrt::HeadScores& head = prediction.heads.front();
    for (size_t i = 0; i < head.logits.size(); ++i) {
      const bool ends = (i + 1) % static_cast<size_t>(head.width) == 0;
      std::printf("%a%c", static_cast<double>(head.logits[i]), ends ? '\n' : ' ');
    }
  } catch (const affectrt::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
