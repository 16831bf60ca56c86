#include "cache/wheel_name.h"

#include <zlib.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cache/file_io.h"
#include "cache/pip_cache.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// Signatures and fixed lengths of zip (APPNOTE.TXT 4.3.7, 4.3.12, 4.3.16).
constexpr absl::string_view kEntryMagic("PK\x01\x02", 4);
constexpr absl::string_view kFileMagic("PK\x03\x04", 4);
constexpr size_t kEntryBytes = 46;
constexpr size_t kFileHeadBytes = 30;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;
constexpr absl::string_view kWheelFile = ".dist-info/WHEEL";
constexpr size_t kTagsMax = 64;  // wheels for many platforms have a dozen

uint32_t numberAt(absl::string_view bytes, size_t at, size_t count) {
  uint32_t number = 0;
  for (size_t i = count; i-- > 0;) {
    number = number << 8 | static_cast<uint8_t>(bytes[at + i]);
  }
  return number;
}

bool isNamePart(absl::string_view text) {
  return !text.empty() && text.size() <= kPipNameBytesMax &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || absl::StrContains("._+!~", static_cast<char>(c));
         });
}

// An entry of the zip's directory; its name ends with kWheelFile.
struct Entry {
  absl::string_view name;
  uint16_t method = 0;
  uint32_t packedBytes = 0;
  uint32_t bytes = 0;
  uint32_t offset = 0;  // of the file's head
};

// The last one in the tail of a zip. What describes the package stands last in the directory.
std::optional<Entry> wheelEntry(absl::string_view tail) {
  size_t end = tail.rfind(kWheelFile);
  while (end != absl::string_view::npos) {
    const absl::string_view before = tail.substr(0, end);
    const size_t head = before.rfind(kEntryMagic);
    if (head != absl::string_view::npos && before.size() > head + kEntryBytes) {
      const size_t length = numberAt(tail, head + 28, 2);
      if (head + kEntryBytes + length == end + kWheelFile.size()) {
        return Entry{tail.substr(head + kEntryBytes, length),
                     static_cast<uint16_t>(numberAt(tail, head + 10, 2)),
                     numberAt(tail, head + 20, 4), numberAt(tail, head + 24, 4),
                     numberAt(tail, head + 42, 4)};
      }
    }
    if (end == 0) break;
    end = tail.rfind(kWheelFile, end - 1);
  }
  return std::nullopt;
}

std::string inflated(absl::string_view packed, size_t bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return "";
  std::string text(bytes, '\0');
  std::string input(packed);
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int result = inflate(&stream, Z_FINISH);
  const size_t left = stream.avail_out;
  inflateEnd(&stream);
  return result == Z_STREAM_END && left == 0 ? text : "";
}

// Empty: it cannot be read.
std::string textOf(int fd, const Entry& entry) {
  if (entry.packedBytes > kWheelTextBytesMax || entry.bytes > kWheelTextBytesMax) return "";
  const std::string head = readUpTo(fd, entry.offset, kFileHeadBytes);
  if (head.size() < kFileHeadBytes || !absl::StartsWith(head, kFileMagic)) return "";
  const uint64_t start =
      uint64_t{entry.offset} + kFileHeadBytes + numberAt(head, 26, 2) + numberAt(head, 28, 2);
  std::string content = readUpTo(fd, start, entry.packedBytes);
  if (content.size() < entry.packedBytes) return "";
  if (entry.method == kStored) return content;
  return entry.method == kDeflated ? inflated(content, entry.bytes) : "";
}

void addOnce(std::vector<std::string>& all, absl::string_view one) {
  if (std::find(all.begin(), all.end(), one) == all.end()) all.emplace_back(one);
}

}  // namespace

std::string wheelTags(absl::string_view text) {
  std::string build;
  std::vector<std::string> pythons, abis, platforms;
  size_t count = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (absl::ConsumePrefix(&line, "Build:")) {
      const absl::string_view number = absl::StripAsciiWhitespace(line);
      if (!isNamePart(number)) return "";
      build = absl::StrCat("-", number);
    }
    if (!absl::ConsumePrefix(&line, "Tag:")) continue;
    if (++count > kTagsMax) return "";
    const std::vector<absl::string_view> parts =
        absl::StrSplit(absl::StripAsciiWhitespace(line), '-');
    if (parts.size() != 3 || !std::all_of(parts.begin(), parts.end(), isNamePart)) return "";
    addOnce(pythons, parts[0]);
    addOnce(abis, parts[1]);
    addOnce(platforms, parts[2]);
  }
  if (pythons.empty()) return "";
  return absl::StrCat(build, "-", absl::StrJoin(pythons, "."), "-", absl::StrJoin(abis, "."), "-",
                      absl::StrJoin(platforms, "."));
}

std::optional<WheelName> wheelNameOf(int fd, uint64_t size) {
  if (readUpTo(fd, 0, kFileMagic.size()) != kFileMagic) return std::nullopt;
  const uint64_t count = std::min<uint64_t>(size, kPipTailBytes);
  const std::string tail = readUpTo(fd, size - count, count);
  const auto entry = wheelEntry(tail);
  if (!entry) return std::nullopt;
  const absl::string_view folder = absl::StripSuffix(entry->name, kWheelFile);
  const size_t dash = folder.rfind('-');
  if (dash == absl::string_view::npos) return std::nullopt;
  WheelName name{std::string(folder.substr(0, dash)), std::string(folder.substr(dash + 1)), ""};
  // Old tools left dashes in names.
  std::replace(name.project.begin(), name.project.end(), '-', '_');
  if (!isNamePart(name.project) || !isNamePart(name.version)) return std::nullopt;
  const std::string tags = wheelTags(textOf(fd, *entry));
  const std::string file = absl::StrCat(name.project, "-", name.version, tags, ".whl");
  if (!tags.empty() && file.size() <= kPipNameBytesMax) name.file = file;
  return name;
}

}  // namespace roost
