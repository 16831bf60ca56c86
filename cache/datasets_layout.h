// Reads what the datasets library keeps of datasets that it has prepared (builder.py,
// _relative_data_dir()):
//   <root>/[<org>___]<name>/<config>/<version>/<hash>/   a finished directory
//            <name>-<split>….arrow, dataset_info.json      its base files
//            cache-<fingerprint>….arrow                    what map, filter, shuffle … made of them
//            tmp…                                          passed over
//          <hash>.incomplete/                              in progress; renamed when it is done
//          <hash>_builder.lock                             held meanwhile
//   <root>/<path of the directory with "_" for "/">.lock  held while a builder looks at it
// A directory is finished if it has a dataset_info.json and an Arrow file, all those that the info
// names, and nobody is making it anew. It is a ref "<config>/<version>/<hash>" of a dataset cache
// (RepoType::kDatasetCache) that is named as its folder is; paths in its listing are below the
// root. Paths, not contents, are what the library looks for: what lies at the same path on another
// node is found there.
//
// A directory of the hub's dataset of that name is told of as the dataset is (Inventory). One that
// was made of local files (<name> has no org, and <hash> is no commit of a repo) derives from
// something that nobody published: it is left out unless `share` is kCluster.
//
// Threads: any; scanDatasets() blocks, a worker's job.
#ifndef ROOST_CACHE_DATASETS_LAYOUT_H_
#define ROOST_CACHE_DATASETS_LAYOUT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/folder_scan.h"
#include "cache/roots.h"
#include "protocol/names.h"

namespace roost {

// What people type, or a folder's name, as a dataset cache: "Org/MyData", "Org/my_data" and
// "Org___my_data" are one, because the library writes names in snake case (naming.py).
absl::StatusOr<RepoId> datasetCacheNamed(HubOrigin origin, absl::string_view name);
// Of a dataset on the hub. None if its name in snake case is no name of a repo.
std::optional<RepoId> datasetCacheOf(const RepoId& dataset);
std::string datasetsFolder(const RepoId& cache);  // "org___name"

// Where a file of a finished directory lies, in parts.
struct DatasetsPlace {
  std::string parent;  // "<folder>/<config>/<version>"
  std::string hash;
  std::string file;
  std::string directory() const { return parent + "/" + hash; }
};
// None if no directory of that dataset cache has such a file: what peers send is not always one.
std::optional<DatasetsPlace> datasetsPlace(const RepoId& cache, const RelativePath& path);

// A name that belongs to a finished directory, not of temporaries and locks.
bool isDatasetsFile(absl::string_view name);
// Made of the others: may come later, and may be deleted by itself.
bool isDerivedFile(absl::string_view name);
// May change what a scan finds.
bool mattersInDatasets(absl::string_view name);

// The whole folder, with `contents` and `below`.
absl::StatusOr<RootScan> scanDatasets(const std::string& root, Share share,
                                      const HubOrigin& origin);

}  // namespace roost

#endif  // ROOST_CACHE_DATASETS_LAYOUT_H_
