// Follows a conversation of lines "NAME: WORDS": prints JSON for each turn, and its arc at the end.
// cpp_conversation MODEL.affect [HEAD...] < TURNS
#include <affectrt.hpp>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: " << argv[0] << " MODEL.affect [HEAD...] < TURNS\n";
    return 2;
  }
  try {
    const affectrt::Model model = affectrt::Model::load(argv[1]);
    const std::vector<std::string> heads(argv + 2, argv + argc);
    affectrt::Conversation conversation(model, 0, heads);
    for (std::string line; std::getline(std::cin, line);) {
      const std::string_view turn = line;
      const size_t colon = turn.find(": ");
      if (colon == std::string_view::npos) {
        std::cerr << "no \"NAME: WORDS\": " << line << '\n';
        return 1;
      }
      std::cout << conversation.add(turn.substr(0, colon), turn.substr(colon + 2)) << '\n';
    }
    std::cout << conversation.arc_json() << '\n';
  } catch (const affectrt::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
