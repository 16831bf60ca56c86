// What people type for a repo: ORG/NAME, datasets/ORG/NAME, spaces/ORG/NAME,
// dataset-caches/ORG/NAME (or the folder's ORG___NAME), trees/NAME[/SCOPE DIGEST], each with an
// optional @REVISION.
//
// Threads: any (pure). Errors: kInvalidArgument with a sentence.
#ifndef ROOST_NODE_REPO_QUERY_H_
#define ROOST_NODE_REPO_QUERY_H_

#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/names.h"

namespace roost {

// A commit (40 hex digits), or the name of a branch or tag.
using Revision = std::variant<Commit, RefName>;
absl::StatusOr<Revision> parseRevision(absl::string_view text);
std::string revisionText(const Revision& revision);

struct RepoQuery {
  RepoId repo;
  std::optional<Revision> revision;  // none was typed: what the command means by that is its own
};

// `text` as above; "models/" is accepted too. `type` is what --type said; a prefix of another type
// is refused. The repo is one of `origin`.
absl::StatusOr<RepoQuery> parseRepoQuery(const HubOrigin& origin, absl::string_view text,
                                         std::optional<RepoType> type = std::nullopt);

}  // namespace roost

#endif  // ROOST_NODE_REPO_QUERY_H_
