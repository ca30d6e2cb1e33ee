// Rows of any number and length through an encoder: in chunks, on as many threads as help, with
// scratch that is kept.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "encoders/rows.h"
#include "encoders/workspace.h"

namespace affectrt {

// 0: as many as the CPU quota allows. Throws Error(kInput) for what is out of range.
int native_thread_count(int wanted);

// Scratch that calls borrow and give back, so that memory stays as it is after the largest ones.
// Only ever tries its lock: in a forked child nobody may be left to release it.
template <class Scratch>
class ScratchPool {
 public:
  explicit ScratchPool(size_t most) : most_(most) {}

  std::unique_ptr<Scratch> take() {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock() || free_.empty()) return std::make_unique<Scratch>();
    std::unique_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give(std::unique_ptr<Scratch> scratch) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (lock.owns_lock() && free_.size() < most_) free_.push_back(std::move(scratch));
  }

 private:
  const size_t most_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

// Concurrent calls of run() are safe.
template <class Scratch>
class ChunkRunner {
 public:
  explicit ChunkRunner(int num_threads)
      : pool_(num_threads), scratch_(2 * static_cast<size_t>(num_threads)) {}

  int num_threads() const { return pool_.num_threads(); }

  // For chunks of rows [begin, end) of `rows`, each once:
  //   work.make_room(begin, end, whole, scratch)    `whole`: also for what a team shares; may throw
  //   work.forward(begin, end, team, shared, own)   by every member of a team; must not throw
  //   work.finish(begin, end, scratch)              once, with what the team shared
  template <class Work>
  void run(const RowSpans& rows, const Work& work) {
    const std::vector<size_t> chunks = split(rows);
    const size_t count = chunks.size() - 1;
    if (threads() == 1 || count >= 2 * threads() || !pool_.steps_pay()) {
      run_apart(chunks, work);
    } else {
      run_together(chunks, work);
    }
  }

 private:
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
      std::unique_ptr<Scratch> scratch = scratch_.take();
      for (size_t i = next++; i + 1 < chunks.size(); i = next++) {
        work.make_room(chunks[i], chunks[i + 1], true, scratch.get());
        work.forward(chunks[i], chunks[i + 1], alone, scratch.get(), scratch.get());
        work.finish(chunks[i], chunks[i + 1], scratch.get());
      }
      scratch_.give(std::move(scratch));
    };
    pool_.run(static_cast<int>(std::min(chunks.size() - 1, threads())), body);
  }

  // Chunk by chunk, all threads on one.
  template <class Work>
  void run_together(const std::vector<size_t>& chunks, const Work& work) {
    std::vector<std::unique_ptr<Scratch>> scratch;
    for (int i = 0; i < pool_.num_threads(); ++i) scratch.push_back(scratch_.take());
    for (size_t i = 0; i + 1 < chunks.size(); ++i) {
      // All memory before the team starts: a member that failed would leave the others waiting.
      for (size_t j = 0; j < scratch.size(); ++j) {
        work.make_room(chunks[i], chunks[i + 1], j == 0, scratch[j].get());
      }
      pool_.run(pool_.num_threads(), [&](Team& team) {
        work.forward(chunks[i], chunks[i + 1], team, scratch[0].get(),
                     scratch[static_cast<size_t>(team.rank())].get());
      });
      work.finish(chunks[i], chunks[i + 1], scratch[0].get());
    }
    for (std::unique_ptr<Scratch>& one : scratch) scratch_.give(std::move(one));
  }

  size_t threads() const { return static_cast<size_t>(pool_.num_threads()); }

  ThreadPool pool_;
  ScratchPool<Scratch> scratch_;
};

}  // namespace affectrt
