#include "cache/merkle.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

#include "absl/time/clock.h"
#include "cache/evp_context.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// One context for many digests: making one costs as much as hashing a kilobyte.
class Hash {
 public:
  Hash() : context_(EVP_MD_CTX_new()) { mustSucceed(context_ != nullptr ? 1 : 0); }
  void add(absl::Span<const uint8_t> bytes) {
    if (!begun_) mustSucceed(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
    begun_ = true;
    mustSucceed(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
  }
  Sha256 finish() {
    Sha256 digest{};
    mustSucceed(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr));
    begun_ = false;
    return digest;
  }
  Sha256 pair(const Sha256& left, const Sha256& right) {
    add(left);
    add(right);
    return finish();
  }

 private:
  EvpContext context_;
  bool begun_ = false;
};

// The root over `width` leaves, a power of two; those that are not there are `padding`.
Sha256 rootOf(Hash& hash, std::vector<Sha256> level, uint64_t width, Sha256 padding) {
  for (; width > 1; width /= 2) {
    if (level.size() % 2 != 0) level.push_back(padding);
    for (size_t i = 0; i < level.size() / 2; ++i) {
      level[i] = hash.pair(level[2 * i], level[2 * i + 1]);
    }
    level.resize(level.size() / 2);
    padding = hash.pair(padding, padding);
  }
  return level.front();
}

uint64_t blocksPerPiece(uint64_t size) {
  return swarmPieceBytes(size) / kSwarmBlockBytes;
}

uint64_t blocksIn(uint64_t bytes) {
  return (bytes + kSwarmBlockBytes - 1) / kSwarmBlockBytes;
}

// Leaves that the tree of one piece is wide: a blob of one piece is as wide as it needs.
uint64_t pieceWidth(uint64_t size) {
  return swarmPieceCount(size) == 1 ? std::bit_ceil(blocksIn(size)) : blocksPerPiece(size);
}

Sha256 layerRoot(Hash& hash, uint64_t size, const std::vector<Sha256>& layer) {
  const Sha256 noPiece = rootOf(hash, {Sha256{}}, blocksPerPiece(size), Sha256{});
  return rootOf(hash, layer, std::bit_ceil(layer.size()), noPiece);
}

}  // namespace

uint64_t swarmPieceBytes(uint64_t size) {
  uint64_t bytes = kSwarmPieceBytesMin;
  while (size > bytes * kSwarmPiecesMax) bytes *= 2;
  return bytes;
}

uint64_t swarmPieceCount(uint64_t size) {
  const uint64_t bytes = swarmPieceBytes(size);
  return (size + bytes - 1) / bytes;
}

struct TreeHasher::State {
  uint64_t size;
  Hash hash = {};
  uint64_t hashed = 0;
  std::vector<Sha256> blocks = {};  // of the piece at hand
  std::vector<Sha256> pieces = {};
};

TreeHasher::TreeHasher(uint64_t size) : state_(new State{size}) {
  if (size == 0) throw std::logic_error("an empty blob has no tree");
}
TreeHasher::TreeHasher(TreeHasher&&) noexcept = default;
TreeHasher::~TreeHasher() = default;

void TreeHasher::update(absl::Span<const uint8_t> bytes) {
  State& s = *state_;
  if (bytes.size() > s.size - s.hashed) throw std::logic_error("more bytes than the blob has");
  while (!bytes.empty()) {
    const uint64_t left = kSwarmBlockBytes - s.hashed % kSwarmBlockBytes;
    const auto part = bytes.first(std::min<size_t>(bytes.size(), left));
    s.hash.add(part);
    s.hashed += part.size();
    bytes.remove_prefix(part.size());
    if (s.hashed % kSwarmBlockBytes != 0 && s.hashed != s.size) continue;
    s.blocks.push_back(s.hash.finish());
    if (s.hashed % swarmPieceBytes(s.size) != 0 && s.hashed != s.size) continue;
    s.pieces.push_back(rootOf(s.hash, std::move(s.blocks), pieceWidth(s.size), Sha256{}));
    s.blocks.clear();
  }
}

HashTree TreeHasher::finish() {
  State& s = *state_;
  if (s.hashed != s.size) throw std::logic_error("fewer bytes than the blob has");
  if (s.pieces.size() == 1) return {s.pieces.front(), {}};
  const Sha256 root = layerRoot(s.hash, s.size, s.pieces);
  return {root, std::move(s.pieces)};
}

std::vector<Sha256> blockHashes(absl::Span<const uint8_t> bytes) {
  Hash hash;
  std::vector<Sha256> blocks;
  blocks.reserve(blocksIn(bytes.size()));
  for (size_t at = 0; at < bytes.size(); at += kSwarmBlockBytes) {
    hash.add(bytes.subspan(at, kSwarmBlockBytes));
    blocks.push_back(hash.finish());
  }
  return blocks;
}

Sha256 pieceRoot(uint64_t size, uint64_t piece, absl::Span<const Sha256> blocks) {
  const uint64_t begin = piece * swarmPieceBytes(size);
  if (begin >= size || blocks.size() != blocksIn(std::min(swarmPieceBytes(size), size - begin))) {
    throw std::logic_error("not the blocks of that piece");
  }
  Hash hash;
  return rootOf(hash, {blocks.begin(), blocks.end()}, pieceWidth(size), Sha256{});
}

bool isConsistent(uint64_t size, const HashTree& tree) {
  if (size == 0) return false;
  const uint64_t count = swarmPieceCount(size);
  if (tree.layer.size() != (count == 1 ? 0 : count)) return false;
  if (count == 1) return true;
  Hash hash;
  return layerRoot(hash, size, tree.layer) == tree.root;
}

absl::StatusOr<HashTree> treeOfBlob(const LocalBlob& blob, const std::atomic<bool>* cancelled,
                                    PageCacheRoom* pages) {
  const uint64_t size = blob.blob().size;
  TreeHasher hasher(size);
  std::vector<uint8_t> buffer(std::min(kPieceBytes, size));
  for (uint64_t at = 0; at < size; at += kPieceBytes) {
    if (cancelled != nullptr && *cancelled) return absl::CancelledError("stopping");
    const auto bytes = absl::MakeSpan(buffer).first(std::min(kPieceBytes, size - at));
    const bool stays = pages == nullptr || pages->take(bytes.size(), absl::Now());
    ROOST_RETURN_IF_ERROR(blob.read(at, bytes, stays));
    hasher.update(bytes);
  }
  return hasher.finish();
}

}  // namespace roost
