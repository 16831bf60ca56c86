// The fetches of one node, against peers that the test plays.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cluster/fetches.h"
#include "cluster/obtains.h"
#include "cluster/readers.h"
#include "protocol/limits.h"
#include "tests/cluster/turn_fixture.h"

namespace roost {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class FetchTest : public ::testing::Test, public TurnFixture {
 protected:
  FetchTest() {
    step([&](Turn& turn) { members.tick(turn, false); });
    for (const uint64_t peer : {2, 3, 4}) {
      step([&](Turn& turn) { members.linkUp(turn, LinkUp{testMember(peer), std::nullopt}); });
      catalog.setPresent(NodeId::ofNumber(peer), true);
    }
    now += absl::Minutes(1);
  }
  void hold(uint64_t node, bool unverified = false) {
    step([&](Turn& turn) {
      catalog.apply(turn, NodeId::ofNumber(node), false,
                    std::vector<AdvertChange>{advertised(blob, unverified)});
    });
    fetches.sourcesChanged();
  }
  void begin(SourceRule rule = SourceRule::kAny, bool company = false) {
    step([&](Turn& turn) {
      const BlobSite site{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "o/m"),
                          *Commit::parse(std::string(40, 'a')), *RelativePath::parse("file")};
      ASSERT_TRUE(fetches.want(turn, blob, site, rule, owner, company).ok());
    });
  }
  // Of a blob for which the others' numbers are worth waiting for.
  void beginInCompany() {
    blob.size = 16 * kMiB;
    hold(2);
    begin(SourceRule::kAny, true);
    opened();
  }
  void opened(std::vector<uint64_t> present = {}) {
    step([&](Turn& turn) { fetches.on(turn, WriterOpened{id, std::move(present)}); });
    note();
  }
  void grant(uint32_t number, std::initializer_list<uint64_t> wanters, uint64_t fence = 0,
             std::optional<uint64_t> leaseholder = std::nullopt,
             std::vector<std::set<uint64_t>> have = {}) {
    Grant word;
    for (const std::set<uint64_t>& pieces : have) {
      std::vector<bool> bits(pieceCount(blob.size));
      for (const uint64_t piece : pieces) bits[piece] = true;
      word.have.push_back(PieceMap::of(bits));
    }
    word.number = number;
    word.fence = fence;
    for (const uint64_t wanter : wanters) word.wanters.push_back(NodeId::ofNumber(wanter));
    if (leaseholder) word.leaseholder = NodeId::ofNumber(*leaseholder);
    step([&](Turn& turn) {
      auto* fetch = const_cast<Fetch*>(fetches.find(blob.id));
      fetch->granted(turn, word, now);
      fetch->granted(turn, word, now);  // twice: everybody has been heard of
    });
    note();
  }
  // Remembers the reads that were asked for.
  void note() {
    for (const ReadPiece& read : all<ReadPiece>()) reads.insert({read.source, read.piece});
  }
  void answer(NodeId source, uint64_t piece, absl::StatusOr<ReadOutcome> outcome) {
    now += absl::Milliseconds(1);
    reads.erase({source, piece});
    step([&](Turn& turn) { fetches.on(turn, PieceRead{id, source, piece, outcome}); });
    note();
    if (!all<FinishBlob>().empty()) finishing = true;
  }
  // Every read is answered with data, until none is left.
  void answerAll() {
    while (!reads.empty()) {
      const auto [source, piece] = *reads.begin();
      senders.insert_or_assign(piece, source);
      answer(source, piece, ReadOutcome::kData);
    }
  }
  void finish(absl::Status status, std::set<uint64_t> odd = {}) {
    BlobFinished event{id, status, {}};
    for (uint64_t piece = 0; piece < pieceCount(blob.size); ++piece) {
      event.pieceHashes.push_back({static_cast<uint8_t>(odd.contains(piece) ? 1 : 0)});
    }
    finishing = false;
    step([&](Turn& turn) { fetches.on(turn, event); });
    note();
  }
  void tick(absl::Duration later) {
    now += later;
    step([&](Turn& turn) { fetches.tick(turn); });
    note();
  }
  std::optional<absl::Status> result() {
    const auto ended = fetches.takeEnded();
    if (ended.empty()) return std::nullopt;
    return ended.front().status;
  }
  ReadOutcome asked(uint64_t peer, uint64_t piece) {
    step([&](Turn& turn) {
      fetches.on(turn, PieceAsked{NodeId::ofNumber(peer), AskId{9}, blob.id, piece});
    });
    note();
    const auto answers = all<AnswerPiece>();
    return answers.empty() ? kPromised : answers.front().outcome;
  }
  std::set<uint64_t> piecesAskedOf(uint64_t node) const {
    std::set<uint64_t> pieces;
    for (const auto& [source, piece] : reads) {
      if (source == NodeId::ofNumber(node)) pieces.insert(piece);
    }
    return pieces;
  }

  static constexpr ReadOutcome kPromised = static_cast<ReadOutcome>(99);

  const ObtainKey owner{NodeId::ofNumber(1), 1};
  const FetchId id{1};
  BlobInfo blob{testBlob(1), 12 * kMiB};
  Members members{testMember(1), {}, random};
  Catalog catalog;
  Follower follower{catalog};
  Registrar registrar{members};
  Wants wants{members, registrar};
  Distrust distrust;
  ReadBudgets budgets;
  Fetches fetches{{members, catalog, follower, wants, distrust, budgets, random, true}};
  std::set<std::pair<NodeId, uint64_t>> reads;
  std::map<uint64_t, NodeId> senders;
  bool finishing = false;
};

TEST_F(FetchTest, ALoneWanterTakesEverythingFromAHolderOnce) {
  hold(2);
  begin();
  EXPECT_EQ(all<OpenWriter>().size(), 1u);
  opened();
  grant(0, {1});
  answerAll();
  ASSERT_TRUE(finishing);
  finish(absl::OkStatus());
  ASSERT_TRUE(result()->ok());
  EXPECT_EQ(fetches.size(), 0u);
  EXPECT_EQ(budgets.origins.inFlight(), 0);
}

TEST_F(FetchTest, WhatATemporaryHasIsNotFetchedAgain) {
  hold(2);
  begin();
  opened({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  grant(0, {1});
  answerAll();
  EXPECT_EQ(senders.size(), 2u);
  EXPECT_TRUE(finishing);
}

TEST_F(FetchTest, AWanterTakesItsStripeFromTheHolderAndTheOthersFromTheirOwners) {
  hold(2);
  begin();
  opened({0, 1});  // so that nothing is asked in the gentle beginning that the stripes forbid
  for (auto it = reads.begin(); it != reads.end();) {
    const auto [source, piece] = *it++;
    answer(source, piece, ReadOutcome::kBusy);
  }
  reads.clear();
  now += absl::Seconds(1);
  grant(1, {3, 1, 4});
  answerAll();
  for (const auto& [piece, sender] : senders) {
    const uint64_t owners[] = {3, 2, 4};  // its own stripe it takes from the holder
    EXPECT_EQ(sender, NodeId::ofNumber(owners[piece % 3])) << piece;
  }
  EXPECT_TRUE(finishing);
}

TEST_F(FetchTest, WhatAWanterIsKnownToHaveIsTakenFromItWhosesoeverStripeItIsIn) {
  hold(2);
  begin();
  opened();
  // All but the last three pieces are with 3: what of these is in 4's stripe, or in its own, too.
  grant(1, {3, 1, 4}, 0, std::nullopt, {{0, 1, 2, 3, 4, 5, 6, 7, 8}, {}, {}});
  senders.insert_or_assign(reads.begin()->second, reads.begin()->first);  // the gentle beginning
  answerAll();
  int ofHolder = 0;
  for (const auto& [piece, sender] : senders) {
    if (piece < 9) {
      ofHolder += sender == NodeId::ofNumber(2);
      EXPECT_NE(sender, NodeId::ofNumber(4)) << piece << ": it may never have it";
    } else if (piece == 10) {
      EXPECT_EQ(sender, NodeId::ofNumber(2)) << "its own stripe, and nobody has it";
    }
  }
  EXPECT_LE(ofHolder, 1) << "the one of the beginning";
  EXPECT_TRUE(finishing);
}

TEST_F(FetchTest, AWanterThatRefusesWhatItShouldHaveIsNotBelieved) {
  hold(2);
  begin();
  opened();
  grant(1, {3, 1}, 0, std::nullopt, {{1, 3, 5, 7, 9, 11}, {}});
  ASSERT_FALSE(piecesAskedOf(3).empty());
  while (!piecesAskedOf(3).empty()) {
    answer(NodeId::ofNumber(3), *piecesAskedOf(3).begin(), ReadOutcome::kNotMine);
  }
  now += absl::Seconds(3);
  tick(absl::Seconds(0));
  for (int i = 0; i < 12 && !piecesAskedOf(2).empty(); ++i) {
    senders.insert_or_assign(*piecesAskedOf(2).begin(), NodeId::ofNumber(2));
    answer(NodeId::ofNumber(2), *piecesAskedOf(2).begin(), ReadOutcome::kData);
  }
  for (const uint64_t piece : {1, 3, 5, 7, 9, 11}) EXPECT_TRUE(senders.contains(piece)) << piece;
}

TEST_F(FetchTest, ItTellsTheOthersWhatIsOnItsWayFromAHolder) {
  hold(2);
  begin();
  opened({3});
  grant(1, {3, 1, 4});
  const PieceMap have = fetches.find(blob.id)->want().have;
  ASSERT_FALSE(piecesAskedOf(2).empty());
  for (const uint64_t piece : piecesAskedOf(2)) EXPECT_TRUE(have.has(piece, 12)) << piece;
  EXPECT_TRUE(have.has(3, 12));
  for (const uint64_t piece : piecesAskedOf(3)) EXPECT_FALSE(have.has(piece, 12)) << piece;
}

TEST_F(FetchTest, WhereOthersBeginTooItWaitsForItsNumberAShortWhile) {
  beginInCompany();
  tick(absl::Milliseconds(100));
  EXPECT_TRUE(reads.empty());
  grant(1, {3, 1});
  ASSERT_FALSE(piecesAskedOf(2).empty());
  for (const uint64_t piece : piecesAskedOf(2)) EXPECT_EQ(piece % 2, 1u) << "its own stripe";
}

TEST_F(FetchTest, WithoutAWordOfTheRegistrarItBeginsAllTheSame) {
  beginInCompany();
  tick(absl::Seconds(1));
  EXPECT_FALSE(piecesAskedOf(2).empty());
}

TEST_F(FetchTest, ItPromisesOnlyWhatItTakesItself) {
  hold(2);
  begin();
  opened({3});
  grant(1, {3, 1, 4});
  EXPECT_EQ(asked(3, 3), ReadOutcome::kData);
  EXPECT_EQ(asked(3, 4), kPromised);
  // Of 4's stripe, every second piece has 3 for its stand-in.
  uint64_t others = 2;
  while (piecesAskedOf(2).contains(others)) others += 6;
  EXPECT_EQ(asked(3, others), ReadOutcome::kNotMine) << "or two wanters wait for one another";
  EXPECT_EQ(asked(3, 99), ReadOutcome::kGone);
}

TEST_F(FetchTest, ItPromisesNothingToTheOnlyHolder) {
  hold(3);  // which asks: it has lost its copy, and has not said so yet
  begin();
  opened();
  grant(1, {3, 1});
  uint64_t own = 1;
  while (piecesAskedOf(3).contains(own)) own += 2;
  EXPECT_EQ(asked(3, own), ReadOutcome::kNotMine) << "or two nodes wait for one another";
  EXPECT_EQ(asked(4, own), kPromised);
}

TEST_F(FetchTest, WhatCameSinceAJobLookedIsNotFetchedAgain) {
  Obtains obtains(fetches, members);
  const FileEntry file{*RelativePath::parse("file"), blob};
  const Listing listing{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "o/m"),
                        *Commit::parse(std::string(40, 'a')),
                        true,
                        Visibility::kUnknown,
                        {file}};
  step([&](Turn& turn) {
    obtains.begin(turn, {owner.coordinator, owner.job, listing});
    obtains.on(turn, PresenceKnown{owner, absl::OkStatus(), {false}, uint64_t{1} << 40});
  });
  // A client's fetch of it ends, before its copy is advertised.
  step([&](Turn& turn) {
    obtains.fetchEnded(turn, {blob, absl::OkStatus(), {}, {}});
    obtains.pump(turn);
  });
  EXPECT_EQ(all<OpenWriter>().size(), 0u);
  EXPECT_EQ(all<PublishRepo>().size(), 1u);
  EXPECT_EQ(obtains.progress(owner).bytesDone, blob.size);
}

TEST_F(FetchTest, AskedForAPieceThatItStandsInForItTakesItFromTheHolder) {
  hold(2);
  begin();
  opened({3});
  grant(1, {3, 1, 4});
  uint64_t others = 5;
  while (piecesAskedOf(2).contains(others)) others += 6;
  EXPECT_EQ(asked(3, others), kPromised) << "3 finds that 4 is out";
  while (!piecesAskedOf(2).contains(others)) {
    ASSERT_FALSE(piecesAskedOf(2).empty()) << "4, which answers nothing, is not waited for";
    answer(NodeId::ofNumber(2), *piecesAskedOf(2).begin(), ReadOutcome::kData);
  }
}

TEST_F(FetchTest, WhoHasItWholeSendsReadersToTheFileItself) {
  begin();
  opened({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  finish(absl::OkStatus());
  ASSERT_TRUE(result()->ok());
  EXPECT_EQ(asked(3, 3), ReadOutcome::kGone) << "notMine would be asked again for ever";
}

TEST_F(FetchTest, ALeaseholderThatEndsBeforeItsAdvertIsKnownIsAskedAgainAsAHolder) {
  begin();
  opened();
  grant(0, {1, 2}, 0, 2);
  ASSERT_FALSE(piecesAskedOf(2).empty());
  hold(2);  // known before the answer is
  while (!reads.empty()) answer(NodeId::ofNumber(2), reads.begin()->second, ReadOutcome::kGone);
  tick(absl::Seconds(1));
  EXPECT_FALSE(piecesAskedOf(2).empty());
}

TEST_F(FetchTest, WhatOthersWereAskedForIsAskedOfTheHubToo) {
  begin();
  opened();
  grant(0, {1, 2}, 0, 2);
  ASSERT_FALSE(piecesAskedOf(2).empty()) << "they wait at the leaseholder, which hangs";
  grant(0, {1}, 9, 1);
  if (all<HubDownload>().empty()) tick(absl::Seconds(4));
  ASSERT_EQ(all<HubDownload>().size(), 1u);
  EXPECT_EQ(all<HubDownload>()[0].pieces.size(), 12u);
}

TEST_F(FetchTest, ANewLeaseholderDoesNotWaitForAWanterThatIsAway) {
  begin();
  opened();
  grant(0, {1, 2, 3, 4}, 0, 2);
  ASSERT_FALSE(piecesAskedOf(3).empty());
  for (const uint64_t peer : {2, 3}) {
    step([&](Turn& turn) { members.linkDown(turn, NodeId::ofNumber(peer)); });
  }
  fetches.sourcesChanged();
  grant(0, {1, 4}, 9, 1);
  bool downloads = false;
  while (!piecesAskedOf(4).empty()) {
    answer(NodeId::ofNumber(4), *piecesAskedOf(4).begin(), ReadOutcome::kNotMine);
    downloads |= !all<HubDownload>().empty();
  }
  tick(absl::Milliseconds(100));
  downloads |= !all<HubDownload>().empty();
  EXPECT_FALSE(piecesAskedOf(3).empty()) << "these have no answer yet";
  EXPECT_TRUE(downloads);
}

TEST_F(FetchTest, ADownloadFromTheHubIsToldWhenOthersFollow) {
  begin();
  opened();
  grant(0, {1}, 9, 1);
  ASSERT_EQ(all<HubDownload>().size(), 1u);
  EXPECT_FALSE(all<HubDownload>()[0].followed);
  grant(0, {1, 3}, 9, 1);
  const std::vector<LimitHub> told = all<LimitHub>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(told[0].followed);
}

TEST_F(FetchTest, AWriteThatFailsEndsIt) {
  begin();
  opened();
  step([&](Turn& turn) {
    fetches.on(turn, WriterOpened{id, absl::ResourceExhaustedError("no space left")});
  });
  EXPECT_TRUE(absl::IsResourceExhausted(*result()));
}

TEST_F(FetchTest, APromiseIsKeptWhenThePieceLandsAndBrokenWhenTheHolderGoes) {
  hold(2);
  begin();
  opened();
  grant(0, {1, 3});
  ASSERT_FALSE(piecesAskedOf(2).empty());
  const uint64_t piece = *piecesAskedOf(2).begin();
  ASSERT_EQ(asked(3, piece), kPromised);
  answer(NodeId::ofNumber(2), piece, ReadOutcome::kData);
  ASSERT_EQ(all<AnswerPiece>().size(), 1u);
  EXPECT_EQ(all<AnswerPiece>()[0].outcome, ReadOutcome::kData);

  const uint64_t next = *piecesAskedOf(2).begin();
  ASSERT_EQ(asked(3, next), kPromised);
  step([&](Turn& turn) { members.linkDown(turn, NodeId::ofNumber(2)); });
  fetches.sourcesChanged();
  tick(absl::Milliseconds(100));
  ASSERT_EQ(all<AnswerPiece>().size(), 1u);
  EXPECT_EQ(all<AnswerPiece>()[0].outcome, ReadOutcome::kNotMine);
}

TEST_F(FetchTest, TheRangesOfALostHolderMove) {
  hold(2);
  hold(3);
  begin();
  opened();
  grant(0, {1});
  const std::set<uint64_t> lost = piecesAskedOf(2);
  ASSERT_FALSE(lost.empty());
  for (const uint64_t piece : lost) {
    answer(NodeId::ofNumber(2), piece, absl::UnavailableError("reset"));
  }
  answerAll();
  EXPECT_TRUE(finishing);
  for (const uint64_t piece : lost) EXPECT_EQ(senders.at(piece), NodeId::ofNumber(3));
}

TEST_F(FetchTest, ALiarIsNamedAndNotAskedAgain) {
  hold(2);
  hold(3);
  begin();
  opened();
  grant(0, {1});
  answerAll();
  ASSERT_TRUE(finishing);
  const auto first = senders;
  uint64_t wrong = 0;
  while (first.at(wrong) != NodeId::ofNumber(2)) ++wrong;
  finish(absl::DataLossError("mismatch"), {wrong});
  EXPECT_EQ(all<RestartBlob>().size(), 1u);
  // The repeat comes from one source only.
  senders.clear();
  answerAll();
  std::set<NodeId> used;
  for (const auto& [piece, sender] : senders) used.insert(sender);
  ASSERT_EQ(used.size(), 1u);
  if (*used.begin() == NodeId::ofNumber(2)) {  // the liar again, alone: proved
    finish(absl::DataLossError("mismatch"), {wrong});
    ASSERT_EQ(all<Report>().size(), 1u);
    EXPECT_NE(all<Report>()[0].text.find("n2"), std::string::npos);
    answerAll();
    finish(absl::OkStatus());
  } else {
    finish(absl::OkStatus());
    ASSERT_EQ(all<Report>().size(), 1u);
    EXPECT_NE(all<Report>()[0].text.find("n2"), std::string::npos);
  }
  EXPECT_TRUE(result()->ok());
  EXPECT_TRUE(distrust.contains(blob.id, NodeId::ofNumber(2)));
  EXPECT_FALSE(distrust.contains(blob.id, NodeId::ofNumber(3)));
}

TEST_F(FetchTest, AnHonestRelayIsNeverBlamed) {
  hold(2);
  begin();
  opened();
  grant(0, {1, 3});
  answerAll();
  ASSERT_TRUE(finishing);
  uint64_t relayed = 1;
  while (senders.at(relayed) != NodeId::ofNumber(3)) relayed += 2;
  finish(absl::DataLossError("mismatch"), {relayed});
  answerAll();
  finish(absl::OkStatus());
  EXPECT_TRUE(result()->ok());
  EXPECT_TRUE(all<Report>().empty());
  EXPECT_EQ(distrust.size(), 0u);
}

TEST_F(FetchTest, AnUnverifiedHolderIsCorrectedWithoutAWarning) {
  hold(2, true);
  begin(SourceRule::kClusterOnly);
  opened();
  grant(0, {1});
  answerAll();
  finish(absl::DataLossError("mismatch"));
  ASSERT_EQ(all<Report>().size(), 1u);
  EXPECT_EQ(all<Report>()[0].level, Report::Level::kInfo);
  const auto status = result();
  ASSERT_TRUE(status) << "no other source is left";
  EXPECT_TRUE(absl::IsDataLoss(*status));
}

TEST_F(FetchTest, WithTheLeaseItDownloadsWhatIsMissingAndStopsWithoutIt) {
  begin();
  opened();
  grant(0, {1, 3}, 77, 1);
  ASSERT_EQ(all<HubDownload>().size(), 1u);
  EXPECT_EQ(all<HubDownload>()[0].pieces.size(), 12u);
  EXPECT_EQ(all<HubDownload>()[0].fence, 77u);
  EXPECT_EQ(asked(3, 5), kPromised);
  tick(kLeaseDuration);
  EXPECT_EQ(all<StopHub>().size(), 1u);
  ASSERT_EQ(all<AnswerPiece>().size(), 1u);
  EXPECT_EQ(all<AnswerPiece>()[0].outcome, ReadOutcome::kNotMine);
}

TEST_F(FetchTest, AfterAnotherLeaseholderTheWantersAreAskedForWhatTheyHaveBeforeTheHub) {
  begin();
  opened();
  grant(1, {3, 1, 4}, 0, 3);
  step([&](Turn& turn) { members.linkDown(turn, NodeId::ofNumber(3)); });
  fetches.sourcesChanged();
  for (const auto& [source, piece] : std::set(reads)) {
    answer(source, piece, absl::UnavailableError("reset"));
  }
  reads.clear();
  now += absl::Seconds(1);
  grant(0, {1, 4}, 77, 1);
  EXPECT_TRUE(all<HubDownload>().empty());
  std::vector<HubDownload> downloads;
  while (!reads.empty() && downloads.empty()) {
    const auto [source, piece] = *reads.begin();
    EXPECT_EQ(source, NodeId::ofNumber(4));
    answer(source, piece, piece < 9 ? ReadOutcome::kData : ReadOutcome::kNotMine);
    downloads = all<HubDownload>();
  }
  ASSERT_EQ(downloads.size(), 1u);
  EXPECT_EQ(downloads[0].pieces, (std::vector<uint64_t>{9, 10, 11}));
}

TEST_F(FetchTest, WithoutTheLeaseItReadsFromTheLeaseholder) {
  begin();
  opened();
  grant(1, {3, 1}, 0, 3);
  EXPECT_FALSE(piecesAskedOf(3).empty());
  answerAll();
  EXPECT_TRUE(finishing);
}

TEST_F(FetchTest, AHolderThatAppearsEndsTheHubDownload) {
  begin();
  opened();
  grant(0, {1}, 77, 1);
  ASSERT_EQ(all<HubDownload>().size(), 1u);
  hold(4);
  tick(absl::Milliseconds(100));
  EXPECT_EQ(all<StopHub>().size(), 1u);
  EXPECT_FALSE(piecesAskedOf(4).empty());
}

TEST_F(FetchTest, NobodyHasItAndTheHubIsNotAllowed) {
  begin(SourceRule::kClusterOnly);
  opened();
  grant(0, {1});
  for (int i = 0; i < 20; ++i) tick(absl::Seconds(1));
  const auto status = result();
  ASSERT_TRUE(status);
  EXPECT_TRUE(absl::IsNotFound(*status)) << *status;
  ASSERT_EQ(fetches.size(), 0u);
}

TEST_F(FetchTest, AHubThatFailsAgainAndAgainIsToldAsUnavailable) {
  begin();
  opened();
  std::optional<absl::Status> status;
  for (int i = 0; i < 60 && !status; ++i) {
    if (i % 5 == 0) {
      grant(0, {1}, 77 + static_cast<uint64_t>(i), 1);
      step([&](Turn& turn) {
        fetches.on(turn, HubEnded{id, absl::UnavailableError("no route to the hub")});
      });
    }
    tick(absl::Seconds(1));
    status = result();
  }
  ASSERT_TRUE(status);
  EXPECT_TRUE(absl::IsUnavailable(*status)) << *status;
}

TEST_F(FetchTest, AFullDiskEndsItAndDropsTheTemporary) {
  hold(2);
  begin();
  opened();
  grant(0, {1});
  answer(NodeId::ofNumber(2), *piecesAskedOf(2).begin(), absl::ResourceExhaustedError("full"));
  ASSERT_EQ(all<CloseWriter>().size(), 1u);
  EXPECT_FALSE(all<CloseWriter>()[0].keepPartial);
  EXPECT_TRUE(absl::IsResourceExhausted(*result()));
}

TEST_F(FetchTest, ASmallBlobIsReadWholeAndALyingHolderIsLeft) {
  blob.size = 1'000;
  hold(2);
  hold(3);
  begin();
  ASSERT_EQ(all<ReadSmall>().size(), 1u);
  const NodeId first = all<ReadSmall>()[0].source;
  step([&](Turn& turn) { fetches.on(turn, SmallRead{id, first, absl::DataLossError("wrong")}); });
  EXPECT_EQ(all<Report>().size(), 1u);
  ASSERT_EQ(all<ReadSmall>().size(), 1u);
  const NodeId second = all<ReadSmall>()[0].source;
  EXPECT_NE(first, second);
  step([&](Turn& turn) { fetches.on(turn, SmallRead{id, second, ReadOutcome::kData}); });
  EXPECT_TRUE(result()->ok());
}

// Or the next fetch finds the temporary taken.
TEST_F(FetchTest, OneThatIsCancelledWhileItsWriterOpensClosesIt) {
  hold(2);
  begin();
  ASSERT_EQ(all<OpenWriter>().size(), 1u);
  step([&](Turn& turn) { fetches.release(turn, blob.id, owner); });
  ASSERT_EQ(all<CloseWriter>().size(), 1u);
  EXPECT_TRUE(all<CloseWriter>()[0].keepPartial);
}

TEST_F(FetchTest, AFetchThatNobodyWaitsForIsCancelledAndItsTemporaryKept) {
  hold(2);
  begin();
  opened();
  step([&](Turn& turn) { fetches.release(turn, blob.id, owner); });
  ASSERT_EQ(all<CloseWriter>().size(), 1u);
  EXPECT_TRUE(all<CloseWriter>()[0].keepPartial);
  (void)fetches.takeEnded();
  EXPECT_EQ(fetches.size(), 0u);
  EXPECT_EQ(budgets.origins.inFlight(), 0);
}

// ---- Readers of this node.

class ReaderTest : public FetchTest {
 protected:
  void read() {
    step([&](Turn& turn) {
      const BlobSite site{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "o/m"),
                          *Commit::parse(std::string(40, 'a')), *RelativePath::parse("file")};
      readers.on(turn, ReaderBegan{reader, blob, site});
    });
  }
  // The answers that came at once.
  std::vector<AnswerReader> want(uint64_t piece, uint64_t ask = 1) {
    step([&](Turn& turn) { readers.on(turn, PieceWanted{reader, AskId{ask}, piece}); });
    const auto answers = all<AnswerReader>();
    note();
    return answers;
  }
  void answerOldest() {
    const auto [source, piece] = *reads.begin();
    answer(source, piece, ReadOutcome::kData);
  }
  void tellEnded() {
    for (const Fetches::Ended& ended : fetches.takeEnded()) readers.fetchEnded(ended);
  }

  const ReaderId reader{7};
  Readers readers{fetches, members};
};

TEST_F(ReaderTest, APieceIsAnsweredWhenItLands) {
  hold(2);
  read();
  EXPECT_TRUE(want(0).empty());
  opened();
  grant(0, {1});
  ASSERT_TRUE(reads.contains({NodeId::ofNumber(2), 0}));
  answer(NodeId::ofNumber(2), 0, ReadOutcome::kData);
  const auto answers = all<AnswerReader>();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].ask, AskId{1});
  EXPECT_TRUE(answers[0].status.ok());
  EXPECT_EQ(answers[0].from, id);
  EXPECT_EQ(want(0, 2).size(), 1u) << "it is here now";
}

TEST_F(ReaderTest, WhatAReaderWaitsForIsAskedFirst) {
  blob.size = 200 * kMiB;
  hold(2);
  read();
  opened();
  grant(0, {1});
  EXPECT_TRUE(want(150).empty());
  while (!reads.contains({NodeId::ofNumber(2), 150})) {
    ASSERT_LT(reads.size(), 100u);
    const auto [source, piece] = *reads.begin();
    ASSERT_LT(piece, 100u) << "others came first";
    answer(source, piece, ReadOutcome::kData);
  }
}

TEST_F(ReaderTest, APieceOfAnothersStripeThatIsLateIsAskedOfTheHolder) {
  hold(2);
  read();
  opened();
  grant(0, {1, 3});
  const uint64_t theirs = piecesAskedOf(3).empty() ? 1 : *piecesAskedOf(3).begin();
  EXPECT_TRUE(want(theirs).empty());
  step([&](Turn& turn) {
    fetches.on(turn, PieceRead{id, NodeId::ofNumber(3), theirs, ReadOutcome::kNotMine});
  });
  note();
  for (const uint64_t piece : piecesAskedOf(2)) {
    answer(NodeId::ofNumber(2), piece, ReadOutcome::kData);
  }
  EXPECT_FALSE(piecesAskedOf(2).contains(theirs));
  tick(absl::Seconds(2));
  answer(NodeId::ofNumber(2), *piecesAskedOf(2).begin(),
         ReadOutcome::kData);  // its window has room
  EXPECT_TRUE(piecesAskedOf(2).contains(theirs));
}

TEST_F(ReaderTest, TheEndIsToldToWhoWaitsAndToWhoAsksLater) {
  hold(2);
  read();
  opened();
  grant(0, {1});
  EXPECT_TRUE(want(pieceCount(blob.size)).empty()) << "behind the last piece: the end";
  answerAll();
  finish(absl::OkStatus());
  auto answers = all<AnswerReader>();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(answers[0].status.ok());
  EXPECT_EQ(answers[0].from, std::nullopt) << "it is published";
  tellEnded();
  answers = want(3, 2);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(answers[0].status.ok());
}

TEST_F(ReaderTest, AFailureIsToldWithItsReason) {
  hold(2);
  read();
  opened();
  grant(0, {1});
  EXPECT_TRUE(want(0).empty());
  step([&](Turn& turn) {
    fetches.on(turn, WriterOpened{id, absl::ResourceExhaustedError("the disk is full")});
  });
  const auto answers = all<AnswerReader>();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(absl::IsResourceExhausted(answers[0].status));
}

TEST_F(ReaderTest, AFetchThatOnlyAReaderWantedEndsWithIt) {
  hold(2);
  read();
  opened();
  grant(0, {1});
  step([&](Turn& turn) { readers.on(turn, ReaderGone{reader}); });
  EXPECT_EQ(all<CloseWriter>().size(), 1u);
  fetches.takeEnded();
  EXPECT_EQ(fetches.size(), 0u);
  EXPECT_EQ(readers.size(), 0u);
}

TEST_F(ReaderTest, AFetchThatAJobWantsTooGoesOn) {
  hold(2);
  read();
  opened();
  begin();
  grant(0, {1});
  step([&](Turn& turn) { readers.on(turn, ReaderGone{reader}); });
  EXPECT_TRUE(all<CloseWriter>().empty());
  EXPECT_EQ(fetches.size(), 1u);
}

TEST_F(ReaderTest, WhoWaitsForTheWholeAsksForNoPieceBehindIt) {
  blob.size = 200 * kMiB;
  hold(2);
  read();
  opened();
  grant(0, {1});
  EXPECT_TRUE(want(pieceCount(blob.size)).empty());
  tick(absl::Seconds(2));
  for (int i = 0; i < 20; ++i) {
    for (const auto& [source, piece] : reads) ASSERT_LT(piece, pieceCount(blob.size));
    answerOldest();
    tick(absl::Milliseconds(200));
  }
}

TEST_F(ReaderTest, AReaderThatIsGoneHoldsNobodyBack) {
  hold(2);
  read();
  opened();
  begin();
  grant(0, {1});
  EXPECT_TRUE(want(pieceCount(blob.size)).empty());
  ASSERT_EQ(budgets.readersWaiting, 1);
  step([&](Turn& turn) { readers.on(turn, ReaderGone{reader}); });
  EXPECT_EQ(budgets.readersWaiting, 0) << "the job goes on, for nobody";
  const auto answers = all<AnswerReader>();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(absl::IsCancelled(answers[0].status));
}

TEST_F(ReaderTest, WhatWasTheHubsAloneIsSharedWhenAReaderWantsItToo) {
  begin(SourceRule::kHubOnly);
  opened();
  ASSERT_EQ(all<HubDownload>().size(), 1u);
  read();
  tick(absl::Milliseconds(100));
  step([&](Turn& turn) { wants.flush(turn); });
  const bool asksAnother = !all<Call>().empty();
  EXPECT_TRUE(asksAnother || registrar.records() > 0) << "the registrar hears of it";
}

// ---- Beside a client that writes the blob itself.

// ---- Who goes first, and limits.

class TurnsTest : public ReaderTest {
 protected:
  // The job's fetch of a large blob is under way.
  void warm() {
    blob.size = 200 * kMiB;
    hold(2);
    begin();
    opened();
    grant(0, {1});
  }
  // A client waits for the first piece of another blob.
  void readAnother() {
    step([&](Turn& turn) {
      const BlobSite site{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "o/m"),
                          *Commit::parse(std::string(40, 'a')), *RelativePath::parse("other")};
      readers.on(turn, ReaderBegan{reader, {testBlob(9), 40 * kMiB}, site});
      readers.on(turn, PieceWanted{reader, AskId{1}, 0});
    });
  }
};

TEST_F(TurnsTest, WhileAClientWaitsAWarmHasTwoReadsUnderWay) {
  warm();
  for (int i = 0; i < 10; ++i) answerOldest();
  ASSERT_EQ(reads.size(), static_cast<size_t>(kReadWindow));
  readAnother();
  for (int i = 0; i < 20; ++i) answerOldest();
  EXPECT_EQ(reads.size(), static_cast<size_t>(kTrickleReads));
}

TEST_F(TurnsTest, WhenNoClientWaitsAnyMoreAWarmIsBackAtOnce) {
  warm();
  readAnother();
  for (int i = 0; i < 20; ++i) answerOldest();
  ASSERT_LE(reads.size(), static_cast<size_t>(kTrickleReads));
  step([&](Turn& turn) { readers.on(turn, ReaderGone{reader}); });
  tick(absl::Milliseconds(100));
  EXPECT_EQ(reads.size(), static_cast<size_t>(kReadWindow));
}

TEST_F(TurnsTest, AWarmThatAClientJoinsYieldsToNobody) {
  warm();
  readAnother();
  step([&](Turn& turn) {
    const BlobSite site{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "o/m"),
                        *Commit::parse(std::string(40, 'a')), *RelativePath::parse("file")};
    readers.on(turn, ReaderBegan{ReaderId{8}, blob, site});
  });
  for (int i = 0; i < 20; ++i) answerOldest();
  EXPECT_EQ(reads.size(), static_cast<size_t>(kReadWindow));
}

TEST_F(TurnsTest, AHubDownloadYieldsAndIsToldWhenItNeedNotAnyMore) {
  blob.size = 200 * kMiB;
  begin();
  opened();
  grant(0, {1}, 5, 1);
  ASSERT_FALSE(all<HubDownload>().empty());
  readAnother();
  tick(absl::Milliseconds(100));
  ASSERT_EQ(all<LimitHub>().size(), 1u);
  EXPECT_TRUE(all<LimitHub>()[0].yields);
  step([&](Turn& turn) { readers.on(turn, ReaderGone{reader}); });
  tick(absl::Milliseconds(200));
  ASSERT_EQ(all<LimitHub>().size(), 1u);
  EXPECT_FALSE(all<LimitHub>()[0].yields);
}

TEST_F(TurnsTest, ALimitedOwnersFetchAsksNoFasterAndAnUnlimitedOneFreesIt) {
  step([&](Turn& turn) { fetches.setLimit(owner, kMiB, turn.now()); });
  warm();
  EXPECT_EQ(reads.size(), 1u);
  tick(absl::Milliseconds(500));
  EXPECT_EQ(reads.size(), 1u) << "a piece is a second's";
  const BlobSite site{*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "o/m"),
                      *Commit::parse(std::string(40, 'a')), *RelativePath::parse("file")};
  step([&](Turn& turn) {
    ASSERT_TRUE(fetches.want(turn, blob, site, SourceRule::kAny, {NodeId::ofNumber(1), 2}).ok());
  });
  const auto [source, piece] = *reads.begin();
  answer(source, piece, ReadOutcome::kData);
  EXPECT_GT(reads.size(), 1u);
}

TEST_F(TurnsTest, AFetchThatWaitsForItsLimitHasNotComeToAStandstill) {
  RateLimit node(1);
  budgets.downloads = &node;
  warm();
  answerOldest();
  for (int i = 0; i < 100; ++i) tick(absl::Seconds(10));
  EXPECT_EQ(result(), std::nullopt);
}

TEST_F(TurnsTest, ABusyHolderIsAskedForLessAndIsNotGivenUp) {
  warm();
  for (int i = 0; i < 10; ++i) answerOldest();
  for (int i = 0; i < 2'000; ++i) {
    while (!reads.empty()) {
      const auto [source, piece] = *reads.begin();
      answer(source, piece, ReadOutcome::kBusy);
    }
    tick(kBusyPause);
    ASSERT_EQ(result(), std::nullopt);
  }
  EXPECT_EQ(reads.size(), 1u);
  answerOldest();
  EXPECT_EQ(reads.size(), 2u);
}

class SharedTest : public ReaderTest {
 protected:
  void settled(std::optional<uint64_t> pieces) {
    step([&](Turn& turn) { fetches.on(turn, WriterShared{id, pieces}); });
    note();
  }
  // Answers reads until none is left, and says up to where they went.
  uint64_t answerAllUpTo() {
    uint64_t end = 0;
    while (!reads.empty()) {
      const auto [source, piece] = *reads.begin();
      end = std::max(end, piece + 1);
      answer(source, piece, ReadOutcome::kData);
    }
    return end;
  }
  void begin() {
    blob.size = 500 * kMiB;
    hold(2);
    read();
    settled(0);
    opened();
    grant(0, {1});
  }
};

TEST_F(SharedTest, WhatIsFarAheadOfTheClientsFileIsNotAskedFor) {
  begin();
  EXPECT_EQ(answerAllUpTo(), 64u);
  settled(10);
  EXPECT_EQ(answerAllUpTo(), 76u) << "by steps of four pieces";
  settled(std::nullopt);
  EXPECT_EQ(answerAllUpTo(), 500u) << "without a client nothing stands in the way";
}

TEST_F(SharedTest, AReaderElsewhereGetsWhatItWaitsFor) {
  begin();
  answerAllUpTo();
  EXPECT_TRUE(want(300).empty());
  EXPECT_GT(answerAllUpTo(), 300u);
  EXPECT_EQ(want(300, 2).size(), 1u);
}

TEST_F(SharedTest, OthersDoNotWaitForTheClient) {
  begin();
  answerAllUpTo();
  grant(1, {1, 3});
  answerAllUpTo();
  EXPECT_EQ(answerAllUpTo(), 0u);
  EXPECT_EQ(fetches.find(blob.id)->bytesHad(), blob.size);
}

TEST_F(SharedTest, AWarmDoesNotWaitForTheClient) {
  begin();
  answerAllUpTo();
  FetchTest::begin();
  tick(absl::Milliseconds(100));
  answerAllUpTo();
  EXPECT_EQ(fetches.find(blob.id)->bytesHad(), blob.size);
}

TEST_F(SharedTest, TheHubIsReadNoFurtherAheadEither) {
  blob.size = 500 * kMiB;
  read();
  settled(0);
  opened();
  grant(0, {1}, 77);
  ASSERT_EQ(all<HubDownload>().size(), 1u);
  EXPECT_EQ(all<HubDownload>()[0].pieces.size(), 500u);
  EXPECT_EQ(all<HubDownload>()[0].limit, 64u);
  settled(5);
  ASSERT_EQ(all<LimitHub>().size(), 1u);
  EXPECT_EQ(all<LimitHub>()[0].limit, 72u);
  settled(5);
  EXPECT_TRUE(all<LimitHub>().empty()) << "it was told";
  settled(std::nullopt);
  ASSERT_EQ(all<LimitHub>().size(), 1u);
  EXPECT_EQ(all<LimitHub>()[0].limit, 500u);
}

TEST_F(SharedTest, AVerifiedBlobOutlivesItsReaders) {
  blob.size = 3 * kMiB;
  hold(2);
  read();
  opened();
  grant(0, {1});
  answerAll();
  ASSERT_TRUE(finishing);
  EXPECT_TRUE(want(3).empty()) << "it is not verified";
  step([&](Turn& turn) { fetches.on(turn, BlobVerified{id}); });
  ASSERT_EQ(all<AnswerReader>().size(), 1u);
  EXPECT_EQ(all<AnswerReader>()[0].from, id);
  EXPECT_EQ(want(3, 2).size(), 1u) << "it is known now";

  step([&](Turn& turn) { readers.on(turn, ReaderGone{reader}); });
  EXPECT_TRUE(all<CloseWriter>().empty());
  finish(absl::OkStatus());
  EXPECT_TRUE(result()->ok());
}

TEST_F(SharedTest, PiecesThatAreLostAreFetchedAgain) {
  blob.size = 3 * kMiB;
  hold(2);
  read();
  opened();
  grant(0, {1});
  answerAll();
  step([&](Turn& turn) { fetches.on(turn, BlobVerified{id}); });
  step([&](Turn& turn) { fetches.on(turn, WriterLost{id}); });
  ASSERT_EQ(all<RestartBlob>().size(), 1u);
  finishing = false;
  EXPECT_TRUE(want(3).empty()) << "it is no longer whole";
  opened();
  tick(absl::Milliseconds(100));
  EXPECT_EQ(reads.size(), 3u);
  answerAll();
  EXPECT_TRUE(finishing);
}

}  // namespace
}  // namespace roost
