#include "cache/unnamed_writer.h"

#include <openssl/rand.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/file_io.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// No two writers meet in a temporary, and none in one that was left behind (leftovers.h removes
// it).
std::string newTemporaryName(const NodeId& node) {
  std::array<uint8_t, 8> number{};
  RAND_bytes(number.data(), static_cast<int>(number.size()));
  return absl::StrCat("unnamed-", hexOf(number), ".", node.shortHex(), kTemporarySuffix);
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnnamedWriter>> UnnamedWriter::open(
    SafeDir folder, const NodeId& node, std::optional<uint64_t> size,
    std::shared_ptr<Reservations> reservations) {
  if (size && *size > kBlobBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("a file of ", *size, " bytes is too large"));
  }
  std::string temporary = newTemporaryName(node);
  ROOST_ASSIGN_OR_RETURN(UniqueFd file, folder.createFile(temporary));
  // At work: not a leftover, however slowly it comes. File systems without flock go without.
  (void)::flock(file.get(), LOCK_EX | LOCK_NB);
  auto writer = std::unique_ptr<UnnamedWriter>(new UnnamedWriter(
      std::move(folder), std::move(temporary), std::move(file), size, std::move(reservations)));
  ROOST_RETURN_IF_ERROR(writer->reserve(size.value_or(kUnnamedRoomBytes)));
  return writer;
}

UnnamedWriter::UnnamedWriter(SafeDir folder, std::string temporary, UniqueFd file,
                             std::optional<uint64_t> size,
                             std::shared_ptr<Reservations> reservations)
    : folder_(std::move(folder)),
      temporary_(std::move(temporary)),
      file_(std::move(file)),
      size_(size),
      reservations_(std::move(reservations)),
      hasher_(HashAlgorithm::kSha256, std::nullopt) {}

UnnamedWriter::~UnnamedWriter() {
  if (!published_) (void)folder_.remove(temporary_);
}

absl::Status UnnamedWriter::reserve(uint64_t bytes) {
  ROOST_ASSIGN_OR_RETURN(reservation_,
                         reservations_->reserve(file_.get(), folder_.pathOf(temporary_), bytes));
  return absl::OkStatus();
}

absl::Status UnnamedWriter::write(absl::Span<const uint8_t> bytes) {
  const uint64_t most = size_.value_or(kBlobBytesMax);
  if (bytes.size() > most - hasher_.hashed()) {
    return absl::DataLossError(absl::StrCat("more bytes came than ", most));
  }
  if (reservation_.bytes() < bytes.size()) {
    ROOST_RETURN_IF_ERROR(reserve(std::max<uint64_t>(bytes.size(), kUnnamedRoomBytes)));
  }
  ROOST_RETURN_IF_ERROR(
      writeFully(file_.get(), folder_.pathOf(temporary_), hasher_.hashed(), bytes));
  reservation_.spend(bytes.size());
  hasher_.update(bytes);
  return absl::OkStatus();
}

absl::StatusOr<UnnamedWriter::Written> UnnamedWriter::publish() {
  const uint64_t came = hasher_.hashed();
  if (size_ && came != *size_) {
    return absl::DataLossError(absl::StrCat(came, " bytes came of ", *size_));
  }
  ROOST_RETURN_IF_ERROR(syncFd(file_.get(), folder_.pathOf(temporary_)));
  BlobHashes hashes = hasher_.finish();
  const BlobSlot slot{folder_, {hashes.id, came}};
  ROOST_ASSIGN_OR_RETURN(const PublishedBlob published,
                         publishTemporary(slot, temporary_, hashes.pieces));
  published_ = true;
  return Written{slot.blob, slot.path(), published, std::move(hashes)};
}

}  // namespace roost
