#include "node/repo_query.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/datasets_layout.h"
#include "protocol/errors.h"

namespace roost {

absl::StatusOr<Revision> parseRevision(absl::string_view text) {
  if (auto commit = Commit::parse(text); commit.ok()) return Revision(*std::move(commit));
  ROOST_ASSIGN_OR_RETURN(RefName ref, RefName::parse(text));
  return Revision(std::move(ref));
}

std::string revisionText(const Revision& revision) {
  const Commit* commit = std::get_if<Commit>(&revision);
  return commit != nullptr ? commit->hex() : std::get<RefName>(revision).text();
}

absl::StatusOr<RepoQuery> parseRepoQuery(const HubOrigin& origin, absl::string_view text,
                                         std::optional<RepoType> type) {
  std::optional<Revision> revision;
  absl::string_view name = text;
  if (const size_t at = text.find('@'); at != absl::string_view::npos) {
    ROOST_ASSIGN_OR_RETURN(revision, parseRevision(text.substr(at + 1)));
    name = text.substr(0, at);
  }
  for (RepoType prefixed : kRepoTypes) {
    const std::string prefix = absl::StrCat(repoTypePlural(prefixed), "/");
    if (!absl::StartsWith(name, prefix)) continue;
    if (type && *type != prefixed) {
      return absl::InvalidArgumentError(
          absl::StrCat("not a ", repoTypeName(*type), ": ", quoted(name), ": the name says ",
                       repoTypePlural(prefixed), ". Leave out the prefix or --type"));
    }
    type = prefixed;
    name.remove_prefix(prefix.size());
    break;
  }
  const RepoType wanted = type.value_or(RepoType::kModel);
  ROOST_ASSIGN_OR_RETURN(RepoId repo, wanted == RepoType::kDatasetCache
                                          ? datasetCacheNamed(origin, name)
                                          : RepoId::make(origin, wanted, name));
  return RepoQuery{std::move(repo), std::move(revision)};
}

}  // namespace roost
