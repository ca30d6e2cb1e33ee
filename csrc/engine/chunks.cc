#include "engine/chunks.h"

#include <algorithm>
#include <string>

#include "base/cpu.h"
#include "base/error.h"

namespace affectrt {

int native_thread_count(int wanted) {
  constexpr int kMostThreads = 1024;
  if (wanted < 0 || wanted > kMostThreads) {
    throw Error(ErrorKind::kInput, "num_threads is " + std::to_string(wanted) +
                                       "; 0 (as many as the CPU quota allows) to " +
                                       std::to_string(kMostThreads) + " is possible");
  }
  // More threads than CPUs would only wait for each other.
  return wanted == 0 ? usable_cpus() : std::min(wanted, usable_cpus());
}

}  // namespace affectrt
