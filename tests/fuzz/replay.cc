// Runs a fuzz target without libFuzzer: replay RUNS FOLDER gives it every file of the folder and
// then RUNS mutations of them, always the same. What CI does, with any compiler.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fuzz.h"

namespace {

void run(const std::string& input) {
  // A copy of exactly that size, so that reading beyond it is seen.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::string mutated(const std::vector<std::string>& seeds, std::mt19937* random) {
  const auto below = [&](size_t bound) { return bound == 0 ? 0 : (*random)() % bound; };
  std::string input = seeds[below(seeds.size())];
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(input.size() + 1);
    const std::string& other = seeds[below(seeds.size())];
    switch (below(5)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>((*random)());
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 2:
        input.erase(at, 1 + below(16));
        break;
      case 3: {
        const size_t from = below(other.size());
        input.insert(at, other.substr(from, 1 + below(16)));
        break;
      }
      default:
        input.insert(at, 1, static_cast<char>((*random)()));
    }
  }
  return input;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: %s RUNS FOLDER\n", arguments[0]);
    return 2;
  }
  std::set<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(arguments[2])) {
    files.insert(file.path());
  }
  std::vector<std::string> seeds;
  for (const std::filesystem::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    run(seeds.back());
  }
  std::mt19937 random(1);
  const int runs = std::atoi(arguments[1]);  // NOLINT(cert-err34-c)
  for (int i = 0; i < runs && !seeds.empty(); ++i) run(mutated(seeds, &random));
  std::printf("%zu seeds, %d mutations\n", seeds.size(), runs);
  return seeds.empty() ? 1 : 0;
}
