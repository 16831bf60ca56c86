#include "cache/pip_entry.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "cache/blob_slot.h"
#include "cache/file_io.h"
#include "cache/hasher.h"
#include "cache/pip_cache.h"
#include "cache/safe_dir.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

std::string sha224Hex(absl::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha224(), nullptr);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), length));
}

bool isHexPair(absl::string_view text) {
  return text.size() == 2 && absl::ascii_isxdigit(static_cast<unsigned char>(text[0])) &&
         absl::ascii_isxdigit(static_cast<unsigned char>(text[1]));
}

// Python's quote(unquote(path)), where '@' and "%2F" stay what they are.
std::string escapedAnew(absl::string_view path) {
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    auto c = static_cast<unsigned char>(path[i]);
    bool escaped = false;
    if (c == '%' && i + 2 < path.size() && isHexPair(path.substr(i + 1, 2))) {
      c = static_cast<unsigned char>(absl::HexStringToBytes(path.substr(i + 1, 2))[0]);
      escaped = true;
      i += 2;
    }
    const bool plain = absl::ascii_isalnum(c) || absl::StrContains("_.-~", static_cast<char>(c)) ||
                       (!escaped && (c == '/' || c == '@'));
    if (plain) {
      out.push_back(static_cast<char>(c));
    } else {
      absl::StrAppend(&out, absl::StrFormat("%%%02X", c));
    }
  }
  return out;
}

// requests writes them so.
std::string withLargeEscapes(absl::string_view query) {
  std::string out(query);
  for (size_t i = 0; i + 2 < out.size(); ++i) {
    if (out[i] != '%' || !isHexPair(absl::string_view(out).substr(i + 1, 2))) continue;
    out[i + 1] = absl::ascii_toupper(static_cast<unsigned char>(out[i + 1]));
    out[i + 2] = absl::ascii_toupper(static_cast<unsigned char>(out[i + 2]));
  }
  return out;
}

std::string temporaryName(absl::string_view name) {
  return absl::StrCat(name, ".", getpid(), kTemporarySuffix);
}

struct Place {
  std::string folder;  // below the cache's
  std::string name;    // of the headers
};

Place placeOf(absl::string_view requestUrl) {
  const std::string place = pipEntryPlace(requestUrl);
  const size_t slash = place.rfind('/');
  return {place.substr(0, slash), place.substr(slash + 1)};
}

absl::Status give(const SafeDir& folder, const std::string& temporary, const std::string& name) {
  if (::renameat(folder.fd(), temporary.c_str(), folder.fd(), name.c_str()) != 0) {
    return errnoStatus(errno, "cannot rename to", folder.pathOf(name));
  }
  return absl::OkStatus();
}

// A synced file under a temporary name, filled by `fill`, then under its own.
template <typename Fill>
absl::Status writeFile(const SafeDir& folder, const std::string& name, const Fill& fill) {
  const std::string temporary = temporaryName(name);
  ROOST_RETURN_IF_ERROR(folder.remove(temporary));  // of an agent that was killed
  ROOST_ASSIGN_OR_RETURN(const UniqueFd file, folder.createFile(temporary));
  auto remove = absl::MakeCleanup([&] { (void)folder.remove(temporary); });
  ROOST_RETURN_IF_ERROR(fill(file.get(), folder.pathOf(name)));
  ROOST_RETURN_IF_ERROR(syncFd(file.get(), folder.pathOf(name)));
  ROOST_RETURN_IF_ERROR(give(folder, temporary, name));
  std::move(remove).Cancel();
  return absl::OkStatus();
}

absl::Status copyContent(const LocalBlob& content, int to, const std::string& name) {
  const BlobInfo& blob = content.blob();
  BlobDigest digest(blob.id.algorithm(), blob.size);
  std::vector<uint8_t> buffer;
  for (uint64_t offset = 0; offset < blob.size; offset += buffer.size()) {
    buffer.resize(std::min<uint64_t>(kPieceBytes, blob.size - offset));
    ROOST_RETURN_IF_ERROR(content.read(offset, absl::MakeSpan(buffer)));
    digest.update(buffer);
    ROOST_RETURN_IF_ERROR(writeFully(to, name, offset, buffer));
  }
  if (digest.finish().id == blob.id) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(content.path(), " is not what it was verified to be"));
}

}  // namespace

std::string pipRequestUrl(absl::string_view url) {
  url = url.substr(0, url.find('#'));
  const size_t scheme = url.find("://");
  if (scheme == absl::string_view::npos) return std::string(url);
  const size_t path = std::min(url.find_first_of("/?", scheme + 3), url.size());
  const size_t query = std::min(url.find('?', path), url.size());
  const std::string escaped = escapedAnew(url.substr(path, query - path));
  return absl::StrCat(absl::AsciiStrToLower(url.substr(0, path)), escaped.empty() ? "/" : escaped,
                      query + 1 < url.size() ? withLargeEscapes(url.substr(query)) : "");
}

std::string pipEntryPlace(absl::string_view requestUrl) {
  const std::string key = sha224Hex(requestUrl);
  std::string place(kPipHttpFolder);
  for (size_t i = 0; i < kPipFolderLevels; ++i) absl::StrAppend(&place, "/", key.substr(i, 1));
  return absl::StrCat(place, "/", key);
}

std::string pipEntryHeaders(uint64_t bodyBytes, absl::Time now) {
  using nlohmann::json;
  const json headers{
      {"Content-Type", "application/octet-stream"},
      {"Content-Length", absl::StrCat(bodyBytes)},
      {"Cache-Control", "max-age=365000000, immutable, public"},
      {"Date", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone())}};
  const json entry{{"response",
                    {{"body", json::binary(std::vector<uint8_t>())},
                     {"headers", headers},
                     {"status", 200},
                     {"version", 11},
                     {"reason", "OK"},
                     {"decode_content", false}}},
                   {"vary", json::object()}};
  const std::vector<uint8_t> packed = json::to_msgpack(entry);
  return absl::StrCat("cc=4,", std::string(packed.begin(), packed.end()));
}

bool hasPipEntry(const std::string& cache, absl::string_view requestUrl, const BlobInfo& blob) {
  const Place place = placeOf(requestUrl);
  const auto root = SafeDir::openRoot(cache);
  if (!root.ok()) return false;
  const auto folder = root->openPath(place.folder);
  if (!folder.ok() || !folder->openFile(place.name, O_RDONLY).ok()) return false;
  const std::string name = absl::StrCat(place.name, kPipBodySuffix);
  const auto body = folder->openFile(name, O_RDONLY);
  if (!body.ok()) return false;
  const auto hashed = hashFile(body->get(), name, blob, {});
  return hashed.ok() && hashed->hashes.id == blob.id;
}

absl::Status writePipEntry(const std::string& cache, absl::string_view requestUrl,
                           const LocalBlob& content,
                           const std::shared_ptr<Reservations>& reservations, absl::Time now) {
  std::error_code error;
  std::filesystem::create_directories(cache, error);
  if (error) return errnoStatus(error.value(), "cannot make", cache);
  const Place place = placeOf(requestUrl);
  ROOST_ASSIGN_OR_RETURN(const SafeDir root, SafeDir::openRoot(cache));
  ROOST_ASSIGN_OR_RETURN(const SafeDir folder, root.openOrMakePath(place.folder));
  ROOST_ASSIGN_OR_RETURN(const Reservation room,
                         reservations->reserve(folder.fd(), folder.path(), content.blob().size));
  // An entry is read only if both files are there: the headers come last.
  ROOST_RETURN_IF_ERROR(writeFile(
      folder, absl::StrCat(place.name, kPipBodySuffix),
      [&](int file, const std::string& name) { return copyContent(content, file, name); }));
  const std::string headers = pipEntryHeaders(content.blob().size, now);
  ROOST_RETURN_IF_ERROR(writeFile(folder, place.name, [&](int file, const std::string& name) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(headers.data());
    return writeFully(file, name, 0, {bytes, headers.size()});
  }));
  return folder.sync();
}

}  // namespace roost
