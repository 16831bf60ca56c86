#include "node/tree_pulls.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "protocol/limits.h"
#include "spdlog/spdlog.h"

namespace roost {

namespace asio = boost::asio;

TreePulls::TreePulls(Seams seams) : s_(std::move(seams)), timer_(s_.io) {}

void TreePulls::start() {
  const auto trees = ownTrees(s_.inventory, s_.origin);
  if (std::any_of(trees.begin(), trees.end(), [](const OwnTree& tree) { return tree.pull; })) {
    wait();
  }
}

void TreePulls::stop() {
  *stopped_ = true;
  timer_.cancel();
}

void TreePulls::wait() {
  timer_.expires_after(absl::ToChronoMilliseconds(kTreePullPeriod));
  timer_.async_wait([this, stopped = stopped_](boost::system::error_code ec) {
    if (ec || *stopped) return;
    look();
    wait();
  });
}

void TreePulls::look() {
  for (const OwnTree& tree : ownTrees(s_.inventory, s_.origin)) {
    if (!tree.pull) continue;
    Pull& pull = pulls_[tree.repo];
    if (isBusy(pull)) continue;
    forgetIfFailed(pull);
    if (absl::Now() < pull.notBefore) continue;
    std::set<Commit> found = news(tree, pull);
    if (found.empty()) continue;
    pull.resolving = true;
    asio::co_spawn(s_.io, bring(tree, std::move(found)), asio::detached);
  }
}

bool TreePulls::isBusy(const Pull& pull) const {
  if (pull.resolving) return true;
  const auto job = pull.job == 0 ? std::nullopt : s_.core.job(pull.job);
  return job && !job->finished;
}

// A file that changed meanwhile, a node that went: once more, but not at once. What this node has
// its own of (kOutOfRange) stays so.
void TreePulls::forgetIfFailed(Pull& pull) const {
  const auto job = pull.job == 0 ? std::nullopt : s_.core.job(pull.job);
  pull.job = 0;
  if (!job || job->result.ok() || absl::IsOutOfRange(job->result)) return pull.last.clear();
  for (const Commit& commit : pull.last) pull.tried.erase(commit);
  pull.last.clear();
  pull.notBefore = absl::Now() + kTreePullRetry;
}

std::set<Commit> TreePulls::news(const OwnTree& tree, const Pull& pull) const {
  const NodeId self = s_.core.self().id;
  std::set<Commit> own, found;
  for (const RepoHolderView& holder : s_.core.repoHolders(tree.repo)) {
    (holder.node == self ? own : found).insert(holder.advert.commit);
  }
  std::erase_if(found, [&](const Commit& commit) {
    return own.contains(commit) || pull.tried.contains(commit);
  });
  return found;
}

asio::awaitable<void> TreePulls::bring(OwnTree tree, std::set<Commit> news) {
  const std::shared_ptr<bool> stopped = stopped_;
  auto resolved = co_await s_.resolver.resolve(tree.repo, std::nullopt, SourceRule::kClusterOnly);
  if (*stopped) co_return;
  Pull& pull = pulls_[tree.repo];
  pull.resolving = false;
  // Those that are not told any more need not be remembered.
  std::set<Commit> told;
  for (const RepoHolderView& holder : s_.core.repoHolders(tree.repo)) {
    told.insert(holder.advert.commit);
  }
  std::erase_if(pull.tried, [&](const Commit& commit) { return !told.contains(commit); });
  if (!resolved.ok()) {
    spdlog::debug("the tree {} is not pulled: {}", tree.name, resolved.status().ToString());
    co_return;
  }
  pull.tried.insert(news.begin(), news.end());
  pull.last = std::move(news);
  JobOrder order{.title = tree.repo.toString(),
                 .listing = std::move(resolved->listing),
                 .refs = std::move(resolved->refs),
                 .from = SourceRule::kClusterOnly,
                 .targets = {s_.core.self().id},
                 .created = absl::Now()};
  pull.job = s_.order(std::move(order));
}

}  // namespace roost
