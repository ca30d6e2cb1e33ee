// What this process may use of the machine: how many CPUs, and which instruction sets.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace affectrt {

struct CpuCounts {
  int hardware = 1;           // CPUs that are online
  int affinity = 1;           // CPUs that this process may be scheduled on
  double cgroup_quota = 0.0;  // CPU seconds per second that the control group allows; 0: no limit
  int usable = 1;             // the least of the three, the quota rounded up; at least 1
};

// Read anew at every call: affinity and quota may change while the process runs.
CpuCounts cpu_counts();
int usable_cpus();

// CPU limit of the control groups (v1 or v2) that hold this process, as the files under
// `file_system_root` say ("" for the real ones); 0 where there is none or nothing is readable.
double cgroup_cpu_quota(const std::string& file_system_root);

// An instruction set is true only where the CPU has it and the operating system saves its
// registers. Sets of other architectures are false.
struct CpuFeatures {
  bool sse41 = false;
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx_vnni = false;  // VEX-encoded vpdpbusd
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512_vnni = false;  // EVEX-encoded vpdpbusd
  bool neon = false;
  bool dotprod = false;
  bool i8mm = false;
};

// Detected once.
const CpuFeatures& cpu_features();
// The same as (name, present), every known set in a fixed order.
std::vector<std::pair<std::string_view, bool>> cpu_feature_list();
// "x86-64", "aarch64", "wasm" or "other".
std::string_view cpu_architecture();

}  // namespace affectrt
