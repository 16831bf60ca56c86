#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "cache/file_system.h"
#include "cluster/bulk_client.h"
#include "cluster/bulk_server.h"
#include "cluster/lane_thread.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protocol/convert.h"
#include "protocol/kj_await.h"
#include "protocol/kj_stream.h"
#include "protocol/roost.capnp.h"
#include "protocol/rpc_link.h"
#include "protocol/socket_deadline.h"
#include "tests/cache/temp_folder.h"
#include "tests/protocol/loop.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr absl::Duration kLong = absl::Seconds(30);

// Blobs in files, as folders would have them; and outcomes for pieces of those still arriving.
class Shelf final : public BlobProvider {
 public:
  void put(const std::string& path, const std::vector<uint8_t>& content) {
    const BlobHashes hashes = hashesOf(content);
    const FileStamp stamp = *FileStamp::ofPath(path);
    const auto pieces = std::make_shared<const std::vector<PieceHash>>(hashes.pieces);
    const std::lock_guard lock(mutex_);
    blobs_[hashes.id] = *LocalBlob::open(path, {hashes.id, content.size()}, stamp, pieces);
  }
  // Besides the shelf.
  long users(const BlobId& blob) {
    const std::lock_guard lock(mutex_);
    return blobs_.at(blob).use_count() - 1;
  }
  void open(const NodeId&, const BlobId& blob,
            std::function<void(std::shared_ptr<const LocalBlob>)> answer) override {
    const std::lock_guard lock(mutex_);
    const auto it = blobs_.find(blob);
    if (holdOpens) {
      held_.push_back(std::move(answer));
    } else {
      answer(it == blobs_.end() ? nullptr : it->second);
    }
  }
  void askPiece(
      const NodeId&, const BlobId&, uint64_t,
      std::function<void(ReadOutcome, std::shared_ptr<const BlobWriter>)> answer) override {
    answer(pieceOutcome, nullptr);
  }
  void foundBad(const BlobId& blob, const absl::Status&) override {
    const std::lock_guard lock(mutex_);
    bad.push_back(blob);
  }
  void swarm(const NodeId&, const BlobId&, std::function<void(SwarmWord)> answer) override {
    const std::lock_guard lock(mutex_);
    answer(word);
  }

  std::atomic<ReadOutcome> pieceOutcome = ReadOutcome::kGone;
  bool tellsPlaces() const override { return placesTold; }

  std::atomic<bool> holdOpens = false;
  std::atomic<bool> placesTold = false;
  std::vector<BlobId> bad;
  SwarmWord word;

 private:
  std::mutex mutex_;
  std::map<BlobId, std::shared_ptr<const LocalBlob>> blobs_;
  std::vector<std::function<void(std::shared_ptr<const LocalBlob>)>> held_;
};

// A client on one lane, a server on another, and the door between them.
class BulkTest : public ::testing::TestWithParam<bool> {
 protected:
  BulkTest()
      : tls_(ClusterKeys{ClusterKey::generate(), std::nullopt}),
        clientLane_("client"),
        serverLane_("server"),
        acceptor_(doorIo_, {asio::ip::make_address("127.0.0.1"), 0}) {
    const TlsContext* tls = GetParam() ? &tls_ : nullptr;
    serverLane_.run([&] {
      server_ =
          std::make_unique<BulkServer>(serverLane_.io(), tls, pool_, shelf_, counters_, pages_);
    });
    clientLane_.run([&] {
      client_ = std::make_unique<BulkClient>(clientLane_.io(), NodeId::ofNumber(1), 1, tls);
    });
    target_.addresses.push_back({"127.0.0.1", acceptor_.local_endpoint().port()});
    acceptNext();
    door_ = std::thread([this] { doorIo_.run(); });
  }
  ~BulkTest() override {
    asio::post(doorIo_, [this] { acceptor_.close(); });
    door_.join();
    clientLane_.run([&] {
      SocketDeadline::endAll(clientLane_.io());
      client_.reset();
    });
    endServer();
    pool_.stop(WorkPool::AtStop::kDrain);
  }

  void endServer() {
    if (!server_) return;
    serverLane_.run([&] {
      SocketDeadline::endAll(serverLane_.io());
      server_.reset();
    });
  }

  void acceptNext() {
    acceptor_.async_accept([this](boost::system::error_code ec, tcp::socket socket) {
      if (ec) return;
      // The preface is the door's to read, as in the agent.
      char preface[8];
      asio::read(socket, asio::buffer(preface));
      auto detached = DetachedSocket::detach(std::move(socket));
      serverLane_.post([this, held = std::make_shared<DetachedSocket>(*std::move(detached))] {
        if (server_) server_->accept(std::move(*held));
      });
      acceptNext();
    });
  }

  // What a read came to, as values: the bytes are copied, and the message goes home to its lane.
  struct Got {
    absl::Status status;
    ReadOutcome outcome = ReadOutcome::kGone;
    std::vector<uint8_t> bytes;
  };
  static Got gotOf(const absl::StatusOr<ReadAnswer>& answer) {
    if (!answer.ok()) return {answer.status(), ReadOutcome::kGone, {}};
    return {
        absl::OkStatus(), answer->outcome, {answer->data.bytes.begin(), answer->data.bytes.end()}};
  }
  std::future<Got> startRead(const BlobId& blob, uint64_t offset, uint32_t length,
                             absl::Duration deadline = kLong) {
    auto promise = std::make_shared<std::promise<Got>>();
    auto future = promise->get_future();
    clientLane_.post([=, this] {
      client_->read(
          target_, {blob, offset, length}, deadline,
          [promise](absl::StatusOr<ReadAnswer> answer) { promise->set_value(gotOf(answer)); });
    });
    return future;
  }
  Got read(const BlobId& blob, uint64_t offset, uint32_t length, absl::Duration deadline = kLong) {
    return startRead(blob, offset, length, deadline).get();
  }
  absl::StatusOr<std::vector<PieceHash>> pieces(const BlobInfo& blob) {
    std::promise<absl::StatusOr<std::vector<PieceHash>>> promise;
    clientLane_.post([&] {
      client_->pieces(target_, blob, kLong, [&](absl::StatusOr<std::vector<PieceHash>> list) {
        promise.set_value(std::move(list));
      });
    });
    return promise.get_future().get();
  }
  absl::StatusOr<FilePlace> place(const BlobId& blob, const std::string& fileSystem) {
    std::promise<absl::StatusOr<FilePlace>> promise;
    clientLane_.post([&] {
      client_->place(target_, blob, fileSystem, kLong,
                     [&](absl::StatusOr<FilePlace> told) { promise.set_value(std::move(told)); });
    });
    return promise.get_future().get();
  }
  absl::StatusOr<SwarmWord> swarm(const BlobInfo& blob) {
    std::promise<absl::StatusOr<SwarmWord>> promise;
    clientLane_.post([&] {
      client_->swarm(target_, blob, kLong,
                     [&](absl::StatusOr<SwarmWord> word) { promise.set_value(std::move(word)); });
    });
    return promise.get_future().get();
  }
  static SwarmWord wordOf(const std::vector<uint8_t>& content) {
    TreeHasher hasher(content.size());
    hasher.update(content);
    return {.state = SwarmState::kReady,
            .port = 8378,
            .pieceBytes = swarmPieceBytes(content.size()),
            .tree = std::make_shared<const HashTree>(hasher.finish())};
  }
  absl::StatusOr<std::vector<Got>> readSmall(const std::vector<BlobId>& ids) {
    std::promise<absl::StatusOr<std::vector<Got>>> promise;
    clientLane_.post([&] {
      client_->readSmall(target_, ids, kLong, [&](absl::StatusOr<std::vector<ReadAnswer>> answers) {
        if (!answers.ok()) return promise.set_value(answers.status());
        std::vector<Got> all;
        for (const ReadAnswer& one : *answers) all.push_back(gotOf(one));
        promise.set_value(std::move(all));
      });
    });
    return promise.get_future().get();
  }

  BlobId put(const std::vector<uint8_t>& content, const std::string& name = "blob") {
    const std::string path = folder_.write(name, textOf(content));
    shelf_.put(path, content);
    return infoOf(content).id;
  }
  static std::vector<uint8_t> part(const std::vector<uint8_t>& all, size_t from, size_t size) {
    const auto first = all.begin() + static_cast<ptrdiff_t>(from);
    return {first, first + static_cast<ptrdiff_t>(size)};
  }

  TempFolder folder_;
  TlsContext tls_;
  WorkPool pool_;
  Shelf shelf_;
  ServeCounters counters_;
  PageCacheRoom pages_{1 << 30};
  LaneThread clientLane_;
  LaneThread serverLane_;
  std::unique_ptr<BulkClient> client_;
  std::unique_ptr<BulkServer> server_;
  PeerTarget target_{NodeId::ofNumber(2), {}};
  asio::io_context doorIo_;
  tcp::acceptor acceptor_;
  std::thread door_;
};

INSTANTIATE_TEST_SUITE_P(Transports, BulkTest, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "Tls" : "Tcp"; });

TEST_P(BulkTest, PiecesArriveAsTheyAreTheShortLastOneToo) {
  const auto content = randomBytes(2 * kPieceBytes + 777, 1);
  const BlobId id = put(content);
  for (uint64_t piece = 0; piece < 3; ++piece) {
    const auto size = static_cast<uint32_t>(pieceBytes(content.size(), piece));
    const Got got = read(id, piece * kPieceBytes, size);
    ASSERT_TRUE(got.status.ok()) << got.status;
    EXPECT_EQ(got.outcome, ReadOutcome::kData);
    EXPECT_EQ(got.bytes, part(content, piece * kPieceBytes, size)) << piece;
  }
  EXPECT_EQ(counters_.bytesOut, content.size());
}

TEST_P(BulkTest, AHolderTellsTheHashesOfItsPieces) {
  const auto content = randomBytes(2 * kPieceBytes + 777, 1);
  const BlobId id = put(content);
  const auto list = pieces({id, content.size()});
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(*list, hashesOf(content).pieces);
}

TEST_P(BulkTest, AHolderTellsWhereTheFileLiesIfItIsAllowed) {
  const BlobId id = put(randomBytes(kPieceBytes, 1));
  const std::string here = fileSystemNameOf(*realFolder(folder_.path()));
  EXPECT_TRUE(absl::IsNotFound(place(id, here).status()));
  shelf_.placesTold = true;
  const auto told = place(id, here);
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->path, std::filesystem::canonical(folder_ / "blob"));
  EXPECT_EQ(told->inode, FileStamp::ofPath(folder_ / "blob")->inode);
  EXPECT_TRUE(absl::IsNotFound(place(id, "local:elsewhere").status()));
  EXPECT_TRUE(absl::IsNotFound(place(hashesOf(randomBytes(10, 2)).id, here).status()));
}

TEST_P(BulkTest, WhoHasNoListOrAnotherSizeTellsNone) {
  const auto content = randomBytes(2 * kPieceBytes, 1);
  const BlobId id = put(content);
  EXPECT_TRUE(absl::IsNotFound(pieces({id, content.size() + 1}).status()));
  const BlobId other = hashesOf(randomBytes(10, 2)).id;
  EXPECT_TRUE(absl::IsNotFound(pieces({other, 10}).status()));
}

TEST_P(BulkTest, AHolderTellsTheHashTreeAndWhereItsSwarmIs) {
  for (const size_t size : {size_t{100}, size_t{3 * kPieceBytes + 7}}) {
    const auto content = randomBytes(size, 1);
    shelf_.word = wordOf(content);
    const auto word = swarm(infoOf(content));
    ASSERT_TRUE(word.ok()) << word.status();
    EXPECT_EQ(word->state, SwarmState::kReady);
    EXPECT_EQ(word->port, 8378);
    ASSERT_NE(word->tree, nullptr);
    EXPECT_EQ(*word->tree, *shelf_.word.tree);
  }
}

TEST_P(BulkTest, WhoHasNoSwarmOrNoTreeYetSaysSo) {
  const BlobInfo blob = infoOf(randomBytes(9, 6));
  EXPECT_EQ(swarm(blob)->state, SwarmState::kOff);
  EXPECT_EQ(swarm(blob)->port, 0);
  shelf_.word = {.state = SwarmState::kNotYet, .port = 8378};
  EXPECT_EQ(swarm(blob)->state, SwarmState::kNotYet);
  EXPECT_EQ(swarm(blob)->port, 8378);
}

TEST_P(BulkTest, AHashTreeThatCannotBeTheBlobsIsRefused) {
  const auto content = randomBytes(3 * kPieceBytes + 7, 1);
  const BlobInfo blob = infoOf(content);
  const SwarmWord good = wordOf(content);
  const auto refuses = [&](const std::function<void(HashTree&)>& change) {
    HashTree tree = *good.tree;
    change(tree);
    shelf_.word = good;
    shelf_.word.tree = std::make_shared<const HashTree>(tree);
    return absl::IsDataLoss(swarm(blob).status());
  };
  EXPECT_TRUE(refuses([](HashTree& tree) { tree.root[0] ^= 1; }));
  EXPECT_TRUE(refuses([](HashTree& tree) { tree.layer[1][0] ^= 1; }));
  EXPECT_TRUE(refuses([](HashTree& tree) { tree.layer.pop_back(); }));
  EXPECT_TRUE(refuses([](HashTree& tree) { tree.layer.clear(); }));
  EXPECT_TRUE(refuses([](HashTree& tree) { tree.layer.resize(kSwarmPiecesMax + 1); }));
  shelf_.word = good;
  shelf_.word.pieceBytes *= 2;
  EXPECT_TRUE(absl::IsDataLoss(swarm(blob).status()));
  shelf_.word = good;
  EXPECT_TRUE(absl::IsDataLoss(swarm({blob.id, kPieceBytes}).status()));
  EXPECT_TRUE(absl::IsDataLoss(swarm({blob.id, 0}).status()));
  EXPECT_TRUE(swarm(blob).ok());
}

TEST_P(BulkTest, ManyReadsAtOnceAllArrive) {
  const auto content = randomBytes(8 * kPieceBytes, 2);
  const BlobId id = put(content);
  std::vector<std::future<Got>> reads;
  for (size_t i = 0; i < 32; ++i) {
    reads.push_back(startRead(id, (i % 8) * kPieceBytes, kPieceBytes));
  }
  for (size_t i = 0; i < reads.size(); ++i) {
    const Got got = reads[i].get();
    ASSERT_TRUE(got.status.ok()) << got.status;
    ASSERT_EQ(got.outcome, ReadOutcome::kData) << i;
    EXPECT_EQ(got.bytes, part(content, (i % 8) * kPieceBytes, kPieceBytes));
  }
}

TEST_P(BulkTest, SmallBlobsTravelTogetherEachWithItsOwnOutcome) {
  const auto first = randomBytes(100, 3), second = randomBytes(70'000, 4);
  const BlobId a = put(first, "a"), b = put(second, "b");
  const BlobId empty = put({}, "empty");
  const BlobId unknown = infoOf(randomBytes(5, 5)).id;
  const auto got = readSmall({a, unknown, b, empty});
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->size(), 4u);
  EXPECT_EQ((*got)[0].bytes, first);
  EXPECT_EQ((*got)[1].outcome, ReadOutcome::kGone);
  EXPECT_EQ((*got)[2].bytes, second);
  EXPECT_EQ((*got)[3].outcome, ReadOutcome::kData);
  EXPECT_TRUE((*got)[3].bytes.empty());
}

TEST_P(BulkTest, WhatANodeDoesNotHaveIsGone) {
  EXPECT_EQ(read(infoOf(randomBytes(9, 6)).id, 0, 9).outcome, ReadOutcome::kGone);
}

TEST_P(BulkTest, APieceOfAnArrivingBlobThatIsNobodysHereIsNotMine) {
  shelf_.pieceOutcome = ReadOutcome::kNotMine;
  EXPECT_EQ(read(infoOf(randomBytes(9, 6)).id, 0, 9).outcome, ReadOutcome::kNotMine);
}

TEST_P(BulkTest, WhatIsHereIsServedAlthoughAFetchSaysItIsNobodys) {
  const auto content = randomBytes(9, 6);
  const BlobId id = infoOf(content).id;
  shelf_.pieceOutcome = ReadOutcome::kNotMine;
  ASSERT_EQ(read(id, 0, 9).outcome, ReadOutcome::kNotMine);
  put(content);
  EXPECT_EQ(read(id, 0, 9).outcome, ReadOutcome::kData);
}

TEST_P(BulkTest, ABlobThatRottedOnTheDiskIsCorruptAndReported) {
  auto content = randomBytes(kPieceBytes, 7);
  const BlobId id = put(content);
  content[1000] ^= 1;
  // The stamp stays: this is what a dying disk does, not a writer.
  const auto mtime = std::filesystem::last_write_time(folder_ / "blob");
  {
    std::fstream file(folder_ / "blob", std::ios::in | std::ios::out | std::ios::binary);
    file.write(reinterpret_cast<const char*>(content.data()),
               static_cast<std::streamsize>(content.size()));
  }
  std::filesystem::last_write_time(folder_ / "blob", mtime);
  EXPECT_EQ(read(id, 0, kPieceBytes).outcome, ReadOutcome::kCorrupt);
  endServer();
  EXPECT_THAT(shelf_.bad, ::testing::ElementsAre(id));
}

TEST_P(BulkTest, ABlobCutShortIsNotServed) {
  const auto content = randomBytes(2 * kPieceBytes, 8);
  const BlobId id = put(content);
  std::filesystem::resize_file(folder_ / "blob", kPieceBytes);
  EXPECT_NE(read(id, kPieceBytes, kPieceBytes).outcome, ReadOutcome::kData);
}

TEST_P(BulkTest, AReadOutsideTheBlobOrOfMoreThanAPieceIsRefused) {
  const auto content = randomBytes(kPieceBytes + 5, 9);
  const BlobId id = put(content);
  const std::vector<std::pair<uint64_t, uint32_t>> hostile = {
      {0, 0},          {0, kPieceBytes + 1},         {kPieceBytes - 1, 2}, {kPieceBytes, 6},
      {UINT64_MAX, 1}, {UINT64_MAX - 3, UINT32_MAX}, {kBlobBytesMax, 1},
  };
  for (const auto& [offset, length] : hostile) {
    const Got got = read(id, offset, length);
    EXPECT_FALSE(got.status.ok()) << offset << " + " << length;
  }
  EXPECT_EQ(read(id, kPieceBytes, 5).bytes.size(), 5u);  // the link goes on
}

TEST_P(BulkTest, WhatAnUploadLimitDoesNotLetOutSoonIsBusyAtOnce) {
  const BlobId id = put(randomBytes(2 * kPieceBytes, 14));
  counters_.uploads.set(kPieceBytes / 4, absl::Now());
  EXPECT_EQ(read(id, 0, kPieceBytes).outcome, ReadOutcome::kData);
  EXPECT_EQ(read(id, kPieceBytes, kPieceBytes).outcome, ReadOutcome::kBusy);
  EXPECT_EQ(counters_.bytesOut, kPieceBytes);
  counters_.uploads.set(0, absl::Now());
  EXPECT_EQ(read(id, kPieceBytes, kPieceBytes).outcome, ReadOutcome::kData);
}

TEST_P(BulkTest, AReadWhoseTurnIsNearWaitsForIt) {
  const auto content = randomBytes(8 * kPieceBytes, 15);
  const BlobId id = put(content);
  counters_.uploads.set(8 * kPieceBytes, absl::Now());
  const absl::Time begin = absl::Now();
  for (uint64_t piece = 0; piece < 8; ++piece) {
    const Got got = read(id, piece * kPieceBytes, kPieceBytes);
    ASSERT_EQ(got.outcome, ReadOutcome::kData) << piece;
    EXPECT_EQ(got.bytes, part(content, piece * kPieceBytes, kPieceBytes));
  }
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(800)) << "seven of them are owed by then";
}

TEST_P(BulkTest, SmallBlobsKeepTheUploadLimitTogether) {
  const BlobId a = put(randomBytes(200'000, 16), "a"), b = put(randomBytes(200'000, 17), "b");
  counters_.uploads.set(200'000, absl::Now());
  const auto first = readSmall({a, b});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)[1].outcome, ReadOutcome::kData);
  const auto second = readSmall({a, b});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)[0].outcome, ReadOutcome::kBusy);
  EXPECT_EQ((*second)[1].outcome, ReadOutcome::kBusy);
}

TEST_P(BulkTest, AReadThatIsNotAnsweredEndsAtItsDeadlineAndTheLinkGoesOn) {
  const auto content = randomBytes(1000, 10);
  const BlobId slow = infoOf(randomBytes(3, 11)).id;
  const BlobId id = put(content);
  shelf_.holdOpens = true;
  const Got late = read(slow, 0, 3, absl::Milliseconds(50));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status)) << late.status;
  shelf_.holdOpens = false;
  EXPECT_EQ(read(id, 0, 1000).bytes, content);
}

TEST_P(BulkTest, WhenThePeerIsLostReadsUnderWayFail) {
  shelf_.holdOpens = true;
  auto pending = startRead(infoOf(randomBytes(3, 12)).id, 0, 3);
  auto second = startRead(infoOf(randomBytes(3, 13)).id, 0, 3);
  while (counters_.links == 0) std::this_thread::yield();
  endServer();
  // As a lost link, or with the peer's last word: Transfers takes both as the source's failure.
  EXPECT_FALSE(pending.get().status.ok());
  EXPECT_FALSE(second.get().status.ok());
}

TEST_P(BulkTest, ForgettingAPeerEndsItsReads) {
  shelf_.holdOpens = true;
  auto pending = startRead(infoOf(randomBytes(3, 12)).id, 0, 3);
  clientLane_.run([&] { client_->forget(target_.id); });
  EXPECT_TRUE(absl::IsUnavailable(pending.get().status));
}

TEST_P(BulkTest, BytesThatAreStillHeldWhenTheClientEndsStayReadable) {
  const auto content = randomBytes(kPieceBytes, 14);
  const BlobId id = put(content);
  std::promise<ReceivedBytes> promise;
  clientLane_.post([&] {
    client_->read(target_, {id, 0, kPieceBytes}, kLong,
                  [&](absl::StatusOr<ReadAnswer> answer) { promise.set_value(answer->data); });
  });
  ReceivedBytes held = promise.get_future().get();
  clientLane_.run([&] { client_.reset(); });
  EXPECT_EQ(std::vector<uint8_t>(held.bytes.begin(), held.bytes.end()), content);
  held = {};  // home to its lane
  clientLane_.run([&] {});
}

// Or a file that was deleted would keep its space until the link ends.
TEST_P(BulkTest, WhatNobodyReadsAnyMoreIsClosedAndOpenedAgain) {
  serverLane_.run([&] {
    server_ = std::make_unique<BulkServer>(serverLane_.io(), GetParam() ? &tls_ : nullptr, pool_,
                                           shelf_, counters_, pages_, absl::Seconds(1));
  });
  const auto content = randomBytes(2 * kPieceBytes, 21);
  const BlobId id = put(content);
  ASSERT_EQ(read(id, 0, 100).outcome, ReadOutcome::kData);
  EXPECT_GE(shelf_.users(id), 1) << "a reader has it open";
  for (int i = 0; i < 200 && shelf_.users(id) > 0; ++i) absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(shelf_.users(id), 0);
  EXPECT_EQ(read(id, kPieceBytes, 100).bytes, part(content, kPieceBytes, 100));
}

TEST_P(BulkTest, NobodyThereIsUnavailable) {
  PeerTarget nobody{NodeId::ofNumber(3), {}};
  {
    const tcp::acceptor closed(doorIo_, {asio::ip::make_address("127.0.0.1"), 0});
    nobody.addresses.push_back({"127.0.0.1", closed.local_endpoint().port()});
  }
  std::promise<absl::Status> promise;
  clientLane_.post([&] {
    client_->read(nobody, {infoOf({}).id, 0, 1}, kLong,
                  [&](absl::StatusOr<ReadAnswer> answer) { promise.set_value(answer.status()); });
  });
  EXPECT_TRUE(absl::IsUnavailable(promise.get_future().get()));
}

// Asks for far more than it ever takes: what waits for it must stay within the limits of its link.
TEST_P(BulkTest, AClientThatReadsNothingCostsNoMoreThanItsLink) {
  const auto content = randomBytes(kPieceBytes, 15);
  const BlobId id = put(content);
  std::promise<uint64_t> out;
  std::thread greedy([&] {
    Loop loop;
    tcp::socket socket(loop.io);
    socket.connect({asio::ip::make_address("127.0.0.1"), target_.addresses.front().port});
    EXPECT_TRUE(loop.run(sendPreface(socket, LinkKind::kBulk)).ok());
    kj::Own<kj::AsyncIoStream> stream;
    if (GetParam()) {
      stream = makeKjStream(*loop.run(tlsConnect(std::move(socket), tls_)));
    } else {
      stream = makeKjStream(std::move(socket));
    }
    RpcLink link(kj::mv(stream), LinkSide::kDialled, nullptr);
    auto bulk = link.bootstrap().castAs<wire::Door>().bulkRequest();
    bulk.setCaller(toData(NodeId::ofNumber(9).bytes()));
    auto source = bulk.send().getSource();
    auto open = source.openRequest();
    toWire(id, open.initId());
    auto reader = open.send().getReader();
    kj::Vector<kj::Promise<capnp::Response<wire::BlobReader::ReadResults>>> calls;
    for (int i = 0; i < 2000; ++i) {
      auto request = reader.readRequest();
      request.setOffset(0);
      request.setLength(kPieceBytes);
      calls.add(request.send());
    }
    // It looks at none of its answers until the last has come: each is data or busy.
    size_t data = 0;
    for (auto& call : calls) {
      auto response = loop.run(awaitPromise(kj::mv(call)));
      ASSERT_TRUE(response.ok()) << response.status();
      data += response->getOutcome() == wire::ReadOutcome::DATA;
      EXPECT_LE(counters_.unsentBytes, kUnsentBytesPerLinkMax + 2 * kPieceBytes);
    }
    out.set_value(data);
  });
  greedy.join();
  EXPECT_GE(out.get_future().get(), 1u);
}

TEST_P(BulkTest, WhatALinkHadUnsentIsNotCountedForEver) {
  const auto content = randomBytes(8 * kPieceBytes, 16);
  const BlobId id = put(content);
  std::vector<std::future<Got>> reads;
  for (size_t i = 0; i < 8; ++i) reads.push_back(startRead(id, i * kPieceBytes, kPieceBytes));
  for (auto& one : reads) EXPECT_EQ(one.get().outcome, ReadOutcome::kData);
  while (counters_.unsentBytes != 0) std::this_thread::yield();  // hangs if it is never measured
}

TEST_P(BulkTest, TheServersEndDoesNotWaitForStrangers) {
  tcp::socket stranger(doorIo_);
  stranger.connect({asio::ip::make_address("127.0.0.1"), target_.addresses.front().port});
  asio::write(stranger, asio::buffer("ROOSTb1\n", 8));
  while (counters_.links == 0) std::this_thread::yield();
  const absl::Time before = absl::Now();
  endServer();
  serverLane_.stop();
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));
  EXPECT_EQ(counters_.links, 0);
}

}  // namespace
}  // namespace roost
