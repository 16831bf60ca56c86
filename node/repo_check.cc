#include "node/repo_check.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/copy_checks.h"

namespace roost {

namespace asio = boost::asio;

namespace {

// Where the snapshot shows a file, usable or not. Empty if the repo lies nowhere.
std::string shownAt(const Inventory& inventory, const RepoView& view, const Commit& commit,
                    const FileEntry& file) {
  if (view.roots.empty()) return "";
  if (!isOfHub(view.repo.type())) {
    return absl::StrCat(inventory.root(view.roots.front()).config.path, "/", file.path.text());
  }
  return absl::StrCat(inventory.root(view.roots.front()).config.path, "/", view.repo.folder(),
                      "/snapshots/", commit.hex(), "/", file.path.text());
}

std::optional<LocalCopy> copyOf(const Inventory& inventory, const RepoView& view,
                                const BlobId& blob) {
  for (const RootIndex root : view.roots) {
    if (auto copy = inventory.findIn(root, view.repo, blob)) return copy;
  }
  return std::nullopt;
}

// A file whose content is usable nowhere in the repo, but perhaps there: what was found to be wrong
// before is told as wrong.
void addUnusable(VerifiedRepo& result, const FileEntry& file, const CheckOutcome& shown) {
  if (absl::IsNotFound(shown.status)) {
    result.missing.push_back(file.path.text());
    return;
  }
  result.wrong.push_back(
      {file.path.text(), file.blob.id.toString(),
       shown.status.ok() ? shown.copy.content.toString() : std::string(shown.status.message())});
}

void addChecked(VerifiedRepo& result, const FileEntry& file, const LocalCopy& copy,
                const CheckOutcome& outcome) {
  if (!outcome.status.ok()) {
    result.wrong.push_back(
        {file.path.text(), file.blob.id.toString(), std::string(outcome.status.message())});
  } else if (outcome.copy.content != copy.blob.id) {
    result.wrong.push_back(
        {file.path.text(), copy.blob.id.toString(), outcome.copy.content.toString()});
  } else {
    ++result.filesOk;
    result.bytesOk += copy.blob.size;
  }
}

}  // namespace

asio::awaitable<VerifiedRepo> checkRepo(const Inventory& inventory, CopyChecks& checks,
                                        RepoId repo) {
  VerifiedRepo result;
  const std::vector<RepoView> views = inventory.repos();
  const auto view =
      std::find_if(views.begin(), views.end(), [&](const RepoView& v) { return v.repo == repo; });
  if (view == views.end()) co_return result;
  std::set<std::string> seen;
  for (const RepoAdvert& advert : view->commits) {
    const auto listing = inventory.listing(repo, advert.commit);
    if (!listing) continue;
    for (const FileEntry& file : listing->files) {
      const std::optional<LocalCopy> copy = copyOf(inventory, *view, file.blob.id);
      if (!copy) {
        const std::string path = shownAt(inventory, *view, advert.commit, file);
        addUnusable(result, file, co_await checks.hash(path, file.blob));
        continue;
      }
      if (!seen.insert(copy->path).second) continue;
      addChecked(result, file, *copy, co_await checks.check(*copy));
    }
  }
  co_return result;
}

}  // namespace roost
