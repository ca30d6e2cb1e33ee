// Rows of any number and length through an encoder: in chunks, on as many threads as help, with
// scratch that is kept.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "base/per_process.h"
#include "base/system.h"
#include "base/thread_pool.h"
#include "encoders/rows.h"
#include "encoders/workspace.h"

namespace affectrt {

// 0: as many as the CPU quota allows. Throws Error(kInput) for what is out of range.
int native_thread_count(int wanted);

// Scratch that calls borrow and give back. At most `most` pieces are there at a time, so that
// memory does not grow with the number of callers: who comes when all are lent waits, in the order
// of coming. Nobody waits who holds one, and nobody holds one for longer than a chunk takes.
template <class Scratch>
class ScratchPool {
 public:
  explicit ScratchPool(size_t most) : most_(most) {}
  ~ScratchPool() {
    State* state = state_.load(std::memory_order_acquire);
    if (state != nullptr && state->process == process_number()) delete state;
  }
  ScratchPool(const ScratchPool&) = delete;
  ScratchPool& operator=(const ScratchPool&) = delete;

  // A place among the `most`, and its scratch.
  class Loan {
   public:
    Loan(ScratchPool* pool, std::unique_ptr<Scratch> scratch)
        : pool_(pool), scratch_(std::move(scratch)) {}
    Loan(Loan&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), scratch_(std::move(other.scratch_)) {}
    Loan& operator=(Loan&& other) = delete;
    ~Loan() {
      if (pool_ != nullptr) pool_->give(std::move(scratch_));
    }
    // Not null once this was called, which may throw std::bad_alloc.
    Scratch* make() {
      if (scratch_ == nullptr) scratch_ = std::make_unique<Scratch>();
      return scratch_.get();
    }
    Scratch* get() const { return scratch_.get(); }

   private:
    ScratchPool* pool_;
    std::unique_ptr<Scratch> scratch_;
  };

  Loan take() {
    State& state = *of_this_process(&state_);
    std::unique_lock<std::mutex> lock(state.mutex);
    if (state.first == nullptr && state.lent < most_) return Loan(this, lend(&state));
    Waiter self;
    (state.first == nullptr ? state.first : state.last->next) = &self;
    state.last = &self;
    self.served.wait(lock, [&] { return self.is_served; });
    return Loan(this, std::move(self.scratch));
  }
  // As many at once, without waiting; none where so many are not to be had.
  std::vector<Loan> try_take(size_t count) {
    std::vector<Loan> loans;
    loans.reserve(count);
    State& state = *of_this_process(&state_);
    const std::lock_guard<std::mutex> lock(state.mutex);
    if (state.first != nullptr || state.lent + count > most_) return loans;
    for (size_t i = 0; i < count; ++i) loans.emplace_back(this, lend(&state));
    return loans;
  }
  // Callers that wait by now.
  size_t waiting() {
    State& state = *of_this_process(&state_);
    const std::lock_guard<std::mutex> lock(state.mutex);
    size_t count = 0;
    for (const Waiter* waiter = state.first; waiter != nullptr; waiter = waiter->next) ++count;
    return count;
  }

 private:
  struct Waiter {
    std::condition_variable served;
    bool is_served = false;
    std::unique_ptr<Scratch> scratch;
    Waiter* next = nullptr;
  };
  struct State {
    const int64_t process = process_number();
    std::mutex mutex;
    size_t lent = 0;
    std::vector<std::unique_ptr<Scratch>> free;
    // Those who wait, on their own stacks.
    Waiter* first = nullptr;
    Waiter* last = nullptr;
  };

  std::unique_ptr<Scratch> lend(State* state) {
    state->free.reserve(most_);  // so that giving back cannot fail
    ++state->lent;
    if (state->free.empty()) return nullptr;
    std::unique_ptr<Scratch> scratch = std::move(state->free.back());
    state->free.pop_back();
    return scratch;
  }
  void give(std::unique_ptr<Scratch> scratch) {
    State& state = *of_this_process(&state_);
    const std::lock_guard<std::mutex> lock(state.mutex);
    if (Waiter* waiter = state.first; waiter != nullptr) {
      state.first = waiter->next;
      waiter->scratch = std::move(scratch);
      waiter->is_served = true;
      waiter->served.notify_one();  // under the lock: it ends with the wait
      return;
    }
    --state.lent;
    if (scratch != nullptr) state.free.push_back(std::move(scratch));
  }

  const size_t most_;
  std::atomic<State*> state_{nullptr};
};

// Concurrent calls of run() are safe.
template <class Scratch>
class ChunkRunner {
 public:
  // As much scratch as threads can run, and a team's more, so that no CPU waits while a piece
  // changes hands.
  explicit ChunkRunner(int num_threads)
      : pool_(num_threads), scratch_(static_cast<size_t>(usable_cpus() + num_threads)) {}

  int num_threads() const { return pool_.num_threads(); }

  // For chunks of rows [begin, end) of `rows`, each once:
  //   work.make_room(begin, end, whole, scratch)    `whole`: also for what a team shares; may throw
  //   work.forward(begin, end, team, shared, own)   by every member of a team; must not throw
  //   work.finish(begin, end, scratch)              once, with what the team shared
  template <class Work>
  void run(const RowSpans& rows, const Work& work) {
    const std::vector<size_t> chunks = split(rows);
    const size_t count = chunks.size() - 1;
    if (threads() > 1 && count < 2 * threads() && pool_.steps_pay()) {
      std::vector<Loan> scratch = scratch_.try_take(threads());
      if (!scratch.empty()) return run_together(chunks, work, &scratch);
    }
    run_apart(chunks, work);
  }

 private:
  using Loan = typename ScratchPool<Scratch>::Loan;

  // Boundaries of chunks of whole rows: as many as fit a block, at least one.
  static std::vector<size_t> split(const RowSpans& rows) {
    std::vector<size_t> bounds = {0};
    size_t tokens = 0;
    for (size_t row = 0; row < rows.rows; ++row) {
      const size_t length = rows.length(row);
      if (tokens > 0 && tokens + length > kBlockRows) {
        bounds.push_back(row);
        tokens = 0;
      }
      tokens += length;
    }
    bounds.push_back(rows.rows);
    return bounds;
  }

  // Each chunk on one thread, whichever is free.
  template <class Work>
  void run_apart(const std::vector<size_t>& chunks, const Work& work) {
    std::atomic<size_t> next{0};
    const auto body = [&](Team&) {
      Team alone;
      for (size_t i = next++; i + 1 < chunks.size(); i = next++) {
        Loan loan = scratch_.take();
        Scratch* scratch = loan.make();
        work.make_room(chunks[i], chunks[i + 1], true, scratch);
        work.forward(chunks[i], chunks[i + 1], alone, scratch, scratch);
        work.finish(chunks[i], chunks[i + 1], scratch);
      }
    };
    pool_.run(static_cast<int>(std::min(chunks.size() - 1, threads())), body);
  }

  // Chunk by chunk, all threads on one.
  template <class Work>
  void run_together(const std::vector<size_t>& chunks, const Work& work,
                    std::vector<Loan>* scratch) {
    for (size_t i = 0; i + 1 < chunks.size(); ++i) {
      // All memory before the team starts: a member that failed would leave the others waiting.
      for (size_t j = 0; j < scratch->size(); ++j) {
        work.make_room(chunks[i], chunks[i + 1], j == 0, (*scratch)[j].make());
      }
      Scratch* shared = scratch->front().get();
      pool_.run(pool_.num_threads(), [&](Team& team) {
        work.forward(chunks[i], chunks[i + 1], team, shared,
                     (*scratch)[static_cast<size_t>(team.rank())].get());
      });
      work.finish(chunks[i], chunks[i + 1], shared);
    }
  }

  size_t threads() const { return static_cast<size_t>(pool_.num_threads()); }

  ThreadPool pool_;
  ScratchPool<Scratch> scratch_;
};

}  // namespace affectrt
