#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/thread_pool.h"

using affectrt::Team;
using affectrt::ThreadPool;

namespace {

int members_of_a_run(ThreadPool* pool, int wanted) {
  std::atomic<int> members{0};
  pool->run(wanted, [&](Team& team) {
    ++members;
    team.barrier();
    CHECK(members == team.size());
  });
  return members;
}

}  // namespace

TEST_CASE("the shares of a team cover everything once") {
  ThreadPool pool(5);
  for (const size_t count : {0U, 1U, 7U, 64U, 1000U}) {
    for (const size_t grain : {1U, 16U}) {
      std::vector<std::atomic<int>> hits(count);
      pool.run(5, [&](Team& team) {
        size_t begin = 0;
        size_t end = 0;
        team.share(count, grain, &begin, &end);
        CHECK((begin % grain == 0 || begin == count));
        for (size_t i = begin; i < end; ++i) ++hits[i];
      });
      for (const auto& hit : hits) CHECK(hit == 1);
    }
  }
}

TEST_CASE("after a run that slept at its barriers, steps do not pay for a while") {
  ThreadPool pool(2);
  CHECK(pool.steps_pay());
  const auto run = [&](bool late) {
    pool.run(2, [&](Team& team) {
      for (int step = 0; step < 4; ++step) {
        if (late && team.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        team.barrier();
      }
    });
  };
  bool pays = true;
  for (int tries = 0; tries < 50 && pays; ++tries) {  // a busy machine may hold both back
    run(true);
    pays = pool.steps_pay();
  }
  CHECK_FALSE(pays);
  CHECK_FALSE(pool.steps_pay());  // two pieces of work the first time
  CHECK(pool.steps_pay());

  pool.run(2, [](Team&) {});  // says nothing of barriers
  CHECK(pool.steps_pay());
}

TEST_CASE("barriers order what the members write") {
  ThreadPool pool(4);
  std::vector<int> values(4, 0);
  pool.run(4, [&](Team& team) {
    const auto mine = static_cast<size_t>(team.rank());
    const auto next = static_cast<size_t>((team.rank() + 1) % team.size());
    for (int round = 1; round <= 2000; ++round) {
      values[mine] = round;
      team.barrier();
      const bool same = values[next] == round;
      team.barrier();
      if (!same) throw std::runtime_error("stale value");
    }
  });
  CHECK(values == std::vector<int>(4, 2000));
}

TEST_CASE("a team is no larger than the pool, the wish, or one") {
  ThreadPool pool(3);
  CHECK(members_of_a_run(&pool, 8) == 3);
  CHECK(members_of_a_run(&pool, 2) == 2);
  CHECK(members_of_a_run(&pool, 3) == 3);
  CHECK(members_of_a_run(&pool, 0) == 1);
  ThreadPool none(-4);
  CHECK(none.num_threads() == 1);
  CHECK(members_of_a_run(&none, 4) == 1);
}

TEST_CASE("an exception of any member reaches the caller, and the pool goes on") {
  ThreadPool pool(3);
  for (int thrower = 0; thrower < 3; ++thrower) {
    CHECK_THROWS_WITH_AS(pool.run(3,
                                  [&](Team& team) {
                                    if (team.rank() == thrower) throw std::runtime_error("oops");
                                  }),
                         "oops", std::runtime_error);
  }
  CHECK(members_of_a_run(&pool, 3) == 3);
}

TEST_CASE("concurrent callers do not wait for each other") {
  ThreadPool pool(2);
  std::atomic<int> bodies{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 200; ++j) {
        pool.run(2, [&](Team& team) {
          team.barrier();
          if (team.rank() == 0) ++bodies;
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(bodies == 800);
}

TEST_CASE("a forked child has a pool of its own") {
#if defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: the thread sanitizer does not start threads in a forked child");
  return;
#endif
  ThreadPool pool(2);
  CHECK(members_of_a_run(&pool, 2) == 2);
  const pid_t child = ::fork();
  if (child == 0) {
    std::atomic<int> members{0};
    pool.run(2, [&](Team& team) {
      ++members;
      team.barrier();
    });
    ::_exit(members == 2 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
