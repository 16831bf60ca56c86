#include "cluster/transfers.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cluster/bulk_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protocol/socket_deadline.h"
#include "tests/cache/temp_folder.h"
#include "tests/protocol/loop.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr FetchId kFetch{1};

// A holder: says of each blob what the test gave it, true or not.
class Holder final : public BlobProvider {
 public:
  void open(const NodeId&, const BlobId& blob,
            std::function<void(std::shared_ptr<const LocalBlob>)> answer) override {
    const auto it = blobs.find(blob);
    answer(it == blobs.end() ? nullptr : it->second);
  }
  void askPiece(
      const NodeId&, const BlobId&, uint64_t,
      std::function<void(ReadOutcome, std::shared_ptr<const BlobWriter>)> answer) override {
    answer(ReadOutcome::kGone, nullptr);
  }
  bool tellsPlaces() const override { return true; }
  void foundBad(const BlobId&, const absl::Status&) override {}

  std::map<BlobId, std::shared_ptr<const LocalBlob>> blobs;
};

class TransfersTest : public ::testing::Test {
 protected:
  TransfersTest()
      : holderLane_("holder"),
        lane_("lane"),
        acceptor_(loop_.io, {asio::ip::make_address("127.0.0.1"), 0}) {
    std::filesystem::create_directories(folder_ / "hub");
    std::filesystem::create_directories(folder_ / "partial");
    holderLane_.run([&] {
      server_ = std::make_unique<BulkServer>(holderLane_.io(), nullptr, holderPool_, holder_,
                                             counters_, pages_);
    });
    lane_.run([&] {
      client_ = std::make_unique<BulkClient>(lane_.io(), NodeId::ofNumber(1), 1, nullptr);
    });
    publisher_ = std::make_shared<const HubPublisher>(
        *HubPublisher::open(folder_ / "hub", NodeId::ofNumber(1), reservations_));
    acceptNext();
    begin();
  }
  ~TransfersTest() override {
    end();
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    lane_.run([&] {
      SocketDeadline::endAll(lane_.io());
      client_.reset();
    });
    holderLane_.run([&] {
      SocketDeadline::endAll(holderLane_.io());
      server_.reset();
    });
    loop_.io.restart();
    loop_.io.run();  // what was received goes home to its lane
  }

  // A start of the node, and its end in the order of the agent's.
  void begin() {
    pool_ = std::make_unique<WorkPool>();
    transfers_ = std::make_unique<Transfers>(Transfers::Seams{
        .io = loop_.io,
        .pool = *pool_,
        .reservations = reservations_,
        .self = NodeId::ofNumber(1),
        .partialFolder = folder_ / "partial",
        .lanes = {{&lane_, &client_}},
        .hub = nullptr,
        .addressesOf =
            [this](const NodeId&) {
              return std::vector<Address>(1,
                                          Address{"127.0.0.1", acceptor_.local_endpoint().port()});
            },
        .publisherOf =
            [this](const BlobSite&) -> absl::StatusOr<std::shared_ptr<const HubPublisher>> {
          if (!writable_.ok()) return writable_;
          return publisher_;
        },
        .tell = [this](Event event) { events_.push_back(std::move(event)); },
        .landed = [this](LandedBlob blob) { landed_.push_back(std::move(blob)); }});
  }
  void end() {
    if (!transfers_) return;
    transfers_->stop();
    pool_->stop(WorkPool::AtStop::kDrain);
    loop_.settle();
    transfers_.reset();
    ended_.push_back(std::move(pool_));  // as in the agent, lanes end before the pool goes
  }

  void acceptNext() {
    acceptor_.async_accept([this](boost::system::error_code ec, tcp::socket socket) {
      if (ec) return;
      char preface[8];
      asio::read(socket, asio::buffer(preface));
      auto detached = DetachedSocket::detach(std::move(socket));
      holderLane_.post([this, held = std::make_shared<DetachedSocket>(*std::move(detached))] {
        server_->accept(std::move(*held));
      });
      acceptNext();
    });
  }

  // The next event of that kind; all others are dropped.
  template <typename T>
  T next() {
    std::optional<T> found;
    loop_.runUntil([&] {
      while (!found && !events_.empty()) {
        if (auto* one = std::get_if<T>(&events_.front())) found = std::move(*one);
        events_.pop_front();
      }
      return found.has_value();
    });
    return *std::move(found);
  }

  // The holder claims to have the blob `as`, and sends these bytes for it. With `verified` it knows
  // the pieces' hashes. Returns its file.
  std::string hold(const BlobInfo& as, const std::vector<uint8_t>& bytes, bool verified = false) {
    const std::string path = folder_.write("held-" + as.id.hex(), textOf(bytes));
    auto opened = LocalBlob::open(
        path, as, *FileStamp::ofPath(path),
        verified ? std::make_shared<const std::vector<PieceHash>>(hashesOf(bytes).pieces)
                 : nullptr);
    if (!opened.ok()) throw std::runtime_error(opened.status().ToString());
    holderLane_.run([&] { holder_.blobs[as.id] = *opened; });
    return path;
  }
  absl::StatusOr<ReadOutcome> read(const BlobInfo& blob, uint64_t piece) {
    transfers_->perform(ReadPiece{kFetch, NodeId::ofNumber(2), blob.id, piece, absl::Seconds(30)});
    return next<PieceRead>().outcome;
  }
  // Until the holder's file is known the first piece comes by the link, as often as it is asked for.
  void readUntilOneIsCopied(const BlobInfo& blob) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (transfers_->bytesCopied() == 0) {
      ASSERT_LT(absl::Now(), deadline) << "nothing is copied";
      ASSERT_EQ(*read(blob, 0), ReadOutcome::kData);
    }
  }

  OpenWriter openWriter(const BlobInfo& blob) const { return {kFetch, blob, site_}; }
  void readAll(const BlobInfo& blob, const std::vector<uint64_t>& pieces) {
    for (const uint64_t piece : pieces) {
      transfers_->perform(
          ReadPiece{kFetch, NodeId::ofNumber(2), blob.id, piece, absl::Seconds(30)});
    }
    for (size_t i = 0; i < pieces.size(); ++i) {
      const PieceRead read = next<PieceRead>();
      ASSERT_TRUE(read.outcome.ok()) << read.outcome.status();
      EXPECT_EQ(*read.outcome, ReadOutcome::kData);
    }
  }
  std::vector<uint64_t> open(const BlobInfo& blob) {
    transfers_->perform(openWriter(blob));
    const WriterOpened opened = next<WriterOpened>();
    EXPECT_TRUE(opened.piecesPresent.ok()) << opened.piecesPresent.status();
    return opened.piecesPresent.value_or(std::vector<uint64_t>());
  }
  std::string finalPath(const BlobInfo& blob) const {
    return publisher_->blobSlot(site_.repo, blob)->path();
  }
  // Files in blobs/, temporaries included.
  size_t files() const {
    size_t count = 0;
    const std::string blobs =
        std::filesystem::path(finalPath({BlobId::sha256(Sha256{}), 1})).parent_path();
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(blobs)) ++count;
    return count;
  }

  Loop loop_;
  TempFolder folder_;
  std::shared_ptr<Reservations> reservations_ = Reservations::create();
  WorkPool holderPool_;
  std::vector<std::unique_ptr<WorkPool>> ended_;
  Holder holder_;
  ServeCounters counters_;
  PageCacheRoom pages_{1 << 30};
  LaneThread holderLane_;
  LaneThread lane_;
  std::unique_ptr<BulkServer> server_;
  std::unique_ptr<BulkClient> client_;
  std::shared_ptr<const HubPublisher> publisher_;
  std::unique_ptr<WorkPool> pool_;
  std::unique_ptr<Transfers> transfers_;
  tcp::acceptor acceptor_;
  absl::Status writable_;
  std::deque<Event> events_;
  std::vector<LandedBlob> landed_;
  const BlobSite site_{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model"),
                       *Commit::parse(std::string(40, 'a')), *RelativePath::parse("w.bin")};
};

TEST_F(TransfersTest, ABlobIsReadFromAPeerVerifiedAndGivenItsName) {
  const auto content = randomBytes(3 * kPieceBytes + 9, 1);
  const BlobInfo blob = infoOf(content);
  hold(blob, content);
  EXPECT_THAT(open(blob), IsEmpty());
  readAll(blob, {2, 0, 3, 1});
  EXPECT_FALSE(std::filesystem::exists(finalPath(blob)));  // nothing before the hash matched
  transfers_->perform(FinishBlob{kFetch});
  const BlobFinished finished = next<BlobFinished>();
  ASSERT_TRUE(finished.status.ok()) << finished.status;
  EXPECT_EQ(finished.pieceHashes.size(), 4u);
  EXPECT_EQ(contentOf(finalPath(blob)), textOf(content));
  ASSERT_EQ(landed_.size(), 1u);
  EXPECT_EQ(landed_.front().path, finalPath(blob));
  EXPECT_FALSE(landed_.front().fromHub);
  EXPECT_EQ(transfers_->bytesFromPeers(), content.size());
  EXPECT_EQ(transfers_->writer(kFetch), nullptr);
  EXPECT_EQ(files(), 1u);
}

TEST_F(TransfersTest, AHoldersFileOnTheSameFileSystemIsCopied) {
  const auto content = randomBytes(10 * kPieceBytes + 9, 1);
  const BlobInfo blob = infoOf(content);
  hold(blob, content, true);
  open(blob);
  readUntilOneIsCopied(blob);
  for (uint64_t piece = 1; piece < pieceCount(blob.size); ++piece) {
    EXPECT_EQ(*read(blob, piece), ReadOutcome::kData);
  }
  EXPECT_GE(transfers_->bytesCopied(), 9 * kPieceBytes);
  EXPECT_LT(counters_.bytesOut, content.size());
  transfers_->perform(FinishBlob{kFetch});
  ASSERT_TRUE(next<BlobFinished>().status.ok());
  EXPECT_EQ(contentOf(finalPath(blob)), textOf(content));
}

TEST_F(TransfersTest, WhatIsCopiedIsComparedWithWhatTheHolderKnows) {
  const auto content = randomBytes(10 * kPieceBytes, 1);
  const BlobInfo blob = infoOf(content);
  const std::string path = hold(blob, content, true);
  open(blob);
  readUntilOneIsCopied(blob);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(9 * kPieceBytes + 5)
      .put(static_cast<char>(~content[9 * kPieceBytes + 5]));
  // Of the link it is asked then, and the holder finds it too.
  EXPECT_NE(*read(blob, 9), ReadOutcome::kData);
  EXPECT_FALSE(transfers_->writer(kFetch)->has(9));
}

TEST_F(TransfersTest, WrongContentNeverGetsTheName) {
  const auto content = randomBytes(2 * kPieceBytes, 2);
  const BlobInfo blob = infoOf(content);
  hold(blob, randomBytes(2 * kPieceBytes, 3));
  open(blob);
  readAll(blob, {0, 1});
  transfers_->perform(FinishBlob{kFetch});
  const BlobFinished finished = next<BlobFinished>();
  EXPECT_TRUE(absl::IsDataLoss(finished.status)) << finished.status;
  EXPECT_EQ(finished.pieceHashes.size(), 2u);  // to find the liar with
  EXPECT_FALSE(std::filesystem::exists(finalPath(blob)));

  // Another holder, from the start.
  hold(blob, content);
  lane_.run([&] { client_->forget(NodeId::ofNumber(2)); });
  transfers_->perform(RestartBlob{kFetch, true});
  EXPECT_THAT(*next<WriterOpened>().piecesPresent, IsEmpty());
  readAll(blob, {0, 1});
  transfers_->perform(FinishBlob{kFetch});
  EXPECT_TRUE(next<BlobFinished>().status.ok());
  EXPECT_EQ(contentOf(finalPath(blob)), textOf(content));
}

TEST_F(TransfersTest, APieceThatIsThereAlreadyIsDropped) {
  const auto content = randomBytes(2 * kPieceBytes, 4);
  const BlobInfo blob = infoOf(content);
  hold(blob, content);
  open(blob);
  readAll(blob, {0});
  hold(blob, randomBytes(2 * kPieceBytes, 5));  // a late answer with other bytes
  lane_.run([&] { client_->forget(NodeId::ofNumber(2)); });
  readAll(blob, {0});
  hold(blob, content);
  lane_.run([&] { client_->forget(NodeId::ofNumber(2)); });
  readAll(blob, {1});
  transfers_->perform(FinishBlob{kFetch});
  EXPECT_TRUE(next<BlobFinished>().status.ok());
}

TEST_F(TransfersTest, AClosedFetchLeavesItsPiecesForTheNext) {
  const auto content = randomBytes(4 * kPieceBytes, 6);
  const BlobInfo blob = infoOf(content);
  hold(blob, content);
  open(blob);
  readAll(blob, {1, 2});
  transfers_->perform(CloseWriter{kFetch, true});
  EXPECT_THAT(open(blob), ElementsAre(1, 2));
}

TEST_F(TransfersTest, AClosedFetchThatKeepsNothingLeavesNothing) {
  const auto content = randomBytes(2 * kPieceBytes, 7);
  const BlobInfo blob = infoOf(content);
  hold(blob, content);
  open(blob);
  readAll(blob, {1});
  transfers_->perform(CloseWriter{kFetch, false});
  pool_->stop(WorkPool::AtStop::kDrain);
  EXPECT_EQ(files(), 0u);
}

TEST_F(TransfersTest, ARestartInTheMiddleOfAFetchGoesOnWhereItWas) {
  const auto content = randomBytes(4 * kPieceBytes, 8);
  const BlobInfo blob = infoOf(content);
  hold(blob, content);
  open(blob);
  readAll(blob, {0, 3});
  end();
  begin();
  EXPECT_THAT(open(blob), ElementsAre(0, 3));
  // And again, stopped while the writer was being opened.
  end();
  begin();
  transfers_->perform(openWriter(blob));
  end();
  begin();
  EXPECT_THAT(open(blob), ElementsAre(0, 3));
  readAll(blob, {1, 2});
  transfers_->perform(FinishBlob{kFetch});
  EXPECT_TRUE(next<BlobFinished>().status.ok());
}

TEST_F(TransfersTest, StoppingWithReadsUnderWayTellsNothingMore) {
  const auto content = randomBytes(16 * kPieceBytes, 9);
  const BlobInfo blob = infoOf(content);
  hold(blob, content);
  open(blob);
  for (uint64_t piece = 0; piece < 16; ++piece) {
    transfers_->perform(ReadPiece{kFetch, NodeId::ofNumber(2), blob.id, piece, absl::Seconds(30)});
  }
  next<PieceRead>();
  transfers_->stop();
  events_.clear();
  pool_->stop(WorkPool::AtStop::kDrain);
  loop_.settle();
  EXPECT_THAT(events_, IsEmpty());
}

TEST_F(TransfersTest, WhatAPeerDoesNotHaveIsToldAsItSaid) {
  const BlobInfo blob = infoOf(randomBytes(kPieceBytes, 10));
  open(blob);
  transfers_->perform(ReadPiece{kFetch, NodeId::ofNumber(2), blob.id, 0, absl::Seconds(30)});
  EXPECT_EQ(*next<PieceRead>().outcome, ReadOutcome::kGone);
}

TEST_F(TransfersTest, ASmallBlobIsVerifiedAndPublishedAtOnce) {
  const auto content = randomBytes(1234, 11);
  const BlobInfo blob = infoOf(content);
  hold(blob, content);
  transfers_->perform(ReadSmall{kFetch, NodeId::ofNumber(2), blob, site_});
  const SmallRead read = next<SmallRead>();
  ASSERT_TRUE(read.outcome.ok()) << read.outcome.status();
  EXPECT_EQ(*read.outcome, ReadOutcome::kData);
  EXPECT_EQ(contentOf(finalPath(blob)), textOf(content));
  EXPECT_EQ(landed_.size(), 1u);
}

TEST_F(TransfersTest, ManySmallBlobsOfOneTurnEachGetTheirAnswer) {
  std::vector<BlobInfo> blobs;
  for (uint64_t i = 0; i < 300; ++i) {
    const auto content = randomBytes(20 + i, 100 + i);
    blobs.push_back(infoOf(content));
    hold(blobs.back(), content);
  }
  for (size_t i = 0; i < blobs.size(); ++i) {
    transfers_->perform(ReadSmall{FetchId{i}, NodeId::ofNumber(2), blobs[i], site_});
  }
  for (size_t i = 0; i < blobs.size(); ++i) {
    const SmallRead read = next<SmallRead>();
    ASSERT_TRUE(read.outcome.ok()) << read.outcome.status();
  }
  EXPECT_EQ(files(), 300u);
}

TEST_F(TransfersTest, ASmallBlobWithWrongContentIsDataLoss) {
  const BlobInfo blob = infoOf(randomBytes(1234, 12));
  hold(blob, randomBytes(1234, 13));
  transfers_->perform(ReadSmall{kFetch, NodeId::ofNumber(2), blob, site_});
  EXPECT_TRUE(absl::IsDataLoss(next<SmallRead>().outcome.status()));
  EXPECT_EQ(files(), 0u);
}

TEST_F(TransfersTest, WhereNothingCanBeWrittenTheFetchIsToldWhy) {
  writable_ = absl::PermissionDeniedError("the folder is read-only");
  const BlobInfo blob = infoOf(randomBytes(kPieceBytes, 14));
  transfers_->perform(openWriter(blob));
  EXPECT_TRUE(absl::IsPermissionDenied(next<WriterOpened>().piecesPresent.status()));
}

TEST_F(TransfersTest, ADiskThatRefusesIsToldAsItsError) {
  const BlobInfo blob = infoOf(randomBytes(kPieceBytes, 15));
  // In the way of the repo's folder: also root cannot write there.
  folder_.write("hub/models--org--model", "not a folder");
  transfers_->perform(openWriter(blob));
  EXPECT_FALSE(next<WriterOpened>().piecesPresent.ok());
}

TEST_F(TransfersTest, ABlobThatDoesNotFitIsRefusedBeforeAnyByte) {
  const BlobInfo blob{infoOf(randomBytes(9, 16)).id, uint64_t{1} << 42};
  transfers_->perform(openWriter(blob));
  EXPECT_TRUE(absl::IsResourceExhausted(next<WriterOpened>().piecesPresent.status()));
}

TEST_F(TransfersTest, WithoutAHubItsDownloadEndsAtOnce) {
  const BlobInfo blob = infoOf(randomBytes(kPieceBytes, 17));
  open(blob);
  transfers_->perform(HubDownload{kFetch, blob, site_, {0}, 1});
  EXPECT_TRUE(absl::IsUnavailable(next<HubEnded>().status));
}

}  // namespace
}  // namespace roost
