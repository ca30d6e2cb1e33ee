// Which body of the kernels this process uses.
#pragma once

#include <vector>

#include "kernels/kernels.h"

namespace affectrt {

// The bodies that this build has and this CPU can run, best first; "scalar" is always the last.
const std::vector<const Kernels*>& available_kernels();

// The best, or the one that the environment variable AFFECTRT_ISA names. Throws
// Error(kUnsupported), listing the possible names, when it names none of them.
const Kernels& select_kernels();

}  // namespace affectrt
