#include "cache/representation_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

RepresentationKey key(char digit) {
  return *RepresentationKey::parse(std::string(64, digit));
}
HeldRepresentation value(char digit, int64_t createdMs, uint64_t size = 10, std::string path = "") {
  return {{{*BlobId::parseHex(std::string(64, digit)), size},
           absl::FromUnixMillis(createdMs),
           NodeId::ofNumber(1)},
          std::move(path),
          {}};
}
std::vector<RepresentationKey> told(std::vector<std::variant<Advert, AdvertKey>> changes,
                                    bool withdrawn) {
  std::vector<RepresentationKey> keys;
  for (const auto& change : changes) {
    if (const auto* advert = std::get_if<Advert>(&change); advert != nullptr && !withdrawn) {
      keys.push_back(std::get<RepresentationAdvert>(*advert).key);
    } else if (const auto* gone = std::get_if<AdvertKey>(&change); gone != nullptr && withdrawn) {
      keys.push_back(std::get<RepresentationKey>(*gone));
    }
  }
  return keys;
}

TEST(RepresentationTable, OfSeveralValuesTheOldestCounts) {
  RepresentationTable table;
  table.put(key('1'), value('a', 2000, 10, "/watched/a"));
  table.put(key('1'), value('b', 1000));
  EXPECT_EQ(table.find(key('1'))->claim, value('b', 1000).claim);
  EXPECT_THAT(table.conflicts(), ElementsAre(key('1')));
  EXPECT_THAT(table.others(key('1')), ElementsAre(value('a', 2000).claim));
  table.remove(key('1'), "");
  EXPECT_EQ(table.find(key('1'))->claim, value('a', 2000).claim);
  EXPECT_THAT(table.conflicts(), IsEmpty());
}

TEST(RepresentationTable, TellsEachChangeOnce) {
  RepresentationTable table;
  table.put(key('1'), value('a', 1000));
  EXPECT_THAT(told(table.takeChanges(), false), ElementsAre(key('1')));
  table.put(key('1'), value('a', 1000));  // the same again
  EXPECT_THAT(table.takeChanges(), IsEmpty());
  table.put(key('2'), value('b', 1000));
  table.remove(key('2'), "");  // nobody knows of it
  EXPECT_THAT(table.takeChanges(), IsEmpty());
  table.remove(key('1'), "");
  EXPECT_THAT(told(table.takeChanges(), true), ElementsAre(key('1')));
}

TEST(RepresentationTable, AKeyThatComesBackIsNotWithdrawn) {
  RepresentationTable table;
  table.put(key('1'), value('a', 1000));
  table.takeChanges();
  table.remove(key('1'), "");
  table.put(key('1'), value('b', 2000));
  const auto changes = table.takeChanges();
  EXPECT_THAT(changes, SizeIs(1));
  EXPECT_THAT(told(changes, false), ElementsAre(key('1')));
}

TEST(RepresentationTable, AfterARestartOnlyWhatChangedIsTold) {
  RepresentationTable table;
  std::vector<AdvertChange> before;
  for (char digit : {'1', '2', '3'}) {
    before.push_back({1, Advert(RepresentationAdvert{key(digit), value('a', 1000).claim})});
  }
  table.restore(before);
  table.put(key('1'), value('a', 1000));
  table.put(key('2'), value('b', 500));
  table.settled();
  const auto changes = table.takeChanges();
  EXPECT_THAT(told(changes, false), ElementsAre(key('2')));
  EXPECT_THAT(told(changes, true), ElementsAre(key('3')));
}

TEST(RepresentationTable, GivesUpWhatWasUsedLongestAgo) {
  RepresentationTable table;
  table.put(key('1'), value('a', 1000));
  table.put(key('2'), value('b', 1000));
  table.put(key('3'), value('c', 1000, 10, "/watched/c"));
  table.used(key('1'));
  table.used(key('3'));
  EXPECT_EQ(table.ownBytes(), 20U);
  EXPECT_EQ(table.bytes(), 30U);
  EXPECT_THAT(table.leastUsed(1), ElementsAre(key('2')));
  EXPECT_THAT(table.leastUsed(1000), ElementsAre(key('2'), key('1')));
}

TEST(RepresentationTable, FindsAValueByItsBlobHoweverManyKeysItHas) {
  RepresentationTable table;
  const BlobId blob = value('a', 1).claim.blob.id;
  table.put(key('1'), value('a', 1000));
  table.put(key('2'), value('a', 1000));
  table.remove(key('1'), "");
  EXPECT_EQ(table.keyOf(blob), key('2'));
  table.remove(key('2'), "");
  EXPECT_EQ(table.keyOf(blob), std::nullopt);
}

TEST(RepresentationTable, IsBounded) {
  RepresentationTable table(1);
  EXPECT_TRUE(table.put(key('1'), value('a', 1000)));
  EXPECT_FALSE(table.put(key('2'), value('b', 1000)));
  EXPECT_TRUE(table.put(key('1'), value('b', 900, 10, "/watched/b")));
}

}  // namespace
}  // namespace roost
