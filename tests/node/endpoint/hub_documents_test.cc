#include "node/endpoint/hub_documents.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace roost {
namespace {

using nlohmann::json;

Listing listing(const std::string& hex, uint64_t size) {
  return {*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model"),
          *Commit::parse(std::string(40, '1')),
          true,
          Visibility::kPublic,
          {{*RelativePath::parse("model.bin"), {*BlobId::parseHex(hex), size}, std::nullopt}}};
}

// As `git hash-object` says of the pointer that `git lfs pointer` makes.
TEST(HubDocuments, TheGitObjectOfALargeFileIsThatOfItsPointer) {
  const std::string hex = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
  const json tree = json::parse(*treeDocument(listing(hex, 12345), "", true));
  EXPECT_EQ(tree[0]["oid"], "60c8d8ab2adcf57a391163a7eeb0cdb8bf348e44");
  EXPECT_EQ(tree[0]["lfs"]["pointerSize"], 130);
}

TEST(HubDocuments, ThePointersSizeFollowsFromTheFiles) {
  const std::string hex(64, 'a');
  for (const auto& [size, expected] :
       {std::pair(uint64_t{1}, 126), {uint64_t{10'000'000'000}, 136}}) {
    const json tree = json::parse(*treeDocument(listing(hex, size), "", true));
    EXPECT_EQ(tree[0]["lfs"]["pointerSize"], expected);
  }
}

TEST(HubDocuments, AFileOfGitIsItsOwnObject) {
  const std::string hex(40, 'b');
  const json tree = json::parse(*treeDocument(listing(hex, 5), "", true));
  EXPECT_EQ(tree[0]["oid"], hex);
  EXPECT_FALSE(tree[0].contains("lfs"));
}

}  // namespace
}  // namespace roost
