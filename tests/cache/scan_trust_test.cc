// The walk of a file from the folder to the adverts: scanned, looked up, told, hashed, remembered.
#include "cache/scan_trust.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/time/clock.h"
#include "cache/hasher.h"
#include "cache/hub_layout.h"
#include "cache/unique_fd.h"
#include "tests/cache/hub_folder.h"

namespace roost {
namespace {

using testing::commitOf;
using testing::gitSha1Of;
using testing::HubFolder;
using ::testing::IsEmpty;
using testing::repoNamed;
using testing::sha256Hex;
using testing::sha256Of;
using ::testing::SizeIs;

constexpr RootIndex kRoot{0};

class ScanTrustTest : public ::testing::Test {
 protected:
  ScanTrustTest() {
    openIndex();
    startInventory();
  }
  void openIndex() {
    index_.reset();
    auto opened = Index::open(hub_.outside() / "index.db");
    EXPECT_TRUE(opened.ok()) << opened.status();
    index_ = std::move(opened->index);
  }
  void startInventory() {
    inventory_ = std::make_unique<Inventory>();
    Root root;
    root.config.path = hub_.root();
    inventory_->addRoot(root);
  }
  size_t scan() {
    const auto scanned = scanRepo(hub_.root(), repo_, {});
    EXPECT_TRUE(scanned.ok());
    const auto trust = lookUpTrust(*scanned, *index_);
    EXPECT_TRUE(trust.ok()) << trust.status();
    inventory_->apply(kRoot, *scanned, *trust);
    return inventory_->takeChanges().size();
  }
  size_t hashAll() {
    size_t hashed = 0;
    while (const auto job = inventory_->nextToVerify(absl::Now() + kSettleTime)) {
      const UniqueFd file(open(job->path.c_str(), O_RDONLY | O_CLOEXEC));
      const auto result = hashFile(file.get(), job->path, job->expected, {});
      EXPECT_TRUE(result.ok()) << result.status();
      const CheckedCopy checked{result->stamp, result->hashes.id, result->hashes.sha256};
      EXPECT_TRUE(
          index_->rememberTrust(recordOf(*job, checked, absl::Now()), result->hashes.pieces).ok());
      inventory_->checked(job->copy, checked);
      ++hashed;
    }
    inventory_->takeChanges();
    return hashed;
  }

  HubFolder hub_;
  std::unique_ptr<Index> index_;
  std::unique_ptr<Inventory> inventory_;
  const RepoId repo_ = repoNamed("org/tiny");
  const Commit commit_ = commitOf('a');
};

TEST_F(ScanTrustTest, AfterARestartNothingIsHashedAgain) {
  hub_.file(repo_, commit_, "config.json", "{}");
  hub_.file(repo_, commit_, "model.bin", "weights", true);
  HubFolder::write(hub_.at(repo_) / "snapshots" / commit_.hex() / "nameless", "content");
  scan();
  EXPECT_EQ(hashAll(), 3u);
  openIndex();
  startInventory();
  scan();
  EXPECT_EQ(hashAll(), 0u);
  for (const BlobId& id :
       {gitSha1Of("{}"), sha256Of("weights"), sha256Of("content"), gitSha1Of("content")}) {
    ASSERT_TRUE(inventory_->find(id).has_value()) << id.toString();
    EXPECT_EQ(inventory_->find(id)->trust, Trust::kVerified);
  }
}

TEST_F(ScanTrustTest, WrongContentIsRememberedAsWrong) {
  hub_.blob(repo_, sha256Hex("weights"), "wrong!!");
  scan();
  EXPECT_EQ(hashAll(), 1u);
  startInventory();
  EXPECT_EQ(scan(), 0u);
  EXPECT_EQ(hashAll(), 0u);
  EXPECT_THAT(inventory_->problems(),
              ::testing::ElementsAre(::testing::HasSubstr(sha256Of("wrong!!").toString())));
}

TEST_F(ScanTrustTest, AChangedModeIsLookedAtAgainButStaysTold) {
  hub_.file(repo_, commit_, "model.bin", "weights", true);
  scan();
  hashAll();
  const std::string path = inventory_->find(sha256Of("weights"))->path;
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  EXPECT_EQ(scan(), 0u);
  EXPECT_EQ(inventory_->find(sha256Of("weights"))->trust, Trust::kRecheck);
  EXPECT_EQ(hashAll(), 1u);
  EXPECT_EQ(inventory_->find(sha256Of("weights"))->trust, Trust::kVerified);
}

TEST_F(ScanTrustTest, AFileUnderAnotherNameIsNotBelievedByItsStampAlone) {
  hub_.blob(repo_, sha256Hex("weights"), "weights");
  scan();
  hashAll();
  const auto blobs = hub_.at(repo_) / "blobs";
  std::filesystem::rename(blobs / sha256Hex("weights"), blobs / sha256Hex("other"));
  scan();
  EXPECT_EQ(inventory_->find(sha256Of("other"))->trust, Trust::kUnknown);
  EXPECT_FALSE(inventory_->find(sha256Of("weights")).has_value());
  EXPECT_EQ(hashAll(), 1u);
  EXPECT_FALSE(inventory_->find(sha256Of("other")).has_value());
}

}  // namespace
}  // namespace roost
