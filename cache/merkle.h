// The hash tree of a blob as BitTorrent v2 has it (BEP 52): SHA-256 of each 16 KiB block, a binary
// tree above, missing blocks counting as 32 zero bytes. With the hashes of one of its layers, the
// piece layer, each piece can be checked by itself.
//
// Threads: any; a TreeHasher belongs to one at a time. treeOfBlob() blocks. Memory: 32 bytes a
// piece. The tree follows from the bytes and their number alone, so it is equal on every node.
#ifndef ROOST_CACHE_MERKLE_H_
#define ROOST_CACHE_MERKLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/local_blob.h"
#include "cache/page_cache_room.h"
#include "protocol/blob_id.h"

namespace roost {

// Bytes of a piece in the swarm: the smallest power of two from kSwarmPieceBytesMin on by which the
// blob has at most kSwarmPiecesMax pieces. It never changes: it is part of what a swarm is named
// by.
uint64_t swarmPieceBytes(uint64_t size);

// Pieces that a blob of that size has in the swarm.
uint64_t swarmPieceCount(uint64_t size);

struct HashTree {
  Sha256 root{};
  std::vector<Sha256>
      layer;  // one for each piece; empty if the blob is one piece: that is the root
  friend bool operator==(const HashTree&, const HashTree&) = default;
};

// Numbers are on the wire: never renumber.
enum class SwarmState : uint8_t {
  kOff = 0,     // not by this node, or not this blob
  kNotYet = 1,  // the tree is being computed: ask again
  kReady = 2,
};

// What a node says of a blob and the swarm.
struct SwarmWord {
  SwarmState state = SwarmState::kOff;
  uint16_t port = 0;        // where its swarm listens; 0: nowhere
  uint64_t pieceBytes = 0;  // with kReady, as is the next
  std::shared_ptr<const HashTree> tree = nullptr;
};

class TreeHasher {
 public:
  // `size` is at least 1: an empty blob has no tree.
  explicit TreeHasher(uint64_t size);
  TreeHasher(TreeHasher&&) noexcept;
  ~TreeHasher();

  void update(absl::Span<const uint8_t> bytes);  // in order, any lengths
  HashTree finish();                             // once, after exactly `size` bytes

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The SHA-256 of each block of one piece, in order. `bytes` is the whole piece.
std::vector<Sha256> blockHashes(absl::Span<const uint8_t> bytes);

// The hash of piece `piece` of a blob of `size` bytes, from those of its blocks: what the piece
// layer has for it (or the root, if there is one piece only).
Sha256 pieceRoot(uint64_t size, uint64_t piece, absl::Span<const Sha256> blocks);

// Whether the layer is that of a blob of `size` bytes with this root. What a peer says is believed
// only then.
bool isConsistent(uint64_t size, const HashTree& tree);

// Reads the whole blob. kCancelled once `cancelled` is set; the errors of LocalBlob::read().
// `pages`, which may be null: how much of it may stay in the page cache.
absl::StatusOr<HashTree> treeOfBlob(const LocalBlob& blob, const std::atomic<bool>* cancelled,
                                    PageCacheRoom* pages = nullptr);

}  // namespace roost

#endif  // ROOST_CACHE_MERKLE_H_
