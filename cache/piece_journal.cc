#include "cache/piece_journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "cache/file_io.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr char kMagic[8] = {'R', 'O', 'O', 'S', 'T', 'J', '1', '\n'};
constexpr size_t kFolderBytesMax = 4096;  // PATH_MAX

struct Header {
  char magic[8];
  uint8_t digest[32];
  uint64_t algorithm;
  uint64_t size;
  uint64_t folderBytes;
  uint64_t check;  // of all before, and of the path that follows
};
struct Record {
  uint64_t piece;
  PieceHash hash;
  uint64_t check;  // of all before
};
static_assert(std::has_unique_object_representations_v<Header> &&
                  std::has_unique_object_representations_v<Record>,
              "no padding: the bytes are written as they are");

uint64_t checkOf(const Record& record) {
  return XXH3_64bits(&record, offsetof(Record, check));
}

uint64_t checkOf(const Header& header, absl::string_view folder) {
  return XXH3_64bits_withSeed(folder.data(), folder.size(),
                              XXH3_64bits(&header, offsetof(Header, check)));
}

std::string headerOf(const BlobInfo& blob, absl::string_view folder) {
  Header header{};
  std::copy(std::begin(kMagic), std::end(kMagic), header.magic);
  const auto digest = blob.id.digest();
  std::copy(digest.begin(), digest.end(), header.digest);
  header.algorithm = static_cast<uint64_t>(blob.id.algorithm());
  header.size = blob.size;
  header.folderBytes = folder.size();
  header.check = checkOf(header, folder);
  return absl::StrCat(absl::string_view(reinterpret_cast<const char*>(&header), sizeof header),
                      folder);
}

absl::Span<const uint8_t> bytesOf(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

absl::StatusOr<uint64_t> sizeOf(int fd, const std::string& path) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return errnoStatus(errno, "cannot look at", path);
  return static_cast<uint64_t>(st.st_size);
}

absl::StatusOr<std::string> readText(int fd, const std::string& path, uint64_t offset,
                                     uint64_t length) {
  std::string text(static_cast<size_t>(length), '\0');
  const absl::Span<uint8_t> buffer(reinterpret_cast<uint8_t*>(text.data()), text.size());
  ROOST_RETURN_IF_ERROR(readFully(fd, path, offset, buffer));
  return text;
}

}  // namespace

std::string PieceJournal::fileName(const BlobId& blob, const std::string& targetFolder) {
  return absl::StrFormat("%s-%016x.journal", blob.hex(),
                         XXH3_64bits(targetFolder.data(), targetFolder.size()));
}

absl::StatusOr<PieceJournal> PieceJournal::open(const std::string& journalFolder,
                                                const BlobInfo& blob,
                                                const std::string& targetFolder) {
  if (::mkdir(journalFolder.c_str(), 0700) != 0 && errno != EEXIST) {
    return errnoStatus(errno, "cannot make", journalFolder);
  }
  std::string path = absl::StrCat(journalFolder, "/", fileName(blob.id, targetFolder));
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return errnoStatus(errno, "cannot open", path);
  PieceJournal journal(std::move(fd), std::move(path), headerOf(blob, targetFolder));
  ROOST_RETURN_IF_ERROR(journal.load(pieceCount(blob.size)));
  return journal;
}

absl::Status PieceJournal::load(uint64_t pieces) {
  ROOST_ASSIGN_OR_RETURN(const uint64_t size, sizeOf(fd_.get(), path_));
  if (size < header_.size()) return clear();
  ROOST_ASSIGN_OR_RETURN(const std::string header, readText(fd_.get(), path_, 0, header_.size()));
  if (header != header_) return clear();

  // No more records than a few for each piece are of any use.
  const uint64_t records = std::min((size - header_.size()) / sizeof(Record), 4 * pieces);
  ROOST_ASSIGN_OR_RETURN(const std::string text,
                         readText(fd_.get(), path_, header_.size(), records * sizeof(Record)));
  end_ = header_.size();
  for (size_t at = 0; at < text.size(); at += sizeof(Record)) {
    Record record;
    std::memcpy(&record, text.data() + at, sizeof record);
    if (record.check != checkOf(record) || record.piece >= pieces) break;
    recorded_[record.piece] = record.hash;
    end_ += sizeof record;
  }
  return absl::OkStatus();
}

absl::Status PieceJournal::append(uint64_t piece, const PieceHash& hash) {
  Record record{piece, hash, 0};
  record.check = checkOf(record);
  const absl::string_view text(reinterpret_cast<const char*>(&record), sizeof record);
  ROOST_RETURN_IF_ERROR(writeFully(fd_.get(), path_, end_, bytesOf(text)));
  end_ += sizeof record;
  return absl::OkStatus();
}

absl::Status PieceJournal::clear() {
  recorded_.clear();
  if (::ftruncate(fd_.get(), 0) != 0) return errnoStatus(errno, "cannot shorten", path_);
  ROOST_RETURN_IF_ERROR(writeFully(fd_.get(), path_, 0, bytesOf(header_)));
  end_ = header_.size();
  return absl::OkStatus();
}

absl::Status PieceJournal::remove() {
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
    return errnoStatus(errno, "cannot remove", path_);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<JournalTarget>> journalTarget(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return errnoStatus(errno, "cannot open", path);
  ROOST_ASSIGN_OR_RETURN(const uint64_t size, sizeOf(fd.get(), path));
  if (size < sizeof(Header)) return std::nullopt;
  ROOST_ASSIGN_OR_RETURN(const std::string text, readText(fd.get(), path, 0, sizeof(Header)));
  Header header;
  std::memcpy(&header, text.data(), sizeof header);
  if (!std::equal(std::begin(kMagic), std::end(kMagic), header.magic) ||
      header.folderBytes > kFolderBytesMax || size - sizeof(Header) < header.folderBytes) {
    return std::nullopt;
  }
  ROOST_ASSIGN_OR_RETURN(std::string folder,
                         readText(fd.get(), path, sizeof(Header), header.folderBytes));
  if (header.check != checkOf(header, folder)) return std::nullopt;
  const auto algorithm = static_cast<HashAlgorithm>(header.algorithm);
  const absl::Span<const uint8_t> digest(
      header.digest, algorithm == HashAlgorithm::kGitSha1 ? sizeof(GitSha1) : sizeof(Sha256));
  const absl::StatusOr<BlobId> id = BlobId::fromBytes(algorithm, digest);
  if (!id.ok()) return std::nullopt;
  return JournalTarget{{*id, header.size}, std::move(folder)};
}

}  // namespace roost
