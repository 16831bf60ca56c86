#include "protocol/manifest.h"

#include <gtest/gtest.h>

namespace roost {
namespace {

FileEntry file(const std::string& path, char digit) {
  return {*RelativePath::parse(path), {*BlobId::parseHex(std::string(64, digit)), 10}, {}};
}

Listing listing(std::vector<FileEntry> files, bool complete = false) {
  return {*RepoId::make(HubOrigin::huggingFace(), RepoType::kModel, "org/model"),
          *Commit::parse(std::string(40, '1')), complete, Visibility::kUnknown, std::move(files)};
}

TEST(Manifest, FilesAreSortedByPath) {
  Listing l = listing({file("b", 'b'), file("a", 'a')});
  ASSERT_TRUE(normalize(l).ok());
  EXPECT_EQ(l.files[0].path.text(), "a");
}

TEST(Manifest, EveryFileIsFoundByItsPathAndNoOther) {
  Listing l = listing({file("b", 'b'), file("a/x", 'a'), file("a", 'd'), file("c", 'c')});
  std::erase_if(l.files, [](const FileEntry& f) { return f.path.text() == "a"; });
  ASSERT_TRUE(normalize(l).ok());
  for (const FileEntry& f : l.files) EXPECT_EQ(l.find(f.path.text()), &f);
  for (const char* path : {"", "a", "a/", "a/w", "bb", "d"}) EXPECT_EQ(l.find(path), nullptr);
}

TEST(Manifest, AFileThatIsAlsoAFolderIsRefused) {
  Listing l = listing({file("a/b", 'b'), file("a", 'a')});
  EXPECT_EQ(normalize(l).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Manifest, ListingsAreUnited) {
  const Listing united = unite({listing({file("a", 'a')}), listing({file("b", 'b')})}, nullptr);
  EXPECT_EQ(united.files.size(), 2u);
  EXPECT_FALSE(united.complete);
}

TEST(Manifest, APathOnWhichNodesDisagreeIsDroppedAndTold) {
  std::vector<RelativePath> conflicts;
  const Listing united =
      unite({listing({file("a", 'a'), file("c", 'c')}), listing({file("a", 'b')})}, &conflicts);
  ASSERT_EQ(united.files.size(), 1u);
  EXPECT_EQ(united.files[0].path.text(), "c");
  ASSERT_EQ(conflicts.size(), 1u);
  EXPECT_EQ(conflicts[0].text(), "a");
}

TEST(Manifest, AManifestWinsOverListings) {
  const Listing united =
      unite({listing({file("a", 'a')}), listing({file("a", 'b')}, true)}, nullptr);
  EXPECT_TRUE(united.complete);
  EXPECT_EQ(united.files[0].blob.id.hex(), std::string(64, 'b'));
}

// ---- What no hub named

FileEntry observedFile(const std::string& path, char digit, char etag = 'e') {
  FileEntry entry = file(path, digit);
  entry.observedAs = *MadeEtag::parseHex(std::string(32, etag));
  return entry;
}

TEST(Manifest, AHashThatAHubNamedWinsOverWhatWasObserved) {
  const Listing named = listing({file("a", 'a')}), seen = listing({observedFile("a", 'b')});
  for (const auto& both : {std::vector{named, seen}, std::vector{seen, named}}) {
    std::vector<RelativePath> conflicts;
    EXPECT_EQ(unite(both, &conflicts).files, named.files);
    EXPECT_TRUE(conflicts.empty());
  }
}

TEST(Manifest, TheMarkGoesWhenAHubNamesTheSameHash) {
  EXPECT_FALSE(
      unite({listing({observedFile("a", 'a')}), listing({file("a", 'a')})}, nullptr).observes());
}

TEST(Manifest, OfTwoObservationsTheFirstCounts) {
  const Listing first = listing({observedFile("a", 'a')});
  const Listing united = unite({first, listing({observedFile("a", 'b', 'f')})}, nullptr);
  EXPECT_EQ(united.files, first.files);
  EXPECT_TRUE(united.observes());
}

}  // namespace
}  // namespace roost
