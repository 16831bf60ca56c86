#include "protocol/manifest.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {

uint64_t Listing::bytes() const {
  uint64_t sum = 0;
  for (const FileEntry& file : files) sum += file.blob.size;
  return sum;
}

bool Listing::observes() const {
  return std::any_of(files.begin(), files.end(),
                     [](const FileEntry& file) { return file.observedAs.has_value(); });
}

const FileEntry* Listing::find(absl::string_view path) const {
  const auto it = std::lower_bound(
      files.begin(), files.end(), path,
      [](const FileEntry& file, absl::string_view wanted) { return file.path.text() < wanted; });
  return it != files.end() && it->path.text() == path ? &*it : nullptr;
}

absl::Status normalize(Listing& listing) {
  if (listing.files.size() > kManifestFilesMax) {
    return absl::InvalidArgumentError(absl::StrCat(listing.repo.toString(), " lists ",
                                                   listing.files.size(), " files; the limit is ",
                                                   kManifestFilesMax));
  }
  std::sort(listing.files.begin(), listing.files.end(),
            [](const FileEntry& a, const FileEntry& b) { return a.path < b.path; });
  std::set<absl::string_view> paths;
  for (const FileEntry& file : listing.files) {
    if (!paths.insert(file.path.text()).second) {
      return absl::InvalidArgumentError(absl::StrCat(listing.repo.toString(), " lists ",
                                                     quoted(file.path.text()), " more than once"));
    }
  }
  for (const FileEntry& file : listing.files) {
    const std::string& text = file.path.text();
    for (size_t slash = text.find('/'); slash != std::string::npos;
         slash = text.find('/', slash + 1)) {
      if (paths.contains(absl::string_view(text).substr(0, slash))) {
        return absl::InvalidArgumentError(absl::StrCat(listing.repo.toString(), " lists ",
                                                       quoted(text.substr(0, slash)),
                                                       " as a file and as a folder"));
      }
    }
  }
  return absl::OkStatus();
}

Listing unite(const std::vector<Listing>& listings, std::vector<RelativePath>* conflicts) {
  for (const Listing& listing : listings) {
    if (listing.complete) return listing;
  }
  Listing result = listings.front();
  std::map<RelativePath, FileEntry> files;
  std::set<RelativePath> dropped;
  for (const Listing& listing : listings) {
    result.visibility = std::max(result.visibility, listing.visibility);
    for (const FileEntry& file : listing.files) {
      const auto [it, added] = files.emplace(file.path, file);
      if (added) continue;
      if (it->second.observedAs && !file.observedAs) {
        it->second = file;
      } else if (!file.observedAs && it->second.blob != file.blob) {
        dropped.insert(file.path);
      }
    }
  }
  result.files.clear();
  for (auto& [path, file] : files) {
    if (!dropped.contains(path)) result.files.push_back(std::move(file));
  }
  if (conflicts != nullptr) conflicts->assign(dropped.begin(), dropped.end());
  return result;
}

}  // namespace roost
