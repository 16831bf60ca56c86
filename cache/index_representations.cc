// Index: the representations that this node holds.
#include <algorithm>
#include <utility>

#include "cache/index.h"
#include "cache/index_parts.h"
#include "protocol/errors.h"

namespace roost {
namespace {

absl::StatusOr<RepresentationRow> rowOf(const Query& row) {
  ROOST_ASSIGN_OR_RETURN(const RepresentationKey key, RepresentationKey::fromBytes(row.blob(0)));
  ROOST_ASSIGN_OR_RETURN(const BlobId id, BlobId::fromBytes(HashAlgorithm::kSha256, row.blob(2)));
  ROOST_ASSIGN_OR_RETURN(const NodeId producer, NodeId::fromBytes(row.blob(5)));
  return RepresentationRow{
      .place = {key, row.text(1)},
      .claim = {{id, row.bits(3)}, absl::FromUnixMillis(row.number(4)), producer},
      .stamp = {.fsid = row.bits(6),
                .inode = row.bits(7),
                .size = row.bits(3),
                .mtimeNs = row.number(8),
                .ctimeNs = row.number(9)},
      .checked = absl::FromUnixMillis(row.number(10)),
      .used = absl::FromUnixMillis(row.number(11))};
}

}  // namespace

absl::Status Index::saveRepresentations(absl::Span<const RepresentationRow> rows) {
  return inTransaction([&]() -> absl::Status {
    for (const RepresentationRow& row : rows) {
      ROOST_RETURN_IF_ERROR(
          parts_
              ->query("INSERT OR REPLACE INTO representation (key, path, sha256, size, created_ms, "
                      "producer, fsid, inode, mtime_ns, ctime_ns, checked_ms, used_ms, kind, "
                      "model, space, provenance) "
                      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
              .bind(row.place.key.bytes())
              .bind(bytesOf(row.place.path))
              .bind(row.claim.blob.id.digest())
              .bind(row.claim.blob.size)
              .bind(absl::ToUnixMillis(row.claim.created))
              .bind(row.claim.producer.bytes())
              .bind(row.stamp.fsid)
              .bind(row.stamp.inode)
              .bind(row.stamp.mtimeNs)
              .bind(row.stamp.ctimeNs)
              .bind(absl::ToUnixMillis(row.checked))
              .bind(absl::ToUnixMillis(row.used))
              .bind(absl::string_view(row.kind))
              .bind(absl::string_view(row.model))
              .bind(absl::string_view(row.space))
              .bind(absl::string_view(row.provenance))
              .run());
    }
    return absl::OkStatus();
  });
}

absl::Status Index::dropRepresentations(absl::Span<const RepresentationPlace> places) {
  return inTransaction([&]() -> absl::Status {
    for (const RepresentationPlace& place : places) {
      ROOST_RETURN_IF_ERROR(parts_->query("DELETE FROM representation WHERE key = ? AND path = ?")
                                .bind(place.key.bytes())
                                .bind(bytesOf(place.path))
                                .run());
    }
    return absl::OkStatus();
  });
}

absl::Status Index::touchRepresentations(
    absl::Span<const std::pair<RepresentationKey, absl::Time>> used) {
  return inTransaction([&]() -> absl::Status {
    for (const auto& [key, time] : used) {
      ROOST_RETURN_IF_ERROR(parts_->query("UPDATE representation SET used_ms = ? WHERE key = ?")
                                .bind(absl::ToUnixMillis(time))
                                .bind(key.bytes())
                                .run());
    }
    return absl::OkStatus();
  });
}

absl::Status Index::eachRepresentation(const std::function<void(RepresentationRow)>& visit) {
  Query rows = parts_->query(
      "SELECT key, path, sha256, size, created_ms, producer, fsid, inode, mtime_ns, ctime_ns, "
      "checked_ms, used_ms FROM representation ORDER BY used_ms");
  while (true) {
    ROOST_ASSIGN_OR_RETURN(const bool more, rows.step());
    if (!more) return absl::OkStatus();
    ROOST_ASSIGN_OR_RETURN(RepresentationRow row, rowOf(rows));
    visit(std::move(row));
  }
}

absl::StatusOr<std::string> Index::provenance(const RepresentationKey& key) {
  Query row = parts_->query("SELECT provenance FROM representation WHERE key = ? LIMIT 1");
  row.bind(key.bytes());
  ROOST_ASSIGN_OR_RETURN(const bool found, row.step());
  return found ? row.text(0) : std::string();
}

absl::StatusOr<std::vector<RepresentationCount>> Index::countRepresentations() {
  std::vector<RepresentationCount> counts;
  Query rows = parts_->query(
      "SELECT kind, model, space, count(*), sum(size) FROM representation "
      "GROUP BY kind, model, space ORDER BY kind, model, space");
  while (true) {
    ROOST_ASSIGN_OR_RETURN(const bool more, rows.step());
    if (!more) return counts;
    counts.push_back({rows.text(0), rows.text(1), rows.text(2), rows.bits(3), rows.bits(4)});
  }
}

}  // namespace roost
