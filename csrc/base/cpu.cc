#include "base/cpu.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace affectrt {
namespace {

// ---------------------------------------------------------------------------------- control groups

// C files: the streams of C++ would bring a quarter of a megabyte of locales into a library that
// carries its own runtime. "" for a file that cannot be read.
std::string read_file(const std::string& path) {
#if defined(__linux__)
  constexpr const char* kMode = "rbe";  // not for a child that is started at this moment
#else
  constexpr const char* kMode = "rb";
#endif
  std::string content;
  std::FILE* file = std::fopen(path.c_str(), kMode);
  if (file == nullptr) return content;
  char part[4096];
  for (size_t read = 0; (read = std::fread(part, 1, sizeof part, file)) > 0;) {
    content.append(part, read);
  }
  std::fclose(file);
  return content;
}

// What stands between characters of `separators`, without what is empty.
std::vector<std::string> split(const std::string& text, const char* separators) {
  std::vector<std::string> items;
  for (size_t begin = text.find_first_not_of(separators); begin != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(separators, begin), text.size());
    items.push_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(separators, end);
  }
  return items;
}

std::vector<std::string> read_lines(const std::string& path) {
  return split(read_file(path), "\n");
}

std::vector<std::string> words(const std::string& text) { return split(text, " \t\n"); }

bool has_item(const std::string& comma_separated, const std::string& item) {
  const std::vector<std::string> items = split(comma_separated, ",");
  return std::find(items.begin(), items.end(), item) != items.end();
}

// Where a hierarchy is mounted, and which group of it the mount shows as its root.
struct Mount {
  std::string root;
  std::string point;
};

// A line of /proc/self/mountinfo, see proc(5):
// 36 35 98:0 /root /mount/point rw,noatime master:1 - cgroup2 source super,options
bool find_mount(const std::string& file_system_root, bool version_2, Mount* found) {
  for (const std::string& line : read_lines(file_system_root + "/proc/self/mountinfo")) {
    const size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    const std::vector<std::string> before = words(line.substr(0, separator));
    const std::vector<std::string> after = words(line.substr(separator + 3));
    if (before.size() < 5 || after.size() < 3) continue;
    const std::string& type = after[0];
    if (version_2 ? type == "cgroup2" : (type == "cgroup" && has_item(after[2], "cpu"))) {
      *found = {before[3], before[4]};
      return true;
    }
  }
  return false;
}

// The group of this process inside a hierarchy. A line of /proc/self/cgroup, see cgroups(7):
// "0::/user.slice/a" (v2) or "4:cpu,cpuacct:/docker/a" (v1)
bool find_group(const std::string& file_system_root, bool version_2, std::string* group) {
  for (const std::string& line : read_lines(file_system_root + "/proc/self/cgroup")) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool wanted = version_2 ? line.compare(0, first, "0") == 0 && controllers.empty()
                                  : has_item(controllers, "cpu");
    if (wanted) {
      *group = line.substr(second + 1);
      return true;
    }
  }
  return false;
}

double group_quota(const std::string& folder, bool version_2) {
  // "max 100000" or "150000 100000" (v2); two files, -1 for no limit (v1)
  const std::vector<std::string> numbers =
      words(version_2 ? read_file(folder + "/cpu.max")
                      : read_file(folder + "/cpu.cfs_quota_us") + " " +
                            read_file(folder + "/cpu.cfs_period_us"));
  if (numbers.size() < 2) return 0.0;
  const double quota_us = std::strtod(numbers[0].c_str(), nullptr);  // of "max" 0
  const double period_us = std::strtod(numbers[1].c_str(), nullptr);
  return quota_us > 0.0 && period_us > 0.0 ? quota_us / period_us : 0.0;
}

double hierarchy_quota(const std::string& file_system_root, bool version_2) {
  Mount mount;
  std::string group;
  if (!find_mount(file_system_root, version_2, &mount)) return 0.0;
  if (!find_group(file_system_root, version_2, &group)) return 0.0;
  // Without a cgroup namespace a container sees the host's path of its group in /proc/self/cgroup,
  // while the mount shows that group as its root.
  const size_t shown = mount.root.size();
  const bool inside =
      group.compare(0, shown, mount.root) == 0 && (group.size() == shown || group[shown] == '/');
  if (mount.root != "/" && inside) group.erase(0, shown);
  // A group may use no more than each of its ancestors may.
  const std::string root = file_system_root + mount.point;
  double least = 0.0;
  while (true) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    const double quota = group_quota(root + group, version_2);
    if (quota > 0.0 && (least <= 0.0 || quota < least)) least = quota;
    if (group.empty()) return least;
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

int affinity_count(int hardware) {
#if defined(__linux__)
  // The kernel refuses a mask smaller than its own, whose size no call tells: grow until it fits.
  for (int cpus = 1024; cpus <= 1024 * 1024; cpus *= 4) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<size_t>(cpus));
    if (mask == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    CPU_ZERO_S(bytes, mask);
    const bool known = sched_getaffinity(0, bytes, mask) == 0;
    const int count = known ? CPU_COUNT_S(bytes, mask) : 0;
    CPU_FREE(mask);
    if (known && count > 0) return count;
  }
#endif
  return hardware;
}

// ------------------------------------------------------------------------------- instruction sets

#if defined(__x86_64__)
uint64_t enabled_register_state() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32U) | low;
}

// Bit numbers: Intel SDM volume 2A, CPUID; XCR0 bits: volume 1, 13.3.
CpuFeatures detect() {
  CpuFeatures found;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
  const auto bit = [](uint32_t word, uint32_t index) { return ((word >> index) & 1U) != 0; };
  found.sse41 = bit(c, 19);
  const bool has_xgetbv = bit(c, 27);
  const bool has_avx = bit(c, 28);
  const bool has_fma = bit(c, 12);
  const bool has_f16c = bit(c, 29);
  const uint64_t state = has_xgetbv ? enabled_register_state() : 0;
  const bool saves_ymm = (state & 0x06U) == 0x06U;  // XMM and the upper halves of YMM
  const bool saves_zmm = (state & 0xe6U) == 0xe6U;  // and opmask, ZMM 0-15 upper, ZMM 16-31
  if (!has_avx || !saves_ymm) return found;
  found.fma = has_fma;
  found.f16c = has_f16c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  const uint32_t last_subleaf = a;
  found.avx2 = bit(b, 5);
  if (saves_zmm) {
    found.avx512f = bit(b, 16);
    found.avx512bw = found.avx512f && bit(b, 30);
    found.avx512vl = found.avx512f && bit(b, 31);
    found.avx512_vnni = found.avx512f && bit(c, 11);
  }
  if (last_subleaf >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
    found.avx_vnni = found.avx2 && bit(a, 4);
  }
  return found;
}
#elif defined(__aarch64__) && defined(__linux__)
CpuFeatures detect() {
  CpuFeatures found;
  found.neon = true;  // part of the base architecture
  // Bit numbers of the kernel's user interface (Documentation/arch/arm64/elf_hwcaps.rst); the
  // headers of an older C library may lack the names.
  found.dotprod = ((getauxval(AT_HWCAP) >> 20U) & 1U) != 0;
  found.i8mm = ((getauxval(AT_HWCAP2) >> 13U) & 1U) != 0;
  return found;
}
#elif defined(__aarch64__) && defined(__APPLE__)
bool sysctl_flag(const char* name) {
  int value = 0;
  size_t size = sizeof(value);
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

CpuFeatures detect() {
  CpuFeatures found;
  found.neon = true;
  found.dotprod = sysctl_flag("hw.optional.arm.FEAT_DotProd");
  found.i8mm = sysctl_flag("hw.optional.arm.FEAT_I8MM");
  return found;
}
#else
CpuFeatures detect() { return {}; }
#endif

}  // namespace

double cgroup_cpu_quota(const std::string& file_system_root) {
  // On a machine with both hierarchies mounted the cpu controller sits in one of them.
  const double quota = hierarchy_quota(file_system_root, true);
  return quota > 0.0 ? quota : hierarchy_quota(file_system_root, false);
}

CpuCounts cpu_counts() {
  CpuCounts counts;
  counts.hardware = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  counts.affinity = affinity_count(counts.hardware);
  // std::thread::hardware_concurrency reads the affinity mask in some C libraries.
  counts.hardware = std::max(counts.hardware, counts.affinity);
  counts.cgroup_quota = cgroup_cpu_quota("");
#if defined(__EMSCRIPTEN__) && !defined(__EMSCRIPTEN_PTHREADS__)
  counts.affinity = 1;  // built without threads
#endif
  counts.usable = counts.affinity;
  if (counts.cgroup_quota > 0.0 && counts.cgroup_quota < counts.affinity) {
    counts.usable = std::max(1, static_cast<int>(std::ceil(counts.cgroup_quota)));
  }
  return counts;
}

int usable_cpus() { return cpu_counts().usable; }

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

std::vector<std::pair<std::string_view, bool>> cpu_feature_list() {
  const CpuFeatures& has = cpu_features();
  return {
      {"sse4.1", has.sse41},      {"avx2", has.avx2},         {"fma", has.fma},
      {"f16c", has.f16c},         {"avx_vnni", has.avx_vnni}, {"avx512f", has.avx512f},
      {"avx512bw", has.avx512bw}, {"avx512vl", has.avx512vl}, {"avx512_vnni", has.avx512_vnni},
      {"neon", has.neon},         {"dotprod", has.dotprod},   {"i8mm", has.i8mm},
  };
}

std::string_view cpu_architecture() {
#if defined(__x86_64__)
  return "x86-64";
#elif defined(__aarch64__)
  return "aarch64";
#elif defined(__wasm__)
  return "wasm";
#else
  return "other";
#endif
}

}  // namespace affectrt
