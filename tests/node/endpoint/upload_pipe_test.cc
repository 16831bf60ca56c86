#include "node/endpoint/upload_pipe.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <utility>
#include <vector>

#include "protocol/limits.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using Has = HttpUpload::Has;

// Reader and lane on one thread: what happens when is told by run().
class UploadPipeTest : public ::testing::Test {
 protected:
  void open(bool asksFirst = false) {
    Upload upload = makeUpload(std::nullopt, asksFirst);
    source = std::move(upload.source);
    feed = std::move(upload.feed);
  }
  void run() {
    io.restart();
    io.poll();
  }
  void put(std::string bytes) {
    asio::co_spawn(
        io,
        [](UploadPipeTest* self, std::string part) -> asio::awaitable<void> {
          co_await self->feed->put(std::move(part));
          ++self->putParts;
        }(this, std::move(bytes)),
        asio::detached);
    run();
  }
  std::string take(size_t room) {
    std::string bytes(room, '\0');
    const HttpUpload::Read read = source->read(bytes.data(), room);
    last = read.has;
    return bytes.substr(0, read.size);
  }

  asio::io_context io{1};
  std::shared_ptr<UploadSource> source;
  std::unique_ptr<UploadFeed> feed;
  int putParts = 0;
  Has last = Has::kWait;
};

TEST_F(UploadPipeTest, BytesComeOutInOrderAndThenTheEnd) {
  open();
  put("abc");
  put("de");
  feed->end();
  EXPECT_EQ(take(2), "ab");
  EXPECT_EQ(take(9), "c");
  EXPECT_EQ(take(9), "de");
  EXPECT_EQ(take(9), "");
  EXPECT_EQ(last, Has::kEnd);
}

TEST_F(UploadPipeTest, AFullPipeTakesNoMoreUntilThereIsRoom) {
  open();
  put(std::string(kUploadBytesMax, 'a'));
  put("b");
  EXPECT_EQ(putParts, 1);
  take(1);
  run();
  EXPECT_EQ(putParts, 2);
}

TEST_F(UploadPipeTest, AReaderThatFoundNothingIsWokenOnce) {
  open();
  int woken = 0;
  take(9);
  EXPECT_EQ(last, Has::kWait);
  source->onMore([&] { ++woken; });
  put("a");
  put("b");
  EXPECT_EQ(woken, 1);
}

TEST_F(UploadPipeTest, WhatCameBeforeTheReaderCouldBeWokenWakesIt) {
  open();
  int woken = 0;
  take(9);
  put("a");
  source->onMore([&] { ++woken; });
  EXPECT_EQ(woken, 1);
}

TEST_F(UploadPipeTest, AClientThatGoesAwayStopsTheReader) {
  open();
  put("a");
  feed.reset();
  take(9);
  EXPECT_EQ(last, Has::kStop);
}

TEST_F(UploadPipeTest, WithoutAReaderEverythingIsThrownAway) {
  open();
  put(std::string(kUploadBytesMax, 'a'));
  put("b");
  source.reset();
  run();
  put(std::string(kUploadBytesMax, 'c'));
  put("d");
  EXPECT_EQ(putParts, 4);
}

TEST_F(UploadPipeTest, NobodyIsWokenAfterTheReaderHasGone) {
  open();
  int woken = 0;
  take(9);
  source->onMore([&] { ++woken; });
  source->abandon();
  put("a");
  EXPECT_EQ(woken, 0);
}

TEST_F(UploadPipeTest, AClientThatAsksFirstIsToldToGoOnWhenSomebodyReads) {
  open(true);
  std::vector<bool> wanted;
  const auto ask = [&]() -> asio::awaitable<void> { wanted.push_back(co_await feed->wanted()); };
  asio::co_spawn(io, ask, asio::detached);
  run();
  EXPECT_TRUE(wanted.empty());
  take(9);
  run();
  EXPECT_EQ(wanted, std::vector<bool>{true});
}

TEST_F(UploadPipeTest, AClientThatAsksFirstIsToldWhenNobodyWillRead) {
  open(true);
  std::vector<bool> wanted;
  const auto ask = [&]() -> asio::awaitable<void> { wanted.push_back(co_await feed->wanted()); };
  asio::co_spawn(io, ask, asio::detached);
  run();
  source.reset();
  run();
  EXPECT_EQ(wanted, std::vector<bool>{false});
}

}  // namespace
}  // namespace roost
