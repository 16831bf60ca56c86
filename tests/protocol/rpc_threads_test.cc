// A lane: the loop thread accepts and reads the preface, another thread owns the link from then on.
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <utility>

#include "protocol/kj_await.h"
#include "protocol/kj_stream.h"
#include "protocol/preface.h"
#include "protocol/rpc_link.h"
#include "protocol/tls.h"
#include "tests/protocol/echo_server.h"
#include "tests/protocol/loop.h"
#include "tests/protocol/transports.h"

namespace roost {
namespace {

using echo::Echo;

constexpr uint32_t kMiB = 1 << 20;

// What a lane thread does with a connection; true when its link has served and ended.
bool serveLane(DetachedSocket socket, const TlsContext& context) {
  Loop loop;
  auto attached = std::move(socket).attach(loop.io.get_executor());
  if (!attached.ok()) return false;
  auto stream = loop.run(tlsAccept(*std::move(attached), context));
  if (!stream.ok()) return false;
  RpcLink link(makeKjStream(*std::move(stream)), LinkSide::kAccepted,
               Echo::Client(kj::heap<EchoServer>()));
  return loop.run(awaitPromise(link.onDisconnect())).ok();
}

TEST(RpcThreads, aConnectionIsAcceptedHereAndServedOnItsLane) {
  const TlsContext context(ClusterKeys{ClusterKey::generate(), std::nullopt});
  Loop loop;
  SocketPair sockets = tcpPair(loop.io);
  ASSERT_TRUE(loop.run(sendPreface(sockets.dialled, LinkKind::kBulk)).ok());
  ASSERT_EQ(loop.run(readPreface(sockets.accepted)).value(), LinkKind::kBulk);
  auto detached = DetachedSocket::detach(std::move(sockets.accepted));
  ASSERT_TRUE(detached.ok()) << detached.status();
  std::future<bool> lane =
      std::async(std::launch::async, [&context, socket = *std::move(detached)]() mutable {
        return serveLane(std::move(socket), context);
      });

  auto stream = loop.run(tlsConnect(std::move(sockets.dialled), context));
  ASSERT_TRUE(stream.ok()) << stream.status();
  {
    RpcLink link(makeKjStream(*std::move(stream)), LinkSide::kDialled, nullptr);
    Echo::Client peer = link.bootstrap().castAs<Echo>();
    for (int i = 0; i < 8; ++i) {
      auto request = peer.readRequest();
      request.setSize(kMiB);
      const auto answer = loop.run(awaitPromise(request.send()));
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->getBytes().size(), kMiB);
    }
  }
  EXPECT_TRUE(lane.get());
}

}  // namespace
}  // namespace roost
