// The hub's API, as far as a cache needs it: which commit a name points at, and what a repo
// contains at a commit.
//
// Threads: calls from any thread; callbacks on the hub thread. The object may go while calls are
// in progress: their callbacks still come. Errors: hub_errors.h.
#ifndef ROOST_CLUSTER_HUB_API_H_
#define ROOST_CLUSTER_HUB_API_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/http_client.h"
#include "cluster/hub_calls.h"
#include "protocol/manifest.h"
#include "protocol/names.h"

namespace roost {

struct HubRevision {
  Commit commit;
  Visibility visibility = Visibility::kUnknown;
  std::vector<RelativePath> paths;  // of every file
  absl::Time at;                    // when the hub said so
};

class HubApi {
 public:
  // `http` must outlive this and its calls. `token` is asked for each request.
  HubApi(const HubOrigin& origin, HttpClient& http, TokenSource token, HubPatience patience = {});
  ~HubApi();

  // `revision`: branch, tag, "refs/pr/1", a commit or the beginning of one.
  void revision(const RepoId& repo, absl::string_view revision,
                std::function<void(absl::StatusOr<HubRevision>)> done);

  // The complete listing (complete = true); its visibility is that of revision(), which the caller
  // fills in.
  void tree(const RepoId& repo, const Commit& commit,
            std::function<void(absl::StatusOr<Listing>)> done);

 private:
  struct TreeWalk;
  static void askPage(const std::shared_ptr<TreeWalk>& walk);
  static void onPage(const std::shared_ptr<TreeWalk>& walk, HubReply reply);

  HttpClient& http_;
  TokenSource token_;
  std::shared_ptr<HubCalls> calls_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_API_H_
