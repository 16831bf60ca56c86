#include "cache/piece_places.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <utility>

#include "cache/file_io.h"
#include "cache/piece_hash.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace {

constexpr char kMemoryName[] = "pieces in memory";

}  // namespace

PiecePlaces::PiecePlaces(uint64_t size, int disk, std::string diskPath,
                         std::shared_ptr<MemoryRoom> memory)
    : size_(size),
      disk_(disk),
      diskPath_(std::move(diskPath)),
      room_(std::move(memory)),
      places_(pieceCount(size), PiecePlace::kNowhere) {}

PiecePlaces::~PiecePlaces() {
  for (uint64_t piece = 0; piece < places_.size(); ++piece) {
    if (places_[piece] == PiecePlace::kMemory) room_->giveBack(pieceBytes(size_, piece));
  }
}

PiecePlace PiecePlaces::at(uint64_t piece) const {
  const std::shared_lock lock(mutex_);
  return places_[piece];
}

bool PiecePlaces::allOnDisk() const {
  const std::shared_lock lock(mutex_);
  return std::all_of(places_.begin(), places_.end(),
                     [](PiecePlace place) { return place == PiecePlace::kDisk; });
}

absl::Status PiecePlaces::writeToDisk(uint64_t piece, absl::Span<const uint8_t> bytes) {
  const uint64_t offset = piece * kPieceBytes;
  ROOST_RETURN_IF_ERROR(writeFully(disk_, diskPath_, offset, bytes));
  const std::unique_lock lock(mutex_);
  if (places_[piece] != PiecePlace::kDisk) drop(piece, places_[piece]);
  places_[piece] = PiecePlace::kDisk;
  return absl::OkStatus();
}

absl::Status PiecePlaces::copyToDisk(uint64_t piece, int from, const std::string& fromPath) {
  return copyFully(from, fromPath, disk_, diskPath_, piece * kPieceBytes, pieceBytes(size_, piece));
}

absl::StatusOr<bool> PiecePlaces::writeToMemory(uint64_t piece, absl::Span<const uint8_t> bytes) {
  if (!room_ || !room_->take(bytes.size())) return false;
  if (!memory_) {
    memory_ = UniqueFd(::memfd_create("roost pieces", MFD_CLOEXEC));
    if (!memory_ || ::ftruncate(memory_.get(), static_cast<off_t>(size_)) != 0) {
      memory_ = UniqueFd();
      room_->giveBack(bytes.size());
      return false;
    }
  }
  const absl::Status written = writeFully(memory_.get(), kMemoryName, piece * kPieceBytes, bytes);
  if (!written.ok()) {  // the machine, or this process's group, has no memory left
    punch(memory_.get(), piece * kPieceBytes, piece * kPieceBytes + bytes.size());
    room_->giveBack(bytes.size());
    return false;
  }
  const std::unique_lock lock(mutex_);
  places_[piece] = PiecePlace::kMemory;
  return true;
}

void PiecePlaces::foundOnDisk(uint64_t piece) {
  const std::unique_lock lock(mutex_);
  places_[piece] = PiecePlace::kDisk;
}

absl::StatusOr<PiecePlace> PiecePlaces::read(uint64_t piece, absl::Span<uint8_t> buffer) const {
  const std::shared_lock lock(mutex_);
  const uint64_t offset = piece * kPieceBytes;
  switch (places_[piece]) {
    case PiecePlace::kDisk:
      ROOST_RETURN_IF_ERROR(readFully(disk_, diskPath_, offset, buffer));
      return PiecePlace::kDisk;
    case PiecePlace::kMemory:
      ROOST_RETURN_IF_ERROR(readFully(memory_.get(), kMemoryName, offset, buffer));
      return PiecePlace::kMemory;
    case PiecePlace::kClient:
      // What went wrong there is the client's: the caller sees it in the bytes.
      if (!readFully(client_->fd(), client_->path(), offset, buffer).ok()) {
        std::fill(buffer.begin(), buffer.end(), uint8_t{0});
      }
      return PiecePlace::kClient;
    case PiecePlace::kNowhere:
      break;
  }
  return absl::NotFoundError("the piece is not here");
}

void PiecePlaces::setClient(ClientCopy copy) {
  const std::unique_lock lock(mutex_);
  client_.emplace(std::move(copy));
}

void PiecePlaces::letClientGo() {
  const std::unique_lock lock(mutex_);
  client_.reset();
}

absl::Status PiecePlaces::readFromClient(uint64_t piece, absl::Span<uint8_t> buffer) const {
  return readFully(client_->fd(), client_->path(), piece * kPieceBytes, buffer);
}

void PiecePlaces::settle(uint64_t piece) {
  const std::unique_lock lock(mutex_);
  drop(piece, places_[piece]);
  places_[piece] = PiecePlace::kClient;
}

void PiecePlaces::trimDisk() {
  uint64_t first = 0;
  for (uint64_t piece = 0; piece <= places_.size(); ++piece) {
    if (piece < places_.size() && places_[piece] != PiecePlace::kDisk) continue;
    punch(disk_, first * kPieceBytes, std::min(size_, piece * kPieceBytes));
    first = piece + 1;
  }
}

void PiecePlaces::forgetAll() {
  const std::unique_lock lock(mutex_);
  for (uint64_t piece = 0; piece < places_.size(); ++piece) {
    if (places_[piece] == PiecePlace::kMemory) drop(piece, PiecePlace::kMemory);
  }
  std::fill(places_.begin(), places_.end(), PiecePlace::kNowhere);
}

void PiecePlaces::drop(uint64_t piece, PiecePlace from) {
  const uint64_t first = piece * kPieceBytes;
  const uint64_t bytes = pieceBytes(size_, piece);
  if (from == PiecePlace::kMemory) {
    punch(memory_.get(), first, first + bytes);
    room_->giveBack(bytes);
  } else if (from == PiecePlace::kDisk) {
    punch(disk_, first, first + bytes);
  }
}

// File systems that cannot keep the bytes until the file is removed.
void PiecePlaces::punch(int fd, uint64_t first, uint64_t end) const {
  if (first >= end) return;
  if (end == size_) end = pieceCount(size_) * kPieceBytes;  // the last block too, which is not full
  (void)::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first),
                    static_cast<off_t>(end - first));
}

}  // namespace roost
