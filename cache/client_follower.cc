#include "cache/client_follower.h"

#include <optional>
#include <utility>

#include "cache/client_copy.h"
#include "cache/client_lock.h"

namespace roost {
namespace {

constexpr absl::Duration kSilenceMax = absl::Seconds(10);  // clients' own time-outs
constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr absl::Duration kSuspicion = absl::Seconds(1);

}  // namespace

ClientFollower::ClientFollower(SafeDir hubRoot, RepoId repo, BlobSlot slot)
    : root_(std::move(hubRoot)), repo_(std::move(repo)), slot_(std::move(slot)) {}

bool ClientFollower::clientAtWork(absl::Time now) const {
  if (ClientLock::isTaken(root_, repo_, slot_.blob.id)) return true;
  return ClientCopy::find(slot_.folder, slot_.blob.id, now - kSilenceMax).has_value();
}

ClientFollower::Seen ClientFollower::look(BlobWriter& writer, bool waiting, absl::Time now) {
  if (writer.lost()) return {.lost = true};
  if (!writer.shared()) {
    if (!clientAtWork(now)) return {};
    writer.share(true);
    grew_ = absl::InfinitePast();
  }
  if (grew_ == absl::InfinitePast()) {
    sizeSeen_ = 0;
    grew_ = now;
  }
  if (writer.client() == nullptr || now - grew_ > kSuspicion) follow(writer, now);
  if (writer.lost()) return {.lost = true};
  const uint64_t settled = writer.settle();
  if (!isGone(writer, waiting, now)) return {.shared = true, .settled = settled};
  writer.share(false);
  // Without room for it, it stays where it is for as long as it is there.
  if (absl::IsAborted(writer.gather())) return {.lost = true};
  return {};
}

// A client that was started again writes another file.
void ClientFollower::follow(BlobWriter& writer, absl::Time now) {
  auto copy = ClientCopy::find(slot_.folder, slot_.blob.id, now - kSilenceMax);
  if (!copy) return;
  if (writer.client() != nullptr) {
    if (copy->isSameFile(*writer.client()) || !writer.gather().ok()) return;
    sizeSeen_ = 0;
    grew_ = now;
  }
  writer.follow(*std::move(copy));
}

bool ClientFollower::isGone(const BlobWriter& writer, bool waiting, absl::Time now) {
  const auto state = writer.client() == nullptr ? std::nullopt : writer.client()->look();
  if (state && state->size > sizeSeen_) {
    sizeSeen_ = state->size;
    grew_ = now;
    return false;
  }
  if (waiting && now - grew_ > kPatience) return true;
  if (ClientLock::isTaken(root_, repo_, slot_.blob.id)) return false;
  const auto landed = slot_.folder.look(slot_.name());
  if (landed.ok() && *landed) return false;
  return !state || !state->named || now - grew_ > kSilenceMax;
}

}  // namespace roost
