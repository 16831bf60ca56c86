// Files and their bytes: the head from the list of files, the body from this node, from peers, or
// from the hub on behalf of all.
//
// A file that the hub names by no hash is passed through to the first who reads it whole, and kept
// on the way (kept_files.h): from then on it is a file like any other, as long as the hub does not
// name it otherwise.
//
// Threads: `loop`. Everything given must outlive this.
#ifndef ROOST_NODE_ENDPOINT_HUB_FILES_H_
#define ROOST_NODE_ENDPOINT_HUB_FILES_H_

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "cluster/core.h"
#include "cluster/transfers.h"
#include "node/endpoint/blob_answers.h"
#include "node/endpoint/blob_readings.h"
#include "node/endpoint/byte_range.h"
#include "node/endpoint/endpoint_metrics.h"
#include "node/endpoint/hub_line.h"
#include "node/endpoint/hub_route.h"
#include "node/endpoint/kept_files.h"
#include "node/endpoint/repo_access.h"
#include "node/endpoint/repo_names.h"
#include "node/folders.h"

namespace roost {

class HubFiles {
 public:
  struct Seams {
    const Core& core;
    WorkPool& pool;
    Folders& folders;
    BlobReadings& readings;
    HubLine& hub;
    RepoAccess& access;
    RepoNames& names;
    LoopTimers& timers;
    EndpointMetrics& metrics;
    KeptFiles& kept;
  };
  // `publish`: what was fetched for a client is shown in its snapshot. `knownSizeMax`:
  // large_files.h.
  HubFiles(Seams seams, bool publish, uint64_t knownSizeMax);

  // `route` is of a file.
  boost::asio::awaitable<HttpAnswer> answer(HttpAsk ask, HubRoute route);
  // A blob that was fetched is here: if a client asked for it, it is shown in the snapshot too.
  void landed(const LandedBlob& blob);

 private:
  using Located = RepoNames::Located;
  boost::asio::awaitable<std::optional<HttpAnswer>> mayRead(RepoId repo, Commit commit,
                                                            RelativePath path,
                                                            std::optional<Token> token);
  std::string pinnedTarget(const RepoId& repo, const Commit& commit, const RelativePath& path,
                           absl::string_view target) const;
  // What is used of a file that a listing shows as observed, or not at all.
  boost::asio::awaitable<OrAnswer<std::optional<FileEntry>>> entryOf(Located located,
                                                                     RelativePath path,
                                                                     std::optional<Token> token,
                                                                     HttpAsk& ask);
  boost::asio::awaitable<HttpAnswer> passOn(HttpAsk ask, Located located, RelativePath path);
  std::optional<HttpAnswer> refuseTheRest(HttpAsk& ask, const Located& located,
                                          const FileEntry& file) const;
  static HttpAnswer fileHead(const HttpAsk& ask, const Located& located, const FileEntry& file);
  boost::asio::awaitable<HttpAnswer> body(HttpAsk ask, Located located, FileEntry file,
                                          ByteRange range, HttpAnswer answer);
  boost::asio::awaitable<absl::Status> prepare(const Located& located, const FileEntry& file,
                                               bool apart);
  boost::asio::awaitable<HttpAnswer> withoutIt(HttpAsk ask, const Located& located,
                                               const FileEntry& file, absl::Status why);

  Seams s_;
  const bool publish_;
  const uint64_t knownSizeMax_;
  BlobAnswers bodies_;
  std::map<BlobId, ClientFile> wanted_;  // fetched for a client, to be shown when it is here
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_FILES_H_
