#include "cluster/peer_links.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protocol/convert.h"
#include "protocol/kj_await.h"
#include "protocol/kj_stream.h"
#include "protocol/preface.h"
#include "protocol/roost.capnp.h"
#include "protocol/rpc_link.h"
#include "protocol/socket_deadline.h"
#include "tests/protocol/loop.h"
#include "tests/protocol/transports.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

MemberInfo member(uint64_t number, uint64_t instance = 0) {
  MemberInfo info{NodeId::ofNumber(number)};
  info.epoch = 1;
  info.name = absl::StrCat("n", number);
  info.instance = instance == 0 ? number : instance;
  return info;
}

// One node: its links and the door in front of them. Whatever happens is written down.
class Node {
 public:
  Node(Loop& loop, MemberInfo self, const TlsContext* tls,
       absl::Duration helloTimeout = kHandshakeTimeout)
      : loop_(loop), acceptor_(loop.io, {asio::ip::make_address("127.0.0.1"), 0}) {
    PeerLinks::Handlers handlers;
    handlers.judge = [this](const MemberInfo&, bool) { return verdict; };
    handlers.up = [this](const MemberInfo& peer, std::optional<Address> dialled) {
      ups.push_back(peer);
      upDialled.push_back(std::move(dialled));
    };
    handlers.down = [this](const NodeId& peer) { downs.push_back(peer); };
    handlers.dialFailed = [this](const Address&, const absl::Status& why) {
      failures.push_back(why);
    };
    handlers.asked = [this](const NodeId& peer, AskId ask, Request request) {
      asked.push_back({peer, ask, std::move(request)});
    };
    handlers.report = [this](const std::string& text) { reports.push_back(text); };
    links = std::make_unique<PeerLinks>(loop.io, std::move(self), tls, std::move(handlers),
                                        helloTimeout);
    asio::co_spawn(loop.io, accept(), asio::detached);
  }

  // As at the end of an agent: everything runs out by itself.
  void stop() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    links->stop();
  }

  Address address() const { return {"127.0.0.1", acceptor_.local_endpoint().port()}; }

  struct AskedOnce {
    NodeId peer;
    AskId ask;
    Request request;
  };
  LinkVerdict verdict = LinkVerdict::kAccept;
  std::unique_ptr<PeerLinks> links;
  std::vector<MemberInfo> ups;
  std::vector<std::optional<Address>> upDialled;
  std::vector<NodeId> downs;
  std::vector<absl::Status> failures;
  std::deque<AskedOnce> asked;
  std::vector<std::string> reports;

 private:
  asio::awaitable<void> accept() {
    while (true) {
      boost::system::error_code ec;
      tcp::socket socket(loop_.io);
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return;
      const auto kind = co_await readPreface(socket);
      if (kind.ok()) links->accept(std::move(socket));
    }
  }

  Loop& loop_;
  tcp::acceptor acceptor_;
};

class PeerLinksTest : public ::testing::TestWithParam<bool> {
 protected:
  PeerLinksTest() : tls_(ClusterKeys{ClusterKey::generate(), std::nullopt}) {}
  ~PeerLinksTest() override {
    for (const auto& node : nodes_) node->stop();
    SocketDeadline::endAll(loop.io);
    // Ends only when no coroutine is left; a wait that nobody ends would hang here.
    if (loop.io.stopped()) loop.io.restart();
    loop.io.run();
  }

  Node& node(MemberInfo self) {
    nodes_.push_back(std::make_unique<Node>(loop, std::move(self), GetParam() ? &tls_ : nullptr));
    return *nodes_.back();
  }

  absl::StatusOr<Reply> call(Node& from, const NodeId& to, const Request& request) {
    std::optional<absl::StatusOr<Reply>> got;
    from.links->call(to, request, [&](absl::StatusOr<Reply> reply) { got = std::move(reply); });
    loop.runUntil([&] { return got.has_value(); });
    return *std::move(got);
  }

  // Calls, and answers the question where it arrives.
  absl::StatusOr<Reply> exchange(Node& from, Node& to, const NodeId& id, const Request& request,
                                 absl::StatusOr<Reply> reply) {
    std::optional<absl::StatusOr<Reply>> got;
    from.links->call(id, request, [&](absl::StatusOr<Reply> r) { got = std::move(r); });
    loop.runUntil([&] { return !to.asked.empty() || got.has_value(); });
    if (!to.asked.empty()) {
      EXPECT_EQ(to.asked.front().request, request);
      to.links->respond(to.asked.front().ask, std::move(reply));
      to.asked.pop_front();
    }
    loop.runUntil([&] { return got.has_value(); });
    return *std::move(got);
  }

  void link(Node& a, Node& b) {
    a.links->dial(b.address());
    loop.runUntil([&] { return !a.ups.empty() && !b.ups.empty(); });
  }

  Loop loop;
  TlsContext tls_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

INSTANTIATE_TEST_SUITE_P(Transports, PeerLinksTest, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "Tls" : "Tcp"; });

TEST_P(PeerLinksTest, BothSidesLearnWhoTheOtherIs) {
  Node& a = node(member(1));
  Node& b = node(member(2));
  link(a, b);
  EXPECT_EQ(a.ups.front().name, "n2");
  EXPECT_EQ(b.ups.front().name, "n1");
  EXPECT_EQ(a.upDialled.front(), b.address());
  EXPECT_EQ(b.upDialled.front(), std::nullopt);
  EXPECT_TRUE(a.links->linked(NodeId::ofNumber(2)));
  EXPECT_TRUE(b.links->linked(NodeId::ofNumber(1)));
}

TEST_P(PeerLinksTest, WhenBothDialAtOnceOneLinkStaysOnBothSides) {
  Node& a = node(member(1));
  Node& b = node(member(2));
  a.links->dial(b.address());
  b.links->dial(a.address());
  loop.runUntil([&] {
    return a.failures.size() + b.failures.size() + a.downs.size() + b.downs.size() > 0 &&
           a.links->linked(NodeId::ofNumber(2)) && b.links->linked(NodeId::ofNumber(1)) &&
           a.links->accepted() + b.links->accepted() == 1;
  });
  const auto reply = exchange(a, b, NodeId::ofNumber(2), MembersRequest{}, MembersReply{});
  EXPECT_TRUE(reply.ok()) << reply.status();
  const auto back = exchange(b, a, NodeId::ofNumber(1), MembersRequest{}, MembersReply{});
  EXPECT_TRUE(back.ok()) << back.status();
}

TEST_P(PeerLinksTest, EveryKindOfQuestionGetsItsKindOfAnswer) {
  Node& a = node(member(1));
  Node& b = node(member(2));
  link(a, b);
  const NodeId to = NodeId::ofNumber(2);
  const RepoId repo = *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model");
  const Commit commit = *Commit::parse(std::string(40, 'a'));
  Listing listing{repo, commit, true, Visibility::kPublic, {}};
  listing.files.push_back({*RelativePath::parse("a.bin"), {BlobId::sha256(Sha256{}), 5}, {}});
  NodeSummary summary;
  summary.blobs = 7;
  FollowReply page;
  page.next = {9, 3};
  ObtainRequest obtain{NodeId::ofNumber(1), 4, listing, {}, {}, SourceRule::kClusterOnly};
  ObtainProgress progress;
  progress.state = ObtainState::kRunning;
  progress.bytesDone = 3;
  const BlobInfo wanted{BlobId::sha256(Sha256{}), 5};
  std::vector<Want> wants(1, Want{wanted});
  std::vector<Grant> grants(1);
  grants.front().fence = 8;

  const HubQuestionRequest question{HubOrigin::huggingFace(), "/api/models/org/model", std::nullopt,
                                    "", absl::Seconds(60)};
  HubQuestionReply word{HubOutcome::kAnswer, 200, {{"x-repo-commit", commit.hex()}}, "{}"};
  word.age = absl::Seconds(2);

  const std::vector<std::pair<Request, Reply>> pairs = {
      {HeartbeatRequest{summary}, HeartbeatReply{summary}},
      {MembersRequest{}, MembersReply{{member(3)}}},
      {FollowRequest{{9, 2}}, page},
      {ListingRequest{repo, commit}, ListingReply{listing}},
      {ListingRequest{repo, commit}, ListingReply{}},
      {WantRequest{wants}, WantReply{grants}},
      {obtain, ObtainReply{}},
      {ProgressRequest{NodeId::ofNumber(1), 4, true, absl::Milliseconds(300)},
       ProgressReply{progress}},
      {question, word},
  };
  for (const auto& [request, reply] : pairs) {
    const auto got = exchange(a, b, to, request, reply);
    ASSERT_TRUE(got.ok()) << request.index() << ": " << got.status();
    EXPECT_EQ(*got, reply) << request.index();
  }
}

TEST_P(PeerLinksTest, AnErrorArrivesWithItsWords) {
  Node& a = node(member(1));
  Node& b = node(member(2));
  link(a, b);
  const auto got = exchange(a, b, NodeId::ofNumber(2), MembersRequest{},
                            absl::AbortedError("the node is busy with 3 things"));
  EXPECT_EQ(got.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("busy with 3 things"));
}

TEST_P(PeerLinksTest, ACallToANodeWithoutALinkIsUnavailable) {
  Node& a = node(member(1));
  EXPECT_TRUE(absl::IsUnavailable(call(a, NodeId::ofNumber(9), MembersRequest{}).status()));
}

TEST_P(PeerLinksTest, WhenTheLinkEndsBothHearOfItAndCallsUnderWayFail) {
  Node& a = node(member(1));
  Node& b = node(member(2));
  link(a, b);
  std::optional<absl::StatusOr<Reply>> got;
  a.links->call(NodeId::ofNumber(2), MembersRequest{},
                [&](absl::StatusOr<Reply> reply) { got = std::move(reply); });
  loop.runUntil([&] { return !b.asked.empty(); });
  b.links->hangup(NodeId::ofNumber(1), "test");
  loop.runUntil([&] { return got && !a.downs.empty() && !b.downs.empty(); });
  EXPECT_TRUE(absl::IsUnavailable(got->status())) << got->status();
  EXPECT_FALSE(a.links->linked(NodeId::ofNumber(2)));
  b.links->respond(b.asked.front().ask, MembersReply{});  // late: nobody waits any more
}

TEST_P(PeerLinksTest, ANodeThatCallsItselfNotices) {
  Node& a = node(member(1));
  a.links->dial(a.address());
  loop.runUntil([&] { return !a.failures.empty(); });
  EXPECT_TRUE(absl::IsAlreadyExists(a.failures.front()) || !a.failures.front().ok());
  EXPECT_THAT(a.ups, IsEmpty());
  EXPECT_THAT(a.reports, IsEmpty());  // not a clone
}

TEST_P(PeerLinksTest, ACloneOfOneselfIsReported) {
  Node& a = node(member(1, 11));
  Node& copy = node(member(1, 12));
  a.links->dial(copy.address());
  loop.runUntil([&] { return !a.failures.empty(); });
  EXPECT_THAT(a.ups, IsEmpty());
  EXPECT_THAT(copy.reports, Contains(HasSubstr("used by two agents at once")));
}

TEST_P(PeerLinksTest, ACloneOfALinkedNodeIsRefusedAndReported) {
  Node& a = node(member(1));
  Node& b = node(member(2, 21));
  Node& copy = node(member(2, 22));
  link(b, a);
  copy.links->dial(a.address());
  loop.runUntil([&] { return !copy.failures.empty(); });
  EXPECT_THAT(a.ups, SizeIs(1));
  EXPECT_THAT(a.reports, Contains(HasSubstr("used by two agents at once")));
  EXPECT_TRUE(a.links->linked(NodeId::ofNumber(2)));
}

TEST_P(PeerLinksTest, AnAddressThatMeansAllAddressesBecomesTheOneThatWasSeen) {
  MemberInfo everywhere = member(2);
  everywhere.addresses.push_back({"0.0.0.0", 8376});
  everywhere.addresses.push_back({"10.1.2.3", 8376});
  Node& a = node(member(1));
  Node& b = node(everywhere);
  link(b, a);
  ASSERT_THAT(a.ups.front().addresses, SizeIs(2));
  EXPECT_EQ(a.ups.front().addresses[0], (Address{"127.0.0.1", 8376}));
  EXPECT_EQ(a.ups.front().addresses[1], (Address{"10.1.2.3", 8376}));
}

TEST_P(PeerLinksTest, VersionsThatDoNotMeetAreToldToBoth) {
  MemberInfo future = member(2);
  future.versionMin = 100;
  future.versionMax = 101;
  Node& a = node(member(1));
  Node& b = node(future);
  b.links->dial(a.address());
  loop.runUntil([&] { return !b.failures.empty(); });
  EXPECT_THAT(std::string(b.failures.front().message()), HasSubstr("Upgrade the older one"));
  EXPECT_THAT(a.ups, IsEmpty());
}

TEST_P(PeerLinksTest, WhoTheCoreRefusesIsNotLinked) {
  Node& a = node(member(1));
  Node& b = node(member(2));
  a.verdict = LinkVerdict::kFull;
  b.links->dial(a.address());
  loop.runUntil([&] { return !b.failures.empty(); });
  EXPECT_THAT(std::string(b.failures.front().message()), HasSubstr("too many members"));
  EXPECT_FALSE(a.links->linked(NodeId::ofNumber(2)));
}

TEST_P(PeerLinksTest, NobodyThereIsToldToTheDialler) {
  Node& a = node(member(1));
  Address nobody;
  {
    const tcp::acceptor closed(loop.io, {asio::ip::make_address("127.0.0.1"), 0});
    nobody = {"127.0.0.1", closed.local_endpoint().port()};
  }
  a.links->dial(nobody);
  loop.runUntil([&] { return !a.failures.empty(); });
  EXPECT_TRUE(absl::IsUnavailable(a.failures.front()));
}

TEST_P(PeerLinksTest, StoppingEndsADialThatNobodyAnswers) {
  Node& a = node(member(1));
  tcp::acceptor silent(loop.io, {asio::ip::make_address("127.0.0.1"), 0});
  a.links->dial({"127.0.0.1", silent.local_endpoint().port()});
  loop.settle();
  const absl::Time before = absl::Now();
  a.stop();
  SocketDeadline::endAll(loop.io);
  loop.io.run();
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));
}

TEST_P(PeerLinksTest, AStrangerWhoNeverSaysHelloHoldsNothingUpAtTheEnd) {
  Node& a = node(member(1));
  tcp::socket stranger(loop.io);
  stranger.connect({asio::ip::make_address("127.0.0.1"), a.address().port});
  ASSERT_TRUE(loop.run(sendPreface(stranger, LinkKind::kControl)).ok());
  loop.runUntil([&] { return a.links->accepted() == 1; });
  const absl::Time before = absl::Now();
  a.stop();
  SocketDeadline::endAll(loop.io);
  loop.io.run();
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));
  EXPECT_EQ(a.links->accepted(), 0);
}

TEST_P(PeerLinksTest, AStrangerWhoNeverSaysHelloIsDropped) {
  nodes_.push_back(std::make_unique<Node>(loop, member(1), GetParam() ? &tls_ : nullptr,
                                          absl::Milliseconds(20)));
  Node& a = *nodes_.back();
  tcp::socket stranger(loop.io);
  stranger.connect({asio::ip::make_address("127.0.0.1"), a.address().port});
  ASSERT_TRUE(loop.run(sendPreface(stranger, LinkKind::kControl)).ok());
  std::optional<TlsStream> secure;
  if (GetParam()) secure = *loop.run(tlsConnect(std::move(stranger), tls_));
  tcp::socket& socket = secure ? secure->socket : stranger;
  bool closed = false;
  std::array<char, 4096> bytes;
  std::function<void()> readOn = [&] {
    socket.async_read_some(asio::buffer(bytes), [&](boost::system::error_code ec, size_t) {
      if (ec) {
        closed = true;
      } else {
        readOn();
      }
    });
  };
  readOn();
  loop.runUntil([&] { return closed; });
  loop.runUntil([&] { return a.links->accepted() == 0; });
  EXPECT_THAT(a.ups, IsEmpty());
}

// A peer that speaks Cap'n Proto, but not as roost does.
class OddPeer {
 public:
  OddPeer(Loop& loop, const Node& node, const TlsContext* tls) : loop_(loop) {
    tcp::socket socket(loop.io);
    socket.connect({asio::ip::make_address("127.0.0.1"), node.address().port});
    EXPECT_TRUE(loop.run(sendPreface(socket, LinkKind::kControl)).ok());
    if (tls == nullptr) {
      link_ =
          std::make_unique<RpcLink>(makeKjStream(std::move(socket)), LinkSide::kDialled, nullptr);
    } else {
      auto secure = loop.run(tlsConnect(std::move(socket), *tls));
      link_ =
          std::make_unique<RpcLink>(makeKjStream(*std::move(secure)), LinkSide::kDialled, nullptr);
    }
  }
  absl::Status hello(const std::function<void(wire::MemberInfo::Builder)>& fill) {
    auto request = link_->bootstrap().castAs<wire::Door>().controlRequest();
    fill(request.initHello());
    auto response = loop_.run(
        withTimeout(kj::Promise<capnp::Response<wire::Door::ControlResults>>(request.send()),
                    absl::Seconds(20)));
    if (!response.ok()) return response.status();
    peer_ = response->getPeer();
    return absl::OkStatus();
  }
  wire::Peer::Client& peer() { return KJ_ASSERT_NONNULL(peer_); }

 private:
  Loop& loop_;
  std::unique_ptr<RpcLink> link_;
  kj::Maybe<wire::Peer::Client> peer_;
};

TEST_P(PeerLinksTest, AMalformedHelloIsRefused) {
  Node& a = node(member(1));
  OddPeer odd(loop, a, GetParam() ? &tls_ : nullptr);
  const absl::Status status =
      odd.hello([](wire::MemberInfo::Builder hello) { hello.setName("no id at all"); });
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(a.ups, IsEmpty());
}

TEST_P(PeerLinksTest, AMalformedQuestionIsRefusedReportedAndTheLinkGoesOn) {
  Node& a = node(member(1));
  OddPeer odd(loop, a, GetParam() ? &tls_ : nullptr);
  ASSERT_TRUE(odd.hello([](wire::MemberInfo::Builder hello) { toWire(member(2), hello); }).ok());
  auto request = odd.peer().listingRequest();
  request.setCommit("not a commit");
  const auto refused = loop.run(
      awaitPromise(kj::Promise<capnp::Response<wire::Peer::ListingResults>>(request.send())));
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(a.reports, SizeIs(1));
  EXPECT_TRUE(a.links->linked(NodeId::ofNumber(2)));
}

TEST_P(PeerLinksTest, SomeoneWhoAsksTooMuchAtOnceIsToldToWait) {
  Node& a = node(member(1));
  Node& b = node(member(2));
  link(a, b);
  std::vector<absl::Status> refused;
  for (int i = 0; i < 100; ++i) {
    a.links->call(NodeId::ofNumber(2), MembersRequest{}, [&](absl::StatusOr<Reply> reply) {
      if (!reply.ok()) refused.push_back(reply.status());
    });
  }
  loop.runUntil([&] { return b.asked.size() + refused.size() == 100; });
  EXPECT_THAT(b.asked, SizeIs(64));
  EXPECT_TRUE(absl::IsAborted(refused.front()));
}

}  // namespace
}  // namespace roost
