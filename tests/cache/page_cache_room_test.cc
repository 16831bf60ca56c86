#include "cache/page_cache_room.h"

#include <gtest/gtest.h>

namespace roost {
namespace {

TEST(PageCacheRoomTest, HasRoomForSoMuchAndAgainInTime) {
  PageCacheRoom room(1000);
  const absl::Time start = absl::FromUnixSeconds(1'000'000);
  EXPECT_TRUE(room.take(600, start));
  EXPECT_FALSE(room.take(600, start));
  EXPECT_TRUE(room.take(400, start));
  EXPECT_FALSE(room.take(1, start));
  EXPECT_FALSE(room.take(501, start + kPageCacheRefill / 2));
  EXPECT_TRUE(room.take(499, start + kPageCacheRefill / 2));
  EXPECT_TRUE(room.take(1000, start + 3 * kPageCacheRefill));
  EXPECT_FALSE(room.take(1, start + 3 * kPageCacheRefill)) << "never more than at first";
}

TEST(PageCacheRoomTest, AClockThatGoesBackGivesNothing) {
  PageCacheRoom room(1000);
  const absl::Time start = absl::FromUnixSeconds(1'000'000);
  EXPECT_TRUE(room.take(1000, start));
  EXPECT_FALSE(room.take(1, start - absl::Hours(1)));
  EXPECT_FALSE(room.take(1, start));
}

TEST(PageCacheRoomTest, OfThisMachineIsAPartOfItsMemory) {
  EXPECT_GT(PageCacheRoom::ofThisMachine(), 16u << 20);
  EXPECT_LT(PageCacheRoom::ofThisMachine(), uint64_t{1} << 44);
}

}  // namespace
}  // namespace roost
