#include "cluster/torrent_file.h"

#include <iterator>
#include <libtorrent/bencode.hpp>
#include <libtorrent/create_torrent.hpp>
#include <libtorrent/file_storage.hpp>
#include <libtorrent/magnet_uri.hpp>
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

std::string bytesOf(const lt::sha256_hash& hash) {
  return {hash.data(), hash.data() + 32};
}
std::string bytesOf(const Sha256& hash) {
  return {hash.begin(), hash.end()};
}

class TorrentFileTest : public ::testing::TestWithParam<size_t> {
 protected:
  const std::vector<uint8_t> content_ = randomBytes(GetParam(), 1);
  const BlobInfo blob_ = infoOf(content_);
  const HashTree tree_ = treeOf(content_);
};

TEST_P(TorrentFileTest, IsTheSwarmThatLibtorrentMakesOfTheSameFile) {
  const TempFolder folder;
  folder.write(blob_.id.hex(), textOf(content_));
  lt::file_storage files;
  lt::add_files(files, folder / blob_.id.hex());
  lt::create_torrent torrent(files, static_cast<int>(swarmPieceBytes(blob_.size)),
                             lt::create_torrent::v2_only);
  lt::set_piece_hashes(torrent, folder.path());
  std::vector<char> bytes;
  lt::bencode(std::back_inserter(bytes), torrent.generate());
  const lt::torrent_info theirs(lt::span<const char>(bytes), lt::from_span);
  EXPECT_EQ(bytesOf(torrentInfoHash(blob_, tree_.root)), bytesOf(theirs.info_hashes().v2));
}

TEST_P(TorrentFileTest, IsReadByLibtorrent) {
  const std::string file = torrentFile(blob_, tree_, "org/model, weights");
  const lt::torrent_info info(lt::span<const char>(file.data(), std::ssize(file)), lt::from_span);
  EXPECT_TRUE(info.info_hashes().has_v2());
  EXPECT_FALSE(info.info_hashes().has_v1());
  EXPECT_EQ(info.name(), blob_.id.hex());
  EXPECT_EQ(info.files().file_size(lt::file_index_t{0}), static_cast<int64_t>(blob_.size));
  EXPECT_EQ(info.comment(), "org/model, weights");
  if (!tree_.layer.empty()) {
    EXPECT_EQ(info.piece_layer(lt::file_index_t{0}).size(), std::ssize(tree_.layer) * 32);
  }
}

TEST_P(TorrentFileTest, TheMagnetLinkMeansTheSameSwarm) {
  const std::string link = magnetLink(blob_, tree_.root, "org/model&x=1", {{Address{"::1", 8378}}});
  const lt::add_torrent_params params = lt::parse_magnet_uri(link);
  EXPECT_EQ(bytesOf(params.info_hashes.v2), bytesOf(torrentInfoHash(blob_, tree_.root)));
  EXPECT_EQ(params.name, "org/model&x=1");
  ASSERT_EQ(params.peers.size(), 1u);
  EXPECT_EQ(params.peers.front().port(), 8378);
}

INSTANTIATE_TEST_SUITE_P(Sizes, TorrentFileTest,
                         ::testing::Values(1, kPieceBytes, kPieceBytes + 1, 3 * kPieceBytes + 7));

TEST(TorrentFile, TheCommentDoesNotChangeTheSwarm) {
  const auto content = randomBytes(5, 1);
  const HashTree tree = treeOf(content);
  const std::string a = torrentFile(infoOf(content), tree, "one");
  EXPECT_NE(a.find(torrentInfo(infoOf(content), tree.root)), std::string::npos);
}

}  // namespace
}  // namespace roost
