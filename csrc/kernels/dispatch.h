// Which body of the kernels this process uses.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace affectrt {

// The bodies that this build has and this CPU can run, best first; "scalar" is always the last.
const std::vector<const Kernels*>& available_kernels();

// The one named `isa`; where that is empty the one that the environment variable AFFECTRT_ISA
// names; where that is empty, too, the best. Throws Error(kUnsupported), listing the possible
// names, when it is none of them.
const Kernels& select_kernels(const std::string& isa = "");

}  // namespace affectrt
