#include "cluster/store_election.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'000);

StoreId store(const char* name) {
  return *StoreId::parse(name);
}

NodeView node(uint64_t id, std::vector<StoreId> stores, NodeState state = NodeState::kReady) {
  MemberInfo info{.id = NodeId::ofNumber(id)};
  info.stores = std::move(stores);
  return {std::move(info), state, NodeSummary{}, kNow, false};
}

NodeView self(uint64_t id, std::vector<StoreId> stores, NodeState state = NodeState::kReady) {
  NodeView view = node(id, std::move(stores), state);
  view.self = true;
  return view;
}

TEST(StoreElection, TheSmallestIdLooksAfterASharedStore) {
  const auto nas = store("nas");
  EXPECT_THAT(followedStores({self(5, {nas}), node(3, {nas}), node(9, {nas})}, kNow),
              ElementsAre(nas));
  EXPECT_THAT(followedStores({self(3, {nas}), node(5, {nas}), node(9, {nas})}, kNow), IsEmpty());
}

TEST(StoreElection, OnlyWhatBothSeeIsFollowed) {
  EXPECT_THAT(followedStores({self(5, {store("own"), store("nas")}),
                              node(3, {store("nas"), store("theirs")}), node(1, {store("far")})},
                             kNow),
              ElementsAre(store("nas")));
}

TEST(StoreElection, WhoIsGoneOrLongSilentHasLostItsStores) {
  const auto nas = store("nas");
  EXPECT_THAT(followedStores({self(5, {nas}), node(3, {nas}, NodeState::kGone)}, kNow), IsEmpty());
  NodeView silent = node(3, {nas}, NodeState::kSuspected);
  silent.heard = kNow - kStoreTakeover / 2;
  EXPECT_THAT(followedStores({self(5, {nas}), silent}, kNow), ElementsAre(nas));
  silent.heard = kNow - kStoreTakeover;
  EXPECT_THAT(followedStores({self(5, {nas}), silent}, kNow), IsEmpty());
}

TEST(StoreElection, WhoStillReadsItsFoldersIsNotElectedYet) {
  const auto nas = store("nas");
  EXPECT_THAT(followedStores({self(5, {nas}), node(3, {nas}, NodeState::kStarting)}, kNow),
              IsEmpty());
  EXPECT_THAT(followedStores({self(3, {nas}, NodeState::kStarting), node(5, {nas})}, kNow),
              ElementsAre(nas));
}

TEST(StoreElection, AWarmingOrCheckingNodeKeepsItsStores) {
  const auto nas = store("nas");
  for (NodeState state : {NodeState::kWarming, NodeState::kChecking, NodeState::kFull}) {
    EXPECT_THAT(followedStores({self(5, {nas}), node(3, {nas}, state)}, kNow), ElementsAre(nas));
  }
}

}  // namespace
}  // namespace roost
