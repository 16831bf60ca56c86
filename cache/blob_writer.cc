#include "cache/blob_writer.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "cache/file_io.h"
#include "cache/frontier_digest.h"
#include "cache/piece_journal.h"
#include "cache/piece_places.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr uint64_t kSettledAtOnce = 64;  // pieces
// Pieces that the disk has time to write before they are waited for and dropped.
constexpr size_t kDroppedBehind = 32;

// One writer for a temporary, also across processes. File systems without flock go without.
absl::Status lockTemporary(int fd, const std::string& path) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return absl::OkStatus();
  return absl::AbortedError(
      sentence("cannot write " + path, "another writer is at work on it", "Try again"));
}

// Only what we ourselves could have left there: a file that somebody else made, or has a second
// name for, could change after it was verified.
bool couldBeOurs(const struct stat& st) {
  const uid_t self = ::geteuid();
  return st.st_nlink == 1 && (st.st_uid == self || self == 0);
}

// The name still means this file: its last writer may have published it while we waited to lock it.
absl::StatusOr<bool> isNamed(const SafeDir& folder, const std::string& name,
                             const struct stat& file) {
  ROOST_ASSIGN_OR_RETURN(const std::optional<struct stat> named, folder.look(name));
  return named && named->st_dev == file.st_dev && named->st_ino == file.st_ino;
}

struct Temporary {
  UniqueFd fd;
  uint64_t allocated = 0;  // bytes on the disk already
  bool isNew = true;
};

absl::StatusOr<std::optional<Temporary>> openExisting(const SafeDir& folder,
                                                      const std::string& name) {
  absl::StatusOr<UniqueFd> fd = folder.openFile(name, O_RDWR);
  if (absl::IsNotFound(fd.status())) return std::nullopt;
  ROOST_RETURN_IF_ERROR(fd.status());
  ROOST_RETURN_IF_ERROR(lockTemporary(fd->get(), folder.pathOf(name)));
  struct stat st;
  if (::fstat(fd->get(), &st) != 0) return errnoStatus(errno, "cannot look at", name);
  ROOST_ASSIGN_OR_RETURN(const bool named, isNamed(folder, name, st));
  if (!named) return std::nullopt;
  if (!couldBeOurs(st)) {
    ROOST_RETURN_IF_ERROR(folder.remove(name));
    return std::nullopt;
  }
  return Temporary{*std::move(fd), static_cast<uint64_t>(st.st_blocks) * 512, false};
}

absl::StatusOr<Temporary> openTemporary(const SafeDir& folder, const std::string& name) {
  ROOST_ASSIGN_OR_RETURN(std::optional<Temporary> existing, openExisting(folder, name));
  if (existing) return *std::move(existing);
  ROOST_ASSIGN_OR_RETURN(UniqueFd fd, folder.createFile(name));
  ROOST_RETURN_IF_ERROR(lockTemporary(fd.get(), folder.pathOf(name)));
  return Temporary{std::move(fd), 0, true};
}

absl::Status setSize(int fd, const std::string& path, uint64_t size) {
  if (::ftruncate(fd, static_cast<off_t>(size)) == 0) return absl::OkStatus();
  return errnoStatus(errno, "cannot set the size of", path);
}

// Gives the file its size, with the disk blocks behind it where the file system can promise them
// without writing zeros: tmpfs writes them (0.3 s a GiB). `needed`: not there yet. False: only the
// size.
absl::StatusOr<bool> allocate(int fd, const std::string& path, uint64_t size, uint64_t needed) {
  ROOST_RETURN_IF_ERROR(setSize(fd, path, size));
  struct statfs system {};
  if (::fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC) {
    const uint64_t free = system.f_bavail * static_cast<uint64_t>(system.f_bsize);
    const bool limited = system.f_blocks > 0;
    if (limited && free < needed) return errnoStatus(ENOSPC, "no room for", path);
    return false;
  }
  while (size > 0 && ::fallocate(fd, 0, 0, static_cast<off_t>(size)) != 0) {
    if (errno == EOPNOTSUPP || errno == ENOSYS) return false;
    if (errno != EINTR) return errnoStatus(errno, "no room for", path);
  }
  return true;
}

}  // namespace

struct BlobWriter::Parts {
  Parts(BlobSlot slotGiven, const Options& options)
      : slot(std::move(slotGiven)),
        temporary(slot.temporaryName(options.node)),
        path(slot.folder.pathOf(temporary)),
        digest(slot.blob),
        here(pieceCount(slot.blob.size)),
        hashes(here.size()) {}

  uint64_t pieces() const { return here.size(); }
  absl::StatusOr<PiecePlace> readInto(uint64_t piece, std::vector<uint8_t>& buffer) const {
    buffer.resize(static_cast<size_t>(pieceBytes(slot.blob.size, piece)));
    return places->read(piece, absl::MakeSpan(buffer));
  }
  absl::Status resume();
  absl::Status store(uint64_t piece, absl::Span<const uint8_t> bytes, const PieceHash& hash);
  absl::Status storeOnDisk(uint64_t piece, absl::Span<const uint8_t> bytes, const PieceHash& hash);
  absl::Status mayTake(uint64_t piece, size_t bytes) const;
  absl::Status reserve(uint64_t bytes);
  absl::Status lieOnDisk(uint64_t piece, uint64_t bytes, const PieceHash& hash);
  absl::Status gatherPiece(uint64_t piece, std::vector<uint8_t>& buffer);
  void dropBehind(uint64_t piece);
  void dropPiece(uint64_t piece);
  void end();
  void markHere(uint64_t piece, const PieceHash& hash);

  const BlobSlot slot;
  const std::string temporary;  // name in the folder
  const std::string path;       // of the temporary, for error texts
  UniqueFd fd;
  std::unique_ptr<PiecePlaces> places;  // goes before `fd`
  std::shared_ptr<Reservations> reservations;
  const std::atomic<bool>* cancelled = nullptr;
  Reservation reservation;
  bool allocated = false;  // all of the temporary has its disk blocks
  bool copied = false;     // or shares some with other files: not for new bytes
  std::shared_ptr<PageCacheRoom> pages;
  std::deque<uint64_t> leaving;  // pieces that are not to stay in the page cache
  bool shared = false;
  uint64_t settled = 0;  // pieces from 0 on that lie in the client's file
  std::atomic<bool> lost = false;
  std::optional<PieceJournal> journal;
  FrontierDigest digest;
  std::optional<BlobHashes> finished;  // the content is the blob
  bool ended = false;                  // nothing of this writer is left, or it is meant to be left

  mutable std::mutex mutex;  // guards what follows against readers on other threads
  std::vector<bool> here;
  std::vector<PieceHash> hashes;
};

void BlobWriter::Parts::markHere(uint64_t piece, const PieceHash& hash) {
  const std::lock_guard lock(mutex);
  here[piece] = true;
  hashes[piece] = hash;
}

// Reads what the journal says is there, in order: what compares equal counts, and what continues
// the prefix goes into the digest in the same pass.
absl::Status BlobWriter::Parts::resume() {
  std::vector<uint8_t> buffer;
  for (const auto& [piece, hash] : journal->recorded()) {
    if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed)) {
      return absl::CancelledError("checking " + path + " was cancelled");
    }
    buffer.resize(static_cast<size_t>(pieceBytes(slot.blob.size, piece)));
    const absl::Status read =
        readFully(fd.get(), path, piece * kPieceBytes, absl::MakeSpan(buffer));
    if (absl::IsDataLoss(read)) continue;
    ROOST_RETURN_IF_ERROR(read);
    if (pieceHash(buffer) != hash) continue;
    places->foundOnDisk(piece);
    markHere(piece, hash);
    digest.offer(piece, buffer, digest.attempt());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BlobWriter>> BlobWriter::open(
    BlobSlot slot, Options options, const std::shared_ptr<Reservations>& reservations) {
  auto parts = std::make_unique<Parts>(std::move(slot), options);
  const SafeDir& folder = parts->slot.folder;
  const uint64_t size = parts->slot.blob.size;

  ROOST_ASSIGN_OR_RETURN(Temporary temporary, openTemporary(folder, parts->temporary));
  parts->fd = std::move(temporary.fd);
  // From here on the destructor removes what was made, if anything below fails.
  std::unique_ptr<BlobWriter> writer(new BlobWriter(std::move(parts)));
  Parts& p = *writer->parts_;
  p.ended = !temporary.isNew;
  p.reservations = reservations;
  p.cancelled = options.cancelled;
  p.pages = std::move(options.pages);
  p.places = std::make_unique<PiecePlaces>(size, p.fd.get(), p.path, std::move(options.memory));

  if (options.shared) {
    ROOST_RETURN_IF_ERROR(setSize(p.fd.get(), p.path, size));
  } else {
    const uint64_t needed = size - std::min(size, temporary.allocated);
    ROOST_ASSIGN_OR_RETURN(p.reservation,
                           reservations->reserve(folder.fd(), p.slot.path(), needed));
    ROOST_ASSIGN_OR_RETURN(p.allocated, allocate(p.fd.get(), p.path, size, needed));
    if (p.allocated) p.reservation.spend(needed);
  }

  if (!options.journalFolder.empty()) {
    ROOST_ASSIGN_OR_RETURN(PieceJournal journal,
                           PieceJournal::open(options.journalFolder, p.slot.blob, folder.path()));
    p.journal.emplace(std::move(journal));
    if (temporary.isNew) {
      ROOST_RETURN_IF_ERROR(p.journal->clear());
    } else {
      ROOST_RETURN_IF_ERROR(p.resume());
    }
  }
  if (options.shared) writer->share(true);
  p.ended = false;
  return writer;
}

BlobWriter::BlobWriter(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

BlobWriter::~BlobWriter() {
  close(false);
}

void BlobWriter::close(bool keepPartial) {
  Parts& p = *parts_;
  if (std::exchange(p.ended, true)) return;
  // Others that still read from it keep the file open, and with it the lock.
  const auto unlock = absl::MakeCleanup([&] { (void)::flock(p.fd.get(), LOCK_UN); });
  if (keepPartial && p.journal && !present().empty()) return;
  // Nothing more can be done about a temporary that cannot be removed: the next start tries again.
  (void)p.slot.folder.remove(p.temporary);
  if (p.journal) (void)p.journal->remove();
}

const BlobInfo& BlobWriter::blob() const {
  return parts_->slot.blob;
}

absl::Status BlobWriter::write(uint64_t piece, absl::Span<const uint8_t> bytes) {
  ROOST_ASSIGN_OR_RETURN(const Stored stored, store(piece, bytes));
  return hash(piece, bytes, stored) ? catchUp() : absl::OkStatus();
}

absl::Status BlobWriter::Parts::mayTake(uint64_t piece, size_t bytes) const {
  if (ended) return absl::CancelledError("the writer of " + path + " is closed");
  if (piece < pieces() && bytes == pieceBytes(slot.blob.size, piece)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("piece ", piece, " of ", slot.blob.id.hex(), " cannot have ", bytes, " bytes"));
}

absl::StatusOr<BlobWriter::Stored> BlobWriter::store(uint64_t piece,
                                                     absl::Span<const uint8_t> bytes) {
  Parts& p = *parts_;
  ROOST_RETURN_IF_ERROR(p.mayTake(piece, bytes.size()));
  // A second sender's bytes are not hashed, not even equal XXH3s make them those that are stored.
  if (has(piece)) return Stored{p.digest.attempt(), false};
  const PieceHash hash = pieceHash(bytes);
  ROOST_RETURN_IF_ERROR(p.store(piece, bytes, hash));
  p.markHere(piece, hash);
  return Stored{p.digest.attempt()};
}

absl::StatusOr<BlobWriter::Stored> BlobWriter::copy(uint64_t piece, const HolderFile& from,
                                                    absl::Span<uint8_t> buffer) {
  Parts& p = *parts_;
  ROOST_RETURN_IF_ERROR(p.mayTake(piece, buffer.size()));
  if (has(piece)) {
    ROOST_RETURN_IF_ERROR(readPiece(piece, buffer).status());
    return Stored{p.digest.attempt()};
  }
  const uint64_t offset = piece * kPieceBytes;
  const PieceHash& hash = from.pieceHash(piece);
  const auto differs = [&](const absl::Status& read) {
    return absl::IsDataLoss(read) || (read.ok() && pieceHash(buffer) != hash);
  };
  const auto another = [&] {
    return absl::FailedPreconditionError(from.path() + " has other bytes than its holder knows");
  };
  // Before anything of it is in a file of ours, which others may read.
  absl::Status read = readFully(from.fd(), from.path(), offset, buffer);
  if (differs(read)) return another();
  ROOST_RETURN_IF_ERROR(read);
  if (p.shared) return store(piece, buffer);
  // And what is hashed is what is ours: the holder may change its file in between.
  ROOST_RETURN_IF_ERROR(p.reserve(buffer.size()));
  p.copied = true;
  read = p.places->copyToDisk(piece, from.fd(), from.path());
  if (read.ok()) read = readFully(p.fd.get(), p.path, offset, buffer);
  if (differs(read)) return another();
  ROOST_RETURN_IF_ERROR(read);
  p.places->foundOnDisk(piece);
  ROOST_RETURN_IF_ERROR(p.lieOnDisk(piece, buffer.size(), hash));
  p.markHere(piece, hash);
  // It does not stay in the page cache, so neither does what it was copied from.
  const bool leaves = !p.leaving.empty() && p.leaving.back() == piece;
  if (leaves) dropCached(from.fd(), offset, buffer.size());
  return Stored{p.digest.attempt()};
}

bool BlobWriter::hash(uint64_t piece, absl::Span<const uint8_t> bytes, const Stored& stored) {
  return stored.taken && parts_->digest.offer(piece, bytes, stored.attempt);
}

bool BlobWriter::forgot(const Stored& stored) const {
  return stored.attempt != parts_->digest.attempt();
}

absl::Status BlobWriter::catchUp() {
  Parts& p = *parts_;
  std::vector<uint8_t> buffer;
  while (const std::optional<uint64_t> next = p.digest.nextEarly()) {
    if (p.cancelled != nullptr && p.cancelled->load(std::memory_order_relaxed)) {
      return absl::CancelledError("hashing " + p.path + " was cancelled");
    }
    ROOST_RETURN_IF_ERROR(p.readInto(*next, buffer).status());
    if (pieceHash(buffer) != p.hashes[*next]) {
      return absl::DataLossError(sentence(
          absl::StrCat("cannot read back piece ", *next, " of ", p.path),
          "the disk returned other bytes than were written", "Check the disk and the memory"));
    }
    p.digest.offer(*next, buffer, p.digest.attempt());
  }
  return absl::OkStatus();
}

absl::Status BlobWriter::Parts::store(uint64_t piece, absl::Span<const uint8_t> bytes,
                                      const PieceHash& hash) {
  if (shared) {
    ROOST_ASSIGN_OR_RETURN(const bool inMemory, places->writeToMemory(piece, bytes));
    if (inMemory) return absl::OkStatus();
  }
  return storeOnDisk(piece, bytes, hash);
}

absl::Status BlobWriter::Parts::storeOnDisk(uint64_t piece, absl::Span<const uint8_t> bytes,
                                            const PieceHash& hash) {
  ROOST_RETURN_IF_ERROR(reserve(bytes.size()));
  ROOST_RETURN_IF_ERROR(places->writeToDisk(piece, bytes));
  return lieOnDisk(piece, bytes.size(), hash);
}

absl::Status BlobWriter::Parts::reserve(uint64_t bytes) {
  if (reservation.bytes() >= bytes || allocated) return absl::OkStatus();
  ROOST_ASSIGN_OR_RETURN(reservation, reservations->reserve(slot.folder.fd(), slot.path(), bytes));
  return absl::OkStatus();
}

absl::Status BlobWriter::Parts::lieOnDisk(uint64_t piece, uint64_t bytes, const PieceHash& hash) {
  // While a client writes the blob too, this copy may not live long enough to be written back.
  // Otherwise it begins now, so that publish() finds little left to sync. A hint: may fail.
  if (!shared) {
    ::sync_file_range(fd.get(), static_cast<off_t>(piece * kPieceBytes), static_cast<off_t>(bytes),
                      SYNC_FILE_RANGE_WRITE);
  }
  reservation.spend(bytes);
  if (!shared && pages != nullptr && !pages->take(bytes, absl::Now())) dropBehind(piece);
  return journal ? journal->append(piece, hash) : absl::OkStatus();
}

// Waits for the disk if it is far behind: no more dirty pages than these.
void BlobWriter::Parts::dropBehind(uint64_t piece) {
  leaving.push_back(piece);
  if (leaving.size() <= kDroppedBehind) return;
  const uint64_t oldest = leaving.front();
  leaving.pop_front();
  // It will be read back, so it stays for now.
  if (oldest >= digest.frontier()) return leaving.push_back(oldest);
  const auto offset = static_cast<off_t>(oldest * kPieceBytes);
  const auto bytes = static_cast<off_t>(pieceBytes(slot.blob.size, oldest));
  ::sync_file_range(
      fd.get(), offset, bytes,
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  dropPiece(oldest);
}

void BlobWriter::Parts::dropPiece(uint64_t piece) {
  dropCached(fd.get(), piece * kPieceBytes, pieceBytes(slot.blob.size, piece));
}

// ---- Beside a client.

void BlobWriter::share(bool shared) {
  Parts& p = *parts_;
  p.shared = shared;
  if (!shared) return;
  p.places->trimDisk();
  p.allocated = false;
  p.reservation = Reservation();
}

bool BlobWriter::shared() const {
  return parts_->shared;
}

void BlobWriter::follow(ClientCopy copy) {
  if (parts_->settled == 0) parts_->places->setClient(std::move(copy));
}

const ClientCopy* BlobWriter::client() const {
  return parts_->places->client();
}

uint64_t BlobWriter::settle() {
  Parts& p = *parts_;
  const ClientCopy* copy = p.places->client();
  const auto state = copy == nullptr ? std::nullopt : copy->look();
  if (!state) return p.settled;
  std::vector<uint8_t> buffer;
  // Writes of this blob wait for this: not for all of a long file that appears at once.
  const uint64_t end = std::min(p.digest.frontier(), p.settled + kSettledAtOnce);
  for (; p.settled < end; ++p.settled) {
    const uint64_t piece = p.settled;
    buffer.resize(static_cast<size_t>(pieceBytes(p.slot.blob.size, piece)));
    if (piece * kPieceBytes + buffer.size() > state->size) break;
    if (!p.places->readFromClient(piece, absl::MakeSpan(buffer)).ok() ||
        pieceHash(buffer) != p.hashes[piece]) {
      break;  // not yet, or not the same blob at all
    }
    p.places->settle(piece);
  }
  return p.settled;
}

bool BlobWriter::lost() const {
  return parts_->lost;
}

absl::Status BlobWriter::Parts::gatherPiece(uint64_t piece, std::vector<uint8_t>& buffer) {
  ROOST_RETURN_IF_ERROR(readInto(piece, buffer).status());
  if (pieceHash(buffer) != hashes[piece]) {
    lost = true;
    return absl::AbortedError(
        absl::StrCat("piece ", piece, " of ", path, " is no longer in the client's file"));
  }
  return storeOnDisk(piece, buffer, hashes[piece]);
}

absl::Status BlobWriter::gather() {
  Parts& p = *parts_;
  std::vector<uint64_t> away;
  uint64_t bytes = 0;
  for (uint64_t piece = 0; piece < p.pieces(); ++piece) {
    if (!p.here[piece] || p.places->at(piece) == PiecePlace::kDisk) continue;
    away.push_back(piece);
    bytes += pieceBytes(p.slot.blob.size, piece);
  }
  if (away.empty()) {
    p.places->letClientGo();
    p.settled = 0;
    return absl::OkStatus();
  }
  ROOST_ASSIGN_OR_RETURN(p.reservation,
                         p.reservations->reserve(p.slot.folder.fd(), p.slot.path(), bytes));
  std::vector<uint8_t> buffer;
  for (const uint64_t piece : away) {
    if (p.cancelled != nullptr && p.cancelled->load(std::memory_order_relaxed)) {
      return absl::CancelledError("gathering " + p.path + " was cancelled");
    }
    ROOST_RETURN_IF_ERROR(p.gatherPiece(piece, buffer));
  }
  p.places->letClientGo();
  p.settled = 0;
  return absl::OkStatus();
}

bool BlobWriter::has(uint64_t piece) const {
  const std::lock_guard lock(parts_->mutex);
  return piece < parts_->here.size() && parts_->here[piece];
}

std::vector<uint64_t> BlobWriter::present() const {
  const std::lock_guard lock(parts_->mutex);
  std::vector<uint64_t> pieces;
  for (uint64_t piece = 0; piece < parts_->here.size(); ++piece) {
    if (parts_->here[piece]) pieces.push_back(piece);
  }
  return pieces;
}

std::vector<uint64_t> BlobWriter::missing() const {
  const std::lock_guard lock(parts_->mutex);
  std::vector<uint64_t> pieces;
  for (uint64_t piece = 0; piece < parts_->here.size(); ++piece) {
    if (!parts_->here[piece]) pieces.push_back(piece);
  }
  return pieces;
}

uint64_t BlobWriter::prefixBytes() const {
  return std::min(parts_->slot.blob.size, parts_->digest.frontier() * kPieceBytes);
}

absl::StatusOr<size_t> BlobWriter::readPiece(uint64_t piece, absl::Span<uint8_t> buffer) const {
  Parts& p = *parts_;
  const auto recorded = [&]() -> std::optional<PieceHash> {
    const std::lock_guard lock(p.mutex);
    if (piece >= p.here.size() || !p.here[piece]) return std::nullopt;
    return p.hashes[piece];
  };
  const std::optional<PieceHash> before = recorded();
  const absl::Status notHere = absl::NotFoundError(
      absl::StrCat("piece ", piece, " of ", p.slot.blob.id.hex(), " is not here yet"));
  if (!before) return notHere;
  buffer = buffer.first(static_cast<size_t>(pieceBytes(p.slot.blob.size, piece)));
  const absl::StatusOr<PiecePlace> from = p.places->read(piece, buffer);
  if (absl::IsNotFound(from.status())) return notHere;  // restart() came between
  ROOST_RETURN_IF_ERROR(from.status());
  if (pieceHash(buffer) == *before) return buffer.size();
  if (recorded() != before) return notHere;  // restart() came between
  if (*from == PiecePlace::kClient) {
    p.lost = true;
    return notHere;
  }
  return absl::DataLossError(sentence(absl::StrCat("cannot serve piece ", piece, " of ", p.path),
                                      "the disk returned other bytes than were written",
                                      "Check the disk and the memory"));
}

std::vector<PieceHash> BlobWriter::pieceHashes() const {
  const std::lock_guard lock(parts_->mutex);
  return parts_->hashes;
}

absl::StatusOr<BlobHashes> BlobWriter::finish() {
  Parts& p = *parts_;
  if (p.digest.frontier() != p.pieces()) {
    return absl::OutOfRangeError(absl::StrCat(p.path, " is not complete: ", missing().size(),
                                              " of ", p.pieces(), " pieces are missing"));
  }
  const BlobDigest::Result& result = p.digest.finish();
  if (result.id != p.slot.blob.id) {
    return absl::DataLossError(
        sentence("cannot publish " + p.slot.path(),
                 absl::StrCat("the content that arrived is ", result.id.toString()), ""));
  }
  p.finished = BlobHashes{result.id, result.sha256, pieceHashes()};
  return *p.finished;
}

absl::StatusOr<std::optional<PublishedBlob>> BlobWriter::adopt() {
  Parts& p = *parts_;
  if (!p.finished) throw std::logic_error("adopt() before finish()");
  ROOST_ASSIGN_OR_RETURN(const std::optional<PublishedBlob> there,
                         publishedAlready(p.slot, p.finished->pieces));
  if (!there) return std::nullopt;
  ROOST_RETURN_IF_ERROR(p.slot.folder.remove(p.temporary));
  p.end();
  return there;
}

absl::StatusOr<PublishedBlob> BlobWriter::publish() {
  Parts& p = *parts_;
  if (!p.finished) throw std::logic_error("publish() before finish()");
  ROOST_RETURN_IF_ERROR(gather());
  ROOST_RETURN_IF_ERROR(syncFd(p.fd.get(), p.path));
  for (const uint64_t piece : std::exchange(p.leaving, {})) p.dropPiece(piece);
  ROOST_ASSIGN_OR_RETURN(PublishedBlob result,
                         publishTemporary(p.slot, p.temporary, p.finished->pieces));
  p.end();
  return result;
}

// A journal that stays behind is removed at the next start.
void BlobWriter::Parts::end() {
  ended = true;
  if (journal) (void)journal->remove();
}

absl::Status BlobWriter::restart() {
  Parts& p = *parts_;
  p.finished.reset();
  p.settled = 0;
  p.lost = false;
  {
    const std::lock_guard lock(p.mutex);
    p.here.assign(p.here.size(), false);
    p.hashes.assign(p.hashes.size(), PieceHash{});
  }
  p.leaving.clear();
  if (std::exchange(p.copied, false)) p.allocated = false;
  p.digest.restart();
  p.places->forgetAll();
  p.places->letClientGo();
  return p.journal ? p.journal->clear() : absl::OkStatus();
}

}  // namespace roost
