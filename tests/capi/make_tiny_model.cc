// Writes the model of tiny_model.h to a file.
#include <fstream>
#include <iostream>

#include "tiny_model.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " OUT.affect\n";
    return 2;
  }
  std::ofstream out(argv[1], std::ios::binary);
  out << affectrt::testing::tiny_model::image();
  return out.flush() ? 0 : 1;
}
