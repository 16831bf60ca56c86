// The Echo interface served from memory.
#ifndef ROOST_TESTS_PROTOCOL_ECHO_SERVER_H_
#define ROOST_TESTS_PROTOCOL_ECHO_SERVER_H_

#include <kj/async.h>
#include <kj/debug.h>

#include <cstring>

#include "tests/protocol/echo.capnp.h"

namespace roost {

class EchoServer final : public echo::Echo::Server {
 public:
  kj::Promise<void> ping(PingContext context) override {
    context.getResults().setNumber(context.getParams().getNumber());
    return kj::READY_NOW;
  }

  kj::Promise<void> read(ReadContext context) override {
    const uint32_t size = context.getParams().getSize();
    auto bytes = context.getResults(capnp::MessageSize{size / 8 + 16, 0}).initBytes(size);
    std::memset(bytes.begin(), 0x5a, bytes.size());
    return kj::READY_NOW;
  }

  kj::Promise<void> write(WriteContext context) override {
    context.getResults().setSize(context.getParams().getBytes().size());
    return kj::READY_NOW;
  }

  kj::Promise<void> never(NeverContext) override { return kj::NEVER_DONE; }

  kj::Promise<void> fail(FailContext context) override {
    return KJ_EXCEPTION(FAILED, context.getParams().getText());
  }

  kj::Promise<void> readBack(ReadBackContext context) override {
    auto request = context.getParams().getOther().readRequest();
    request.setSize(context.getParams().getSize());
    return request.send().then([context](auto&& answer) mutable {
      context.getResults().setSize(answer.getBytes().size());
    });
  }
};

}  // namespace roost

#endif  // ROOST_TESTS_PROTOCOL_ECHO_SERVER_H_
