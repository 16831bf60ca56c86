#include "cache/representation_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_slot.h"
#include "cache/directory_reader.h"
#include "cache/file_io.h"
#include "protocol/digest.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr absl::string_view kSuffix = ".safetensors";
constexpr uint64_t kRoomStep = 16 << 20;  // set aside at once for what comes without a length

std::string folderName(const RepresentationKey& key) {
  return key.hex().substr(0, 2);
}
std::string fileName(const RepresentationKey& key) {
  return absl::StrCat(key.hex(), kSuffix);
}

std::optional<RepresentationKey> keyOfName(absl::string_view name) {
  if (!absl::EndsWith(name, kSuffix)) return std::nullopt;
  auto key = RepresentationKey::parse(name.substr(0, name.size() - kSuffix.size()));
  if (!key.ok()) return std::nullopt;
  return *key;
}

// Two writers of one key have names of their own.
std::string temporaryName(const RepresentationKey& key) {
  static std::atomic<uint64_t> last{0};
  return absl::StrCat(key.hex(), ".", ++last, kTemporarySuffix);
}

absl::StatusOr<FileStamp> giveName(const SafeDir& folder, const std::string& temporary,
                                   const RepresentationKey& key, int file) {
  const std::string name = fileName(key);
  if (::renameat(folder.fd(), temporary.c_str(), folder.fd(), name.c_str()) != 0) {
    return errnoStatus(errno, "cannot rename", folder.pathOf(temporary));
  }
  return FileStamp::ofFd(file, folder.pathOf(name));
}

absl::Span<const uint8_t> bytesOf(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

RepresentationWriter::RepresentationWriter(SafeDir folder, const RepresentationKey& key,
                                           std::string temporary, UniqueFd file,
                                           std::optional<uint64_t> size,
                                           std::shared_ptr<Reservations> reservations)
    : folder_(std::move(folder)),
      key_(key),
      temporary_(std::move(temporary)),
      file_(std::move(file)),
      size_(size),
      hasher_(HashAlgorithm::kSha256, size),
      reservations_(std::move(reservations)) {}

RepresentationWriter::~RepresentationWriter() {
  if (!temporary_.empty()) (void)folder_.remove(temporary_);
}

absl::StatusOr<std::unique_ptr<RepresentationWriter>> RepresentationWriter::open(
    const SafeDir& root, const RepresentationKey& key, std::optional<uint64_t> size,
    std::shared_ptr<Reservations> reservations) {
  ROOST_ASSIGN_OR_RETURN(SafeDir folder, root.openOrMake(folderName(key)));
  std::string temporary = temporaryName(key);
  ROOST_ASSIGN_OR_RETURN(UniqueFd file, folder.createFile(temporary));
  std::unique_ptr<RepresentationWriter> writer(
      new RepresentationWriter(std::move(folder), key, std::move(temporary), std::move(file), size,
                               std::move(reservations)));
  if (size) ROOST_RETURN_IF_ERROR(writer->makeRoom(*size));
  return writer;
}

absl::Status RepresentationWriter::makeRoom(uint64_t more) {
  if (!reservations_) return absl::OkStatus();
  ROOST_ASSIGN_OR_RETURN(room_, reservations_->reserve(file_.get(), folder_.path(), more));
  return absl::OkStatus();
}

absl::Status RepresentationWriter::write(absl::Span<const uint8_t> bytes) {
  if (size_ && bytes.size() > *size_ - bytes_) {
    return absl::InvalidArgumentError("more bytes came than were said to");
  }
  if (!size_ && room_.bytes() < bytes.size()) {
    ROOST_RETURN_IF_ERROR(makeRoom(std::max<uint64_t>(kRoomStep, bytes.size())));
  }
  ROOST_RETURN_IF_ERROR(writeFully(file_.get(), folder_.pathOf(temporary_), bytes_, bytes));
  room_.spend(bytes.size());
  hasher_.update(bytes);
  bytes_ += bytes.size();
  return absl::OkStatus();
}

absl::StatusOr<BlobHashes> RepresentationWriter::finish() {
  if (size_ && bytes_ != *size_) {
    return absl::InvalidArgumentError("fewer bytes came than were said to");
  }
  return hasher_.finish();
}

absl::StatusOr<Safetensors> RepresentationWriter::check() const {
  return readSafetensors(file_.get(), folder_.pathOf(temporary_), bytes_);
}

absl::StatusOr<FileStamp> RepresentationWriter::publish() {
  ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, giveName(folder_, temporary_, key_, file_.get()));
  temporary_.clear();
  return stamp;
}

absl::StatusOr<FileStamp> writeRepresentation(const SafeDir& root, const RepresentationKey& key,
                                              absl::string_view value,
                                              std::shared_ptr<Reservations> reservations) {
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, root.openOrMake(folderName(key)));
  const std::string name = fileName(key);
  ROOST_RETURN_IF_ERROR(folder.remove(name));
  ROOST_ASSIGN_OR_RETURN(const UniqueFd file, folder.createFile(name));
  const std::string path = folder.pathOf(name);
  Reservation room;
  absl::Status written;
  if (reservations) {
    auto reserved = reservations->reserve(file.get(), folder.path(), value.size());
    written = reserved.status();
    if (reserved.ok()) room = *std::move(reserved);
  }
  if (written.ok()) written = writeFully(file.get(), path, 0, bytesOf(value));
  if (!written.ok()) {
    (void)folder.remove(name);
    return written;
  }
  return FileStamp::ofFd(file.get(), path);
}

void removeRepresentation(const SafeDir& root, const RepresentationKey& key) {
  const auto folder = root.open(folderName(key));
  if (folder.ok()) (void)folder->remove(fileName(key));
}

std::string ownRepresentationPath(const std::string& root, const RepresentationKey& key) {
  return absl::StrCat(root, "/", folderName(key), "/", fileName(key));
}

std::vector<OwnRepresentationFile> listOwnRepresentations(const SafeDir& root) {
  std::vector<OwnRepresentationFile> found;
  const auto folders = root.names();
  if (!folders.ok()) return found;
  for (const std::string& name : *folders) {
    auto reader = DirectoryReader::open(root.fd(), name);
    if (!reader.ok()) continue;
    std::vector<std::string> strays;
    while (const auto entry = reader->next()) {
      const std::string file(*entry);
      const auto key = keyOfName(file);
      const auto stat = reader->look(file);
      if (!stat) continue;
      if (key && S_ISREG(stat->st_mode) && folderName(*key) == name) {
        found.push_back({*key, FileStamp::of(*stat)});
      } else if (absl::EndsWith(file, kTemporarySuffix)) {
        strays.push_back(file);
      }
    }
    for (const std::string& file : strays) (void)::unlinkat(reader->fd(), file.c_str(), 0);
  }
  return found;
}

absl::StatusOr<std::string> readRepresentation(const std::string& path, const BlobInfo& blob,
                                               const FileStamp& stamp) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!file) return errnoStatus(errno, "cannot open", path);
  ROOST_ASSIGN_OR_RETURN(const FileStamp now, FileStamp::ofFd(file.get(), path));
  if (!now.sameContent(stamp) || now.size != blob.size) {
    return absl::AbortedError(sentence("cannot serve " + path, "the file was changed", ""));
  }
  std::string value(blob.size, '\0');
  ROOST_RETURN_IF_ERROR(
      readFully(file.get(), path, 0, {reinterpret_cast<uint8_t*>(value.data()), value.size()}));
  if (BlobId::sha256(digestOf(value)) != blob.id) {
    return absl::DataLossError(
        sentence("cannot serve " + path, "its content is not what it was", "Check the disk"));
  }
  return value;
}

absl::StatusOr<FoundRepresentation> examineRepresentation(const std::string& path,
                                                          const std::atomic<bool>* cancelled) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!file) return errnoStatus(errno, "cannot open", path);
  ROOST_ASSIGN_OR_RETURN(const FileStamp stamp, FileStamp::ofFd(file.get(), path));
  ROOST_ASSIGN_OR_RETURN(const Safetensors form, readSafetensors(file.get(), path, stamp.size));
  if (!form.provenance) return absl::InvalidArgumentError("it carries no provenance");
  ROOST_ASSIGN_OR_RETURN(Provenance provenance, Provenance::parse(*form.provenance));
  ROOST_ASSIGN_OR_RETURN(
      FileHashes hashes,
      hashFile(file.get(), path, {BlobId::sha256({}), stamp.size},
               {.cancelled = cancelled, .progress = nullptr, .leavePageCacheAlone = false}));
  return FoundRepresentation{std::move(provenance), std::move(hashes), stamp.size};
}

namespace {

bool isPassedOver(absl::string_view name) {
  return absl::StartsWith(name, ".") || absl::StrContains(name, ".tmp") ||
         absl::StrContains(name, ".part") || absl::StrContains(name, ".incomplete");
}

}  // namespace

int64_t folderTime(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return 0;
  return FileStamp::of(info).mtimeNs;
}

void listRepresentations(const std::string& folder, const KnownFolders& known,
                         RepresentationListing& listing) {
  std::vector<std::string> waiting(1, folder);
  while (!waiting.empty()) {
    const std::string path = std::move(waiting.back());
    waiting.pop_back();
    if (listing.folders.size() >= kRepresentationFoldersMax) {
      listing.problems.push_back(absl::StrCat("there are more than ", kRepresentationFoldersMax,
                                              " folders below ", folder, ": not all are read"));
      return;
    }
    const int64_t time = folderTime(path);
    auto reader = DirectoryReader::open(AT_FDCWD, path);
    if (!reader.ok()) {
      if (!absl::IsNotFound(reader.status())) {
        listing.problems.emplace_back(reader.status().message());
      }
      continue;
    }
    listing.folders.push_back({path, time});
    while (const auto entry = reader->next()) {
      if (isPassedOver(*entry)) continue;
      const std::string name(*entry);
      const auto stat = reader->look(name);
      if (!stat) continue;
      if (S_ISDIR(stat->st_mode)) {
        std::string below = absl::StrCat(path, "/", name);
        if (!known.contains(below)) waiting.push_back(std::move(below));
      }
      if (S_ISREG(stat->st_mode) && absl::EndsWith(name, kSuffix)) {
        listing.files.push_back({absl::StrCat(path, "/", name), FileStamp::of(*stat)});
      }
    }
  }
}

}  // namespace roost
