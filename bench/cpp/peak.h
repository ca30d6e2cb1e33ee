// The most that one core can multiply and add: loops over registers alone, of the instructions that
// the kernels of an instruction set are made of.
#pragma once

#include <cstddef>
#include <string>

namespace affectrt::bench {

// One pass of `run` is `macs` products that are added, none of which waits for memory and few for
// each other.
struct PeakLoop {
  const char* instructions;
  double macs;
  void (*run)(size_t passes);
};

struct PeakLoops {
  PeakLoop u8s8;
  PeakLoop s16s16;
  PeakLoop f32;
};

// Those of a body of the kernels, by its name; null where there is none ("scalar": what a compiler
// makes of it is no property of the machine).
const PeakLoops* peak_loops(const std::string& isa);

}  // namespace affectrt::bench
