// An io_context with its KjLoop, and ways for a test to run coroutines on it to their end.
#ifndef ROOST_TESTS_PROTOCOL_LOOP_H_
#define ROOST_TESTS_PROTOCOL_LOOP_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <utility>

#include "protocol/kj_loop.h"

namespace roost {

struct Loop {
  boost::asio::io_context io;
  KjLoop kj{io};

  // Runs handlers until `done`. A test that hangs dies here, with its name on the last line.
  template <typename Done>
  void runUntil(Done done) {
    const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done()) {
      if (io.stopped()) io.restart();
      if (io.run_one_for(std::chrono::seconds(1)) == 0 &&
          std::chrono::steady_clock::now() > latest) {
        std::cerr << "the loop waits for ever\n";
        std::abort();
      }
    }
  }

  template <typename T>
  T run(boost::asio::awaitable<T> work) {
    std::optional<T> result;
    boost::asio::co_spawn(
        io,
        [](boost::asio::awaitable<T> inner, std::optional<T>& out) -> boost::asio::awaitable<void> {
          out.emplace(co_await std::move(inner));
        }(std::move(work), result),
        [](std::exception_ptr thrown) {
          if (thrown) std::rethrow_exception(thrown);
        });
    runUntil([&] { return result.has_value(); });
    return *std::move(result);
  }

  // Everything that can run without time passing.
  void settle() {
    if (io.stopped()) io.restart();
    io.poll();
  }
};

}  // namespace roost

#endif  // ROOST_TESTS_PROTOCOL_LOOP_H_
