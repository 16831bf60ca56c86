#include "protocol/convert.h"

#include <capnp/message.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "protocol/limits.h"

namespace roost {
namespace {

RepoId repo() {
  return *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model");
}
Commit commit() {
  return *Commit::parse(std::string(40, 'a'));
}
BlobInfo blob(char digit, uint64_t size) {
  return {*BlobId::parseHex(std::string(64, digit)), size};
}
FileEntry file(const std::string& path, char digit) {
  return {*RelativePath::parse(path), blob(digit, 10), std::nullopt};
}

// What a value becomes after a trip over the wire.
template <typename Wire, typename Value>
auto trip(const Value& value) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<Wire>();
  toWire(value, root);
  return fromWire(root.asReader());
}

TEST(Convert, AMemberSurvivesTheTrip) {
  MemberInfo member{.id = NodeId::random(), .epoch = 7, .name = "gpu-01"};
  member.addresses = {*Address::parse("10.0.0.1:8376"), *Address::parse("[fd00::1]:8376")};
  member.zone = std::string("zone-a");
  member.instance = 99;
  member.stores = {*StoreId::parse("nfs-1")};
  EXPECT_EQ(trip<wire::MemberInfo>(member).value(), member);
}

TEST(Convert, ASummarySurvivesTheTrip) {
  NodeSummary summary{.state = NodeState::kReady, .blobs = 3, .problems = 1};
  summary.stores = {*StoreId::parse("nfs-1"), *StoreId::parse("local-2")};
  summary.hubRest = absl::Seconds(42);
  EXPECT_EQ(trip<wire::NodeSummary>(summary).value(), summary);
}

HubQuestionRequest question(const std::string& target) {
  return {HubOrigin::huggingFace(), target, std::nullopt, "", absl::Seconds(60)};
}

TEST(Convert, AQuestionToTheHubSurvivesTheTrip) {
  HubQuestionRequest asked = question("/api/models/org/model");
  EXPECT_EQ(trip<wire::HubQuestion>(asked).value(), asked);
  asked.form = std::string("paths=a\0b", 9);
  asked.formType = "application/x-www-form-urlencoded";
  asked.ageMax = absl::InfiniteDuration();
  EXPECT_EQ(trip<wire::HubQuestion>(asked).value(), asked);
}

TEST(Convert, AQuestionThatWouldBecomeAnotherRequestIsRefused) {
  for (const char* target : {"", "api/models", "/a\r\nHost: x", "/a\n"}) {
    EXPECT_FALSE(trip<wire::HubQuestion>(question(target)).ok()) << target;
  }
  EXPECT_FALSE(trip<wire::HubQuestion>(question("/" + std::string(kUrlBytesMax, 'x'))).ok());
  HubQuestionRequest asked = question("/a");
  asked.formType = "text/plain\r\nX: y";
  EXPECT_FALSE(trip<wire::HubQuestion>(asked).ok());
}

TEST(Convert, AWordOfTheHubSurvivesTheTrip) {
  HubQuestionReply word{HubOutcome::kAnswer, 200, {{"link", "<x>; rel=\"next\""}}, "{}"};
  word.age = absl::Seconds(3);
  word.stale = true;
  word.rest = absl::Seconds(9);
  EXPECT_EQ(trip<wire::HubWord>(word).value(), word);
  EXPECT_EQ(trip<wire::HubWord>(HubQuestionReply{}).value(), HubQuestionReply{});
}

TEST(Convert, AWordThatNoHubSaysIsRefused) {
  const auto word = [](uint16_t status, const std::string& name, const std::string& value) {
    return trip<wire::HubWord>(HubQuestionReply{HubOutcome::kAnswer, status, {{name, value}}, ""});
  };
  EXPECT_TRUE(word(200, "a", "b").ok());
  EXPECT_FALSE(word(200, "a", "b\r\nSet-Cookie: x").ok());
  EXPECT_FALSE(word(200, "a:", "b").ok());
  EXPECT_FALSE(word(200, "", "b").ok());
  EXPECT_FALSE(word(0, "a", "b").ok());
  EXPECT_FALSE(word(503, "a", "b").ok());
}

TEST(Convert, MoreStoresThanAnyNodeHasAreRefused) {
  NodeSummary summary;
  for (size_t i = 0; i <= kStoresMax; ++i) {
    summary.stores.push_back(*StoreId::parse(std::to_string(i)));
  }
  EXPECT_FALSE(trip<wire::NodeSummary>(summary).ok());
}

TEST(Convert, AnOrderSurvivesTheTrip) {
  ObtainRequest order{NodeId::random(), 12, {repo(), commit(), true, Visibility::kGated, {}}};
  order.listing.files = {file("a", 'a'), file("b/c", 'b')};
  order.manifestOnly = {file("d", 'd')};
  order.manifestOnly[0].pointer = GitSha1{1, 2, 3};
  order.refs = {{RefName::main(), commit(), absl::FromUnixMillis(1'700'000'000'123)}};
  order.limit = 5;
  order.company = true;
  EXPECT_EQ(trip<wire::Obtain>(order).value(), order);
}

TEST(Convert, EveryKindOfAdvertSurvivesTheTrip) {
  FollowReply page{.reset = true, .next = {42, 7}, .more = true};
  page.changes = {
      {1, Advert(BlobAdvert{blob('a', 5), true, Visibility::kPublic, Sha256{9}})},
      {2, Advert(RepoAdvert{repo(), commit(), Visibility::kPrivate, 3, 30, true, 4, 40})},
      {3, Advert(RefAdvert{repo(), {RefName::main(), commit(), std::nullopt}})},
      {4, AdvertKey(blob('a', 5).id)},
      {5, AdvertKey(RepoKey{repo(), commit()})},
      {6, AdvertKey(RefKey{repo(), RefName::main()})},
      {7, Advert(RepresentationAdvert{
              *RepresentationKey::parse(std::string(64, 'e')),
              {blob('f', 1864), absl::FromUnixMillis(1'700'000'000'123), NodeId::random()}})},
      {8, AdvertKey(*RepresentationKey::parse(std::string(64, 'e')))},
  };
  EXPECT_EQ(trip<wire::AdvertPage>(page).value(), page);
  EXPECT_EQ(decodeAdverts(encodeAdverts(page.changes)).value(), page.changes);
}

TEST(Convert, AQuestionForALeaseAndItsAnswerSurviveTheTrip) {
  ComputeLeaseRequest request{"gpu-01 4711", absl::Seconds(120), true, {}};
  request.keys = {*RepresentationKey::parse(std::string(64, 'a'))};
  EXPECT_EQ(trip<wire::Peer::ComputeLeaseParams>(request).value(), request);
  const ComputeLeaseReply reply{
      {ComputeVerdict::kGranted, ComputeVerdict::kOther, ComputeVerdict::kPresent}};
  EXPECT_EQ(trip<wire::Peer::ComputeLeaseResults>(reply).value(), reply);
}

TEST(Convert, AQuestionForALeaseIsBounded) {
  ComputeLeaseRequest request{"x", absl::InfiniteDuration(), false, {}};
  EXPECT_EQ(trip<wire::Peer::ComputeLeaseParams>(request)->duration, kComputeLeaseMax);
  request.holder = "";
  EXPECT_FALSE(trip<wire::Peer::ComputeLeaseParams>(request).ok());
  request.holder = std::string(kComputeHolderBytesMax + 1, 'x');
  EXPECT_FALSE(trip<wire::Peer::ComputeLeaseParams>(request).ok());
  request.holder = "x";
  request.keys.assign(kComputeLeaseKeysMax + 1, *RepresentationKey::parse(std::string(64, 'a')));
  EXPECT_FALSE(trip<wire::Peer::ComputeLeaseParams>(request).ok());
}

TEST(Convert, AdvertsOfReposThatOnlyLaterVersionsKnowArePassedOver) {
  FollowReply page{.reset = true, .next = {42, 7}, .more = false};
  page.changes = {{1, Advert(RepoAdvert{repo(), commit()})},
                  {2, Advert(RefAdvert{repo(), {RefName::main(), commit(), std::nullopt}})},
                  {3, AdvertKey(RepoKey{repo(), commit()})},
                  {4, AdvertKey(RefKey{repo(), RefName::main()})},
                  {5, AdvertKey(blob('a', 5).id)}};
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::AdvertPage>();
  toWire(page, root);
  const auto later = static_cast<wire::RepoType>(kRepoTypes.size() + 1);
  root.getChanges()[0].getRepo().getRepo().setType(later);
  root.getChanges()[1].getRef().getRepo().setType(later);
  root.getChanges()[2].getWithdrawnRepo().getRepo().setType(later);
  root.getChanges()[3].getWithdrawnRef().getRepo().setType(later);

  const auto read = fromWire(root.asReader());

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->changes, std::vector(1, page.changes[4]));
}

TEST(Convert, WantsAndGrantsSurviveTheTrip) {
  const PieceMap have = PieceMap::of({true, false, true});
  const Want want{blob('c', 1 << 30), WantPhase::kDone, true, false, 77, 99, have};
  EXPECT_EQ(trip<wire::Want>(want).value(), want);
  const Grant grant{false,     5, NodeId::random(), 2, {NodeId::random(), NodeId::random()},
                    {have, {}}};
  EXPECT_EQ(trip<wire::Grant>(grant).value(), grant);
  Grant odd = grant;
  odd.have.pop_back();
  EXPECT_FALSE(trip<wire::Grant>(odd).ok()) << "of which wanter?";
}

TEST(Convert, WhetherAFileMayBeRunSurvivesTheTrip) {
  Listing listing{repo(), commit(), true, Visibility::kPrivate, {file("a", 'a'), file("b", 'b')}};
  listing.files[0].executable = true;
  EXPECT_EQ(trip<wire::Listing>(listing).value(), listing);
}

TEST(Convert, AHostilePathRefusesTheWholeListing) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::Listing>();
  toWire(Listing{repo(), commit(), true, Visibility::kPublic, {file("a", 'a')}}, root);
  root.getFiles()[0].setPath("../../etc/passwd");
  const auto listing = fromWire(root.asReader());
  EXPECT_EQ(listing.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(listing.status().message()), ::testing::HasSubstr("'..'"));
}

TEST(Convert, APathThatStandsTwiceRefusesTheWholeListing) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::Listing>();
  Listing listing{repo(), commit(), true, Visibility::kPublic, {file("a", 'a'), file("a", 'b')}};
  toWire(listing, root);
  EXPECT_FALSE(fromWire(root.asReader()).ok());
}

TEST(Convert, WhatWasObservedSurvivesTheTripInAListingAndIsRefusedInAManifest) {
  FileEntry observed = file("a", 'a');
  observed.pointer = std::nullopt;
  observed.observedAs = MadeEtag::of("W/\"a version\"");
  Listing listing{repo(), commit(), false, Visibility::kPrivate, {observed}};
  EXPECT_EQ(trip<wire::Listing>(listing).value(), listing);
  listing.complete = true;
  EXPECT_FALSE(trip<wire::Listing>(listing).ok());
}

TEST(Convert, AnEtagOfTheWrongLengthIsRefused) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::Listing>();
  toWire(Listing{repo(), commit(), false, Visibility::kPublic, {file("a", 'a')}}, root);
  const uint8_t bytes[17] = {};
  root.getFiles()[0].setObservedAs(kj::arrayPtr(bytes, sizeof bytes));
  EXPECT_FALSE(fromWire(root.asReader()).ok());
}

TEST(Convert, NumbersThatNoEnumHasAreRefused) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::NodeSummary>();
  root.setState(static_cast<wire::NodeState>(77));
  EXPECT_FALSE(fromWire(root.asReader()).ok());
  root.setState(wire::NodeState::GONE);  // others' opinion, never a node's own word
  EXPECT_FALSE(fromWire(root.asReader()).ok());
  root.setState(wire::NodeState::READY);
  EXPECT_TRUE(fromWire(root.asReader()).ok());
}

TEST(Convert, ADigestOfTheWrongLengthIsRefused) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::BlobId>();
  toWire(blob('a', 1).id, root);
  root.initDigest(31);
  EXPECT_FALSE(fromWire(root.asReader()).ok());
}

TEST(Convert, AnEmptyMessageIsRefusedNotDefaulted) {
  capnp::MallocMessageBuilder message;
  EXPECT_FALSE(fromWire(message.initRoot<wire::Obtain>().asReader()).ok());
  EXPECT_FALSE(fromWire(message.initRoot<wire::MemberInfo>().asReader()).ok());
  EXPECT_FALSE(fromWire(message.initRoot<wire::Want>().asReader()).ok());
}

TEST(Convert, SavedBytesThatAreNoMessageAreAnError) {
  EXPECT_FALSE(decodeAdverts(std::string(64, '\xff')).ok());
  EXPECT_TRUE(decodeAdverts(encodeAdverts({})).value().empty());
}

}  // namespace
}  // namespace roost
