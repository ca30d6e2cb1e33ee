// Writes the model of tiny_model.h to a file, and that of tiny_speech_model.h to another.
#include <fstream>
#include <iostream>

#include "tiny_model.h"
#include "tiny_speech_model.h"

using namespace affectrt::testing;

namespace {

bool write(const char* path, const std::string& image) {
  std::ofstream out(path, std::ios::binary);
  out << image;
  return static_cast<bool>(out.flush());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " OUT.affect SPEECH.affect\n";
    return 2;
  }
  const std::string speech = tiny_speech_model::image(tiny_speech_model::files());
  return write(argv[1], tiny_model::image()) && write(argv[2], speech) ? 0 : 1;
}
