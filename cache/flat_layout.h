// Reads the flat cache that transformers wrote before 4.22 (file_utils.py, url_to_filename()), and
// pytorch_transformers and pytorch_pretrained_bert before it:
//   <root>/<sha256(url)>.<sha256(etag)>        content; ".h5" follows if the url ends in it
//          <the same>.json                     {"url": …, "etag": …}
//          <the same>.lock                     passed over
// A file counts only if its name is what its description hashes to, if its url names a repo of the
// hub, and if its etag is one that the hub or its former storage gives:
//   sha256, git sha1   the content's name, by which it is hashed before it is trusted
//   md5 (S3's)         no name that the hub uses: known by content once it has been hashed
// What it does not say is of which commit a file was: urls mostly have `main`. Files of one repo
// and one revision are one snapshot. If the revision is a commit, that is its commit. Else the
// commit is made up (flatCommit()), and a ref of that name without a hub's time points to it: every
// word of a hub is newer. Of several files of one path the one that was written last is shown.
//
// Never written to. Nothing is followed: links are not used.
//
// Threads: any; scanFlat() blocks, a worker's job.
#ifndef ROOST_CACHE_FLAT_LAYOUT_H_
#define ROOST_CACHE_FLAT_LAYOUT_H_

#include <map>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/folder_scan.h"
#include "protocol/names.h"

namespace roost {

struct FlatUrl {
  RepoId repo;
  std::variant<Commit, RefName> revision;
  RelativePath path;
};

// What a url names, as a repo of `origin` (as the repos of hub caches are):
//   <hub>/[<org>/]<name>/resolve/<revision>/<path>    hub: https://huggingface.co, or `origin`
//   https://cdn.huggingface.co/[<org>/]<name>/<path>
//   https://s3.amazonaws.com/models.huggingface.co/bert/[<org>/]<name>/<file>
// The latter two have no revision, it is main. None if it names no repo, such as
// …/bert/bert-base-uncased-vocab.txt.
std::optional<FlatUrl> parseFlatUrl(absl::string_view url, const HubOrigin& origin);

// The commit of a listing that no hub has named: the first 40 hex digits of the sha256 over
// "<path>\0<etag>\n" of each file, sorted by path; the etag without W/ and quotes. The same files
// make the same commit on every node.
Commit flatCommit(const std::map<RelativePath, std::string>& etags);

// Content or description, by its name alone.
bool isFlatName(absl::string_view name);

// The whole folder, with `contents`.
absl::StatusOr<RootScan> scanFlat(const std::string& root, const HubOrigin& origin);

}  // namespace roost

#endif  // ROOST_CACHE_FLAT_LAYOUT_H_
