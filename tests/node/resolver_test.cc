#include "node/resolver.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <mutex>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/datasets_layout.h"
#include "cache/finished_directory.h"
#include "gmock/gmock.h"
#include "protocol/preface.h"
#include "protocol/socket_deadline.h"
#include "tests/cluster/hub_under_test.h"
#include "tests/protocol/loop.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Commit commitOf(char digit) {
  return *Commit::parse(std::string(40, digit));
}
BlobId blobOf(char digit) {
  return *BlobId::parseHex(std::string(40, digit));
}

MemberInfo member(uint64_t number) {
  MemberInfo info{NodeId::ofNumber(number)};
  info.epoch = 1;
  info.instance = number;
  info.name = absl::StrCat("n", number);
  return info;
}

// Another node of the cluster: it answers with the listings that it was given.
class Peer {
 public:
  Peer(Loop& loop, uint64_t number)
      : loop_(loop), acceptor_(loop.io, {asio::ip::make_address("127.0.0.1"), 0}) {
    PeerLinks::Handlers handlers;
    handlers.judge = [](const MemberInfo&, bool) { return LinkVerdict::kAccept; };
    handlers.up = [](const MemberInfo&, std::optional<Address>) {};
    handlers.down = [](const NodeId&) {};
    handlers.dialFailed = [](const Address&, const absl::Status&) {};
    handlers.report = [](const std::string&) {};
    handlers.asked = [this](const NodeId&, AskId ask, const Request& request) {
      if (!std::holds_alternative<ListingRequest>(request)) return;
      ++asked;
      links->respond(ask, ListingReply{listing});
    };
    links = std::make_unique<PeerLinks>(loop.io, member(number), nullptr, std::move(handlers));
    asio::co_spawn(loop.io, accept(), asio::detached);
  }
  void stop() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    links->stop();
  }
  Address address() const { return {"127.0.0.1", acceptor_.local_endpoint().port()}; }

  std::optional<Listing> listing;  // of whatever it is asked for
  int asked = 0;
  std::unique_ptr<PeerLinks> links;

 private:
  asio::awaitable<void> accept() {
    while (true) {
      boost::system::error_code ec;
      tcp::socket socket(loop_.io);
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return;
      const auto kind = co_await readPreface(socket);
      if (kind.ok()) links->accept(std::move(socket));
    }
  }

  Loop& loop_;
  tcp::acceptor acceptor_;
};

// This node is n1. The hub is down until a test says what it knows.
class ResolverTest : public HubTest {
 protected:
  ResolverTest() : hub_([this](const TestRequest& request) { return answer(request); }) {
    PeerLinks::Handlers handlers;
    handlers.judge = [](const MemberInfo&, bool) { return LinkVerdict::kAccept; };
    handlers.up = [this](const MemberInfo& peer, std::optional<Address> dialled) {
      core_.on(LinkUp{peer, std::move(dialled)}, now_);
      ++ups_;
    };
    handlers.down = [](const NodeId&) {};
    handlers.dialFailed = [](const Address&, const absl::Status&) {};
    handlers.asked = [](const NodeId&, AskId, const Request&) {};
    handlers.report = [](const std::string&) {};
    links_ = std::make_unique<PeerLinks>(loop_.io, member(1), nullptr, std::move(handlers));
    Root root;
    root.config.path = "/hub";
    inventory_.addRoot(root);
  }
  ~ResolverTest() override {
    for (const auto& peer : peers_) peer->stop();
    links_->stop();
    SocketDeadline::endAll(loop_.io);
    if (loop_.io.stopped()) loop_.io.restart();
    loop_.io.run();
  }

  // ---- What the hub says
  void hubKnows(const Commit& main, const std::vector<std::string>& files) {
    std::string tree;
    for (const std::string& path : files) {
      absl::StrAppend(&tree, tree.empty() ? "" : ",", R"({"type":"file","path":")", path,
                      R"(","size":12,"oid":")", blobOf('8').hex(), R"("})");
    }
    revision_ = {200,
                 {{"Content-Type", "application/json"}},
                 absl::StrCat(R"({"id":"org/model","sha":")", main.hex(),
                              R"(","private":false,"gated":"auto","siblings":[]})")};
    tree_ = {200, {{"Content-Type", "application/json"}}, absl::StrCat("[", tree, "]")};
  }
  void hubRefuses(int status, const std::string& code) {
    revision_ = tree_ = {status, {{"X-Error-Code", code}}, "{}"};
  }
  size_t hubWasAsked(const std::string& what) const {
    size_t times = 0;
    for (const TestRequest& one : hub_.requests()) {
      times += absl::StrContains(one.target, "/" + what + "/");
    }
    return times;
  }

  // ---- What nodes say
  Listing listing(const Commit& commit, const std::vector<std::string>& paths,
                  bool complete = false) const {
    Listing listing{repo_, commit, complete};
    for (const std::string& path : paths) {
      listing.files.push_back({*RelativePath::parse(path), {blobOf('9'), 12}, std::nullopt});
    }
    return listing;
  }
  // A linked node that holds what the listing says, and has a word on main.
  Peer& peer(const std::optional<Listing>& shown, std::optional<RefState> main = std::nullopt) {
    const uint64_t number = 2 + peers_.size();
    std::vector<AdvertChange> adverts;
    if (shown) {
      RepoAdvert advert{repo_, shown->commit};
      advert.files = static_cast<uint32_t>(shown->files.size());
      advert.manifest = shown->complete;
      adverts.push_back({1, Advert(advert)});
    }
    if (main) adverts.push_back({2, Advert(RefAdvert{repo_, *main})});
    core_.on(CatalogRestored{NodeId::ofNumber(number), {7, 2}, std::move(adverts)}, now_);
    peers_.push_back(std::make_unique<Peer>(loop_, number));
    peers_.back()->listing = shown;
    links_->dial(peers_.back()->address());
    loop_.runUntil([&] { return ups_ == peers_.size(); });
    return *peers_.back();
  }
  // What this node's own folders show.
  void own(const Listing& shown) {
    RepoScan scan{repo_, {}, {}, {}, {}, {}, {}, {}};
    ScannedSnapshot snapshot{shown.commit, {}};
    scan.copies.push_back(
        {absl::StrCat("blobs/", blobOf('9').hex()), blobOf('9'), {1, 1, 12, 1000, 1000}});
    for (const FileEntry& file : shown.files) snapshot.files.push_back({file.path, 0});
    scan.snapshots.push_back(std::move(snapshot));
    if (shown.complete) {
      scan.trees.insert_or_assign(shown.commit, KnownTree{{}, std::make_shared<Listing>(shown)});
    }
    inventory_.apply(RootIndex{0}, scan, std::vector<CopyTrust>(1));
  }
  RefState main(char commit, int hubTime) const {
    RefState state{RefName::main(), commitOf(commit), std::nullopt};
    if (hubTime != 0) state.hubTime = absl::FromUnixSeconds(hubTime);
    return state;
  }

  // A linked node that has a finished directory of cache_, written then.
  Peer& preparer(const std::string& ref, const std::vector<std::string>& names, int written,
                 char content = '9') {
    Listing shown{cache_, commitOf('0'), true, Visibility::kUnknown, {}};
    for (const std::string& name : names) {
      shown.files.push_back({*RelativePath::parse(absl::StrCat("org___rows/", ref, "/", name)),
                             {*BlobId::parseHex(std::string(64, content)), 12},
                             std::nullopt});
    }
    shown.commit = finishedCommit(shown.files);
    RepoAdvert advert{cache_, shown.commit};
    advert.files = static_cast<uint32_t>(names.size());
    advert.manifest = true;
    const RefState state{*RefName::parse(ref), shown.commit, absl::FromUnixSeconds(written)};
    const uint64_t number = 2 + peers_.size();
    core_.on(CatalogRestored{NodeId::ofNumber(number),
                             {7, 2},
                             {{1, Advert(advert)}, {2, Advert(RefAdvert{cache_, state})}}},
             now_);
    peers_.push_back(std::make_unique<Peer>(loop_, number));
    peers_.back()->listing = shown;
    links_->dial(peers_.back()->address());
    loop_.runUntil([&] { return ups_ == peers_.size(); });
    return *peers_.back();
  }
  // A finished directory of this node. Nobody has said how public it is.
  Listing ownCache(Share share = Share::kNode) {
    Root root;
    root.config.path = "/datasets";
    root.config.layout = Layout::kDatasets;
    root.config.share = share;
    const RootIndex index = inventory_.addRoot(root);
    const RelativePath path = *RelativePath::parse("org___rows/a/0.0.0/x/a.arrow");
    RepoScan scan{ownCache_, {}, {}, {}, {}, {}, {}, {}};
    scan.copies.push_back({path.text(), std::nullopt, {1, 2, 12, 1000, 1000}});
    scan.finished.push_back({*RefName::parse("a/0.0.0/x"), now_, {{path, 0}}});
    CopyTrust trust{Trust::kVerified, BlobId::sha256(Sha256{}), Sha256{}};
    inventory_.apply(index, scan, {trust});
    Listing shown{ownCache_, commitOf('0'), true, Visibility::kUnknown, {}};
    shown.files.push_back({path, {BlobId::sha256(Sha256{}), 12}, std::nullopt});
    shown.commit = finishedCommit(shown.files);
    return shown;
  }
  void hubSays(const std::string& visibility) {
    revision_ = {200,
                 {{"Content-Type", "application/json"}},
                 absl::StrCat(R"({"id":"org/rows","sha":")", commitOf('7').hex(), R"(",)",
                              visibility, R"(,"siblings":[]})")};
  }
  std::optional<Listing> listingForPeer(const Listing& own, bool withHub = true) {
    HubPatience once = hasty();
    once.tries = 1;
    HubApi api(originOf(hub_.url()), http, token(), once);
    HubApi* hub = withHub ? &api : nullptr;
    Resolver resolver(
        core_, *links_, inventory_, hub, hub,
        [this](const RepoId& repo, Visibility known) { inventory_.setVisibility(repo, known); });
    return loop_.run(resolver.listingForPeer(own.repo, own.commit));
  }

  absl::StatusOr<ResolvedRepo> resolveCache(std::optional<Revision> revision = std::nullopt) {
    Resolver resolver(core_, *links_, inventory_, nullptr, nullptr);
    return loop_.run(resolver.resolve(cache_, std::move(revision), SourceRule::kClusterOnly));
  }

  absl::StatusOr<ResolvedRepo> resolve(std::optional<Revision> revision = std::nullopt,
                                       SourceRule from = SourceRule::kAny) {
    HubPatience once = hasty();
    once.tries = 1;
    HubApi api(originOf(hub_.url()), http, token(), once);
    Resolver resolver(core_, *links_, inventory_, &api, &api);
    return loop_.run(resolver.resolve(repo_, std::move(revision), from));
  }
  static std::vector<std::string> pathsOf(const ResolvedRepo& resolved) {
    std::vector<std::string> paths;
    for (const FileEntry& file : resolved.listing.files) paths.push_back(file.path.text());
    return paths;
  }

 private:
  TestAnswer answer(const TestRequest& request) {
    return absl::StrContains(request.target, "/tree/") ? tree_ : revision_;
  }

 protected:
  Loop loop_;
  const absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  std::mt19937_64 random_{1};
  Core core_{Core::Options{.self = member(1), .logId = 1}, random_};
  std::unique_ptr<PeerLinks> links_;
  Inventory inventory_;
  std::vector<std::unique_ptr<Peer>> peers_;
  size_t ups_ = 0;
  TestAnswer revision_{503, {}, "{}"};  // down
  TestAnswer tree_{503, {}, "{}"};
  TestHttpServer hub_;
  const RepoId repo_ = repoAt(hub_.url());
  const RepoId cache_ = *datasetCacheNamed(HubOrigin::huggingFace(), "org/rows");
  const RepoId ownCache_ = *datasetCacheNamed(originOf(hub_.url()), "org/rows");
};

// ---- Which commit

TEST_F(ResolverTest, TheHubsWordOnABranchComesBeforeAnyNodes) {
  hubKnows(commitOf('1'), {"config.json"});
  peer(listing(commitOf('2'), {"old.json"}), main('2', 900'000));

  const auto resolved = resolve();

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->listing.commit, commitOf('1'));
  EXPECT_TRUE(resolved->listing.complete);
  EXPECT_EQ(resolved->listing.visibility, Visibility::kGated);
  EXPECT_THAT(pathsOf(*resolved), ElementsAre("config.json"));
  ASSERT_EQ(resolved->refs.size(), 1u);
  EXPECT_EQ(resolved->refs[0].ref, RefName::main());
  EXPECT_EQ(resolved->refs[0].commit, commitOf('1'));
  EXPECT_TRUE(resolved->refs[0].hubTime.has_value());
}

TEST_F(ResolverTest, WithoutTheHubTheNewestWordOfAnyNodeCounts) {
  peer(listing(commitOf('1'), {"a"}), main('1', 100));
  peer(listing(commitOf('2'), {"a"}), main('2', 300));
  peer(listing(commitOf('3'), {"a"}), main('3', 200));
  peer(listing(commitOf('4'), {"a"}), main('4', 0));  // nobody asked the hub

  const auto resolved = resolve();

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->listing.commit, commitOf('2'));
  ASSERT_EQ(resolved->refs.size(), 1u);
  EXPECT_EQ(resolved->refs[0], main('2', 300));
}

TEST_F(ResolverTest, OfWordsThatNoHubHasSpokenTheOneWithMostFilesCounts) {
  peer(listing(commitOf('1'), {"a"}), main('1', 0));
  peer(listing(commitOf('2'), {"a", "b", "c"}), main('2', 0));
  peer(listing(commitOf('3'), {"a", "b"}), main('3', 0));

  const auto resolved = resolve();

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->listing.commit, commitOf('2'));
}

TEST_F(ResolverTest, FromTheClusterOnlyTheHubIsNotAsked) {
  hubKnows(commitOf('1'), {"config.json"});
  peer(listing(commitOf('2'), {"a"}), main('2', 100));

  const auto resolved = resolve(std::nullopt, SourceRule::kClusterOnly);

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->listing.commit, commitOf('2'));
  EXPECT_THAT(hub_.requests(), IsEmpty());
}

TEST_F(ResolverTest, FromTheHubOnlyNoNodesWordCounts) {
  peer(listing(commitOf('2'), {"a"}, true), main('2', 100));
  EXPECT_EQ(resolve(std::nullopt, SourceRule::kHubOnly).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(resolve(commitOf('2'), SourceRule::kHubOnly).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ResolverTest, FromTheHubOnlyTheCommitToo) {
  hubKnows(commitOf('1'), {"config.json"});
  revision_ = {503, {}, "{}"};
  peer(listing(commitOf('2'), {"a"}), main('2', 100));
  EXPECT_EQ(resolve(std::nullopt, SourceRule::kHubOnly).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ResolverTest, ACommitThatWasNamedNeedsNoWordAndCarriesNoRef) {
  hubKnows(commitOf('1'), {"config.json"});

  const auto resolved = resolve(commitOf('5'));

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->listing.commit, commitOf('5'));
  EXPECT_THAT(resolved->refs, IsEmpty());
  EXPECT_EQ(hubWasAsked("revision"), 0u);
}

// ---- Which files

TEST_F(ResolverTest, ThisNodesOwnManifestComesFirst) {
  hubKnows(commitOf('1'), {"hub.json"});
  own(listing(commitOf('1'), {"own.json"}, true));

  const auto resolved = resolve(commitOf('1'));

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(pathsOf(*resolved), ElementsAre("own.json"));
  EXPECT_EQ(hubWasAsked("tree"), 0u);
}

TEST_F(ResolverTest, TheHubsListComesBeforeAPeersManifest) {
  hubKnows(commitOf('1'), {"hub.json"});
  const Peer& liar = peer(listing(commitOf('1'), {"liar.json"}, true));

  const auto resolved = resolve(commitOf('1'));

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(pathsOf(*resolved), ElementsAre("hub.json"));
  EXPECT_EQ(liar.asked, 0);
}

TEST_F(ResolverTest, WithoutTheHubAPeersManifestComesBeforeListings) {
  const Peer& partial = peer(listing(commitOf('1'), {"a"}));
  peer(listing(commitOf('1'), {"a", "b"}, true));

  const auto resolved = resolve(commitOf('1'));

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_TRUE(resolved->listing.complete);
  EXPECT_THAT(pathsOf(*resolved), ElementsAre("a", "b"));
  EXPECT_EQ(partial.asked, 0);
}

TEST_F(ResolverTest, WithoutAManifestWhatNodesShowIsUnited) {
  own(listing(commitOf('1'), {"a"}));
  peer(listing(commitOf('1'), {"b"}));
  peer(listing(commitOf('1'), {"a", "c"}));
  peer(listing(commitOf('2'), {"other"}));

  const auto resolved = resolve(commitOf('1'));

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_FALSE(resolved->listing.complete);
  EXPECT_THAT(pathsOf(*resolved), ElementsAre("a", "b", "c"));
}

TEST_F(ResolverTest, APeerThatAnswersWithAnotherCommitIsNotBelieved) {
  Peer& liar = peer(listing(commitOf('1'), {"a"}));
  liar.listing = listing(commitOf('2'), {"a"});

  const auto resolved = resolve(commitOf('1'), SourceRule::kClusterOnly);

  EXPECT_EQ(liar.asked, 1);
  EXPECT_EQ(resolved.status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ResolverTest, APeerThatPromisedAManifestAndHasNoneIsNotBelieved) {
  Peer& liar = peer(listing(commitOf('1'), {"a", "b"}, true));
  liar.listing = listing(commitOf('1'), {"a"});
  peer(listing(commitOf('1'), {"c"}));

  const auto resolved = resolve(commitOf('1'), SourceRule::kClusterOnly);

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_FALSE(resolved->listing.complete);
  EXPECT_THAT(pathsOf(*resolved), ElementsAre("a", "c"));
}

// ---- What is not there

TEST_F(ResolverTest, ARepoThatNobodyKnowsIsSaidToBeNowhere) {
  const absl::Status status = resolve(std::nullopt, SourceRule::kClusterOnly).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot find org/model@main"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("no node of the cluster holds it"));
}

TEST_F(ResolverTest, ABranchThatNobodyKnowsIsNamed) {
  peer(listing(commitOf('1'), {"a"}), main('1', 100));

  const absl::Status status =
      resolve(*RefName::parse("refs/pr/7"), SourceRule::kClusterOnly).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("org/model@refs/pr/7"));
}

TEST_F(ResolverTest, ACommitThatNobodyKnowsIsNamed) {
  peer(listing(commitOf('1'), {"a"}), main('1', 100));

  const absl::Status status = resolve(commitOf('6'), SourceRule::kClusterOnly).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("cannot find org/model at commit " + commitOf('6').hex()));
}

TEST_F(ResolverTest, WhatTheHubSaysIsNotThereNoPeerIsAskedFor) {
  hubRefuses(404, "RepoNotFound");
  const Peer& peer = this->peer(listing(commitOf('1'), {"a"}, true), main('1', 100));

  for (const std::optional<Revision>& revision :
       {std::optional<Revision>(), std::optional<Revision>(commitOf('1'))}) {
    EXPECT_EQ(resolve(revision).status().code(), absl::StatusCode::kNotFound);
  }
  EXPECT_EQ(peer.asked, 0);
}

TEST_F(ResolverTest, ABranchThatTheHubDoesNotHaveIsNoNodesToName) {
  hubKnows(commitOf('1'), {"a"});
  revision_ = {404, {{"X-Error-Code", "RevisionNotFound"}}, "{}"};
  peer(listing(commitOf('1'), {"a"}, true), main('1', 100));

  EXPECT_EQ(resolve().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ResolverTest, WhatTheHubForbidsNoPeerGives) {
  hubRefuses(403, "GatedRepo");
  const Peer& peer = this->peer(listing(commitOf('1'), {"a"}, true), main('1', 100));

  EXPECT_EQ(resolve().status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(peer.asked, 0);
}

TEST_F(ResolverTest, IfTheHubIsAwayAndNobodyKnowsTheHubsFaultIsTold) {
  const absl::Status status = resolve().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("no node of the cluster")));
}

// ---- Dataset caches

TEST_F(ResolverTest, OfADatasetCacheAllDirectoriesAreMeant) {
  preparer("a/0.0.0/x", {"a.arrow", "dataset_info.json"}, 100);
  preparer("b/0.0.0/x", {"b.arrow"}, 100);

  const auto resolved = resolveCache();

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(pathsOf(*resolved),
              ElementsAre("org___rows/a/0.0.0/x/a.arrow", "org___rows/a/0.0.0/x/dataset_info.json",
                          "org___rows/b/0.0.0/x/b.arrow"));
  EXPECT_TRUE(isFinishedListing(resolved->listing));
  EXPECT_EQ(resolved->refs.size(), 2u);
}

TEST_F(ResolverTest, ARevisionIsADirectoryOrAllBelowOne) {
  preparer("a/0.0.0/x", {"a.arrow"}, 100);
  preparer("ab/0.0.0/x", {"b.arrow"}, 100);

  for (const char* revision : {"a", "a/0.0.0", "a/0.0.0/x"}) {
    const auto resolved = resolveCache(*RefName::parse(revision));
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_THAT(pathsOf(*resolved), ElementsAre("org___rows/a/0.0.0/x/a.arrow")) << revision;
  }
  EXPECT_TRUE(absl::IsNotFound(resolveCache(*RefName::parse("c")).status()));
  EXPECT_TRUE(absl::IsNotFound(resolveCache(commitOf('1')).status()));
}

TEST_F(ResolverTest, OfOneDirectoryThatOfMostFilesCountsThenTheNewest) {
  preparer("a/0.0.0/x", {"a.arrow", "cache-1.arrow"}, 100, '1');
  preparer("a/0.0.0/x", {"a.arrow", "cache-2.arrow"}, 200, '2');
  preparer("a/0.0.0/x", {"a.arrow"}, 300, '3');

  const auto resolved = resolveCache();

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(pathsOf(*resolved),
              ElementsAre("org___rows/a/0.0.0/x/a.arrow", "org___rows/a/0.0.0/x/cache-2.arrow"))
      << "never mixed of two nodes";
}

TEST_F(ResolverTest, AListThatIsNotWhatWasAdvertisedIsPassedOver) {
  Peer& liar = preparer("a/0.0.0/x", {"a.arrow", "evil.arrow"}, 100);
  liar.listing->files[0].blob.size += 1;
  preparer("a/0.0.0/x", {"a.arrow"}, 100);
  preparer("b/0.0.0/x", {"b.arrow"}, 100);
  // Its commit is right, its files are of another directory.
  Peer& mixer = preparer("c/0.0.0/x", {"c.arrow"}, 100);
  mixer.listing->files[0].path = *RelativePath::parse("org___rows/a/0.0.0/x/c.arrow");

  const auto resolved = resolveCache();

  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(pathsOf(*resolved),
              ElementsAre("org___rows/a/0.0.0/x/a.arrow", "org___rows/b/0.0.0/x/b.arrow"));
}

// ---- What peers get of this node's

TEST_F(ResolverTest, ADatasetCacheOfAPublicDatasetIsForPeers) {
  const Listing own = ownCache();
  hubSays(R"("private":false,"gated":false)");

  const auto given = listingForPeer(own);

  ASSERT_TRUE(given.has_value());
  EXPECT_EQ(given->files, own.files);
  EXPECT_EQ(given->visibility, Visibility::kPublic);
  ASSERT_TRUE(listingForPeer(own).has_value());
  EXPECT_EQ(hubWasAsked("revision"), 1u) << "once";
}

TEST_F(ResolverTest, WhatTheHubDoesNotShowToEverybodyIsNot) {
  for (const char* word :
       {R"("private":false,"gated":"auto")", R"("private":true,"gated":false)"}) {
    inventory_ = Inventory();
    const Listing own = ownCache();
    hubSays(word);
    EXPECT_FALSE(listingForPeer(own).has_value()) << word;
  }
  for (const int refusal : {401, 403, 404}) {
    inventory_ = Inventory();
    const Listing own = ownCache();
    hubRefuses(refusal, "RepoNotFound");
    EXPECT_FALSE(listingForPeer(own).has_value()) << refusal;
    EXPECT_EQ(inventory_.visibilityOf(own.repo), Visibility::kPrivate) << refusal;
  }
}

TEST_F(ResolverTest, WhileTheHubIsSilentNobodyGetsIt) {
  const Listing own = ownCache();

  EXPECT_FALSE(listingForPeer(own).has_value());

  hubSays(R"("private":false,"gated":false)");
  EXPECT_TRUE(listingForPeer(own).has_value()) << "it is asked again";
}

TEST_F(ResolverTest, TheDatasetThatLiesHereIsAskedForByItsOwnName) {
  const Listing own = ownCache();
  const RepoId dataset = *RepoId::make(ownCache_.origin(), RepoType::kDataset, "org/Rows");
  inventory_.apply(RootIndex{0}, RepoScan{dataset, {}, {}, {}, {}, {}, {}, {}}, {});
  hubSays(R"("private":false,"gated":false)");

  EXPECT_TRUE(listingForPeer(own).has_value());

  ASSERT_FALSE(hub_.requests().empty());
  EXPECT_THAT(hub_.requests().front().target, HasSubstr("org/Rows"));
}

TEST_F(ResolverTest, WithoutAHubOrWithTheOperatorsWordNobodyIsAsked) {
  EXPECT_TRUE(listingForPeer(ownCache(), /*withHub=*/false).has_value());
  inventory_ = Inventory();

  EXPECT_TRUE(listingForPeer(ownCache(Share::kCluster)).has_value());

  EXPECT_EQ(hubWasAsked("revision"), 0u);
}

}  // namespace
}  // namespace roost
