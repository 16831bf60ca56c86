#include "protocol/piece_map.h"

#include <gtest/gtest.h>

namespace roost {
namespace {

TEST(PieceMap, TellsEachPieceOfABlobThatIsNotLarge) {
  std::vector<bool> have(300);
  have[0] = have[7] = have[8] = have[299] = true;
  const PieceMap map = PieceMap::of(have);
  for (size_t piece = 0; piece < have.size(); ++piece) {
    EXPECT_EQ(map.has(piece, have.size()), have[piece]) << piece;
  }
  EXPECT_FALSE(map.has(300, 300));
}

TEST(PieceMap, OfALargeBlobTellsOnlyWhatIsThereInARow) {
  std::vector<bool> have(3 * kPieceMapBits - 1, true);
  have[4] = false;
  const PieceMap map = PieceMap::of(have);
  EXPECT_LE(map.bytes().size(), kPieceMapBits / 8);
  for (const uint64_t piece : {0, 1, 2, 6, 7}) EXPECT_TRUE(map.has(piece, have.size())) << piece;
  for (const uint64_t piece : {3, 4, 5}) EXPECT_FALSE(map.has(piece, have.size())) << piece;
  EXPECT_TRUE(map.has(have.size() - 1, have.size())) << "the last ones are fewer";
}

TEST(PieceMap, KnowsOfNoneWhereNothingWasSaid) {
  EXPECT_TRUE(PieceMap().empty());
  EXPECT_FALSE(PieceMap().has(0, 10));
  EXPECT_TRUE(PieceMap::of(std::vector<bool>(10)).empty());
}

TEST(PieceMap, AddsWhatAnotherHas) {
  std::vector<bool> one(20), other(20);
  one[1] = other[19] = true;
  PieceMap both = PieceMap::of(one);
  both.add(PieceMap::of(other));
  EXPECT_TRUE(both.has(1, 20));
  EXPECT_TRUE(both.has(19, 20));
  EXPECT_FALSE(both.has(2, 20));
}

TEST(PieceMap, TakesNoMoreThanItMayBeLong) {
  const PieceMap map = PieceMap::ofBytes(std::string(kPieceMapBits, '\xff'));
  EXPECT_EQ(map.bytes().size(), kPieceMapBits / 8);
  EXPECT_TRUE(map.has(9, 10));
}

}  // namespace
}  // namespace roost
