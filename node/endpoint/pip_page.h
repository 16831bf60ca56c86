// A project's page of a pip index: what an index says in either of its forms, and the same as this
// agent says it, with its own addresses for the files.
//   PEP 503 (HTML), 691 (JSON), 592 (yanked), 658 and 714 (core metadata), 700 (size, versions),
//   792 (status). What an index says beyond these is left out.
//
// Threads: any (pure). Everything in a page is the index's word: hostile until it is parsed here.
#ifndef ROOST_NODE_ENDPOINT_PIP_PAGE_H_
#define ROOST_NODE_ENDPOINT_PIP_PAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/blob_id.h"

namespace roost {

// PEP 503: runs of '-', '_' and '.' are one '-', letters are small. None: not a project's name.
std::optional<std::string> pipProjectName(absl::string_view name);

struct PipFile {
  std::string name;
  std::string url;               // absolute, without fragment
  std::optional<BlobId> sha256;  // none: only the client can check it, if anybody
  std::vector<std::pair<std::string, std::string>> otherHashes;  // without a sha256: name, hex
  std::optional<uint64_t> size;
  std::string requiresPython;         // empty: says nothing
  std::optional<std::string> yanked;  // the reason, which may be empty
  std::optional<BlobId> metadata;     // of the file beside it, NAME.metadata
  std::string uploadTime;
  friend bool operator==(const PipFile&, const PipFile&) = default;
};

struct PipPage {
  std::string project;  // normalised
  std::vector<PipFile> files;
  std::vector<std::string> versions;
  std::string status;  // empty: active
  std::string statusReason;

  // Null: the page names no such file. `sha256` as it stands in our URLs.
  const PipFile* find(absl::string_view sha256, absl::string_view name) const;
  friend bool operator==(const PipPage&, const PipPage&) = default;
};

// Where the metadata of a file is: beside it, and of a URL with a query the path says so.
std::string metadataUrlOf(const PipFile& file);

// `url`: where the page was read, for relative addresses. `type`: its Content-Type. Files that
// cannot be used (no URL that may be followed, a name that is no file name) are left out.
// kInvalidArgument: it is not a page, or of a version that is not known.
absl::StatusOr<PipPage> parsePipPage(absl::string_view body, absl::string_view type,
                                     absl::string_view project, absl::string_view url);

// With relative addresses, so that clients' cache keys follow the agent's own:
// ../../files/PROJECT/SHA256/NAME, and "-" for the hash of a file that has none.
std::string pipPageJson(const PipPage& page);
std::string pipPageHtml(const PipPage& page);

enum class PipForm : uint8_t { kHtml, kJson };
// Which form the client likes best; the Content-Type to answer with.
struct PipChoice {
  PipForm form = PipForm::kHtml;
  absl::string_view type;
};
PipChoice pipFormOf(absl::string_view accept);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PIP_PAGE_H_
