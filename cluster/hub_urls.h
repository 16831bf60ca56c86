// The hub's URLs: how they are built, and what may be followed of those that a hub sends.
//
// Threads: any (pure functions).
#ifndef ROOST_CLUSTER_HUB_URLS_H_
#define ROOST_CLUSTER_HUB_URLS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/names.h"

namespace roost {

// RFC 3986: everything but unreserved characters becomes %XX; `keep` stays as it is.
std::string percentEncoded(absl::string_view text, absl::string_view keep = "");

// …/api/models/org/name/revision/refs%2Fpr%2F1
std::string revisionUrl(const RepoId& repo, absl::string_view revision);
// …/api/models/org/name/tree/<commit>?recursive=true&expand=false
std::string treeUrl(const RepoId& repo, const Commit& commit);
// …/[datasets/]org/name/resolve/<commit>/path
std::string resolveUrl(const RepoId& repo, const Commit& commit, const RelativePath& path);
// The page that people open, to ask for access: …/[datasets/]org/name
std::string repoPageUrl(const RepoId& repo);

// scheme://host:port, always with the port: what a token is bound to. kInvalidArgument for what is
// not http(s) or carries a user name.
absl::StatusOr<std::string> webOrigin(absl::string_view url);

// Where `location` (absolute or relative) leads from `base`. kInvalidArgument for other schemes,
// user names, over-long URLs, and for a step from https down to http.
absl::StatusOr<std::string> followed(absl::string_view base, absl::string_view location);

// The target of rel="next" in a Link header (RFC 8288), if there is one.
std::optional<std::string> nextLink(absl::string_view linkHeader);

// A URL as it may be shown: without its query, which can be a signature that opens the file.
std::string urlForPeople(absl::string_view url);

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_URLS_H_
