#include "cluster/saved_jobs.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace roost {
namespace {

JobView running() {
  const RepoId repo = *RepoId::make(HubOrigin::huggingFace(), RepoType::kDataset, "org/data");
  const Commit commit = *Commit::parse(std::string(40, 'b'));
  JobOrder order{.id = 12,
                 .title = "datasets/org/data",
                 .listing = {repo, commit, true, Visibility::kPublic, {}},
                 .from = SourceRule::kClusterOnly,
                 .created = absl::FromUnixMillis(1'700'000'000'123)};
  order.listing.files.push_back({*RelativePath::parse("a"), {BlobId::sha256(Sha256{}), 5}, {}});
  order.manifestOnly.push_back({*RelativePath::parse("b"), {BlobId::sha256(Sha256{}), 5}, {}});
  order.refs.push_back({*RefName::parse("main"), commit, absl::FromUnixSeconds(5)});
  order.targets.push_back(NodeId::ofNumber(1));
  order.targets.push_back(NodeId::ofNumber(2));
  return {.order = std::move(order)};
}

JobView finished() {
  JobView job = running();
  for (const NodeId& node : job.order.targets) {
    job.targets.push_back({node,
                           "",
                           {.state = ObtainState::kFailed,
                            .filesTotal = 2,
                            .bytesTotal = 10,
                            .bytesDone = 5,
                            .sources = {{"hub", 5}},
                            .code = absl::StatusCode::kDataLoss,
                            .message = "wrong bytes"}});
  }
  job.finished = true;
  job.cancelled = true;
  job.result = absl::DataLossError("wrong bytes");
  job.finishedAt = absl::FromUnixMillis(1'700'000'001'000);
  return job;
}

TEST(SavedJobsTest, ARunningJobsOrderComesBackAsItWas) {
  const JobOrder before = running().order;
  const auto job = decodeJob(encodeJob(running(), NodeId::ofNumber(1)));
  ASSERT_TRUE(job.ok()) << job.status();
  const JobOrder& after = job->order;
  EXPECT_FALSE(job->finished);
  EXPECT_EQ(after.id, before.id);
  EXPECT_EQ(after.title, before.title);
  EXPECT_EQ(after.listing, before.listing);
  EXPECT_EQ(after.manifestOnly, before.manifestOnly);
  EXPECT_EQ(after.refs, before.refs);
  EXPECT_EQ(after.from, before.from);
  EXPECT_EQ(after.targets, before.targets);
  EXPECT_EQ(after.created, before.created);
}

TEST(SavedJobsTest, AFinishedJobComesBackWithHowItEnded) {
  const JobView before = finished();
  const auto after = decodeJob(encodeJob(before, NodeId::ofNumber(1)));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(after->finished);
  EXPECT_TRUE(after->cancelled);
  EXPECT_EQ(after->result, before.result);
  EXPECT_EQ(after->finishedAt, before.finishedAt);
  ASSERT_EQ(after->targets.size(), 2u);
  EXPECT_EQ(after->targets[1].node, before.targets[1].node);
  EXPECT_EQ(after->targets[1].progress, before.targets[1].progress);
}

TEST(SavedJobsTest, WhatIsNoSavedJobIsRefused) {
  EXPECT_FALSE(decodeJob("").ok());
  EXPECT_FALSE(decodeJob("short").ok());
  EXPECT_FALSE(decodeJob(std::string(64, '\xff')).ok());
  EXPECT_FALSE(decodeJob(std::string(64, '\0')).ok());
}

TEST(SavedJobsTest, ATruncatedOneIsRefused) {
  const std::string whole = encodeJob(running(), NodeId::ofNumber(1));
  for (size_t size = 0; size < whole.size(); size += 8) {
    EXPECT_FALSE(decodeJob(absl::string_view(whole).substr(0, size)).ok()) << size;
  }
}

}  // namespace
}  // namespace roost
