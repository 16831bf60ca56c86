// Writes an entry of pip's HTTP cache (pip >= 23.3; pip_cache.h has the layout), as if pip itself
// had downloaded a file from that URL: pip then takes it from there without a request. pip compares
// the hash that the index's page names, if it names one; an entry of another file would make it
// fail, so a body is written under its final name only if it hashes to `blob`.
//
// Threads: any; writePipEntry() blocks. Errors: kDataLoss the content is not the blob;
// kResourceExhausted; errnoStatus().
#ifndef ROOST_CACHE_PIP_ENTRY_H_
#define ROOST_CACHE_PIP_ENTRY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cache/disk_space.h"
#include "cache/local_blob.h"
#include "protocol/blob_id.h"

namespace roost {

// The URL that pip asks for when a page has this absolute one, without fragment: escaped anew in
// its path (pip/_internal/models/link.py), host and scheme in small letters (cachecontrol).
std::string pipRequestUrl(absl::string_view url);

// Below the cache's folder, of a pipRequestUrl(): "http-v2/0/9/b/a/8/09ba82d1…", the headers; the
// body is beside it, with ".body".
std::string pipEntryPlace(absl::string_view requestUrl);

// The headers' file: a fresh answer for good, as PyPI says of files.
std::string pipEntryHeaders(uint64_t bodyBytes, absl::Time now);

// Whether both files of the entry are there, and the body is the blob: reads all of it.
bool hasPipEntry(const std::string& cache, absl::string_view requestUrl, const BlobInfo& blob);

// Replaces what is there. The cache's folder is made if need be. `content` is of `blob`'s size.
absl::Status writePipEntry(const std::string& cache, absl::string_view requestUrl,
                           const LocalBlob& content,
                           const std::shared_ptr<Reservations>& reservations, absl::Time now);

}  // namespace roost

#endif  // ROOST_CACHE_PIP_ENTRY_H_
