#include "cache/merkle.h"

#include <array>
#include <libtorrent/bencode.hpp>
#include <libtorrent/create_torrent.hpp>
#include <libtorrent/file_storage.hpp>
#include <libtorrent/torrent_info.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "protocol/limits.h"
#include "tests/cache/hash_tree.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace lt = libtorrent;

Sha256 digestFrom(const char* bytes) {
  Sha256 digest;
  std::copy(bytes, bytes + digest.size(), digest.begin());
  return digest;
}

// What libtorrent makes of the same file, by its own code.
HashTree treeByLibtorrent(const std::string& folder, const std::string& name) {
  lt::file_storage files;
  lt::add_files(files, folder + "/" + name);
  lt::create_torrent torrent(files, static_cast<int>(kSwarmPieceBytesMin),
                             lt::create_torrent::v2_only);
  lt::set_piece_hashes(torrent, folder);
  std::vector<char> bytes;
  lt::bencode(std::back_inserter(bytes), torrent.generate());
  const lt::torrent_info info(lt::span<const char>(bytes), lt::from_span);
  HashTree tree{digestFrom(info.files().root(lt::file_index_t{0}).data()), {}};
  const auto layer = info.piece_layer(lt::file_index_t{0});
  for (std::ptrdiff_t at = 0; at < layer.size(); at += 32) {
    tree.layer.push_back(digestFrom(layer.data() + at));
  }
  return tree;
}

class MerkleTest : public ::testing::TestWithParam<size_t> {};

TEST_P(MerkleTest, IsTheTreeThatLibtorrentMakes) {
  const TempFolder folder;
  const auto content = randomBytes(GetParam(), GetParam());
  folder.write("file", textOf(content));
  const HashTree theirs = treeByLibtorrent(folder.path(), "file");
  const HashTree ours = treeOf(content);
  EXPECT_EQ(ours.root, theirs.root);
  // Of a file of one piece libtorrent names no layer, or the root again.
  if (!ours.layer.empty()) {
    EXPECT_EQ(ours.layer, theirs.layer);
  }
  EXPECT_TRUE(isConsistent(content.size(), ours));
}

TEST_P(MerkleTest, PiecesAreCheckedByTheirBlocks) {
  const auto content = randomBytes(GetParam(), GetParam());
  const HashTree tree = treeOf(content);
  for (uint64_t piece = 0; piece < swarmPieceCount(content.size()); ++piece) {
    const size_t begin = piece * kSwarmPieceBytesMin;
    const auto bytes = absl::MakeConstSpan(content).subspan(begin, kSwarmPieceBytesMin);
    EXPECT_EQ(pieceRoot(content.size(), piece, blockHashes(bytes)),
              tree.layer.empty() ? tree.root : tree.layer[piece]);
  }
}

TEST_P(MerkleTest, DoesNotDependOnHowTheBytesCome) {
  const auto content = randomBytes(GetParam(), GetParam());
  TreeHasher hasher(content.size());
  for (size_t at = 0; at < content.size(); at += 9'973) {
    hasher.update(absl::MakeConstSpan(content).subspan(at, 9'973));
  }
  EXPECT_EQ(hasher.finish(), treeOf(content));
}

TEST_P(MerkleTest, IsReadFromAFile) {
  const TempFolder folder;
  const auto content = randomBytes(GetParam(), GetParam());
  const std::string path = folder.write("file", textOf(content));
  const auto blob =
      LocalBlob::open(path, infoOf(content), FileStamp::ofPath(path).value(), nullptr);
  ASSERT_TRUE(blob.ok()) << blob.status();
  const auto tree = treeOfBlob(**blob, nullptr);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(*tree, treeOf(content));
}

INSTANTIATE_TEST_SUITE_P(Sizes, MerkleTest,
                         ::testing::Values(1, 16'383, 16'384, 16'385, 3 * 16'384, kPieceBytes - 1,
                                           kPieceBytes, kPieceBytes + 1, 3 * kPieceBytes,
                                           5 * kPieceBytes + 40'000));

TEST(MerkleSizes, PiecesGrowSoThatTheLayerStaysSmall) {
  EXPECT_EQ(swarmPieceBytes(1), kPieceBytes);
  EXPECT_EQ(swarmPieceBytes(kSwarmBlobBytesMax), kPieceBytes);
  EXPECT_EQ(swarmPieceBytes(kSwarmBlobBytesMax + 1), 2 * kPieceBytes);
  EXPECT_EQ(swarmPieceCount(kBlobBytesMax), kSwarmPiecesMax);
}

TEST(MerkleLies, ALayerThatDoesNotHashToTheRootIsNotBelieved) {
  const auto content = randomBytes(3 * kPieceBytes + 5, 1);
  HashTree tree = treeOf(content);
  tree.layer[2][0] ^= 1;
  EXPECT_FALSE(isConsistent(content.size(), tree));
}

TEST(MerkleLies, ALayerOfAnotherLengthIsNotBelieved) {
  const auto content = randomBytes(3 * kPieceBytes + 5, 1);
  HashTree tree = treeOf(content);
  // A hash of nothing behind the last piece would hash to the same root.
  tree.layer.push_back(tree.layer.back());
  EXPECT_FALSE(isConsistent(content.size(), tree));
  tree.layer.clear();
  EXPECT_FALSE(isConsistent(content.size(), tree));
  EXPECT_FALSE(isConsistent(0, tree));
}

TEST(MerkleStop, ALongFileEndsWhenItIsCancelled) {
  const TempFolder folder;
  const auto content = randomBytes(kPieceBytes, 1);
  const std::string path = folder.write("file", textOf(content));
  const auto blob =
      LocalBlob::open(path, infoOf(content), FileStamp::ofPath(path).value(), nullptr);
  const std::atomic<bool> cancelled = true;
  EXPECT_TRUE(absl::IsCancelled(treeOfBlob(**blob, &cancelled).status()));
}

}  // namespace
}  // namespace roost
