// Where a name leads: a branch to its commit, a commit to its list of files.
//
// A commit's list is for good, and taken from a peer that has it rather than from the hub. A branch
// is remembered for its TTL; then the hub is asked: for all at once where the repo is public or
// nobody knows (public_word.h), else under the client's own token. While the hub does not answer,
// the newest word that this node or any other remembers counts, and is marked stale.
//
// Threads: `loop`. Everything given must outlive this. Memory: kRefsCachedMax branches, lists of
// kManifestFilesMax files in all, kRefsCachedMax files of hubs without lists.
#ifndef ROOST_NODE_ENDPOINT_REPO_NAMES_H_
#define ROOST_NODE_ENDPOINT_REPO_NAMES_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cluster/core.h"
#include "node/endpoint/hub_failures.h"
#include "node/endpoint/hub_line.h"
#include "node/endpoint/public_word.h"
#include "node/endpoint/repo_access.h"
#include "node/loop_timers.h"
#include "node/peer_question.h"
#include "node/repo_query.h"
#include "node/resolver.h"

namespace roost {

// What clients are told as the ETag of a file that its hub names by no hash. An ETag that is no
// digest (a version, a count of parts) may be that of other files, too, so repo and path are part
// of it. None where the hub says nothing.
std::optional<MadeEtag> madeEtag(const RepoId& repo, const RelativePath& path,
                                 absl::string_view hubs);

// "/api/models/org/name"
std::string apiPath(const RepoId& repo);

class RepoNames {
 public:
  // Shared: a dataset has 200,000 files, and each request looks one of them up.
  using Manifest = std::shared_ptr<const Listing>;
  struct Located {
    Manifest manifest;
    std::optional<RefState> ref;
    bool stale = false;  // the hub did not say so now
  };

  struct Seams {
    boost::asio::io_context& io;
    const Core& core;
    const Inventory& inventory;
    Resolver& resolver;
    HubLine& hub;
    PublicWord& word;
    RepoAccess& access;
    LoopTimers& timers;
    PeerCall call;
    std::function<std::shared_ptr<void>()> alive;  // kept while a question is under way
  };
  RepoNames(Seams seams, absl::Duration refTtl);

  // Asks the hub, without a token, whether the repo is for everybody, where nobody knows, and for
  // strangers (RepoAccess) who shall not see that somebody does. None: it was not asked.
  boost::asio::awaitable<std::optional<PublicWord::Said>> meet(RepoId repo, Revision revision,
                                                               std::optional<Token> token);
  // What the hub said of a repo to somebody without a token. `revision`: of which the answer is the
  // description; null: it is about something else.
  void learn(const RepoId& repo, const Revision* revision, const PublicWord::Said& said);
  // Whether everybody may still see it is asked once a TTL; nobody waits for the answer.
  void checkLater(const RepoId& repo);

  boost::asio::awaitable<OrAnswer<Located>> locate(RepoId repo, Revision revision,
                                                   std::optional<Token> token);
  // What the hub's answer to HEAD names a file by.
  struct NamedFile {
    std::optional<FileEntry> file;                     // by a hash of its content
    std::optional<FileEntry> misnamed = std::nullopt;  // by one that its content does not have
    std::optional<MadeEtag> madeEtag;                  // what is made of its ETag, if it has one
    std::optional<uint64_t> size;                      // in bytes, if it says so
    bool asked = true;                                 // false: the hub did not answer

    // What a node observed is what the hub has now, as far as it says.
    bool confirms(const FileEntry& observed) const {
      return madeEtag && observed.observedAs == madeEtag &&
             observed.blob.size == size.value_or(observed.blob.size);
    }
  };
  // A file of a hub without lists, asked for alone. A hash is remembered under its commit for good,
  // any other name for the TTL. `otherwise`: there is an answer without the hub, so its failure is
  // none of the client's.
  boost::asio::awaitable<OrAnswer<NamedFile>> fileOf(RepoId repo, Commit commit, RelativePath path,
                                                     std::optional<Token> token, bool otherwise);
  // It turned out not to have the hash that it was named by.
  void misnamed(const RepoId& repo, const Commit& commit, const RelativePath& path);
  // The hub said so now.
  void remember(const RepoId& repo, const RefState& ref);
  // Its branches may have moved.
  void forget(const RepoId& repo);
  // The newest word of the hub that any node remembers, if it is later than `at`.
  std::optional<RefState> newerThan(const RepoId& repo, const RefName& name, absl::Time at) const;

 private:
  struct Named {
    Commit commit;
    std::optional<RefState> ref;
    bool stale = false;
  };
  boost::asio::awaitable<OrAnswer<Named>> commitOf(RepoId repo, Revision revision,
                                                   std::optional<Token> token);
  boost::asio::awaitable<PublicWord::Said> askAnybody(RepoId repo, Revision revision,
                                                      bool otherwise);
  std::optional<RefState> newestWord(const RepoId& repo, const RefName& name) const;
  boost::asio::awaitable<OrAnswer<Manifest>> filesOf(RepoId repo, Commit commit,
                                                     std::optional<Token> token);
  boost::asio::awaitable<std::optional<Listing>> manifestOfPeers(RepoId repo, Commit commit);
  boost::asio::awaitable<HttpResult> page(RepoId repo, std::string target,
                                          std::optional<Token> token, bool anonymous, bool held);
  Manifest keep(Listing files);

  Seams s_;
  const absl::Duration refTtl_;
  std::map<std::pair<RepoId, RefName>, RefState> refs_;
  std::map<std::pair<RepoId, Commit>, Manifest> manifests_;
  size_t manifestFiles_ = 0;                                  // in them
  std::map<std::pair<RepoId, Commit>, absl::Time> listless_;  // until then not asked for a list
  struct Alone {
    NamedFile named;
    absl::Time at;
    std::optional<BlobId> wrong;  // a hash that its content does not have
  };
  std::map<std::pair<RepoKey, RelativePath>, Alone> alone_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_REPO_NAMES_H_
