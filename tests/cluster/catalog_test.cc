#include "cluster/catalog.h"

#include <gtest/gtest.h>

#include "tests/cluster/turn_fixture.h"

namespace roost {
namespace {

class CatalogTest : public ::testing::Test, public TurnFixture {
 protected:
  void say(uint64_t node, const std::vector<AdvertChange>& changes, bool reset = false) {
    step([&](Turn& turn) { catalog.apply(turn, NodeId::ofNumber(node), reset, changes); });
    catalog.setPresent(NodeId::ofNumber(node), true);
  }
  std::vector<NodeId> holders(const BlobInfo& wanted) const {
    std::vector<NodeId> nodes;
    for (const HolderView& holder : catalog.holders(wanted)) nodes.push_back(holder.node);
    return nodes;
  }
  static std::vector<NodeId> nodes(std::initializer_list<uint64_t> numbers) {
    std::vector<NodeId> list;
    for (const uint64_t number : numbers) list.push_back(NodeId::ofNumber(number));
    return list;
  }

  const BlobInfo blob{testBlob(1), 100};
  Catalog catalog;
};

TEST_F(CatalogTest, AWithdrawnAdvertCountsNoMore) {
  say(1, {advertised(blob)});
  say(2, {advertised(blob, true)});
  EXPECT_EQ(holders(blob), nodes({1, 2}));
  EXPECT_TRUE(catalog.holders(blob)[1].unverified);
  say(1, {withdrawn(blob.id)});
  EXPECT_EQ(holders(blob), nodes({2}));
}

TEST_F(CatalogTest, AfterAResetOnlyTheNewCounts) {
  const BlobInfo other{testBlob(2), 5};
  say(1, {advertised(blob), advertised(other)});
  say(1, {advertised(other)}, true);
  EXPECT_TRUE(holders(blob).empty());
  EXPECT_EQ(holders(other), nodes({1}));
  EXPECT_EQ(catalog.advertsOf(NodeId::ofNumber(1)), 1u);
}

TEST_F(CatalogTest, WhoIsGoneDoesNotHoldUntilItIsBack) {
  say(1, {advertised(blob)});
  catalog.setPresent(NodeId::ofNumber(1), false);
  EXPECT_TRUE(holders(blob).empty());
  catalog.setPresent(NodeId::ofNumber(1), true);
  EXPECT_EQ(holders(blob), nodes({1}));
}

TEST_F(CatalogTest, AnotherSizeIsReportedAndKeptApart) {
  say(1, {advertised(blob)});
  say(2, {advertised({blob.id, 101})});
  EXPECT_EQ(all<Report>().size(), 1u);
  EXPECT_EQ(holders(blob), nodes({1}));
  EXPECT_EQ(holders({blob.id, 101}), nodes({2}));
  say(1, {withdrawn(blob.id)});
  EXPECT_TRUE(holders(blob).empty());
  EXPECT_EQ(holders({blob.id, 101}), nodes({2}));
  say(2, {withdrawn(blob.id)});
  EXPECT_EQ(catalog.blobs(), 0u);
}

TEST_F(CatalogTest, TwoContentsOfOneGitNameAreADispute) {
  const BlobId id = BlobId::gitSha1({1});
  BlobAdvert advert{{id, 3}};
  advert.sha256 = Sha256{1};
  say(1, {{0, Advert(advert)}});
  EXPECT_FALSE(catalog.disputed(id));
  advert.sha256 = Sha256{2};
  say(2, {{0, Advert(advert)}});
  EXPECT_TRUE(catalog.disputed(id));
  EXPECT_EQ(all<Report>().size(), 1u);
}

TEST_F(CatalogTest, NodesOnOneStoreCountAsOneCopy) {
  const std::vector<StoreId> shared{*StoreId::parse("nfs-1")};
  const std::vector<StoreId> own{};
  say(1, {advertised(blob)});
  say(2, {advertised(blob)});
  say(3, {advertised(blob)});
  const ClusterTotals totals = catalog.totals(
      [&](const NodeId& node) { return node == NodeId::ofNumber(3) ? &own : &shared; });
  EXPECT_EQ(totals.uniqueBytes, 100u);
  EXPECT_EQ(totals.heldBytes, 200u);
}

AdvertChange claimed(uint8_t key, uint8_t value, int64_t createdMs) {
  Sha256 digest{};
  digest[0] = key;
  return {0, Advert(RepresentationAdvert{
                 RepresentationKey::of(digest),
                 {{testBlob(value), 10}, absl::FromUnixMillis(createdMs), NodeId::ofNumber(1)}})};
}
RepresentationKey keyOf(uint8_t key) {
  Sha256 digest{};
  digest[0] = key;
  return RepresentationKey::of(digest);
}

TEST_F(CatalogTest, OfClaimsForOneKeyTheOldestComesFirst) {
  say(1, {claimed(7, 1, 2000)});
  say(2, {claimed(7, 2, 1000)});
  say(3, {claimed(7, 2, 1000)});
  const auto claims = catalog.representation(keyOf(7));
  ASSERT_EQ(claims.size(), 3U);
  EXPECT_EQ(claims[0].node, NodeId::ofNumber(2));
  EXPECT_EQ(claims[0].claim.blob.id, testBlob(2));
  EXPECT_EQ(claims[2].node, NodeId::ofNumber(1));
  EXPECT_EQ(catalog.advertsOf(NodeId::ofNumber(1)), 1U);
}

TEST_F(CatalogTest, ATieIsDecidedByTheDigest) {
  say(1, {claimed(7, 2, 1000)});
  say(2, {claimed(7, 1, 1000)});
  EXPECT_EQ(catalog.representation(keyOf(7))[0].claim.blob.id, testBlob(1));
}

TEST_F(CatalogTest, DifferentValuesForOneKeyAreAConflictWhileBothNodesAreThere) {
  say(1, {claimed(7, 1, 2000), claimed(8, 1, 1000)});
  say(2, {claimed(7, 2, 1000), claimed(8, 1, 1000)});
  ASSERT_EQ(catalog.conflicts().size(), 1U);
  EXPECT_EQ(catalog.conflicts()[0].key, keyOf(7));
  catalog.setPresent(NodeId::ofNumber(2), false);
  EXPECT_TRUE(catalog.conflicts().empty());
  catalog.setPresent(NodeId::ofNumber(2), true);
  say(1, {claimed(7, 2, 1000)});  // it took the older one
  EXPECT_TRUE(catalog.conflicts().empty());
}

TEST_F(CatalogTest, ARepresentationThatIsWithdrawnIsGone) {
  say(1, {claimed(7, 1, 1000), claimed(8, 1, 1000)});
  say(1, {{0, AdvertKey(keyOf(7))}});
  EXPECT_TRUE(catalog.representation(keyOf(7)).empty());
  say(1, {}, true);
  EXPECT_TRUE(catalog.representation(keyOf(8)).empty());
  EXPECT_EQ(catalog.advertsOf(NodeId::ofNumber(1)), 0U);
}

}  // namespace
}  // namespace roost
