#include "protocol/blob_id.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "protocol/limits.h"
#include "protocol/node_id.h"

namespace roost {
namespace {

const std::string kSha256Hex(64, 'a');
const std::string kGitHex = "0123456789abcdef0123456789abcdef01234567";

TEST(BlobId, isOfTheKindThatItsLengthSays) {
  EXPECT_EQ(BlobId::parseHex(kSha256Hex)->algorithm(), HashAlgorithm::kSha256);
  EXPECT_EQ(BlobId::parseHex(kGitHex)->algorithm(), HashAlgorithm::kGitSha1);
}

TEST(BlobId, isReadBackFromEachOfItsTexts) {
  for (const std::string& hex : {kSha256Hex, kGitHex}) {
    const BlobId id = BlobId::parseHex(hex).value();
    EXPECT_EQ(id.hex(), hex);
    EXPECT_EQ(id.shortHex(), hex.substr(0, 12));
    EXPECT_EQ(BlobId::parse(id.toString()).value(), id);
    EXPECT_EQ(BlobId::parse(hex).value(), id);
    EXPECT_EQ(BlobId::fromBytes(id.algorithm(), id.digest()).value(), id);
  }
  EXPECT_EQ(BlobId::parseHex(kGitHex)->toString(), "git-sha1:" + kGitHex);
}

TEST(BlobId, refusesEverythingElse) {
  for (const std::string& bad :
       {std::string(), std::string("a"), kSha256Hex + "a", kSha256Hex.substr(1),
        std::string(64, 'A'), std::string(64, 'g'), std::string(63, 'a') + '\0', kGitHex.substr(1),
        kGitHex + " ", " " + kGitHex, std::string(32, 'a'), "../" + kSha256Hex.substr(3),
        absl::StrCat("0x", kSha256Hex.substr(2)), std::string(1'000'000, 'a')}) {
    EXPECT_FALSE(BlobId::parseHex(bad).ok()) << bad.substr(0, 80);
    EXPECT_FALSE(BlobId::parse(bad).ok()) << bad.substr(0, 80);
  }
}

TEST(BlobId, aNamedAlgorithmMustHaveItsOwnLength) {
  EXPECT_FALSE(BlobId::parse("sha256:" + kGitHex).ok());
  EXPECT_FALSE(BlobId::parse("git-sha1:" + kSha256Hex).ok());
  EXPECT_FALSE(BlobId::parse("sha1:" + kGitHex).ok());
  EXPECT_FALSE(BlobId::parse("sha256:").ok());
  EXPECT_FALSE(BlobId::parse("sha256:sha256:" + kSha256Hex).ok());
  EXPECT_FALSE(BlobId::parse("SHA256:" + kSha256Hex).ok());
}

TEST(BlobId, bytesOfAnotherLengthOrAlgorithmAreRefused) {
  const std::array<uint8_t, 33> bytes{};
  const auto of = [&](size_t n) { return absl::MakeConstSpan(bytes).first(n); };
  for (size_t n : {0, 19, 20, 21, 31, 33}) {
    EXPECT_FALSE(BlobId::fromBytes(HashAlgorithm::kSha256, of(n)).ok()) << n;
  }
  for (size_t n : {0, 19, 21, 32}) {
    EXPECT_FALSE(BlobId::fromBytes(HashAlgorithm::kGitSha1, of(n)).ok()) << n;
  }
  EXPECT_FALSE(BlobId::fromBytes(static_cast<HashAlgorithm>(0), of(32)).ok());
  EXPECT_FALSE(BlobId::fromBytes(static_cast<HashAlgorithm>(3), of(20)).ok());
}

TEST(BlobId, idsOfDifferentAlgorithmsDifferThoughTheirBytesAgree) {
  const GitSha1 git{1, 2, 3};
  Sha256 sha{};
  std::copy(git.begin(), git.end(), sha.begin());
  EXPECT_NE(BlobId::gitSha1(git), BlobId::sha256(sha));
  const absl::flat_hash_set<BlobId> set = {BlobId::gitSha1(git), BlobId::sha256(sha),
                                           BlobId::gitSha1(git)};
  EXPECT_EQ(set.size(), 2u);
}

TEST(Hex, isLowerCaseOnly) {
  EXPECT_EQ(bytesOfHex("00ff"), std::string("\x00\xff", 2));
  EXPECT_EQ(bytesOfHex(""), "");
  for (const char* bad : {"0", "0G", "FF", "0x", " 0", "0\n"}) EXPECT_FALSE(bytesOfHex(bad)) << bad;
}

TEST(PieceCount, countsTheShortLastPiece) {
  EXPECT_EQ(pieceCount(0), 0u);
  EXPECT_EQ(pieceCount(1), 1u);
  EXPECT_EQ(pieceCount(kPieceBytes), 1u);
  EXPECT_EQ(pieceCount(kPieceBytes + 1), 2u);
  EXPECT_EQ(pieceCount(UINT64_MAX), (uint64_t{1} << 44));
}

TEST(NodeId, isReadBackAndNothingElseIs) {
  const NodeId id = NodeId::random();
  EXPECT_EQ(NodeId::parse(id.hex()).value(), id);
  EXPECT_NE(id, NodeId::random());
  EXPECT_EQ(NodeId::ofNumber(258).hex(), std::string(28, '0') + "0102");
  for (const std::string& bad :
       {std::string(), std::string(31, '0'), std::string(33, '0'), std::string(34, '0'),
        std::string(32, 'A'), std::string(31, '0') + '\0', std::string(32, '.')}) {
    EXPECT_FALSE(NodeId::parse(bad).ok()) << bad;
  }
}

TEST(StoreId, isPlainText) {
  EXPECT_TRUE(StoreId::parse("fs-1234:567").ok());
  for (const std::string& bad : {std::string(), std::string(65, 'a'), std::string("a/b"),
                                 std::string("a b"), std::string("a\0b", 3), std::string("é")}) {
    EXPECT_FALSE(StoreId::parse(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace roost
