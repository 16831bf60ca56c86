// What this node remembers between starts, in SQLite (WAL) at <state>/index.db: which hash a file
// had, what peers held, jobs, counters. The folders are the truth; everything but jobs and counters
// can be found again.
//
// Tables belong to groups (trust, catalog, jobs, values) with a version each. A file that is
// corrupt is moved aside and a new one begun; a file of a newer roost is moved aside too, and what
// this version understands is carried over. Hash trust is never dropped: its rows are carried over
// whatever the versions, since hashing terabytes again is the most expensive thing an upgrade could
// cost.
//
// Threads: one at a time (a SerialQueue); all blocking. Errors: kDataLoss the file is corrupt (the
// next open() rebuilds it); kResourceExhausted no room; kAborted another process has it; kInternal.
#ifndef ROOST_CACHE_INDEX_H_
#define ROOST_CACHE_INDEX_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cache/file_stamp.h"
#include "cache/piece_hash.h"
#include "protocol/blob_id.h"
#include "protocol/messages.h"
#include "protocol/node_id.h"

namespace roost {

// What hashing a file found out. Its name claims that it is `claimed`.
struct TrustRecord {
  FileStamp stamp;
  BlobId claimed;
  Sha256 sha256{};        // of the content as it is
  bool wrong = false;     // the content is not what the name claims: never served again
  absl::Time verifiedAt;  // to the second
};

enum class Trust : uint8_t {
  kUnknown,   // never hashed, or changed since
  kVerified,  // the content is what the name claims
  kRecheck,   // was verified; ctime or device differ since: serve, and hash again in idle time
  kWrong,     // the content is not what the name claims
};

struct SavedAdvert {
  std::string key;    // encoded AdvertKey
  std::string value;  // encoded advert
};

// A representation that this node holds. `path` is that of a file in a watched root; empty: the
// agent's own.
struct RepresentationPlace {
  RepresentationKey key;
  std::string path;
};
struct RepresentationRow {
  RepresentationPlace place;
  RepresentationClaim claim;
  FileStamp stamp;
  absl::Time checked;  // the content was hashed; whole milliseconds
  absl::Time used;
  std::string provenance;          // canonical JSON
  std::string kind, model, space;  // of it; not read back
};
// How many there are of one kind, model and namespace.
struct RepresentationCount {
  std::string kind, model, space;
  uint64_t count = 0;
  uint64_t bytes = 0;
};

class Index {
 public:
  struct Opened {
    std::unique_ptr<Index> index;
    // What happened to an older file, in words for status and log; empty: nothing.
    std::string movedAside;
  };
  // Makes the file if absent; the folder must exist.
  static absl::StatusOr<Opened> open(const std::string& path);
  ~Index();

  // ---- Hash trust ----
  // Replaces what was known of that file.
  absl::Status rememberTrust(const TrustRecord& record, absl::Span<const PieceHash> pieces);
  absl::Status forgetTrust(const FileStamp& stamp);
  // Whether the file of this stamp, whose name claims `claimed`, can be believed.
  absl::StatusOr<Trust> trust(const FileStamp& stamp, const BlobId& claimed);
  absl::StatusOr<std::optional<TrustRecord>> trustRecord(const FileStamp& stamp);
  // Empty if the file was never hashed, or has changed since.
  absl::StatusOr<std::vector<PieceHash>> pieces(const FileStamp& stamp);
  // Every record without its pieces: at start. 100,000 in well under a second.
  absl::Status eachTrust(const std::function<void(const TrustRecord&)>& visit);
  // Forgets what was verified before `before` and is not in use: `keep` says which files still are.
  absl::StatusOr<uint64_t> pruneTrust(absl::Time before,
                                      const std::function<bool(const TrustRecord&)>& keep);

  // ---- What peers held ----
  // Applies changes to the saved copy of a peer's adverts: `reset` empties it first. One
  // transaction.
  absl::Status saveCatalog(const NodeId& peer, bool reset, absl::Span<const SavedAdvert> advertised,
                           absl::Span<const std::string> withdrawnKeys,
                           const LogPosition& position);
  struct SavedCatalog {
    NodeId peer;
    LogPosition position;
    std::vector<SavedAdvert> adverts;
  };
  absl::StatusOr<std::vector<SavedCatalog>> loadCatalogs();
  absl::Status dropCatalog(const NodeId& peer);

  // ---- Jobs ----
  absl::Status saveJob(uint64_t id, absl::string_view encoded);
  absl::Status dropJob(uint64_t id);
  absl::StatusOr<std::vector<std::pair<uint64_t, std::string>>> loadJobs();  // by id

  // ---- Representations (index_representations.cc) ----
  // Replaces what was known of that key in that place. One transaction.
  absl::Status saveRepresentations(absl::Span<const RepresentationRow> rows);
  // `path` as in the row.
  absl::Status dropRepresentations(absl::Span<const RepresentationPlace> places);
  absl::Status touchRepresentations(
      absl::Span<const std::pair<RepresentationKey, absl::Time>> used);
  // All, without their provenance; those used longest ago first.
  absl::Status eachRepresentation(const std::function<void(RepresentationRow)>& visit);
  // Canonical JSON; empty: unknown.
  absl::StatusOr<std::string> provenance(const RepresentationKey& key);
  absl::StatusOr<std::vector<RepresentationCount>> countRepresentations();

  // ---- Values and counters ----
  absl::Status setValue(absl::string_view key, absl::string_view value);
  absl::StatusOr<std::optional<std::string>> value(absl::string_view key);
  absl::Status dropValue(absl::string_view key);
  // Keys that begin so, with their values.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> values(absl::string_view prefix);
  // Adds to a counter that starts at 0 and never wraps; returns the new count.
  absl::StatusOr<uint64_t> addToCounter(absl::string_view name, uint64_t amount);
  absl::StatusOr<uint64_t> counter(absl::string_view name);

  // Several changes as one: all or none, and one sync. Not nested.
  absl::Status inTransaction(const std::function<absl::Status()>& changes);

 private:
  struct Parts;
  explicit Index(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// The rule behind Index::trust(), for callers that hold the records in memory.
Trust trustOf(const TrustRecord& record, const FileStamp& now, const BlobId& claimed);

}  // namespace roost

#endif  // ROOST_CACHE_INDEX_H_
