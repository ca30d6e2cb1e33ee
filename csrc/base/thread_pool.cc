#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/per_process.h"
#include "base/system.h"

namespace affectrt {
namespace {

// How long a member waits awake at a barrier before it sleeps. Between two barriers of a forward
// pass lie some ten microseconds, less than it takes to wake a thread.
constexpr std::chrono::microseconds kAwake{40};

inline void relax_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Barrier {
 public:
  // Between two runs.
  void reset(int members) {
    members_ = members;
    passed_ = 0;
    slept_ = 0;
  }
  // Of the run that ended: how often all arrived, and at how many of these a member slept.
  int passed() const { return passed_; }
  int slept() const { return slept_; }

  void wait() {
    const uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
      arrived_.store(0, std::memory_order_relaxed);
      std::lock_guard<std::mutex> lock(mutex_);
      ++passed_;
      phase_.store(phase + 1, std::memory_order_release);
      if (sleepers_ > 0) {
        ++slept_;
        released_.notify_all();
      }
      return;
    }
    const auto passed = [&] { return phase_.load(std::memory_order_acquire) != phase; };
    const auto deadline = std::chrono::steady_clock::now() + kAwake;
    do {
      for (int i = 0; i < 16; ++i) {
        if (passed()) return;
        relax_cpu();
      }
    } while (std::chrono::steady_clock::now() < deadline);
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleepers_;
    released_.wait(lock, passed);
    --sleepers_;
  }

 private:
  int members_ = 1;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> phase_{0};
  std::mutex mutex_;
  std::condition_variable released_;
  // Guarded by mutex_.
  int sleepers_ = 0;
  int passed_ = 0;
  int slept_ = 0;
};

class PoolTeam : public Team {
 public:
  PoolTeam(Barrier* barrier, int rank, int size) : barrier_(barrier), rank_(rank), size_(size) {}
  int size() const override { return size_; }
  int rank() const override { return rank_; }
  void barrier() override {
    if (size_ > 1) barrier_->wait();
  }

 private:
  Barrier* barrier_;
  int rank_;
  int size_;
};

}  // namespace

void Team::share(size_t count, size_t grain, size_t* begin, size_t* end) const {
  const size_t grains = (count + grain - 1) / grain;
  const auto members = static_cast<size_t>(size());
  const auto index = static_cast<size_t>(rank());
  // The first grains % members get one more.
  const size_t each = grains / members;
  const size_t more = grains % members;
  const size_t first = index * each + std::min(index, more);
  const size_t last = first + each + (index < more ? 1 : 0);
  *begin = std::min(count, first * grain);
  *end = std::min(count, last * grain);
}

struct ThreadPool::State {
  const int64_t process = process_number();
  std::mutex busy;  // held by the one call that uses the workers

  std::mutex mutex;  // guards what follows
  std::condition_variable work;
  std::condition_variable done;
  std::vector<std::thread> workers;
  const std::function<void(Team&)>* body = nullptr;
  uint64_t generation = 0;
  int members = 0;  // of the current generation, the caller included
  int running = 0;  // workers that have not finished the current generation
  bool stopping = false;
  std::exception_ptr failure;

  Barrier barrier;

  void call(int rank, int size) {
    PoolTeam team(&barrier, rank, size);
    try {
      (*body)(team);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }

  void serve(int rank, uint64_t seen) {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      work.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      if (rank >= members) continue;
      const int size = members;
      lock.unlock();
      call(rank, size);
      lock.lock();
      if (--running == 0) done.notify_one();
    }
  }

  // Makes the team as large as `wanted` where the system lets us start threads. Under `mutex`.
  void start_workers(int wanted) {
    while (static_cast<int>(workers.size()) < wanted - 1) {
      const int rank = static_cast<int>(workers.size()) + 1;
      try {
        workers.emplace_back([this, rank, seen = generation] { serve(rank, seen); });
      } catch (const std::exception&) {
        return;  // out of threads or memory: go on with the team that there is
      }
    }
  }
};

ThreadPool::ThreadPool(int num_threads) : num_threads_(std::max(1, num_threads)) {}

ThreadPool::~ThreadPool() {
  State* state = state_.load(std::memory_order_acquire);
  // In a forked child the workers do not exist and the locks may be held for ever: leave them.
  if (state == nullptr || state->process != process_number()) return;
  {
    std::lock_guard<std::mutex> lock(state->mutex);
    state->stopping = true;
  }
  state->work.notify_all();
  for (std::thread& worker : state->workers) worker.join();
  delete state;
}

ThreadPool::State* ThreadPool::state_of_this_process() { return of_this_process(&state_); }

void ThreadPool::run(int wanted, const std::function<void(Team&)>& body) {
  wanted = std::min(wanted, num_threads_);
  State* state = wanted > 1 ? state_of_this_process() : nullptr;
  std::unique_lock<std::mutex> busy;
  if (state != nullptr) busy = std::unique_lock<std::mutex>(state->busy, std::try_to_lock);
  if (!busy.owns_lock()) {
    Team alone;
    body(alone);
    return;
  }
  int members = 1;
  {
    std::lock_guard<std::mutex> lock(state->mutex);
    state->start_workers(wanted);
    members = std::min(wanted, static_cast<int>(state->workers.size()) + 1);
    state->body = &body;
    state->members = members;
    state->running = members - 1;
    state->failure = nullptr;
    state->barrier.reset(members);
    ++state->generation;
  }
  if (members > 1) state->work.notify_all();
  state->call(0, members);
  std::unique_lock<std::mutex> lock(state->mutex);
  state->done.wait(lock, [&] { return state->running == 0; });
  state->body = nullptr;
  judge(state->barrier.passed(), state->barrier.slept());
  if (state->failure) std::rethrow_exception(std::exchange(state->failure, nullptr));
}

bool ThreadPool::steps_pay() {
  // Concurrent calls may both take the last one; no harm is done.
  if (alone_.load(std::memory_order_relaxed) <= 0) return true;
  alone_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void ThreadPool::judge(int barriers, int slept) {
  if (barriers == 0) return;
  const bool lost = 2 * slept > barriers;
  const int penalty = lost ? std::min(kMostAlone, 2 * std::max(1, penalty_.load())) : 0;
  penalty_ = penalty;
  alone_ = penalty;
}

}  // namespace affectrt
