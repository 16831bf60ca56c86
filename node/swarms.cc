#include "node/swarms.h"

#include <iterator>
#include <utility>

#include "node/addresses.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace {

size_t bytesOf(const HashTree& tree) {
  return (tree.layer.size() + 1) * sizeof(Sha256);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Swarms>> Swarms::open(const Address& listen, bool outside,
                                                     Seams seams) {
  std::unique_ptr<Swarms> swarms(new Swarms(outside, std::move(seams)));
  Swarms* const self = swarms.get();
  // The lane ends before `self` does, and what is posted runs only before stop().
  const std::shared_ptr<LoopWork> work = self->work_;
  ROOST_ASSIGN_OR_RETURN(
      swarms->lane_,
      SwarmLane::open(
          {.listen = listen,
           .outside = outside,
           // Only nodes of this machine can come.
           .manyPerAddress = isLoopback(listen.host)},
          {.pool = self->s_.pool,
           .pages = self->s_.pages,
           .open =
               [self, work](const BlobId& blob, auto answer) {
                 work->post([self, blob, answer = std::move(answer)] { self->open(blob, answer); });
               },
           .foundBad =
               [self, work](const BlobId& blob, const absl::Status& why) {
                 work->post([self, blob, why] { self->s_.folders.foundBad(blob, why); });
               },
           .report =
               [self, work](const std::string& text) {
                 work->post([self, text] { self->s_.report(text); });
               },
           .uploads = self->s_.uploads,
           .downloads = self->s_.downloads}));
  return swarms;
}

Swarms::Swarms(bool outside, Seams seams)
    : outside_(outside),
      s_(std::move(seams)),
      work_(std::make_shared<LoopWork>(s_.io, s_.pool)),
      timers_(s_.io) {}

Swarms::~Swarms() {
  stop();
}

void Swarms::stop() {
  *cancelled_ = true;
  work_->stop();
  lane_.reset();
  waiting_.clear();
  queue_.clear();
  timers_.stop();
}

bool Swarms::mayGive(const BlobId& blob) const {
  const Visibility visibility = s_.folders.inventory().visibilityOf(blob);
  const auto it = byBlob_.find(blob);
  const bool taken = it != byBlob_.end() && it->second->taken;
  return visibility == Visibility::kPublic || (taken && visibility == Visibility::kUnknown);
}

void Swarms::open(const BlobId& blob,
                  std::function<void(std::shared_ptr<const LocalBlob>)> answer) {
  // It may have become private since it was put into the swarm.
  if (!mayGive(blob)) return answer(nullptr);
  s_.folders.open(blob, std::move(answer));
}

void Swarms::word(const BlobId& blob, std::function<void(SwarmWord)> answer) {
  if (!lane_) return answer({});
  const uint16_t port = lane_->port();
  if (!mayGive(blob)) return answer({.state = SwarmState::kOff, .port = port});
  const auto once = std::make_shared<std::function<void(SwarmWord)>>(std::move(answer));
  const auto say = [once](SwarmWord word) {
    if (const auto first = std::exchange(*once, nullptr)) first(std::move(word));
  };
  tree(blob, [this, blob, port, say](absl::StatusOr<Tree> tree) {
    const Known* known = find(blob);
    if (!tree.ok() || known == nullptr || lane_->isBanned((*tree)->root)) {
      return say({.state = SwarmState::kOff, .port = port});
    }
    lane_->seed(known->blob, *tree);
    say({.state = SwarmState::kReady,
         .port = port,
         .pieceBytes = swarmPieceBytes(known->blob.size),
         .tree = *tree});
  });
  if (*once) {
    timers_.after(kSwarmAnswer, [say, port] { say({.state = SwarmState::kNotYet, .port = port}); });
  }
}

void Swarms::tree(const BlobId& blob, std::function<void(absl::StatusOr<Tree>)> done) {
  if (!mayGive(blob)) return done(absl::PermissionDeniedError("it is not known to be public"));
  if (const Known* known = find(blob)) return done(known->tree);
  auto& waiting = waiting_[blob];
  waiting.push_back(std::move(done));
  if (waiting.size() > 1) return;
  queue_.push_back(blob);
  computeNext();
}

void Swarms::computeNext() {
  while (computing_ < kSwarmTreesComputedMax && !queue_.empty()) {
    const BlobId blob = queue_.front();
    queue_.pop_front();
    ++computing_;
    compute(blob);
  }
}

void Swarms::compute(const BlobId& blob) {
  s_.folders.open(blob, [this, work = work_, blob,
                         cancelled = cancelled_](std::shared_ptr<const LocalBlob> local) {
    work->post([this, work, blob, cancelled, local = std::move(local)] {
      if (!local || local->blob().size == 0) {
        return computed(blob, absl::NotFoundError("it is not here, or empty"));
      }
      work->submit({"hash tree", WorkPriority::kNormal, ""}, [this, work, blob, cancelled, local,
                                                              pages = s_.pages] {
        auto tree = treeOfBlob(*local, cancelled.get(), pages.get());
        absl::StatusOr<Known> result = absl::UnknownError("");
        if (tree.ok()) {
          result = Known{local->blob(), std::make_shared<const HashTree>(*std::move(tree))};
        } else {
          result = tree.status();
        }
        work->post([this, blob, result = std::move(result)]() mutable {
          computed(blob, std::move(result));
        });
      });
    });
  });
}

void Swarms::computed(const BlobId& blob, absl::StatusOr<Known> result) {
  --computing_;
  if (absl::IsDataLoss(result.status()) || absl::IsAborted(result.status())) {
    s_.folders.foundBad(blob, result.status());
  }
  absl::StatusOr<Tree> tree = result.ok() ? absl::StatusOr<Tree>(result->tree) : result.status();
  if (result.ok() && find(blob) == nullptr) keep(*std::move(result));
  auto waiting = waiting_.extract(blob);
  if (!waiting.empty()) {
    for (const auto& done : waiting.mapped()) done(tree);
  }
  computeNext();
}

void Swarms::learn(const BlobInfo& blob, Tree tree) {
  if (Known* known = find(blob.id)) {
    known->taken = true;
    if (known->tree->root == tree->root) return;
    forget(known_.begin());
  }
  keep({blob, std::move(tree), true});
}

void Swarms::ban(const BlobId& blob) {
  const auto it = byBlob_.find(blob);
  if (it == byBlob_.end()) return;
  if (lane_) lane_->ban(it->second->tree->root);
  forget(it->second);
}

void Swarms::keep(Known known) {
  knownBytes_ += bytesOf(*known.tree);
  known_.push_front(std::move(known));
  byBlob_[known_.front().blob.id] = known_.begin();
  while (knownBytes_ > kSwarmTreesBytesMax && known_.size() > 1) forget(std::prev(known_.end()));
}

void Swarms::forget(std::list<Known>::iterator known) {
  knownBytes_ -= bytesOf(*known->tree);
  byBlob_.erase(known->blob.id);
  known_.erase(known);
}

Swarms::Known* Swarms::find(const BlobId& blob) {
  const auto it = byBlob_.find(blob);
  if (it == byBlob_.end()) return nullptr;
  known_.splice(known_.begin(), known_, it->second);
  return &known_.front();
}

}  // namespace roost
