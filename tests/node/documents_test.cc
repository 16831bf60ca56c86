#include "node/documents.h"

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace roost {
namespace {

using nlohmann::json;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixMillis(1'700'000'000'250);
const RepoId kRepo = *RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model");
const Commit kCommit = *Commit::parse(std::string(40, 'a'));

class DocumentsTest : public ::testing::Test {
 protected:
  static MemberInfo self() {
    MemberInfo info{NodeId::ofNumber(1)};
    info.epoch = 1;
    info.name = "gpu-01";
    info.zone = "a";
    return info;
  }
  static Core::Options options() { return {.self = self(), .logId = 1}; }
  void tell(std::vector<AdvertChange> changes) { core.on(LocalChanged{std::move(changes)}, kNow); }
  BlobInfo blob{BlobId::sha256(Sha256{}), 5};
  std::mt19937_64 random{1};
  Core core{options(), random};
};

JobView job() {
  JobView view{
      .order = {.id = 12, .title = "org/model", .listing = {kRepo, kCommit}, .created = kNow}};
  TargetView target{NodeId::ofNumber(2), "gpu-02", {}};
  target.progress.state = ObtainState::kRunning;
  target.progress.bytesDone = 3;
  target.progress.bytesTotal = 9;
  target.progress.sources.push_back({"gpu-01", 3});
  view.targets.push_back(target);
  return view;
}

TEST_F(DocumentsTest, StatusNamesTheNodeItselfAndItsProblems) {
  core.on(SummaryChanged{{.state = NodeState::kReady, .blobs = 2, .hubBytes = 7, .savedBytes = 9}},
          kNow);
  const json status = statusDocument(core, {{"what", "why", "fix"}}, kNow);
  EXPECT_EQ(status.at("schema"), "roost.status.1");
  EXPECT_EQ(status.at("time"), "2023-11-14T22:13:20.250Z");
  EXPECT_EQ(status.at("self"), "gpu-01");
  EXPECT_EQ(status.at("cluster").at("nodes"), 1);
  EXPECT_EQ(status.at("cluster").at("hub_bytes"), 7);
  EXPECT_EQ(status.at("cluster").at("saved_bytes"), 9);
  ASSERT_THAT(status.at("nodes"), SizeIs(1));
  const json& node = status.at("nodes").front();
  EXPECT_EQ(node.at("state"), "ready");
  EXPECT_EQ(node.at("self"), true);
  EXPECT_EQ(node.at("blobs"), 2);
  EXPECT_EQ(node.at("zone"), "a");
  EXPECT_EQ(status.at("problems").front().at("fix"), "fix");
  EXPECT_THAT(status.at("jobs"), IsEmpty());
}

TEST_F(DocumentsTest, AJobUnderWayShowsWhoGetsHowMuchFromWhom) {
  const json document = jobDocument(job());
  EXPECT_EQ(document.at("state"), "running");
  EXPECT_EQ(document.at("exit_code"), 0);
  EXPECT_FALSE(document.contains("finished"));
  const json& node = document.at("nodes").front();
  EXPECT_EQ(node.at("name"), "gpu-02");
  EXPECT_EQ(node.at("state"), "running");
  EXPECT_EQ(node.at("bytes_done"), 3);
  EXPECT_EQ(node.at("sources").front().at("name"), "gpu-01");
}

TEST_F(DocumentsTest, AFinishedJobSaysHowItEnded) {
  JobView view = job();
  view.finished = true;
  view.finishedAt = kNow + absl::Seconds(1);
  EXPECT_EQ(jobDocument(view).at("state"), "done");
  EXPECT_EQ(jobDocument(view).at("finished"), "2023-11-14T22:13:21.250Z");
  view.result = absl::OutOfRangeError("one of two nodes failed");
  EXPECT_EQ(jobDocument(view).at("state"), "partial");
  EXPECT_EQ(jobDocument(view).at("exit_code"), 10);
  view.result = absl::ResourceExhaustedError("no room");
  EXPECT_EQ(jobDocument(view).at("state"), "failed");
  EXPECT_EQ(jobDocument(view).at("exit_code"), 7);
  EXPECT_EQ(jobDocument(view).at("message"), "no room");
  view.cancelled = true;
  EXPECT_EQ(jobDocument(view).at("state"), "cancelled");
  EXPECT_THAT(jobsDocument({view, view}).at("jobs"), SizeIs(2));
}

TEST_F(DocumentsTest, WhereNamesTheHoldersOfARepoAndOfItsCommit) {
  tell({{1, Advert(RepoAdvert{.repo = kRepo, .commit = kCommit, .files = 2, .bytes = 9})},
        {2, Advert(RefAdvert{kRepo, {*RefName::parse("main"), kCommit, kNow}})}});
  const json where = whereDocument(core, kRepo, std::nullopt);
  ASSERT_THAT(where.at("nodes"), SizeIs(1));
  EXPECT_EQ(where.at("nodes").front().at("name"), "gpu-01");
  EXPECT_EQ(where.at("nodes").front().at("complete"), false);
  EXPECT_EQ(where.at("nodes").front().at("bytes"), 9);
  ASSERT_THAT(where.at("refs"), SizeIs(1));
  EXPECT_EQ(where.at("refs").front().at("name"), "main");
  EXPECT_EQ(where.at("refs").front().at("hub_time"), "2023-11-14T22:13:20.250Z");
  EXPECT_THAT(whereDocument(core, kRepo, *Commit::parse(std::string(40, 'b'))).at("nodes"),
              IsEmpty());
}

TEST_F(DocumentsTest, WhereNamesTheHoldersOfABlob) {
  EXPECT_THAT(whereDocument(core, blob.id).at("nodes"), IsEmpty());
  tell({{1, Advert(BlobAdvert{.blob = blob, .unverified = true})}});
  const json where = whereDocument(core, blob.id);
  ASSERT_THAT(where.at("nodes"), SizeIs(1));
  EXPECT_EQ(where.at("nodes").front().at("unverified"), true);
  EXPECT_EQ(where.at("digest"), blob.id.toString());
}

}  // namespace
}  // namespace roost
