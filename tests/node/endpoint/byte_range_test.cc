#include "node/endpoint/byte_range.h"

#include "gtest/gtest.h"

namespace roost {
namespace {

using Kind = ByteRange::Kind;

void expectPart(absl::string_view header, uint64_t first, uint64_t end) {
  const ByteRange range = byteRange(header, 100);
  EXPECT_EQ(range.kind, Kind::kPart) << header;
  EXPECT_EQ(range.first, first) << header;
  EXPECT_EQ(range.end, end) << header;
}

TEST(ByteRange, PartsAreCutToTheFile) {
  expectPart("bytes=0-0", 0, 1);
  expectPart("bytes=0-", 0, 100);
  expectPart("bytes=10-19", 10, 20);
  expectPart("bytes=99-", 99, 100);
  expectPart("bytes=50-1000", 50, 100);
  expectPart("bytes=-10", 90, 100);
  expectPart("bytes=-1000", 0, 100);
  expectPart(" Bytes=5-6 ", 5, 7);
}

TEST(ByteRange, WhatIsNoSingleRangeIsTheWhole) {
  for (const char* header : {"", "bytes", "bytes=", "bytes=a-b", "bytes=5", "bytes=7-5",
                             "bytes=0-1,5-6", "items=0-1", "bytes=--5", "bytes=+1-2"}) {
    const ByteRange range = byteRange(header, 100);
    EXPECT_EQ(range.kind, Kind::kWhole) << header;
    EXPECT_EQ(range.end, 100u) << header;
  }
}

TEST(ByteRange, BeyondTheEndIsUnsatisfiable) {
  for (const char* header : {"bytes=100-", "bytes=100-200", "bytes=-0"}) {
    EXPECT_EQ(byteRange(header, 100).kind, Kind::kUnsatisfiable) << header;
  }
}

TEST(ByteRange, OfAnEmptyFileIsTheWholeOfNothing) {
  const ByteRange range = byteRange("bytes=0-0", 0);
  EXPECT_EQ(range.kind, Kind::kWhole);
  EXPECT_EQ(range.end, 0u);
}

}  // namespace
}  // namespace roost
