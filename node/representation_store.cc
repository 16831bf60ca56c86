#include "node/representation_store.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr size_t kJobValues = 256;       // written or read in one job
constexpr uint64_t kJobBytes = 8 << 20;  // the same in bytes
constexpr char kShare[] = "representations";

template <typename Size>
std::vector<std::pair<size_t, size_t>> slices(size_t count, const Size& sizeOf) {
  std::vector<std::pair<size_t, size_t>> result;
  for (size_t first = 0; first < count;) {
    size_t end = first;
    uint64_t bytes = 0;
    while (end < count && end - first < kJobValues && (end == first || bytes < kJobBytes)) {
      bytes += sizeOf(end++);
    }
    result.emplace_back(first, end);
    first = end;
  }
  return result;
}

}  // namespace

struct RepresentationStore::Loaded {
  std::vector<RepresentationRow> rows;
  absl::StatusOr<SafeDir> folder = absl::UnavailableError("stopping");
  absl::flat_hash_map<RepresentationKey, FileStamp> files;
};

RepresentationStore::RepresentationStore(Seams seams)
    : s_(std::move(seams)),
      filesQueue_(s_.pool, WorkPriority::kReaderWaits, kShare),
      files_(std::make_shared<InOrderOfFiles>(s_.work,
                                              [this](const std::function<void()>& job) {
                                                return filesQueue_.submit(kShare, [job] { job(); });
                                              })),
      folderStatus_(absl::UnavailableError("the agent is starting")) {}

// ---- Start

asio::awaitable<std::vector<RepresentationRow>> RepresentationStore::load(
    std::vector<AdvertChange> told) {
  table_.restore(told);
  const std::function<std::vector<RepresentationRow>(Index&)> readRows = [](Index& index) {
    std::vector<RepresentationRow> rows;
    (void)index.eachRepresentation([&](RepresentationRow row) { rows.push_back(std::move(row)); });
    return rows;
  };
  const auto rows = co_await onQueue(s_.index, readRows);
  const std::function<Loaded()> listFiles = [root = s_.root] {
    Loaded loaded;
    std::error_code error;
    std::filesystem::create_directories(root, error);
    loaded.folder = SafeDir::openRoot(root);
    if (!loaded.folder.ok()) return loaded;
    for (const auto& file : listOwnRepresentations(*loaded.folder)) {
      loaded.files.emplace(file.key, file.stamp);
    }
    return loaded;
  };
  const auto loaded = co_await onQueue(files_, listFiles);
  std::vector<RepresentationRow> watched;
  if (!rows || !loaded) co_return watched;
  folderStatus_ = loaded->folder.status();
  if (folderStatus_.ok()) {
    folder_ = std::make_shared<const SafeDir>(*loaded->folder);
  } else {
    s_.report(sentence("representations cannot be kept", folderStatus_.message(), ""));
  }
  const auto stale = std::make_shared<std::vector<RepresentationPlace>>();
  for (RepresentationRow& row : *rows) {
    if (!row.place.path.empty()) {
      watched.push_back(std::move(row));
      continue;
    }
    const auto file = loaded->files.find(row.place.key);
    const bool same = file != loaded->files.end() && file->second.sameContent(row.stamp);
    if (same && table_.put(row.place.key, {row.claim, "", file->second})) {
      loaded->files.erase(file);
    } else {
      stale->push_back(row.place);
    }
  }
  if (!stale->empty()) {
    s_.index->submit([stale](Index& index) { (void)index.dropRepresentations(*stale); });
  }
  std::vector<RepresentationKey> orphans;
  for (const auto& [key, stamp] : loaded->files) orphans.push_back(key);
  if (!orphans.empty()) co_await adoptOrphans(std::move(orphans));
  makeRoom(0);
  co_return watched;
}

// Files without a row: a process was killed between both. What says itself what it is stays.
asio::awaitable<void> RepresentationStore::adoptOrphans(std::vector<RepresentationKey> orphans) {
  for (const RepresentationKey& key : orphans) {
    const std::string path = ownRepresentationPath(s_.root, key);
    const std::function<absl::StatusOr<FoundRepresentation>()> examine = [path] {
      return examineRepresentation(path, nullptr);
    };
    const auto file = co_await onQueue(files_, examine);
    if (!file) co_return;
    if (!file->ok() || (*file)->provenance.key() != key) {
      files_->submit([folder = folder_, key] { removeRepresentation(*folder, key); });
      continue;
    }
    NewRepresentation value{{{(*file)->file.hashes.id, (*file)->size},
                             absl::FromUnixMillis((*file)->file.stamp.mtimeNs / 1'000'000),
                             s_.self},
                            std::make_shared<const Provenance>((*file)->provenance),
                            nullptr};
    if (!table_.put(key, {value.claim, "", (*file)->file.stamp})) continue;
    s_.index->submit([row = rowOf(value, (*file)->file.stamp)](Index& index) {
      (void)index.saveRepresentations({row});
    });
  }
}

void RepresentationStore::settled() {
  isSettled_ = true;
  table_.settled();
  flush();
}

void RepresentationStore::flush() {
  if (!isSettled_) return;  // what is here from before is about to be found
  auto changes = table_.takeChanges();
  if (!changes.empty()) s_.changed(std::move(changes));
}

// ---- Keeping

RepresentationRow RepresentationStore::rowOf(const NewRepresentation& value,
                                             const FileStamp& stamp) const {
  const Provenance& provenance = *value.provenance;
  const absl::Time now = absl::Now();
  return {.place = {provenance.key(), ""},
          .claim = value.claim,
          .stamp = stamp,
          .checked = now,
          .used = now,
          .provenance = provenance.canonical(),
          .kind = provenance.kind(),
          .model = provenance.model(),
          .space = provenance.space()};
}

void RepresentationStore::makeRoom(uint64_t bytes) {
  const uint64_t used = table_.ownBytes() + arriving_ + bytes;
  if (used > s_.quota) evictLeastUsed(used - s_.quota);
}

asio::awaitable<std::vector<absl::Status>> RepresentationStore::keep(
    std::vector<NewRepresentation> values) {
  using Stamps = std::vector<absl::StatusOr<FileStamp>>;
  std::vector<absl::Status> result(values.size(), absl::CancelledError("the agent is stopping"));
  if (!folder_) {
    result.assign(values.size(), folderStatus_);
    co_return result;
  }
  const auto shared = std::make_shared<const std::vector<NewRepresentation>>(std::move(values));
  const auto sizeOf = [&](size_t i) { return (*shared)[i].value->size(); };
  for (const auto& [first, end] : slices(shared->size(), sizeOf)) {
    uint64_t bytes = 0;
    for (size_t i = first; i < end; ++i) bytes += sizeOf(i);
    makeRoom(bytes);
    arriving_ += bytes;
    const std::function<Stamps()> write = [shared, first = first, end = end, folder = folder_,
                                           reservations = s_.reservations] {
      Stamps stamps;
      for (size_t i = first; i < end; ++i) {
        const NewRepresentation& one = (*shared)[i];
        stamps.push_back(
            writeRepresentation(*folder, one.provenance->key(), *one.value, reservations));
      }
      return stamps;
    };
    const auto stamps = co_await onQueue(files_, write);
    const auto rows = std::make_shared<std::vector<RepresentationRow>>();
    for (size_t i = first; stamps && i < end; ++i) {
      const auto& stamp = (*stamps)[i - first];
      result[i] = stamp.status();
      if (stamp.ok()) rows->push_back(rowOf((*shared)[i], *stamp));
    }
    const std::function<absl::Status(Index&)> save = [rows](Index& index) {
      return index.saveRepresentations(*rows);
    };
    const auto saved = co_await onQueue(s_.index, save);
    arriving_ -= bytes;
    for (size_t i = first; i < end; ++i) {
      if (!result[i].ok()) continue;
      const NewRepresentation& one = (*shared)[i];
      if (!saved || !saved->ok()) {
        result[i] = saved ? *saved : absl::CancelledError("the agent is stopping");
        continue;
      }
      if (table_.full()) evictLeastUsed(1);
      table_.put(one.provenance->key(), {one.claim, "", *(*stamps)[i - first]});
    }
    flush();
  }
  co_return result;
}

asio::awaitable<absl::StatusOr<RepresentationStore::Writer>> RepresentationStore::openWriter(
    RepresentationKey key, std::optional<uint64_t> size) {
  if (!folder_) co_return folderStatus_;
  if (size.value_or(0) > s_.quota) {
    co_return absl::OutOfRangeError(
        sentence(absl::StrCat("a value of ", *size, " bytes is not kept"),
                 absl::StrCat("representations_quota is ", s_.quota, " bytes"), "Raise it"));
  }
  makeRoom(size.value_or(0));
  using OpenedWriter = absl::StatusOr<Writer>;
  const std::function<OpenedWriter()> open = [key, size, folder = folder_,
                                              reservations = s_.reservations]() -> OpenedWriter {
    auto writer = RepresentationWriter::open(*folder, key, size, reservations);
    if (!writer.ok()) return writer.status();
    return Writer(*std::move(writer));
  };
  for (int tries = 0; tries < 2; ++tries) {
    const auto opened = co_await onQueue(files_, open);
    if (!opened) break;
    // The disk is fuller than the quota allows for: older values make way.
    const bool full = absl::IsResourceExhausted(opened->status());
    if (!full || tries > 0 || evictLeastUsed(size.value_or(0)).count == 0) co_return *opened;
  }
  co_return absl::CancelledError("the agent is stopping");
}

asio::awaitable<absl::Status> RepresentationStore::keep(Writer writer, NewRepresentation value,
                                                        std::vector<PieceHash> pieces) {
  const uint64_t bytes = value.claim.blob.size;
  makeRoom(bytes);
  arriving_ += bytes;
  using Stamp = absl::StatusOr<FileStamp>;
  const std::function<Stamp()> publish = [writer] { return writer->publish(); };
  const auto stamp = co_await onQueue(files_, publish);
  if (!stamp || !stamp->ok()) {
    arriving_ -= bytes;
    co_return stamp ? stamp->status() : absl::CancelledError("the agent is stopping");
  }
  // So that a piece which rots is not sent to a peer.
  const bool isLarge = bytes > kInlineBlobBytesMax;
  const TrustRecord trust{**stamp, value.claim.blob.id, {}, false, absl::Now()};
  const auto list = std::make_shared<const std::vector<PieceHash>>(std::move(pieces));
  const std::function<absl::Status(Index&)> save = [row = rowOf(value, **stamp), isLarge, trust,
                                                    list](Index& index) {
    return index.inTransaction([&]() -> absl::Status {
      if (isLarge) {
        TrustRecord record = trust;
        const auto digest = trust.claimed.digest();
        std::copy(digest.begin(), digest.end(), record.sha256.begin());
        ROOST_RETURN_IF_ERROR(index.rememberTrust(record, *list));
      }
      return index.saveRepresentations({row});
    });
  };
  const auto saved = co_await onQueue(s_.index, save);
  arriving_ -= bytes;
  if (!saved) co_return absl::CancelledError("the agent is stopping");
  if (!saved->ok()) co_return *saved;
  if (table_.full()) evictLeastUsed(1);
  table_.put(value.provenance->key(), {value.claim, "", **stamp});
  flush();
  co_return absl::OkStatus();
}

// ---- Reading

std::optional<RepresentationStore::Opened> RepresentationStore::placeOf(
    const RepresentationKey& key) const {
  const HeldRepresentation* held = table_.find(key);
  if (held == nullptr) return std::nullopt;
  const std::string path = held->path.empty() ? ownRepresentationPath(s_.root, key) : held->path;
  return Opened{path, held->claim.blob, held->stamp};
}

asio::awaitable<std::vector<RepresentationStore::Value>> RepresentationStore::read(
    std::vector<RepresentationKey> keys) {
  using Values = std::vector<absl::StatusOr<Value>>;
  std::vector<Value> result(keys.size());
  const auto places = std::make_shared<std::vector<std::optional<Opened>>>();
  for (const RepresentationKey& key : keys) places->push_back(placeOf(key));
  const auto sizeOf = [&](size_t i) { return (*places)[i] ? (*places)[i]->blob.size : 0; };
  for (const auto& [first, end] : slices(keys.size(), sizeOf)) {
    const std::function<Values()> job = [places, first = first, end = end] {
      Values values;
      for (size_t i = first; i < end; ++i) {
        const auto& place = (*places)[i];
        if (!place) {
          values.emplace_back(Value());
          continue;
        }
        auto value = readRepresentation(place->path, place->blob, place->stamp);
        if (value.ok()) {
          values.emplace_back(std::make_shared<const std::string>(*std::move(value)));
        } else {
          values.emplace_back(value.status());
        }
      }
      return values;
    };
    const WorkSpec spec{"representations", WorkPriority::kReaderWaits, kShare};
    const auto values = co_await onWorker<Values>(s_.work, spec, job);
    if (!values) break;
    for (size_t i = first; i < end; ++i) {
      const auto& value = (*values)[i - first];
      if (value.ok()) {
        result[i] = *value;
        if (*value) used(keys[i]);
      } else {
        foundBad(keys[i], value.status());
      }
    }
  }
  co_return result;
}

void RepresentationStore::open(const RepresentationKey& key,
                               std::function<void(std::shared_ptr<const LocalBlob>)> answer) {
  const auto place = placeOf(key);
  if (!place) return answer(nullptr);
  used(key);
  if (place->blob.size <= kInlineBlobBytesMax) {  // whoever asked hashes the whole
    s_.work->submit({"representations", WorkPriority::kReaderWaits, kShare},
                    [place = *place, answer = std::move(answer)] {
                      auto opened = LocalBlob::open(place.path, place.blob, place.stamp, nullptr);
                      answer(opened.ok() ? *std::move(opened) : nullptr);
                    });
    return;
  }
  s_.index->submit([place = *place, answer = std::move(answer)](Index& index) {
    std::shared_ptr<const std::vector<PieceHash>> pieces;
    if (auto known = index.pieces(place.stamp); known.ok() && !known->empty()) {
      pieces = std::make_shared<const std::vector<PieceHash>>(*std::move(known));
    }
    auto opened = LocalBlob::open(place.path, place.blob, place.stamp, std::move(pieces));
    answer(opened.ok() ? *std::move(opened) : nullptr);
  });
}

asio::awaitable<std::string> RepresentationStore::provenance(RepresentationKey key) {
  const std::function<std::string(Index&)> look = [key](Index& index) {
    const auto text = index.provenance(key);
    return text.ok() ? *text : std::string();
  };
  const auto text = co_await onQueue(s_.index, look);
  co_return text ? *text : std::string();
}

void RepresentationStore::used(const RepresentationKey& key) {
  table_.used(key);
  uses_.insert_or_assign(key, absl::Now());
}

void RepresentationStore::saveUses() {
  if (uses_.empty()) return;
  const auto uses = std::make_shared<std::vector<std::pair<RepresentationKey, absl::Time>>>(
      uses_.begin(), uses_.end());
  uses_.clear();
  s_.index->submit([uses](Index& index) { (void)index.touchRepresentations(*uses); });
}

// ---- What goes

void RepresentationStore::foundBad(const RepresentationKey& key, const absl::Status& why) {
  const HeldRepresentation* held = table_.find(key);
  if (held == nullptr) return;
  s_.report(absl::StrCat("a representation is not served any more: ", why.message()));
  drop(std::vector<RepresentationPlace>(1, {key, held->path}));
}

// The rows too, and the files that are the agent's own.
void RepresentationStore::drop(std::vector<RepresentationPlace> places) {
  if (places.empty()) return;
  std::vector<RepresentationKey> own;
  for (const RepresentationPlace& place : places) {
    table_.remove(place.key, place.path);
    uses_.erase(place.key);
    if (place.path.empty()) own.push_back(place.key);
  }
  if (!own.empty()) {
    files_->submit([folder = folder_, own = std::move(own)] {
      for (const RepresentationKey& key : own) removeRepresentation(*folder, key);
    });
  }
  s_.index->submit(
      [places = std::move(places)](Index& index) { (void)index.dropRepresentations(places); });
  flush();
}

RepresentationStore::Evicted RepresentationStore::evict(
    const std::vector<RepresentationKey>& keys) {
  Evicted evicted;
  std::vector<RepresentationPlace> places;
  std::set<RepresentationKey> seen;
  for (const RepresentationKey& key : keys) {
    const HeldRepresentation* own = table_.findOwn(key);
    if (own == nullptr || !seen.insert(key).second) continue;
    ++evicted.count;
    evicted.bytes += own->claim.blob.size;
    places.push_back({key, ""});
  }
  drop(std::move(places));
  return evicted;
}

RepresentationStore::Evicted RepresentationStore::evictLeastUsed(uint64_t bytes) {
  return evict(table_.leastUsed(bytes));
}

// ---- Watched files

bool RepresentationStore::found(const std::string& path, const FoundRepresentation& file) {
  NewRepresentation value{{{file.file.hashes.id, file.size},
                           absl::FromUnixMillis(file.file.stamp.mtimeNs / 1'000'000),
                           s_.self},
                          std::make_shared<const Provenance>(file.provenance),
                          nullptr};
  if (!table_.put(file.provenance.key(), {value.claim, path, file.file.stamp})) return false;
  RepresentationRow row = rowOf(value, file.file.stamp);
  row.place.path = path;
  // A hash of what has not settled is not remembered: the file is hashed again after a restart.
  if (!file.file.settled) row.stamp.mtimeNs = 0;
  s_.index->submit([row](Index& index) { (void)index.saveRepresentations({row}); });
  flush();
  return true;
}

bool RepresentationStore::found(const RepresentationRow& row) {
  return table_.put(row.place.key, {row.claim, row.place.path, row.stamp});
}

void RepresentationStore::lost(const std::vector<RepresentationPlace>& places) {
  drop(places);
}

}  // namespace roost
