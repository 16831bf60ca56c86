#include "cluster/swarm_lane.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/torrent_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protocol/digest.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;
using Content = std::vector<uint8_t>;

constexpr auto kPatience = std::chrono::seconds(60);

std::shared_ptr<const HashTree> treeOf(const Content& content) {
  TreeHasher hasher(content.size());
  hasher.update(content);
  return std::make_shared<const HashTree>(hasher.finish());
}

// What came of a download. Pieces go into a buffer, or are kept as they are.
class Receiver {
 public:
  explicit Receiver(uint64_t size) : bytes_(size) {}

  SwarmLane::OnPiece onPiece() {
    return [this](std::shared_ptr<const DownloadedPiece> piece) {
      const std::lock_guard lock(mutex_);
      std::copy(piece->bytes.begin(), piece->bytes.end(),
                bytes_.begin() + static_cast<ptrdiff_t>(piece->index * kPieceBytes));
      ++count_[piece->index];
      if (write) {
        ASSERT_TRUE(write(*piece).ok());
      }
      if (keep) kept_.push_back(std::move(piece));
      mostKept_ = std::max(mostKept_, kept_.size());
      changed_.notify_all();
    };
  }
  SwarmLane::Done done() {
    return [this](absl::Status status) {
      const std::lock_guard lock(mutex_);
      EXPECT_FALSE(ended_) << "told twice";
      ended_ = status;
      changed_.notify_all();
    };
  }
  absl::Status wait() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return ended_.has_value(); })) {
      return absl::DeadlineExceededError("the download did not end");
    }
    return *ended_;
  }
  // Until the condition holds, which is asked with each piece and at the end.
  bool waitFor(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }
  void drop() {
    const std::lock_guard lock(mutex_);
    kept_.clear();
  }

  bool keep = false;
  std::function<absl::Status(const DownloadedPiece&)> write;
  // Below, under the lock or after the end.
  size_t pieces() const { return count_.size(); }
  Content bytes_;
  std::map<uint64_t, int> count_;
  std::vector<std::shared_ptr<const DownloadedPiece>> kept_;
  size_t mostKept_ = 0;
  std::optional<absl::Status> ended_;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// A node: a folder, a lane, and what of the folder may be given.
class Node {
 public:
  explicit Node(SwarmLane::Options options = {}, RateLimit* uploads = nullptr,
                RateLimit* downloads = nullptr) {
    options.listen = {"127.0.0.1", 0};
    options.manyPerAddress = true;
    auto lane = SwarmLane::open(
        options, {.pool = pool_,
                  .open =
                      [this](const BlobId& blob,
                             const std::function<void(std::shared_ptr<const LocalBlob>)>& answer) {
                        std::shared_ptr<const LocalBlob> found;
                        {
                          const std::lock_guard lock(mutex_);
                          asked_ = true;
                          if (hangs_) return;
                          if (const auto it = blobs_.find(blob); it != blobs_.end()) {
                            found = it->second;
                          }
                        }
                        answer(found);
                      },
                  .foundBad =
                      [this](const BlobId& blob, const absl::Status&) {
                        const std::lock_guard lock(mutex_);
                        bad_.push_back(blob);
                        blobs_.erase(blob);
                      },
                  .report = [](const std::string& text) { ADD_FAILURE() << text; },
                  .uploads = uploads,
                  .downloads = downloads});
    if (!lane.ok()) throw std::runtime_error(lane.status().ToString());
    lane_ = *std::move(lane);
    lane_->allow({"127.0.0.1"});
  }
  ~Node() {
    lane_.reset();
    pool_.stop(WorkPool::AtStop::kDrain);
  }

  Address address() const { return {"127.0.0.1", lane_->port()}; }
  SwarmLane& lane() { return *lane_; }
  void end() { lane_.reset(); }
  // Its folder is asked, and never answers.
  void hang() {
    const std::lock_guard lock(mutex_);
    hangs_ = true;
  }
  bool asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  std::vector<BlobId> bad() {
    const std::lock_guard lock(mutex_);
    return bad_;
  }

  // A file with that content is given as the blob of `claimed`.
  void give(const Content& content, const Content& claimed, bool verified = true) {
    const BlobInfo info = infoOf(claimed);
    const std::string path = folder_.write("blob-" + info.id.hex(), textOf(content));
    std::shared_ptr<const std::vector<PieceHash>> pieces;
    if (verified) pieces = std::make_shared<const std::vector<PieceHash>>(hashesOf(claimed).pieces);
    auto blob = LocalBlob::open(path, info, FileStamp::ofPath(path).value(), pieces);
    const std::lock_guard lock(mutex_);
    blobs_[info.id] = blob.value();
  }
  void seed(const Content& content) {
    give(content, content);
    lane_->seed(infoOf(content), treeOf(content));
  }
  std::shared_ptr<BlobWriter> writer(const BlobInfo& blob) {
    fs::create_directories(folder_ / "blobs");
    auto opened = BlobWriter::open({*SafeDir::openRoot(folder_ / "blobs"), blob},
                                   {.node = NodeId::ofNumber(1)}, reservations_);
    return std::shared_ptr<BlobWriter>(std::move(opened).value());
  }

 private:
  TempFolder folder_;
  WorkPool pool_;
  std::shared_ptr<Reservations> reservations_ = Reservations::create(0);
  std::mutex mutex_;
  std::map<BlobId, std::shared_ptr<const LocalBlob>> blobs_;
  std::vector<BlobId> bad_;
  bool hangs_ = false;
  bool asked_ = false;
  std::unique_ptr<SwarmLane> lane_;
};

SwarmLane::Order orderOf(const Content& content, std::vector<Address> peers) {
  return {.blob = infoOf(content), .tree = treeOf(content), .peers = std::move(peers)};
}

void waitUntil(const std::function<bool()>& condition, const char* what) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "never: " << what;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

class SwarmSizes : public ::testing::TestWithParam<size_t> {};

TEST_P(SwarmSizes, ABlobArrivesAsItIs) {
  const Content content = randomBytes(GetParam(), 1);
  Node holder, wanter;
  holder.seed(content);
  Receiver receiver(content.size());
  wanter.lane().start(orderOf(content, {holder.address()}), receiver.onPiece(), receiver.done());
  EXPECT_EQ(receiver.wait(), absl::OkStatus());
  EXPECT_EQ(receiver.bytes_, content);
  EXPECT_EQ(wanter.lane().bytesIn(), content.size());
}

INSTANTIATE_TEST_SUITE_P(Sizes, SwarmSizes,
                         ::testing::Values(1, 16'383, 16'385, kPieceBytes, kPieceBytes + 1,
                                           9 * kPieceBytes + 12'345));

TEST(SwarmLane, WantersGetAllOfItAndEachPieceIsDeliveredOnce) {
  const Content content = randomBytes(24 * kPieceBytes + 5, 2);
  Node holder, first, second;
  holder.seed(content);
  Receiver a(content.size()), b(content.size());
  const auto writerA = first.writer(infoOf(content)), writerB = second.writer(infoOf(content));
  const auto into = [](const std::shared_ptr<BlobWriter>& writer) {
    return [writer](const DownloadedPiece& piece) {
      return writer->write(
          piece.index, {reinterpret_cast<const uint8_t*>(piece.bytes.data()), piece.bytes.size()});
    };
  };
  a.write = into(writerA);
  b.write = into(writerB);
  SwarmLane::Order order = orderOf(content, {holder.address(), second.address()});
  order.writer = writerA;
  first.lane().start(order, a.onPiece(), a.done());
  order = orderOf(content, {holder.address(), first.address()});
  order.writer = writerB;
  second.lane().start(order, b.onPiece(), b.done());
  EXPECT_EQ(a.wait(), absl::OkStatus());
  EXPECT_EQ(b.wait(), absl::OkStatus());
  EXPECT_TRUE(writerA->finish().ok());
  EXPECT_TRUE(writerB->finish().ok());
  for (const auto& [piece, count] : a.count_) EXPECT_EQ(count, 1) << piece;
  EXPECT_EQ(a.pieces(), pieceCount(content.size()));
}

TEST(SwarmLane, WhoIsDownloadingGivesWhatItHas) {
  const Content content = randomBytes(3 * kPieceBytes + 5, 3);
  Node holder, relay, last;
  holder.seed(content);
  Receiver a(content.size()), b(content.size());
  const auto writer = relay.writer(infoOf(content));
  a.write = [&](const DownloadedPiece& piece) {
    return writer->write(
        piece.index, {reinterpret_cast<const uint8_t*>(piece.bytes.data()), piece.bytes.size()});
  };
  SwarmLane::Order order = orderOf(content, {holder.address()});
  order.writer = writer;
  relay.lane().start(order, a.onPiece(), a.done());
  ASSERT_EQ(a.wait(), absl::OkStatus());
  holder.end();
  last.lane().start(orderOf(content, {relay.address()}), b.onPiece(), b.done());
  EXPECT_EQ(b.wait(), absl::OkStatus());
  EXPECT_EQ(b.bytes_, content);
}

TEST(SwarmLane, WhatWasCompletedIsGivenFromTheFolderOnceItsWriterIsGone) {
  const Content content = randomBytes(3 * kPieceBytes + 5, 4);
  Node holder, relay, last;
  holder.seed(content);
  Receiver a(content.size()), b(content.size());
  relay.lane().start(orderOf(content, {holder.address()}), a.onPiece(), a.done());
  ASSERT_EQ(a.wait(), absl::OkStatus());
  holder.end();
  relay.give(content, content);
  last.lane().start(orderOf(content, {relay.address()}), b.onPiece(), b.done());
  EXPECT_EQ(b.wait(), absl::OkStatus());
  EXPECT_EQ(b.bytes_, content);
}

TEST(SwarmLane, WrongBytesOfAPeerAreNeverDelivered) {
  const Content content = randomBytes(4 * kPieceBytes, 5);
  Content wrong = content;
  wrong[2 * kPieceBytes + 77] ^= 1;
  Node liar, honest, wanter;
  liar.give(wrong, content, /*verified=*/false);
  liar.lane().seed(infoOf(content), treeOf(content));
  Receiver receiver(content.size());
  wanter.lane().start(orderOf(content, {liar.address()}), receiver.onPiece(), receiver.done());
  ASSERT_TRUE(receiver.waitFor([&] { return receiver.pieces() >= 1; }));
  honest.seed(content);
  wanter.lane().connect(infoOf(content).id, {honest.address()});
  EXPECT_EQ(receiver.wait(), absl::OkStatus());
  EXPECT_EQ(receiver.bytes_, content);
  EXPECT_EQ(receiver.count_[2], 1);
}

TEST(SwarmLane, RotDoesNotLeave) {
  const Content content = randomBytes(3 * kPieceBytes, 6);
  Content rotten = content;
  rotten[kPieceBytes + 9] ^= 1;
  Node bad, good, wanter;
  bad.give(rotten, content);
  bad.lane().seed(infoOf(content), treeOf(content));
  Receiver receiver(content.size());
  wanter.lane().start(orderOf(content, {bad.address()}), receiver.onPiece(), receiver.done());
  waitUntil([&] { return !bad.bad().empty(); }, "the rotten copy is reported");
  good.seed(content);
  wanter.lane().connect(infoOf(content).id, {good.address()});
  EXPECT_EQ(receiver.wait(), absl::OkStatus());
  EXPECT_EQ(receiver.bytes_, content);
  EXPECT_THAT(bad.bad(), ::testing::Contains(infoOf(content).id));
}

TEST(SwarmLane, AfterStopNothingIsDelivered) {
  const Content content = randomBytes(12 * kPieceBytes, 7);
  Node holder, wanter({.piecesWaitingMax = 1});
  holder.seed(content);
  Receiver receiver(content.size());
  receiver.keep = true;
  const SwarmId id = wanter.lane().start(orderOf(content, {holder.address()}), receiver.onPiece(),
                                         receiver.done());
  ASSERT_TRUE(receiver.waitFor([&] { return receiver.pieces() >= 1; }));
  wanter.lane().stop(id);
  EXPECT_TRUE(absl::IsCancelled(receiver.wait()));
  const size_t then = receiver.pieces();
  EXPECT_LT(then, 12u);
  receiver.drop();
  waitUntil([&] { return wanter.lane().torrents() == 0; }, "it leaves the swarm");
  EXPECT_EQ(receiver.pieces(), then);
}

TEST(SwarmLane, WhatIsHereAlreadyIsNotFetchedAgain) {
  const Content content = randomBytes(6 * kPieceBytes + 3, 8);
  Node holder, wanter;
  holder.seed(content);
  Receiver receiver(content.size());
  SwarmLane::Order order = orderOf(content, {holder.address()});
  order.present = {0, 3, 6};
  wanter.lane().start(order, receiver.onPiece(), receiver.done());
  EXPECT_EQ(receiver.wait(), absl::OkStatus());
  EXPECT_EQ(receiver.pieces(), 4u);
  EXPECT_EQ(receiver.count_[0] + receiver.count_[3] + receiver.count_[6], 0);
  EXPECT_EQ(wanter.lane().bytesIn(), 4 * kPieceBytes);
}

TEST(SwarmLane, AReceiverThatKeepsPiecesHoldsThePeersUp) {
  const Content content = randomBytes(24 * kPieceBytes, 9);
  Node holder, wanter({.piecesHeldMax = 8, .piecesWaitingMax = 3});
  holder.seed(content);
  Receiver receiver(content.size());
  receiver.keep = true;
  wanter.lane().start(orderOf(content, {holder.address()}), receiver.onPiece(), receiver.done());
  while (!receiver.ended_) {
    ASSERT_TRUE(receiver.waitFor([&] { return receiver.ended_ || receiver.kept_.size() >= 3; }));
    receiver.drop();
  }
  EXPECT_EQ(receiver.wait(), absl::OkStatus());
  EXPECT_EQ(receiver.bytes_, content);
  EXPECT_LE(receiver.mostKept_, 8u);
}

TEST(SwarmLane, ABlobThatNobodyAsksForLeavesTheSwarm) {
  const Content content = randomBytes(100, 10);
  Node holder({.idle = absl::Milliseconds(100)});
  holder.seed(content);
  waitUntil([&] { return holder.lane().torrents() == 1; }, "it is in the swarm");
  waitUntil([&] { return holder.lane().torrents() == 0; }, "it leaves");
}

TEST(SwarmLane, ABannedRootIsRefused) {
  const Content content = randomBytes(100, 11);
  Node holder, wanter;
  holder.seed(content);
  wanter.lane().ban(treeOf(content)->root);
  EXPECT_TRUE(wanter.lane().isBanned(treeOf(content)->root));
  Receiver receiver(content.size());
  wanter.lane().start(orderOf(content, {holder.address()}), receiver.onPiece(), receiver.done());
  EXPECT_TRUE(absl::IsDataLoss(receiver.wait()));
  EXPECT_EQ(receiver.pieces(), 0u);
}

TEST(SwarmLane, ItEndsAlsoWhileAFolderDoesNotAnswer) {
  const Content content = randomBytes(100, 16);
  Node holder, wanter;
  holder.hang();
  holder.lane().seed(infoOf(content), treeOf(content));
  Receiver receiver(content.size());
  wanter.lane().start(orderOf(content, {holder.address()}), receiver.onPiece(), receiver.done());
  waitUntil([&] { return holder.asked(); }, "the folder is asked");
  holder.end();
  wanter.end();
  EXPECT_TRUE(absl::IsCancelled(receiver.wait()));
}

TEST(SwarmLane, ItEndsAlsoWhileAReceiverKeepsPieces) {
  const Content content = randomBytes(12 * kPieceBytes, 17);
  Node holder, wanter({.piecesWaitingMax = 1});
  holder.seed(content);
  Receiver receiver(content.size());
  receiver.keep = true;
  wanter.lane().start(orderOf(content, {holder.address()}), receiver.onPiece(), receiver.done());
  ASSERT_TRUE(receiver.waitFor([&] { return receiver.pieces() >= 1; }));
  wanter.end();
  EXPECT_TRUE(absl::IsCancelled(receiver.wait()));
}

TEST(SwarmLane, WhatIsBannedMeanwhileEnds) {
  const Content content = randomBytes(100, 12);
  Node wanter;
  Receiver receiver(content.size());
  wanter.lane().start(orderOf(content, {}), receiver.onPiece(), receiver.done());
  waitUntil([&] { return wanter.lane().torrents() == 1; }, "it is in the swarm");
  wanter.lane().ban(treeOf(content)->root);
  EXPECT_TRUE(absl::IsDataLoss(receiver.wait()));
  waitUntil([&] { return wanter.lane().torrents() == 0; }, "it leaves");
}

TEST(SwarmLane, TheEndOfTheLaneIsAnEndOfItsDownloads) {
  const Content content = randomBytes(100, 13);
  Node wanter;
  Receiver receiver(content.size());
  wanter.lane().start(orderOf(content, {}), receiver.onPiece(), receiver.done());
  wanter.end();
  EXPECT_TRUE(absl::IsCancelled(receiver.wait()));
}

// What a stranger's client sends first, and how many bytes it is answered with.
size_t answerToHandshake(const Address& to, const Content& content) {
  namespace asio = boost::asio;
  const Sha256 hash = torrentInfoHash(infoOf(content), treeOf(content)->root);
  std::string handshake =
      "\x13"
      "BitTorrent protocol";
  handshake += std::string(8, '\0') + std::string(hash.begin(), hash.begin() + 20);
  handshake += "-XX0000-123456789012";
  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  boost::system::error_code ec;
  socket.connect({asio::ip::make_address(to.host), to.port}, ec);
  asio::write(socket, asio::buffer(handshake), ec);
  std::array<char, 68> answer{};
  return asio::read(socket, asio::buffer(answer), ec);
}

TEST(SwarmLane, AStrangersConnectionIsClosedWithoutAWord) {
  const Content content = randomBytes(100, 14);
  Node holder;
  holder.lane().allow({"127.0.0.9"});
  holder.seed(content);
  waitUntil([&] { return holder.lane().torrents() == 1; }, "it is in the swarm");
  EXPECT_EQ(answerToHandshake(holder.address(), content), 0u);
  holder.lane().allow({"127.0.0.1"});
  waitUntil([&] { return answerToHandshake(holder.address(), content) == 68; }, "it is answered");
}

TEST(SwarmLane, OutsideClientsConnectWhereTheyAreWanted) {
  const Content content = randomBytes(100, 15);
  Node holder({.outside = true});
  holder.lane().allow({});
  holder.seed(content);
  waitUntil([&] { return answerToHandshake(holder.address(), content) == 68; }, "it is answered");
}

// Two wanters without a holder: each has half of the pieces by other ways, and is told of it while
// the swarm runs.
TEST(SwarmLane, WhatCameOtherwiseIsGivenToOthersAndNotDelivered) {
  const Content content = randomBytes(8 * kPieceBytes + 5, 19);
  Node first, second;
  Receiver a(content.size()), b(content.size());
  const auto writerA = first.writer(infoOf(content)), writerB = second.writer(infoOf(content));
  SwarmLane::Order order = orderOf(content, {second.address()});
  order.writer = writerA;
  const SwarmId idA = first.lane().start(order, a.onPiece(), a.done());
  order = orderOf(content, {first.address()});
  order.writer = writerB;
  const SwarmId idB = second.lane().start(order, b.onPiece(), b.done());
  const auto write = [&](const std::shared_ptr<BlobWriter>& writer, uint64_t piece) {
    const size_t begin = piece * kPieceBytes;
    ASSERT_TRUE(
        writer
            ->write(piece, absl::MakeConstSpan(content).subspan(
                               begin, std::min<size_t>(kPieceBytes, content.size() - begin)))
            .ok());
  };
  for (uint64_t piece = 0; piece < 9; ++piece) {
    write(piece % 2 == 0 ? writerA : writerB, piece);
    piece % 2 == 0 ? first.lane().have(idA, piece) : second.lane().have(idB, piece);
    if (piece == 0) {
      first.lane().have(idA, 0);   // twice is once
      first.lane().have(idA, 99);  // there is none
    }
  }
  EXPECT_EQ(a.wait(), absl::OkStatus());
  EXPECT_EQ(b.wait(), absl::OkStatus());
  for (uint64_t piece = 0; piece < 9; ++piece) {
    EXPECT_EQ(a.count_.count(piece), piece % 2) << piece;
    EXPECT_EQ(b.count_.count(piece), 1 - piece % 2) << piece;
  }
}

TEST(SwarmLane, ItSaysWhichPiecesPeersHave) {
  const Content content = randomBytes(4 * kPieceBytes, 20);
  Node part, wanter;
  Receiver unused(content.size()), receiver(content.size());
  const auto writer = part.writer(infoOf(content));
  ASSERT_TRUE(
      writer->write(2, absl::MakeConstSpan(content).subspan(2 * kPieceBytes, kPieceBytes)).ok());
  SwarmLane::Order order = orderOf(content, {});
  order.writer = writer;
  order.present = {2};
  part.lane().start(order, unused.onPiece(), unused.done());
  std::mutex mutex;
  std::vector<bool> seen;
  order = orderOf(content, {part.address()});
  order.seen = [&](std::vector<bool> pieces) {
    const std::lock_guard lock(mutex);
    seen = std::move(pieces);
  };
  wanter.lane().start(order, receiver.onPiece(), receiver.done());
  waitUntil(
      [&] {
        const std::lock_guard lock(mutex);
        return seen == std::vector<bool>{false, false, true, false};
      },
      "the one piece is seen");
  waitUntil([&] { return wanter.lane().peers() == 1; }, "the peer is counted");
  part.end();
  waitUntil(
      [&] {
        const std::lock_guard lock(mutex);
        return seen == std::vector<bool>(4);
      },
      "it is gone with its peer");
  wanter.end();
  part.end();
}

// So many seconds' worth of a limit, less what may come at once.
constexpr uint64_t kSlow = 2 * kPieceBytes;
constexpr auto kSlowLeast = absl::Seconds(1);

TEST(SwarmLane, TheNodesLimitsHoldAndAreTakenFromWhatAllLanesShare) {
  const Content content = randomBytes(4 * kPieceBytes, 18);
  RateLimit uploads(kSlow), downloads(0);
  Node holder({}, &uploads, &downloads), wanter;
  holder.seed(content);
  Receiver receiver(content.size());
  const absl::Time begun = absl::Now();
  wanter.lane().start(orderOf(content, {holder.address()}), receiver.onPiece(), receiver.done());
  EXPECT_EQ(receiver.wait(), absl::OkStatus());
  EXPECT_GT(absl::Now() - begun, kSlowLeast);
  EXPECT_GE(uploads.taken(), content.size());
  EXPECT_EQ(downloads.taken(), 0u);
}

TEST(SwarmLane, ADownloadLimitHoldsUntilItIsLifted) {
  const Content content = randomBytes(8 * kPieceBytes, 21);
  RateLimit downloads(kRateLimitMin);  // 80 s
  Node holder, wanter({}, nullptr, &downloads);
  holder.seed(content);
  Receiver receiver(content.size());
  wanter.lane().start(orderOf(content, {holder.address()}), receiver.onPiece(), receiver.done());
  waitUntil([&] { return downloads.taken() > 0; }, "something comes");
  EXPECT_LT(downloads.taken(), content.size());
  downloads.set(0, absl::Now());
  EXPECT_EQ(receiver.wait(), absl::OkStatus());
}

TEST(SwarmLane, BlobsOfOnePaceShareIt) {
  const Content one = randomBytes(2 * kPieceBytes, 22), two = randomBytes(2 * kPieceBytes, 23);
  const auto pace = std::make_shared<RateLimit>(kSlow);
  Node holder, wanter;
  holder.seed(one);
  holder.seed(two);
  Receiver a(one.size()), b(two.size());
  const absl::Time begun = absl::Now();
  SwarmLane::Order order = orderOf(one, {holder.address()});
  order.pace = pace;
  wanter.lane().start(order, a.onPiece(), a.done());
  order = orderOf(two, {holder.address()});
  order.pace = pace;
  wanter.lane().start(order, b.onPiece(), b.done());
  EXPECT_EQ(a.wait(), absl::OkStatus());
  EXPECT_EQ(b.wait(), absl::OkStatus());
  EXPECT_GT(absl::Now() - begun, kSlowLeast);
  EXPECT_GE(pace->taken(), one.size() + two.size());
}

TEST(SwarmLane, APaceIsLiftedWhileItIsFelt) {
  const Content content = randomBytes(8 * kPieceBytes, 24);
  const auto pace = std::make_shared<RateLimit>(kRateLimitMin);
  Node holder, wanter;
  holder.seed(content);
  Receiver receiver(content.size());
  SwarmLane::Order order = orderOf(content, {holder.address()});
  order.pace = pace;
  const SwarmId id = wanter.lane().start(order, receiver.onPiece(), receiver.done());
  waitUntil([&] { return pace->taken() > 0; }, "something comes");
  wanter.lane().setPace(id, nullptr);
  EXPECT_EQ(receiver.wait(), absl::OkStatus());
}

TEST(SwarmLane, ATakenPortIsSaid) {
  Node one;
  WorkPool pool;
  const auto second = SwarmLane::open({.listen = one.address()}, {.pool = pool});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), ::testing::HasSubstr("--swarm"));
}

}  // namespace
}  // namespace roost
