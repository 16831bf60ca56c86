#include "cache/unnamed_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "protocol/limits.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class UnnamedWriterTest : public ::testing::Test {
 protected:
  std::unique_ptr<UnnamedWriter> open(std::optional<uint64_t> size) {
    auto writer =
        UnnamedWriter::open(*SafeDir::openRoot(folder_.path()), kNode, size, reservations_);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }
  absl::Status write(UnnamedWriter& writer, const std::vector<uint8_t>& bytes, size_t step) {
    for (size_t at = 0; at < bytes.size(); at += step) {
      const auto part = absl::MakeConstSpan(bytes).subspan(at, step);
      if (absl::Status status = writer.write(part); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      found.push_back(entry.path().filename());
    }
    return found;
  }

  static const inline NodeId kNode = NodeId::ofNumber(7);
  TempFolder folder_;
  std::shared_ptr<Reservations> reservations_ = Reservations::create(0);
};

TEST_F(UnnamedWriterTest, WhatCameIsPublishedUnderItsOwnSha256) {
  const auto content = randomBytes(kPieceBytes * 2 + 12345, 1);
  for (const std::optional<uint64_t> told : {std::optional<uint64_t>(content.size()), {}}) {
    auto writer = open(told);
    ASSERT_TRUE(write(*writer, content, 70'000).ok());
    EXPECT_THAT(names(), ::testing::Not(::testing::Contains(::testing::SizeIs(64))));
    const auto written = writer->publish();
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_EQ(written->blob, infoOf(content, HashAlgorithm::kSha256));
    EXPECT_EQ(written->hashes.pieces.size(), 3u);
    EXPECT_EQ(contentOf(written->path), textOf(content));
    EXPECT_THAT(names(), ElementsAre(written->blob.id.hex()));
    fs::remove(written->path);
  }
}

TEST_F(UnnamedWriterTest, WhatIsNotPublishedLeavesNothing) {
  {
    auto writer = open(100);
    ASSERT_TRUE(writer->write(randomBytes(50, 1)).ok());
    EXPECT_FALSE(names().empty());
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(UnnamedWriterTest, AnotherLengthThanAnnouncedIsRefused) {
  {
    auto shorter = open(100);
    ASSERT_TRUE(shorter->write(randomBytes(99, 1)).ok());
    EXPECT_TRUE(absl::IsDataLoss(shorter->publish().status()));
    auto longer = open(100);
    EXPECT_TRUE(absl::IsDataLoss(longer->write(randomBytes(101, 1))));
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(UnnamedWriterTest, TheSameContentAtOnceIsKeptOnce) {
  const auto content = randomBytes(1000, 1);
  auto first = open(content.size()), second = open(std::nullopt);
  ASSERT_TRUE(first->write(content).ok() && second->write(content).ok());
  EXPECT_EQ(first->publish()->published.outcome, PublishOutcome::kPublished);
  EXPECT_EQ(second->publish()->published.outcome, PublishOutcome::kAlreadyThere);
  EXPECT_THAT(names(), ElementsAre(infoOf(content, HashAlgorithm::kSha256).id.hex()));
}

TEST_F(UnnamedWriterTest, WithoutRoomItDoesNotBegin) {
  reservations_ = Reservations::create(0, [](int) { return uint64_t{1000}; });
  const auto writer =
      UnnamedWriter::open(*SafeDir::openRoot(folder_.path()), kNode, 1001, reservations_);
  EXPECT_TRUE(absl::IsResourceExhausted(writer.status())) << writer.status();
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(UnnamedWriterTest, RoomThatWasPromisedIsGivenBack) {
  const uint64_t before = *reservations_->available(folder_.path());
  auto writer = open(uint64_t{1} << 20);
  EXPECT_LE(*reservations_->available(folder_.path()) + (1 << 20), before + (1 << 19));
  writer.reset();
  EXPECT_GE(*reservations_->available(folder_.path()) + (1 << 19), before);
}

}  // namespace
}  // namespace roost
