// A blob as a torrent of BitTorrent v2 (BEP 52): one file, no v1 part. The info dictionary, and
// with it the name of the swarm, is a function of the blob's digest, its size and the root of its
// hash tree, so that all nodes mean the same swarm without having told each other.
//
// Threads: any (pure).
#ifndef ROOST_CLUSTER_TORRENT_FILE_H_
#define ROOST_CLUSTER_TORRENT_FILE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/merkle.h"
#include "protocol/blob_id.h"
#include "protocol/names.h"

namespace roost {

// The info dictionary, bencoded. The file's name in it is the digest in hex. The blob is not empty.
std::string torrentInfo(const BlobInfo& blob, const Sha256& root);

// What the swarm is named by: the SHA-256 of the info dictionary.
Sha256 torrentInfoHash(const BlobInfo& blob, const Sha256& root);

// A whole .torrent file. `comment` is for people; it does not change the swarm.
std::string torrentFile(const BlobInfo& blob, const HashTree& tree, absl::string_view comment = "");

// A magnet link; `name` is shown to people, `peers` are asked first (BEP 9).
std::string magnetLink(const BlobInfo& blob, const Sha256& root, absl::string_view name,
                       absl::Span<const Address> peers);

}  // namespace roost

#endif  // ROOST_CLUSTER_TORRENT_FILE_H_
