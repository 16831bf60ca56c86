#include "node/torrent_commands.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cluster/torrent_file.h"
#include "node/await_callback.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

json textOf(std::string bytes) {
  return absl::Base64Escape(bytes);
}

// What has a torrent of its own; the others are told, with the reason.
bool hasTorrent(const FileEntry& file) {
  return file.blob.size > 0;
}

}  // namespace

absl::StatusOr<Listing> TorrentCommands::listingOf(const RepoQuery& query) const {
  const Inventory& inventory = s_.folders.inventory();
  std::optional<Commit> commit;
  for (const RepoView& view : inventory.repos()) {
    if (view.repo != query.repo) continue;
    if (query.revision && std::holds_alternative<Commit>(*query.revision)) {
      commit = std::get<Commit>(*query.revision);
    } else {
      const std::string name = query.revision ? revisionText(*query.revision) : "main";
      for (const RefState& ref : view.refs) {
        if (ref.ref.text() == name) commit = ref.commit;
      }
      if (!commit && !query.revision && view.commits.size() == 1) {
        commit = view.commits.front().commit;
      }
    }
  }
  if (commit) {
    if (auto listing = inventory.listingForPeers(query.repo, *commit)) return *std::move(listing);
  }
  const std::string what =
      query.revision ? absl::StrCat(query.repo.toString(), "@", revisionText(*query.revision))
                     : query.repo.toString();
  return absl::NotFoundError(sentence(absl::StrCat("this node shows nothing of ", what), "",
                                      absl::StrCat("`roost get ", what, "` brings it here.")));
}

asio::awaitable<absl::Status> TorrentCommands::checkPublic(RepoQuery query) const {
  const Inventory& inventory = s_.folders.inventory();
  if (inventory.visibilityOf(query.repo) == Visibility::kUnknown) {
    // The hub's word is remembered on the way, if it can be had.
    const auto ignored = co_await s_.resolver.resolve(query.repo, query.revision, SourceRule::kAny);
    (void)ignored;
  }
  const Visibility visibility = inventory.visibilityOf(query.repo);
  if (visibility == Visibility::kPublic) co_return absl::OkStatus();
  const bool unknown = visibility == Visibility::kUnknown;
  co_return absl::PermissionDeniedError(sentence(
      absl::StrCat("no torrents of ", query.repo.toString()),
      unknown ? "nobody has said that it is public, and BitTorrent is open to everybody"
              : "it is not public, and BitTorrent is open to everybody",
      unknown ? "If it is, say so with visibility = \"public\" in the [[root]] that it lies in."
              : ""));
}

asio::awaitable<TorrentCommands::Document> TorrentCommands::make(RepoQuery query) {
  if (s_.swarms == nullptr || !s_.swarms->outside()) {
    co_return absl::PermissionDeniedError(
        sentence("this agent gives nothing to BitTorrent clients outside the cluster",
                 s_.swarms == nullptr ? "--swarm is not set" : "--swarm-outside is not set",
                 "Start it with --swarm ADDR:PORT --swarm-outside true."));
  }
  ROOST_CO_ASSIGN_OR_RETURN(const Listing listing, listingOf(query));
  const absl::Status open = co_await checkPublic(query);
  if (!open.ok()) co_return open;
  std::set<BlobId> blobs;
  for (const FileEntry& file : listing.files) {
    if (hasTorrent(file)) blobs.insert(file.blob.id);
  }
  if (blobs.size() > kSwarmTorrentsMax) {
    co_return absl::InvalidArgumentError(
        sentence(absl::StrCat("no torrents of ", query.repo.toString()),
                 absl::StrCat("it has ", blobs.size(), " files, and ", kSwarmTorrentsMax,
                              " can be in the swarm at once"),
                 ""));
  }
  const std::vector<Address> peers = s_.peers();
  json files = json::array(), skipped = json::array();
  for (const FileEntry& file : listing.files) {
    const std::string& path = file.path.text();
    if (!hasTorrent(file)) {
      skipped.push_back({{"path", path}, {"why", "it is empty"}});
      continue;
    }
    const std::function<void(std::function<void(absl::StatusOr<Swarms::Tree>)>)> start =
        [&](std::function<void(absl::StatusOr<Swarms::Tree>)> done) {
          s_.swarms->tree(file.blob.id, std::move(done));
        };
    const absl::StatusOr<Swarms::Tree> dropped = absl::CancelledError("the agent stops");
    const auto tree = co_await awaitCallback<absl::StatusOr<Swarms::Tree>>(start, dropped);
    if (!tree.ok()) {
      skipped.push_back({{"path", path}, {"why", std::string(tree.status().message())}});
      continue;
    }
    s_.swarms->lane().seed(file.blob, *tree, /*kept=*/true);
    const std::string name = absl::StrCat(query.repo.toString(), "/", path);
    files.push_back({{"path", path},
                     {"blob", file.blob.id.toString()},
                     {"bytes", file.blob.size},
                     {"info_hash", hexOf(torrentInfoHash(file.blob, (*tree)->root))},
                     {"magnet", magnetLink(file.blob, (*tree)->root, name, peers)},
                     {"torrent", textOf(torrentFile(file.blob, **tree, name))}});
  }
  co_return json{{"schema", "roost.torrent.1"},
                 {"repo", query.repo.toString()},
                 {"commit", listing.commit.hex()},
                 {"files", std::move(files)},
                 {"skipped", std::move(skipped)}};
}

}  // namespace roost
