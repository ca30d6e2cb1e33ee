// Reads lines and says what each expresses: cpp_lines MODEL.affect < TEXT
#include <affectrt.hpp>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " MODEL.affect < TEXT\n";
    return 2;
  }
  try {
    const affectrt::Model model = affectrt::Model::load(argv[1]);
    for (std::string line; std::getline(std::cin, line);) {
      const affectrt::Result result = model.analyse(line);
      const affectrt::Answer answer = result.answer();
      std::cout << answer[0].label << '\t' << answer[0].score << '\t' << line << '\n';
    }
  } catch (const affectrt::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
