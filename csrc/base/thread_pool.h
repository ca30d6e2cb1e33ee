// Worker threads for one model. They sleep when idle, never outnumber what was asked for, and are
// made anew in a forked child.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

namespace affectrt {

// A group of threads that run the same code in step. The default-made team is one thread.
class Team {
 public:
  virtual ~Team() = default;
  virtual int size() const { return 1; }
  virtual int rank() const { return 0; }
  // Returns once every member has arrived; what members wrote before it is visible after it.
  virtual void barrier() {}
  // The share of [0, count) that this member does, in whole multiples of `grain`.
  void share(size_t count, size_t grain, size_t* begin, size_t* end) const;
};

// Concurrent calls of run() are safe: one of them uses the workers, the others run on their own
// thread alone, so that callers never wait for each other.
class ThreadPool {
 public:
  // At least 1. No thread is started before the first run() that needs one.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }
  // Calls body(team) on the caller's thread (rank 0) and on up to wanted - 1 workers. The first
  // exception that leaves a body is thrown again here, after all have finished; a body that may
  // throw must not use barrier(), as the others would wait for it for ever.
  void run(int wanted, const std::function<void(Team&)>& body);

  // Whether the next piece of work should use barriers, or one thread alone would be faster: where
  // other processes hold the CPUs, members sleep at barriers until the missing one is scheduled
  // again. False for a while, doubled up to kMostAlone calls, after a run that mostly slept.
  bool steps_pay();

 private:
  static constexpr int kMostAlone = 256;
  struct State;
  State* state_of_this_process();
  void judge(int barriers, int slept);

  const int num_threads_;
  std::atomic<int> alone_{0};    // pieces of work still to be done without barriers
  std::atomic<int> penalty_{0};  // how many the last such run brought
  std::atomic<State*> state_{nullptr};
};

}  // namespace affectrt
