#include "cache/index.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/index_parts.h"
#include "cache/index_schema.h"
#include "protocol/errors.h"

namespace roost {
namespace {

// Columns of a trust record without its pieces, in the order of recordOf().
#define ROOST_TRUST_COLUMNS \
  "inode, fsid, size, mtime_ns, ctime_ns, algorithm, digest, sha256, wrong, verified_at"

absl::StatusOr<TrustRecord> recordOf(const Query& row) {
  const absl::StatusOr<BlobId> claimed =
      BlobId::fromBytes(static_cast<HashAlgorithm>(row.number(5)), row.blob(6));
  const absl::Span<const uint8_t> sha256 = row.blob(7);
  if (!claimed.ok() || sha256.size() != sizeof(Sha256)) {
    return absl::DataLossError("index: a trust record has a digest of a wrong length");
  }
  TrustRecord record{.stamp = {.fsid = row.bits(1),
                               .inode = row.bits(0),
                               .size = row.bits(2),
                               .mtimeNs = row.number(3),
                               .ctimeNs = row.number(4)},
                     .claimed = *claimed,
                     .wrong = row.number(8) != 0,
                     .verifiedAt = absl::FromUnixSeconds(row.number(9))};
  std::copy(sha256.begin(), sha256.end(), record.sha256.begin());
  return record;
}

absl::Span<const uint8_t> bytesOf(absl::Span<const PieceHash> pieces) {
  return {reinterpret_cast<const uint8_t*>(pieces.data()), pieces.size() * sizeof(PieceHash)};
}

}  // namespace

Trust trustOf(const TrustRecord& record, const FileStamp& now, const BlobId& claimed) {
  if (record.claimed != claimed || !record.stamp.sameContent(now)) return Trust::kUnknown;
  if (record.wrong) return Trust::kWrong;
  return record.stamp == now ? Trust::kVerified : Trust::kRecheck;
}

#define ROOST_WHERE_SAME_CONTENT \
  " FROM trust WHERE inode = ? AND size = ? AND mtime_ns = ? ORDER BY fsid <> ? LIMIT 1"

Index::Index(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Index::~Index() = default;

absl::StatusOr<Index::Opened> Index::open(const std::string& path) {
  ROOST_ASSIGN_OR_RETURN(OpenedDatabase opened, openIndexDatabase(path));
  auto parts = std::make_unique<Parts>();
  parts->database = std::move(opened.database);
  return Opened{std::unique_ptr<Index>(new Index(std::move(parts))), std::move(opened.movedAside)};
}

absl::Status Index::inTransaction(const std::function<absl::Status()>& changes) {
  if (parts_->inTransaction) return changes();
  ROOST_RETURN_IF_ERROR(parts_->query("BEGIN IMMEDIATE").run());
  parts_->inTransaction = true;
  absl::Status status = changes();
  parts_->inTransaction = false;
  if (status.ok()) status = parts_->query("COMMIT").run();
  if (!status.ok()) (void)parts_->query("ROLLBACK").run();  // fails if SQLite has done so itself
  return status;
}

absl::Status Index::rememberTrust(const TrustRecord& record, absl::Span<const PieceHash> pieces) {
  return parts_
      ->query("INSERT OR REPLACE INTO trust (" ROOST_TRUST_COLUMNS
              ", pieces) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(record.stamp.inode)
      .bind(record.stamp.fsid)
      .bind(record.stamp.size)
      .bind(record.stamp.mtimeNs)
      .bind(record.stamp.ctimeNs)
      .bind(static_cast<int64_t>(record.claimed.algorithm()))
      .bind(record.claimed.digest())
      .bind(absl::Span<const uint8_t>(record.sha256))
      .bind(int64_t{record.wrong})
      .bind(absl::ToUnixSeconds(record.verifiedAt))
      .bind(bytesOf(pieces))
      .run();
}

absl::Status Index::forgetTrust(const FileStamp& stamp) {
  return parts_->query("DELETE FROM trust WHERE inode = ? AND fsid = ?")
      .bind(stamp.inode)
      .bind(stamp.fsid)
      .run();
}

absl::StatusOr<std::optional<TrustRecord>> Index::trustRecord(const FileStamp& stamp) {
  std::optional<TrustRecord> record;
  ROOST_RETURN_IF_ERROR(parts_->withRow(
      stamp, "SELECT " ROOST_TRUST_COLUMNS ROOST_WHERE_SAME_CONTENT, [&](const Query& row) {
        ROOST_ASSIGN_OR_RETURN(record, recordOf(row));
        return absl::OkStatus();
      }));
  return record;
}

absl::StatusOr<Trust> Index::trust(const FileStamp& stamp, const BlobId& claimed) {
  ROOST_ASSIGN_OR_RETURN(const std::optional<TrustRecord> record, trustRecord(stamp));
  return record ? trustOf(*record, stamp, claimed) : Trust::kUnknown;
}

absl::StatusOr<std::vector<PieceHash>> Index::pieces(const FileStamp& stamp) {
  std::vector<PieceHash> pieces;
  ROOST_RETURN_IF_ERROR(
      parts_->withRow(stamp, "SELECT pieces" ROOST_WHERE_SAME_CONTENT, [&](const Query& row) {
        const absl::Span<const uint8_t> bytes = row.blob(0);
        if (bytes.size() != pieceCount(stamp.size) * sizeof(PieceHash)) {
          return absl::DataLossError("index: a trust record has a wrong number of pieces");
        }
        pieces.resize(bytes.size() / sizeof(PieceHash));
        if (!bytes.empty()) std::memcpy(pieces.data(), bytes.data(), bytes.size());
        return absl::OkStatus();
      }));
  return pieces;
}

absl::Status Index::eachTrust(const std::function<void(const TrustRecord&)>& visit) {
  Query rows = parts_->query("SELECT " ROOST_TRUST_COLUMNS " FROM trust");
  while (true) {
    ROOST_ASSIGN_OR_RETURN(const bool more, rows.step());
    if (!more) return absl::OkStatus();
    ROOST_ASSIGN_OR_RETURN(const TrustRecord record, recordOf(rows));
    visit(record);
  }
}

absl::StatusOr<uint64_t> Index::pruneTrust(absl::Time before,
                                           const std::function<bool(const TrustRecord&)>& keep) {
  std::vector<FileStamp> old;
  ROOST_RETURN_IF_ERROR(eachTrust([&](const TrustRecord& record) {
    if (record.verifiedAt < before && !keep(record)) old.push_back(record.stamp);
  }));
  ROOST_RETURN_IF_ERROR(inTransaction([&] {
    for (const FileStamp& stamp : old) ROOST_RETURN_IF_ERROR(forgetTrust(stamp));
    return absl::OkStatus();
  }));
  return old.size();
}

absl::Status Index::saveCatalog(const NodeId& peer, bool reset,
                                absl::Span<const SavedAdvert> advertised,
                                absl::Span<const std::string> withdrawnKeys,
                                const LogPosition& position) {
  return inTransaction([&]() -> absl::Status {
    if (reset) ROOST_RETURN_IF_ERROR(dropCatalog(peer));
    for (const SavedAdvert& advert : advertised) {
      ROOST_RETURN_IF_ERROR(parts_->query("INSERT OR REPLACE INTO catalog_adverts VALUES (?, ?, ?)")
                                .bind(peer.bytes())
                                .bind(bytesOf(advert.key))
                                .bind(bytesOf(advert.value))
                                .run());
    }
    for (const std::string& key : withdrawnKeys) {
      ROOST_RETURN_IF_ERROR(parts_->query("DELETE FROM catalog_adverts WHERE node = ? AND key = ?")
                                .bind(peer.bytes())
                                .bind(bytesOf(key))
                                .run());
    }
    return parts_->query("INSERT OR REPLACE INTO catalog_peers VALUES (?, ?, ?)")
        .bind(peer.bytes())
        .bind(position.logId)
        .bind(position.sequence)
        .run();
  });
}

absl::StatusOr<std::vector<Index::SavedCatalog>> Index::loadCatalogs() {
  std::vector<SavedCatalog> catalogs;
  Query peers = parts_->query("SELECT node, log_id, sequence FROM catalog_peers");
  while (true) {
    ROOST_ASSIGN_OR_RETURN(const bool more, peers.step());
    if (!more) return catalogs;
    ROOST_ASSIGN_OR_RETURN(const NodeId peer, NodeId::fromBytes(peers.blob(0)));
    SavedCatalog catalog{peer, {peers.bits(1), peers.bits(2)}, {}};
    Query adverts = parts_->query("SELECT key, advert FROM catalog_adverts WHERE node = ?");
    adverts.bind(peer.bytes());
    while (true) {
      ROOST_ASSIGN_OR_RETURN(const bool another, adverts.step());
      if (!another) break;
      catalog.adverts.push_back({adverts.text(0), adverts.text(1)});
    }
    catalogs.push_back(std::move(catalog));
  }
}

absl::Status Index::dropCatalog(const NodeId& peer) {
  return inTransaction([&]() -> absl::Status {
    ROOST_RETURN_IF_ERROR(
        parts_->query("DELETE FROM catalog_adverts WHERE node = ?").bind(peer.bytes()).run());
    return parts_->query("DELETE FROM catalog_peers WHERE node = ?").bind(peer.bytes()).run();
  });
}

absl::Status Index::saveJob(uint64_t id, absl::string_view encoded) {
  return parts_->query("INSERT OR REPLACE INTO jobs VALUES (?, ?)")
      .bind(id)
      .bind(bytesOf(encoded))
      .run();
}

absl::Status Index::dropJob(uint64_t id) {
  return parts_->query("DELETE FROM jobs WHERE id = ?").bind(id).run();
}

absl::StatusOr<std::vector<std::pair<uint64_t, std::string>>> Index::loadJobs() {
  std::vector<std::pair<uint64_t, std::string>> jobs;
  Query rows = parts_->query("SELECT id, job FROM jobs ORDER BY id");
  while (true) {
    ROOST_ASSIGN_OR_RETURN(const bool more, rows.step());
    if (!more) return jobs;
    jobs.emplace_back(rows.bits(0), rows.text(1));
  }
}

absl::Status Index::setValue(absl::string_view key, absl::string_view value) {
  return parts_->query("INSERT OR REPLACE INTO value VALUES (?, ?)")
      .bind(key)
      .bind(bytesOf(value))
      .run();
}

absl::StatusOr<std::optional<std::string>> Index::value(absl::string_view key) {
  Query row = parts_->query("SELECT value FROM value WHERE key = ?");
  row.bind(key);
  ROOST_ASSIGN_OR_RETURN(const bool found, row.step());
  if (!found) return std::nullopt;
  return row.text(0);
}

absl::Status Index::dropValue(absl::string_view key) {
  return parts_->query("DELETE FROM value WHERE key = ?").bind(key).run();
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Index::values(
    absl::string_view prefix) {
  std::vector<std::pair<std::string, std::string>> values;
  Query rows = parts_->query("SELECT key, value FROM value WHERE substr(key, 1, ?) = ?");
  rows.bind(uint64_t{prefix.size()}).bind(prefix);
  while (true) {
    ROOST_ASSIGN_OR_RETURN(const bool more, rows.step());
    if (!more) return values;
    values.emplace_back(rows.text(0), rows.text(1));
  }
}

absl::StatusOr<uint64_t> Index::counter(absl::string_view name) {
  Query row = parts_->query("SELECT count FROM counter WHERE name = ?");
  row.bind(name);
  ROOST_ASSIGN_OR_RETURN(const bool found, row.step());
  return found ? row.bits(0) : 0;
}

absl::StatusOr<uint64_t> Index::addToCounter(absl::string_view name, uint64_t amount) {
  ROOST_ASSIGN_OR_RETURN(const uint64_t before, counter(name));
  const uint64_t after = before + std::min(amount, std::numeric_limits<uint64_t>::max() - before);
  ROOST_RETURN_IF_ERROR(
      parts_->query("INSERT OR REPLACE INTO counter VALUES (?, ?)").bind(name).bind(after).run());
  return after;
}

}  // namespace roost
