#include "cluster/rendezvous.h"

#include <cstddef>
#include <string>

#include "absl/types/span.h"

namespace roost {
namespace {

uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9;
  x ^= x >> 27;
  x *= 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t littleEndian64(absl::Span<const uint8_t> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

}  // namespace

uint64_t rendezvousKey(const RepoId& repo) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::string& text : {repo.origin().url(), repo.toString()}) {
    for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  return hash;
}

uint64_t rendezvousWeight(const BlobId& blob, const NodeId& node) {
  return rendezvousWeight(littleEndian64(blob.digest()), node);
}

uint64_t rendezvousWeight(uint64_t key, const NodeId& node) {
  uint64_t hash = mix(key + 0x9e3779b97f4a7c15);
  hash = mix(hash ^ littleEndian64(node.bytes().subspan(0, 8)));
  return mix(hash ^ littleEndian64(node.bytes().subspan(8, 8)));
}

const NodeId& rendezvousWinner(const BlobId& blob, const std::vector<NodeId>& members) {
  return rendezvousWinner(littleEndian64(blob.digest()), members);
}

const NodeId& rendezvousWinner(uint64_t key, const std::vector<NodeId>& members) {
  const NodeId* winner = &members.front();
  uint64_t best = rendezvousWeight(key, *winner);
  for (const NodeId& member : members) {
    const uint64_t weight = rendezvousWeight(key, member);
    if (weight <= best) continue;
    best = weight;
    winner = &member;
  }
  return *winner;
}

}  // namespace roost
