#include <doctest/doctest.h>
#include <sched.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/cpu.h"

using affectrt::cgroup_cpu_quota;
using affectrt::CpuCounts;
using affectrt::CpuFeatures;

namespace {

// A root folder with the files of a machine that is not this one.
class FakeRoot {
 public:
  FakeRoot() {
    char name[] = "/tmp/affectrt-cpu-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;

  void write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = path_ + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  double quota() const { return cgroup_cpu_quota(path_); }

 private:
  std::string path_;
};

constexpr const char* kVersion2Mount =
    "22 1 0:20 / /proc rw - proc proc rw\n"
    "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

}  // namespace

TEST_CASE("without any file there is no limit") { CHECK(FakeRoot().quota() == 0.0); }

TEST_CASE("version 2 in a container with a namespace of its own") {
  const FakeRoot root;
  root.write("/proc/self/mountinfo", kVersion2Mount);
  root.write("/proc/self/cgroup", "0::/\n");
  CHECK(root.quota() == 0.0);
  root.write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  CHECK(root.quota() == 0.0);
  root.write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  CHECK(root.quota() == doctest::Approx(1.5));
}

TEST_CASE("version 2: the tightest of the group and its ancestors holds") {
  const FakeRoot root;
  root.write("/proc/self/mountinfo", kVersion2Mount);
  root.write("/proc/self/cgroup", "0::/user.slice/job/worker\n");
  root.write("/sys/fs/cgroup/user.slice/job/worker/cpu.max", "400000 100000\n");
  CHECK(root.quota() == doctest::Approx(4.0));
  root.write("/sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n");
  CHECK(root.quota() == doctest::Approx(2.5));
  root.write("/sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n");
  CHECK(root.quota() == doctest::Approx(2.5));
}

TEST_CASE("version 1, with and without the host's path of the group") {
  const FakeRoot root;
  root.write("/proc/self/mountinfo",
             "40 31 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
             "41 31 0:31 / /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n");
  root.write("/proc/self/cgroup", "5:cpuset:/docker/abc\n4:cpu,cpuacct:/docker/abc\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  CHECK(root.quota() == 0.0);
  root.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
  CHECK(root.quota() == doctest::Approx(0.5));
  root.write("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abcdef\n");  // a neighbour, not a child
  CHECK(root.quota() == doctest::Approx(0.5));
}

TEST_CASE("files full of nonsense are no limit") {
  const FakeRoot root;
  root.write("/proc/self/mountinfo", "\n - \na b c d - cgroup2\n" + std::string(kVersion2Mount));
  root.write("/proc/self/cgroup", "::::\n:\n\n0::/a\n");
  for (const char* text : {"", "0 100000", "-5 100000", "100000 0", "words words", "100000"}) {
    root.write("/sys/fs/cgroup/a/cpu.max", text);
    CHECK(root.quota() == 0.0);
  }
}

TEST_CASE("the counts of this machine agree with each other") {
  const CpuCounts counts = affectrt::cpu_counts();
  CHECK(counts.usable >= 1);
  CHECK(counts.usable <= counts.affinity);
  CHECK(counts.affinity <= counts.hardware);
  CHECK(affectrt::usable_cpus() == counts.usable);
}

#if defined(__linux__)
TEST_CASE("affinity is followed while the process runs") {
  int usable = 0;
  std::thread([&] {  // a thread of its own, since the mask stays
    cpu_set_t mask;
    CPU_ZERO(&mask);
    REQUIRE(sched_getaffinity(0, sizeof(mask), &mask) == 0);
    int first = 0;
    while (!CPU_ISSET(static_cast<size_t>(first), &mask)) ++first;
    CPU_ZERO(&mask);
    CPU_SET(static_cast<size_t>(first), &mask);
    REQUIRE(sched_setaffinity(0, sizeof(mask), &mask) == 0);
    usable = affectrt::usable_cpus();
  })
      .join();
  CHECK(usable == 1);
}
#endif

TEST_CASE("features imply what they are built on, and agree with the compiler's own detection") {
  const CpuFeatures& has = affectrt::cpu_features();
  CHECK((!has.avx512bw || has.avx512f));
  CHECK((!has.avx512vl || has.avx512f));
  CHECK((!has.avx512_vnni || has.avx512f));
  CHECK((!has.avx_vnni || has.avx2));
#if defined(__x86_64__)
  CHECK(affectrt::cpu_architecture() == "x86-64");
  CHECK(has.sse41 == (__builtin_cpu_supports("sse4.1") != 0));
  CHECK(has.avx2 == (__builtin_cpu_supports("avx2") != 0));
  CHECK(has.fma == (__builtin_cpu_supports("fma") != 0));
  CHECK(has.avx512f == (__builtin_cpu_supports("avx512f") != 0));
  CHECK(has.avx512bw == (__builtin_cpu_supports("avx512bw") != 0));
  CHECK(has.avx512vl == (__builtin_cpu_supports("avx512vl") != 0));
  CHECK(has.avx512_vnni == (__builtin_cpu_supports("avx512vnni") != 0));
  CHECK_FALSE(has.neon);
#endif
  CHECK(affectrt::cpu_feature_list().size() == 12);
}
