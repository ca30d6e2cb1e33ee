// Scratch that many callers share.
#include <doctest/doctest.h>

#include <atomic>
#include <new>
#include <thread>
#include <vector>

#include "engine/chunks.h"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

using namespace affectrt;

namespace {

struct Counted {
  static std::atomic<int> there;
  static std::atomic<bool> fails;
  Counted() {
    if (fails) throw std::bad_alloc();
    ++there;
  }
  ~Counted() { --there; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};
std::atomic<int> Counted::there{0};
std::atomic<bool> Counted::fails{false};

using Pool = ScratchPool<Counted>;

}  // namespace

TEST_CASE("many callers share few pieces, and each gets one that nobody else has") {
  Pool pool(3);
  std::atomic<int> held{0};
  std::atomic<int> most{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 12; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        Pool::Loan loan = pool.take();
        CHECK(loan.make() != nullptr);
        const int now = ++held;
        int before = most.load();
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
        if (i % 50 == 0) std::this_thread::yield();
        --held;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(most.load() <= 3);
  CHECK(Counted::there.load() <= 3);
  CHECK(pool.try_take(3).size() == 3);
}

TEST_CASE("several at once are had all or not at all, and without waiting") {
  Pool pool(3);
  std::vector<Pool::Loan> two = pool.try_take(2);
  REQUIRE(two.size() == 2);
  CHECK(pool.try_take(2).empty());
  CHECK(pool.try_take(1).size() == 1);
  two.clear();
  CHECK(pool.try_take(3).size() == 3);
}

TEST_CASE("who waits is served in the order of coming, before those who take several") {
  Pool pool(1);
  std::vector<int> order;
  std::vector<std::thread> callers;
  {
    const Pool::Loan held = pool.take();
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&pool, &order, caller] {
        const Pool::Loan loan = pool.take();
        order.push_back(caller);  // one at a time holds the piece
      });
      while (pool.waiting() < static_cast<size_t>(caller) + 1) std::this_thread::yield();
    }
    CHECK(pool.try_take(1).empty());
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(order == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("a piece that cannot be made is no piece that is lost") {
  Pool pool(1);
  Counted::fails = true;
  for (int i = 0; i < 3; ++i) {
    Pool::Loan loan = pool.take();
    CHECK_THROWS_AS(loan.make(), std::bad_alloc);
  }
  Counted::fails = false;
  Pool::Loan loan = pool.take();
  CHECK(loan.make() != nullptr);
}

#if !defined(_WIN32)
TEST_CASE("a forked child has scratch of its own, whatever the parent has lent") {
  Pool pool(1);
  const Pool::Loan held = pool.take();
  const pid_t child = fork();
  if (child == 0) {
    int code = 1;
    {
      Pool::Loan own = pool.take();
      if (own.make() != nullptr) code = 0;
    }
    _exit(code);
  }
  int status = 1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
#endif
