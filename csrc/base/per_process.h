// State with locks in it, across fork().
#pragma once

#include <atomic>
#include <cstdint>

#include "base/system.h"

namespace affectrt {

// What *state points to, made where there is nothing yet; a forked child gets one of its own, since
// the locks of its parent's may be held for ever by threads that the child does not have. That one
// is left, as it cannot be destroyed. State has a member `const int64_t process = process_number()`
// and belongs to the caller. Concurrent calls are safe.
template <class State>
State* of_this_process(std::atomic<State*>* state) {
  State* there = state->load(std::memory_order_acquire);
  if (there != nullptr && there->process == process_number()) return there;
  auto* fresh = new State;
  if (state->compare_exchange_strong(there, fresh, std::memory_order_acq_rel)) return fresh;
  delete fresh;  // another thread was first
  return there;
}

}  // namespace affectrt
