// Downloads from a hub that redirects to a second origin, and everything that goes wrong there.
#include "cluster/hub_lane.h"

#include <gmock/gmock.h>
#include <openssl/sha.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cluster/hub_governor.h"
#include "cluster/hub_plan.h"
#include "tests/cluster/hub_under_test.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kCommit[] = "0123456789abcdef0123456789abcdef01234567";
constexpr char kResolve[] =
    "/org/model/resolve/0123456789abcdef0123456789abcdef01234567/w%20eights.bin";

std::string contentOf(size_t size) {
  std::string content(size, '\0');
  uint32_t state = 1;
  for (char& c : content) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return content;
}

BlobInfo blobOf(const std::string& content) {
  Sha256 digest;
  SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest.data());
  return {BlobId::sha256(digest), content.size()};
}

std::vector<uint64_t> allPieces(const std::string& content) {
  std::vector<uint64_t> pieces(pieceCount(content.size()));
  for (size_t i = 0; i < pieces.size(); ++i) pieces[i] = i;
  return pieces;
}

TestAnswer status(int code) {
  TestAnswer answer;
  answer.status = code;
  return answer;
}

class HubLaneTest : public HubTest {
 protected:
  using Answer = std::function<TestAnswer(const TestRequest&)>;

  HubLaneTest()
      : content(contentOf(3 * kPieceBytes + 1000)),
        blob(blobOf(content)),
        cdnAnswer([this](const TestRequest& request) { return rangeAnswer(request, content); }),
        hubAnswer([this](const TestRequest&) { return redirect(); }),
        cdn([this](const TestRequest& request) { return cdnAnswer(request); }),
        hub([this](const TestRequest& request) { return hubAnswer(request); }) {
    options.patience = hasty();
  }

  // What the hub says on HEAD …/resolve of an LFS file.
  TestAnswer redirect() {
    TestAnswer answer = status(302);
    answer.headers = {{"Location", cdn.url() + "/signed?Signature=s"},
                      {"X-Linked-Etag", absl::StrCat("\"", blob.id.hex(), "\"")},
                      {"X-Linked-Size", absl::StrCat(content.size())},
                      {"X-Repo-Commit", kCommit}};
    return answer;
  }

  HubLane::Order order(std::vector<uint64_t> pieces) {
    return {
        blob,
        BlobSite{repoAt(hub.url()), *Commit::parse(kCommit), *RelativePath::parse("w eights.bin")},
        std::move(pieces)};
  }

  // Downloads and puts the pieces together; a piece that comes twice is a failure.
  absl::Status download(std::vector<uint64_t> pieces) {
    HubLane lane(originOf(hub.url()), http, token(), options);
    return await<absl::Status>([&](auto done) {
      lane.start(
          order(std::move(pieces)), [this](auto piece) { keep(*piece); }, done);
    });
  }
  absl::Status download() { return download(allPieces(content)); }

  void keep(const DownloadedPiece& piece) {
    EXPECT_TRUE(received.emplace(piece.index, piece.bytes).second) << "twice: " << piece.index;
  }

  std::string joined() const {
    std::string whole;
    for (const auto& [index, bytes] : received) whole += bytes;
    return whole;
  }

  std::vector<std::string> rangesAsked() const {
    std::vector<std::string> ranges;
    for (const TestRequest& request : cdn.requests()) ranges.push_back(request.header("range"));
    return ranges;
  }

  // The answer with its connection cut after so many bytes of the body.
  TestAnswer cut(const TestRequest& request, size_t after) {
    TestAnswer answer = rangeAnswer(request, content);
    answer.cutAfter = after;
    return answer;
  }

  std::string content;
  BlobInfo blob;
  HubLane::Options options;
  std::map<uint64_t, std::string> received;
  Answer cdnAnswer, hubAnswer;
  TestHttpServer cdn, hub;
};

TEST_F(HubLaneTest, WholeFileComesFromTheSignedUrlAndTheTokenDoesNot) {
  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
  EXPECT_EQ(hub.requests()[0].method, "HEAD");
  EXPECT_EQ(hub.requests()[0].target, kResolve);
  EXPECT_TRUE(sawToken(hub));
  EXPECT_FALSE(sawToken(cdn));
  EXPECT_THAT(rangesAsked(), ElementsAre(""));
}

TEST_F(HubLaneTest, FileOnTheHubItselfIsReadWhereItsRedirectLeads) {
  content = "small file";
  blob = {*BlobId::parseHex("89abcdef0123456789abcdef0123456789abcdef"), content.size()};
  hubAnswer = [&](const TestRequest& request) {
    if (!absl::StartsWith(request.target, "/api/resolve-cache")) {
      TestAnswer answer = status(307);
      answer.headers = {{"Location", "/api/resolve-cache/models/org/model/x?etag=1"}};
      return answer;
    }
    TestAnswer answer = rangeAnswer(request, content);
    answer.headers.emplace_back("ETag", absl::StrCat("\"", blob.id.hex(), "\""));
    return answer;
  };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
  ASSERT_EQ(hub.requests().size(), 3u);
  EXPECT_EQ(hub.requests()[2].target, "/api/resolve-cache/models/org/model/x?etag=1");
  EXPECT_EQ(hub.requests()[2].header("authorization"), absl::StrCat("Bearer ", kToken));
}

TEST_F(HubLaneTest, OnlyMissingPiecesAreAskedFor) {
  ASSERT_TRUE(download({1, 3}).ok());

  EXPECT_THAT(rangesAsked(),
              ::testing::UnorderedElementsAre("bytes=1048576-2097151", "bytes=3145728-3146727"));
  EXPECT_EQ(received[1], content.substr(kPieceBytes, kPieceBytes));
  EXPECT_EQ(received[3], content.substr(3 * kPieceBytes));
}

TEST_F(HubLaneTest, NothingMissingAsksNobody) {
  EXPECT_TRUE(download({}).ok());
  EXPECT_TRUE(hub.requests().empty());
}

TEST_F(HubLaneTest, LargeFileUsesSeveralConnectionsWithinTheirLimit) {
  content = contentOf(24 * kPieceBytes);
  blob = blobOf(content);
  options.rangeBytes = kPieceBytes;
  options.connectionsMax = 3;

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
  EXPECT_EQ(cdn.requests().size(), 24u);
  EXPECT_LE(cdn.connectionsMost(), 3u);
}

TEST_F(HubLaneTest, NoMoreIsUnderWayThanTheOrderAllows) {
  content = contentOf(24 * kPieceBytes);
  blob = blobOf(content);

  HubLane lane(originOf(hub.url()), http, token(), options);
  const absl::Status ended = await<absl::Status>([&](auto done) {
    HubLane::Order some = order(allPieces(content));
    some.underWayMax = 2 * kPieceBytes;
    lane.start(
        std::move(some), [this](auto piece) { keep(*piece); }, done);
  });

  ASSERT_TRUE(ended.ok()) << ended;
  EXPECT_EQ(joined(), content);
  EXPECT_EQ(cdn.requests().size(), 24u) << "each request is for one piece";
  EXPECT_LE(cdn.connectionsMost(), 2u);
}

TEST_F(HubLaneTest, TheDownloadLimitHoldsForAllConnectionsTogether) {
  RateLimit limit(2 * kPieceBytes);
  options.limit = &limit;
  options.rangeBytes = kPieceBytes;
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(download().ok());
  EXPECT_EQ(joined(), content);
  EXPECT_GE(absl::Now() - begin, absl::Seconds(1)) << "three pieces";
}

TEST_F(HubLaneTest, ALimitThatIsTakenAwayLetsADownloadGoOn) {
  RateLimit limit(1);
  options.limit = &limit;
  HubLane lane(originOf(hub.url()), http, token(), options);
  std::promise<absl::Status> ended;
  lane.start(
      order(allPieces(content)), [this](auto piece) { keep(*piece); },
      [&](absl::Status status) { ended.set_value(std::move(status)); });
  while (cdn.requests().empty()) std::this_thread::yield();
  limit.set(0, absl::Now());
  EXPECT_TRUE(ended.get_future().get().ok());
  EXPECT_EQ(joined(), content);
}

TEST_F(HubLaneTest, ADownloadsOwnLimitIsChangedWhileItRuns) {
  HubLane lane(originOf(hub.url()), http, token(), options);
  std::promise<absl::Status> ended;
  HubLane::Order slow = order(allPieces(content));
  slow.pace = std::make_shared<RateLimit>(1);
  const HubDownloadId id = lane.start(
      std::move(slow), [this](auto piece) { keep(*piece); },
      [&](absl::Status status) { ended.set_value(std::move(status)); });
  while (cdn.requests().empty()) std::this_thread::yield();
  lane.setLimit(id, UINT64_MAX, UINT64_MAX, absl::InfiniteFuture());
  EXPECT_TRUE(ended.get_future().get().ok());
}

TEST_F(HubLaneTest, OneThatYieldsHasOneConnectionWhileAnotherRuns) {
  content = contentOf(24 * kPieceBytes);
  blob = blobOf(content);
  options.rangeBytes = kPieceBytes;
  HubLane lane(originOf(hub.url()), http, token(), options);
  HubLane::Order first = order(allPieces(content));
  first.pace = std::make_shared<RateLimit>(1);  // it goes on until the other has ended
  first.underWayMax = kPieceBytes;
  std::promise<absl::Status> firstEnded, secondEnded;
  const HubDownloadId id = lane.start(
      std::move(first), [](auto) {},
      [&](absl::Status status) { firstEnded.set_value(std::move(status)); });
  while (cdn.requests().empty()) std::this_thread::yield();
  HubLane::Order second = order(allPieces(content));
  second.yields = true;
  lane.start(
      std::move(second), [this](auto piece) { keep(*piece); },
      [&](absl::Status status) { secondEnded.set_value(std::move(status)); });
  EXPECT_TRUE(secondEnded.get_future().get().ok());
  EXPECT_EQ(joined(), content);
  EXPECT_LE(cdn.connectionsMost(), 3u);
  lane.stop(id);
  EXPECT_TRUE(absl::IsCancelled(firstEnded.get_future().get()));
}

TEST_F(HubLaneTest, WhoIsFollowedSinceItBeganHasLittleUnderWayFromThenOn) {
  content = contentOf(24 * kPieceBytes);
  blob = blobOf(content);
  options.connectionsMax = 1;
  options.piecesHeldMax = 1;  // it stands still until the first piece is given back
  HubLane lane(originOf(hub.url()), http, token(), options);
  std::promise<std::shared_ptr<const DownloadedPiece>> first;
  std::promise<absl::Status> ended;

  const HubDownloadId id = lane.start(
      order(allPieces(content)),
      [&](auto piece) {
        keep(*piece);
        if (piece->index == 0) first.set_value(std::move(piece));
      },
      [&](absl::Status status) { ended.set_value(std::move(status)); });
  std::shared_ptr<const DownloadedPiece> held = first.get_future().get();
  lane.setLimit(id, UINT64_MAX, kPieceBytes, absl::InfiniteFuture());
  // The hub thread takes its work in order: when nothing has been fetched, the limit is known.
  const absl::Status nothing = await<absl::Status>([&](auto done) {
    lane.start(
        order({}), [](auto) {}, done);
  });
  ASSERT_TRUE(nothing.ok()) << nothing;
  held.reset();

  const absl::Status status = ended.get_future().get();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(joined(), content);
  EXPECT_EQ(cdn.requests().size(), 23u) << "the first was cut behind the second piece";
}

TEST_F(HubLaneTest, NoRequestBeginsAfterTheLeaseHasEnded) {
  content = contentOf(3 * kPieceBytes);
  blob = blobOf(content);
  options.connectionsMax = 1;
  options.rangeBytes = kPieceBytes;
  options.piecesHeldMax = 1;  // it stands still until the first piece is given back
  HubLane lane(originOf(hub.url()), http, token(), options);
  std::promise<std::shared_ptr<const DownloadedPiece>> first;
  std::promise<absl::Status> ended;
  HubLane::Order some = order(allPieces(content));
  some.until = absl::Now() + absl::Hours(1);

  const HubDownloadId id = lane.start(
      std::move(some),
      [&](auto piece) {
        if (piece->index == 0) first.set_value(std::move(piece));
      },
      [&](absl::Status status) { ended.set_value(std::move(status)); });
  std::shared_ptr<const DownloadedPiece> held = first.get_future().get();
  lane.setLimit(id, UINT64_MAX, UINT64_MAX, absl::Now() - absl::Seconds(1));
  std::promise<void> told;  // or the second may be over and the third begun before it is
  http.post([&] { told.set_value(); });
  told.get_future().wait();
  held.reset();

  EXPECT_TRUE(absl::IsAborted(ended.get_future().get()));
  EXPECT_LE(cdn.requests().size(), 2u) << "the second may have been on its way, the third not";
}

TEST_F(HubLaneTest, StuckConnectionDoesNotHoldTheOtherRanges) {
  options.rangeBytes = kPieceBytes;
  cdnAnswer = [&](const TestRequest& request) {
    TestAnswer answer = rangeAnswer(request, content);
    answer.hang = absl::StartsWith(request.header("range"), "bytes=0-");
    return answer;
  };
  HubLane lane(originOf(hub.url()), http, token(), options);
  std::promise<void> second;
  lane.start(
      order(allPieces(content)),
      [&](auto piece) {
        if (piece->index == 1) second.set_value();
      },
      [](absl::Status) {});

  EXPECT_EQ(second.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

TEST_F(HubLaneTest, CutConnectionResumesInsideThePiece) {
  options.connectionsMax = 1;
  std::atomic<int> asked = 0;
  cdnAnswer = [&](const TestRequest& request) {
    return ++asked == 1 ? cut(request, kPieceBytes + 5000) : rangeAnswer(request, content);
  };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
  EXPECT_THAT(rangesAsked(), ElementsAre("", "bytes=1053576-3146727"));
  EXPECT_EQ(hub.requests().size(), 1u);
}

TEST_F(HubLaneTest, ConnectionResetIsResumed) {
  std::atomic<int> asked = 0;
  cdnAnswer = [&](const TestRequest& request) {
    TestAnswer answer = rangeAnswer(request, content);
    if (++asked <= 2) {
      answer.cutAfter = 300'000;
      answer.reset = true;
    }
    return answer;
  };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
}

TEST_F(HubLaneTest, ConnectionsThatBreakTogetherAreOneFailure) {
  options.rangeBytes = kPieceBytes;
  options.patience.tries = 2;
  std::map<std::string, int> asked;
  cdnAnswer = [&](const TestRequest& request) {
    const bool first = ++asked[request.header("range")] == 1 && asked.size() <= 2;
    return first ? cut(request, 0) : rangeAnswer(request, content);
  };

  const absl::Status result = download();

  EXPECT_TRUE(result.ok()) << result;
  EXPECT_EQ(joined(), content);
}

TEST_F(HubLaneTest, ManyCutsWithProgressAreNoFailure) {
  cdnAnswer = [&](const TestRequest& request) { return cut(request, 200'000); };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
}

TEST_F(HubLaneTest, CutsWithoutProgressEndWithTheHubsName) {
  cdnAnswer = [&](const TestRequest& request) { return cut(request, 0); };

  const absl::Status result = download();

  EXPECT_EQ(result.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(result.message()), HasSubstr("w eights.bin"));
  EXPECT_EQ(cdn.requests().size(), static_cast<size_t>(kHubTriesMax));
}

TEST_F(HubLaneTest, ExpiredUrlIsAskedForAgain) {
  std::atomic<int> asked = 0;
  cdnAnswer = [&](const TestRequest& request) {
    return ++asked == 1 ? status(403) : rangeAnswer(request, content);
  };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
  EXPECT_EQ(hub.requests().size(), 2u);
}

TEST_F(HubLaneTest, UrlThatNeverWorksIsGivenUpWithoutShowingItsSignature) {
  cdnAnswer = [&](const TestRequest&) { return status(403); };

  const absl::Status result = download();

  EXPECT_EQ(result.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(result.message()), HasSubstr("403"));
  EXPECT_THAT(std::string(result.message()), HasSubstr(cdn.url()));
  EXPECT_THAT(std::string(result.message()), Not(HasSubstr("Signature")));
}

TEST_F(HubLaneTest, ServerWithoutRangesIsReadOnceFromTheStart) {
  options.rangeBytes = kPieceBytes;
  cdnAnswer = [&](const TestRequest&) { return TestAnswer{200, {}, content}; };

  ASSERT_TRUE(download({1, 2}).ok());

  EXPECT_EQ(received.size(), 2u);
  EXPECT_EQ(received[1], content.substr(kPieceBytes, kPieceBytes));
  EXPECT_EQ(received[2], content.substr(2 * kPieceBytes, kPieceBytes));
}

TEST_F(HubLaneTest, ServerWithoutRangesThatIsCutStartsAgain) {
  std::atomic<int> asked = 0;
  cdnAnswer = [&](const TestRequest&) {
    TestAnswer answer{200, {}, content};
    if (++asked == 1) answer.cutAfter = 2 * kPieceBytes + 10;
    return answer;
  };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
}

TEST_F(HubLaneTest, BodyWithoutLengthEndsWithTheConnection) {
  cdnAnswer = [&](const TestRequest&) {
    TestAnswer answer{200, {}, content};
    answer.sendLength = false;
    return answer;
  };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
}

TEST_F(HubLaneTest, BusyOriginIsAskedAgain) {
  std::atomic<int> asked = 0;
  cdnAnswer = [&](const TestRequest& request) {
    return ++asked <= 2 ? status(503) : rangeAnswer(request, content);
  };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
}

TEST_F(HubLaneTest, SilentOriginIsCutAndAskedAgain) {
  std::atomic<int> asked = 0;
  cdnAnswer = [&](const TestRequest& request) {
    TestAnswer answer = rangeAnswer(request, content);
    answer.hang = ++asked == 1;
    return answer;
  };

  ASSERT_TRUE(download().ok());

  EXPECT_EQ(joined(), content);
}

TEST_F(HubLaneTest, OtherEtagIsOtherContentAndNothingIsDownloaded) {
  hubAnswer = [&](const TestRequest&) {
    TestAnswer answer = redirect();
    answer.headers[1].second = absl::StrCat("\"", std::string(64, 'a'), "\"");
    return answer;
  };

  const absl::Status result = download();

  EXPECT_EQ(result.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(result.message()), HasSubstr(blob.id.hex()));
  EXPECT_THAT(std::string(result.message()), HasSubstr(hub.url()));
  EXPECT_TRUE(cdn.requests().empty());
}

TEST_F(HubLaneTest, OtherSizeIsOtherContent) {
  hubAnswer = [&](const TestRequest&) {
    TestAnswer answer = redirect();
    answer.headers[2].second = "17";
    return answer;
  };

  EXPECT_EQ(download().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(cdn.requests().empty());
}

struct WrongAnswer {
  std::string name;
  std::function<TestAnswer(const TestRequest&, const std::string&)> answer;
  absl::StatusCode expected;
};

class HubLaneWrongAnswer : public HubLaneTest, public ::testing::WithParamInterface<WrongAnswer> {};

TEST_P(HubLaneWrongAnswer, EndsTheDownload) {
  cdnAnswer = [&](const TestRequest& request) { return GetParam().answer(request, content); };

  const absl::Status result = download({1, 2});

  EXPECT_EQ(result.code(), GetParam().expected) << result;
  EXPECT_THAT(std::string(result.message()), HasSubstr("w eights.bin"));
  EXPECT_THAT(std::string(result.message()), Not(HasSubstr(kToken)));
  EXPECT_FALSE(sawToken(cdn));
}

INSTANTIATE_TEST_SUITE_P(
    All, HubLaneWrongAnswer,
    ::testing::Values(WrongAnswer{"OtherTotal",
                                  [](const TestRequest& request, const std::string& content) {
                                    return rangeAnswer(request, content + "more");
                                  },
                                  absl::StatusCode::kDataLoss},
                      WrongAnswer{"OtherLength",
                                  [](const TestRequest&, const std::string& content) {
                                    return TestAnswer{200, {}, content + "more"};
                                  },
                                  absl::StatusCode::kDataLoss},
                      WrongAnswer{"LongBody",
                                  [](const TestRequest& request, const std::string& content) {
                                    TestAnswer answer = rangeAnswer(request, content);
                                    answer.body += "more";
                                    answer.sendLength = false;
                                    return answer;
                                  },
                                  absl::StatusCode::kDataLoss},
                      WrongAnswer{"ShortBody",
                                  [](const TestRequest& request, const std::string& content) {
                                    TestAnswer answer = rangeAnswer(request, content);
                                    answer.body.clear();
                                    return answer;
                                  },
                                  absl::StatusCode::kUnavailable},
                      WrongAnswer{"OtherRange",
                                  [](const TestRequest&, const std::string& content) {
                                    TestRequest other;
                                    other.headers["range"] = "bytes=0-1048575";
                                    return rangeAnswer(other, content);
                                  },
                                  absl::StatusCode::kUnavailable},
                      WrongAnswer{"NoContentRange",
                                  [](const TestRequest&, const std::string&) {
                                    return TestAnswer{206, {}, "bytes"};
                                  },
                                  absl::StatusCode::kUnavailable},
                      WrongAnswer{"Compressed",
                                  [](const TestRequest& request, const std::string& content) {
                                    TestAnswer answer = rangeAnswer(request, content);
                                    answer.headers.emplace_back("Content-Encoding", "gzip");
                                    return answer;
                                  },
                                  absl::StatusCode::kUnavailable},
                      WrongAnswer{
                          "NotSatisfiable",
                          [](const TestRequest&, const std::string&) { return status(416); },
                          absl::StatusCode::kDataLoss},
                      WrongAnswer{"RedirectLoop",
                                  [](const TestRequest& request, const std::string&) {
                                    TestAnswer answer = status(302);
                                    answer.headers = {{"Location", request.target}};
                                    return answer;
                                  },
                                  absl::StatusCode::kInternal}),
    [](const auto& test) { return test.param.name; });

TEST_F(HubLaneTest, MissingFileIsNamed) {
  hubAnswer = [&](const TestRequest&) {
    TestAnswer answer = status(404);
    answer.headers = {{"X-Error-Code", "EntryNotFound"}};
    return answer;
  };

  const absl::Status result = download();

  EXPECT_EQ(result.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(result.message()), HasSubstr("w eights.bin"));
}

TEST_F(HubLaneTest, ShorterAnswersThanAskedForAreContinued) {
  cdnAnswer = [&](const TestRequest& request) {
    unsigned long long first = 0, last = 0;
    std::sscanf(request.header("range").c_str(), "bytes=%llu-%llu", &first, &last);
    TestRequest shorter;
    shorter.headers["range"] = absl::StrCat("bytes=", first, "-", std::min(last, first + 700'000));
    return rangeAnswer(shorter, content);
  };

  ASSERT_TRUE(download({1, 2}).ok());

  EXPECT_EQ(joined(), content.substr(kPieceBytes, 2 * kPieceBytes));
}

TEST_F(HubLaneTest, AfterStopNoRequestBegins) {
  options.rangeBytes = kPieceBytes;
  options.connectionsMax = 1;
  HubLane lane(originOf(hub.url()), http, token(), options);
  std::promise<HubDownloadId> id;
  auto idKnown = id.get_future().share();
  std::promise<absl::Status> ended;
  id.set_value(lane.start(
      order(allPieces(content)), [&](auto) { lane.stop(idKnown.get()); },
      [&](absl::Status result) { ended.set_value(result); }));

  EXPECT_EQ(ended.get_future().get().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(cdn.requests().size(), 1u);
}

TEST_F(HubLaneTest, ReceiverThatKeepsPiecesHoldsTheDownloadBack) {
  content = contentOf(12 * kPieceBytes);
  blob = blobOf(content);
  options.piecesHeldMax = 3;
  HubLane lane(originOf(hub.url()), http, token(), options);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::shared_ptr<const DownloadedPiece>> held;
  bool ended = false;
  size_t heldMost = 0;
  lane.start(
      order(allPieces(content)),
      [&](auto piece) {
        const std::lock_guard lock(mutex);
        held.push_back(std::move(piece));
        heldMost = std::max(heldMost, held.size());
        changed.notify_all();
      },
      [&](absl::Status result) {
        EXPECT_TRUE(result.ok()) << result;
        const std::lock_guard lock(mutex);
        ended = true;
        changed.notify_all();
      });

  while (true) {  // takes one piece at a time, as a disk does
    std::shared_ptr<const DownloadedPiece> piece;
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return !held.empty() || ended; });
    if (held.empty()) break;
    piece = std::move(held.front());
    held.erase(held.begin());
    lock.unlock();
    keep(*piece);
  }

  EXPECT_EQ(joined(), content);
  EXPECT_LE(heldMost, 3u);
}

TEST_F(HubLaneTest, ManyFilesShareTheConnections) {
  content = contentOf(70'000);
  blob = blobOf(content);
  options.connectionsMax = 4;
  HubLane lane(originOf(hub.url()), http, token(), options);
  constexpr int kFiles = 50;
  std::atomic<int> left = kFiles;
  std::promise<void> all;
  for (int i = 0; i < kFiles; ++i) {
    lane.start(
        order({0}), [&](auto piece) { EXPECT_EQ(piece->bytes, content); },
        [&](absl::Status result) {
          EXPECT_TRUE(result.ok()) << result;
          if (--left == 0) all.set_value();
        });
  }

  ASSERT_EQ(all.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);

  EXPECT_LE(cdn.connectionsMost(), 4u);
  EXPECT_LE(hub.connectionsMost(), 4u);
  EXPECT_EQ(lane.bytesDownloaded(), kFiles * content.size());
}

TEST_F(HubLaneTest, LaneThatGoesEndsItsDownloads) {
  cdnAnswer = [&](const TestRequest&) {
    TestAnswer answer;
    answer.hang = true;
    return answer;
  };
  std::promise<absl::Status> ended;
  {
    HubLane lane(originOf(hub.url()), http, token(), options);
    lane.start(
        order(allPieces(content)), [](auto) {},
        [&](absl::Status result) { ended.set_value(result); });
  }

  EXPECT_EQ(ended.get_future().get().code(), absl::StatusCode::kCancelled);
}

TEST_F(HubLaneTest, PiecesMayOutliveTheLane) {
  std::vector<std::shared_ptr<const DownloadedPiece>> held;
  {
    HubLane lane(originOf(hub.url()), http, token(), options);
    const absl::Status result = await<absl::Status>([&](auto done) {
      lane.start(
          order({0}), [&](auto piece) { held.push_back(std::move(piece)); }, done);
    });
    ASSERT_TRUE(result.ok()) << result;
  }

  EXPECT_EQ(held[0]->bytes, content.substr(0, kPieceBytes));
}

TEST_F(HubLaneTest, PiecesOutsideTheBlobAreRefused) {
  EXPECT_EQ(download({4}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(download({1, 1}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(hub.requests().empty());
}

TEST_F(HubLaneTest, RepoOfAnotherHubIsRefused) {
  HubLane lane(HubOrigin::huggingFace(), http, token(), options);

  const auto result = await<absl::Status>([&](auto done) {
    lane.start(
        order({0}), [](auto) {}, done);
  });

  EXPECT_EQ(result.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(hub.requests().empty());
}

TEST(HubPlan, RangesBecomeSmallerTowardsTheEnd) {
  constexpr uint64_t kPieces = 512;
  std::vector<uint64_t> pieces(kPieces);
  std::iota(pieces.begin(), pieces.end(), 0);
  HubPlan plan(kPieces * kPieceBytes, pieces, 8 << 20, 16);
  const auto room = std::make_shared<HubRoom>(kPieces);
  const std::string bytes(8 << 20, 'x');
  std::vector<uint64_t> taken;
  while (plan.hasWork()) {
    HubStretch stretch = plan.take();
    taken.push_back(stretch.end - stretch.next);
    plan.feed(stretch, absl::string_view(bytes).substr(0, taken.back()), *room, [](auto) {});
  }
  EXPECT_TRUE(plan.done());
  EXPECT_EQ(taken.front(), 8u << 20);
  EXPECT_EQ(taken.back(), kHubRangeBytesMin);
  EXPECT_TRUE(std::is_sorted(taken.rbegin(), taken.rend()));
  EXPECT_LT(taken.size(), 2 * kPieces / 8);
}

TEST(HubGovernor, GrowsWhileEachStepBringsMore) {
  HubGovernor governor(16);
  for (uint64_t rate = 100; rate < 100'000; rate *= 2) governor.onPeriod(rate, true);
  EXPECT_EQ(governor.target(), 16);
}

TEST(HubGovernor, StaysWhereMoreConnectionsBringNothing) {
  HubGovernor governor(16);
  for (int i = 0; i < 1000; ++i) governor.onPeriod(1000, true);
  EXPECT_LE(governor.target(), 6);
}

TEST(HubGovernor, ReachesItsMostInTwoPeriodsAgainstAHubThatLimitsEachConnection) {
  HubGovernor governor(16);
  for (int i = 0; i < 2; ++i) governor.onPeriod(static_cast<uint64_t>(governor.target()), true);
  EXPECT_EQ(governor.target(), 16);
  for (int i = 0; i < 100; ++i) {
    governor.onPeriod(static_cast<uint64_t>(governor.target()), true);
    EXPECT_GE(governor.target(), 15);
  }
}

TEST(HubGovernor, ADoublingThatBringsNothingIsTakenBack) {
  HubGovernor governor(16);
  governor.onPeriod(1000, true);
  EXPECT_EQ(governor.target(), 8);
  governor.onPeriod(1000, true);
  EXPECT_EQ(governor.target(), 4);
}

TEST(HubGovernor, APeriodInWhichConnectionsAreMadeSaysNothing) {
  HubGovernor governor(16);
  for (int i = 0; i < 3; ++i) governor.onPeriod(0, true);
  EXPECT_EQ(governor.target(), 4);
  governor.onPeriod(1000, true);
  EXPECT_EQ(governor.target(), 8);
}

TEST(HubGovernor, IdlePeriodsSayNothing) {
  HubGovernor governor(16);
  const int before = governor.target();
  for (uint64_t rate = 1; rate < 100; ++rate) governor.onPeriod(rate * 1000, false);
  EXPECT_EQ(governor.target(), before);
}

TEST(HubGovernor, HalvesWhenTheHubRefusesAndKeepsOne) {
  HubGovernor governor(16);
  for (uint64_t rate = 100; rate < 100'000; rate *= 2) governor.onPeriod(rate, true);
  governor.onRefused();
  EXPECT_EQ(governor.target(), 8);
  for (int i = 0; i < 10; ++i) governor.onRefused();
  EXPECT_EQ(governor.target(), 1);
}

}  // namespace
}  // namespace roost
