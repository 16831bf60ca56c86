#include "cache/flat_layout.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "cache/directory_reader.h"
#include "cache/file_io.h"
#include "cache/unique_fd.h"
#include "protocol/digest.h"
#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/percent.h"

namespace roost {
namespace {

constexpr size_t kDigestDigits = 64;
constexpr size_t kMd5Digits = 32;
constexpr size_t kDescriptionBytesMax = 2 * kUrlBytesMax;  // a url, an etag, and JSON's escapes
// Descriptions are written after the content: one that lacks its own for so long will get none.
constexpr absl::Duration kDescriptionPatience = absl::Minutes(1);
constexpr absl::string_view kDescription = ".json";

bool isHex(absl::string_view text, size_t digits) {
  return text.size() == digits && bytesOfHex(text).has_value();
}

bool isContentName(absl::string_view name) {
  absl::ConsumeSuffix(&name, ".h5");
  return name.size() == 2 * kDigestDigits + 1 && name[kDigestDigits] == '.' &&
         isHex(name.substr(0, kDigestDigits), kDigestDigits) &&
         isHex(name.substr(kDigestDigits + 1), kDigestDigits);
}

// ---- Urls

using Segments = absl::Span<const std::string>;

std::optional<FlatUrl> urlOf(const HubOrigin& origin, RepoType type, absl::string_view name,
                             absl::string_view revision, Segments path) {
  auto repo = RepoId::make(origin, type, name);
  auto file = RelativePath::parse(absl::StrJoin(path, "/"));
  if (!repo.ok() || !file.ok()) return std::nullopt;
  if (auto commit = Commit::parse(revision); commit.ok()) {
    return FlatUrl{*std::move(repo), *std::move(commit), *std::move(file)};
  }
  auto ref = RefName::parse(revision);
  if (!ref.ok()) return std::nullopt;
  return FlatUrl{*std::move(repo), *std::move(ref), *std::move(file)};
}

// [<org>/]<name>/resolve/<revision>/<path>
std::optional<FlatUrl> ofHub(const HubOrigin& origin, Segments segments) {
  RepoType type = RepoType::kModel;
  for (RepoType other : {RepoType::kDataset, RepoType::kSpace}) {
    if (segments.front() == repoTypePlural(other)) type = other;
  }
  if (type != RepoType::kModel) segments.remove_prefix(1);
  for (size_t names = 1; names <= 2; ++names) {
    if (segments.size() < names + 3 || segments[names] != "resolve") continue;
    return urlOf(origin, type, absl::StrJoin(segments.first(names), "/"), segments[names + 1],
                 segments.subspan(names + 2));
  }
  return std::nullopt;
}

// [<org>/]<name>/<path>; without an org the files were not in folders.
std::optional<FlatUrl> ofFormerStorage(const HubOrigin& origin, Segments segments) {
  if (segments.size() < 2) return std::nullopt;
  const size_t names = segments.size() == 2 ? 1 : 2;
  return urlOf(origin, RepoType::kModel, absl::StrJoin(segments.first(names), "/"),
               RefName::main().text(), segments.subspan(names));
}

// ---- Descriptions

struct Etag {
  std::string text;            // without W/ and quotes
  std::optional<BlobId> name;  // none: an md5
};

std::optional<Etag> parseEtag(absl::string_view raw) {
  absl::string_view text = raw;
  absl::ConsumePrefix(&text, "W/");
  if (absl::ConsumePrefix(&text, "\"") && !absl::ConsumeSuffix(&text, "\"")) return std::nullopt;
  if (const auto id = BlobId::parseHex(text); id.ok()) return Etag{std::string(text), *id};
  // Of a file that was uploaded in parts: "<md5 of their md5s>-<parts>".
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('-', 1));
  const bool counted = std::all_of(parts.second.begin(), parts.second.end(), absl::ascii_isdigit);
  if (!isHex(parts.first, kMd5Digits) || !counted || parts.second.size() > 5) return std::nullopt;
  return Etag{std::string(text), std::nullopt};
}

enum class Unused : uint8_t {
  kNoDescription,
  kOtherName,
  kNoRepo,
  kNoEtag,
  kNotAFile,
  kUnreadable
};

struct Described {
  FlatUrl url;
  Etag etag;
};

struct Description {
  std::string url;
  std::string etag;
};

// None if it is not {"url": text, "etag": text}.
std::optional<Description> parseDescription(const std::string& text) {
  // Not nested: nlohmann's parser does not recurse, and what it builds is as small as the text.
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto url = json.find("url"), etag = json.find("etag");
  if (url == json.end() || etag == json.end() || !url->is_string() || !etag->is_string()) {
    return std::nullopt;
  }
  return Description{url->get<std::string>(), etag->get<std::string>()};
}

// ---- One scan

class FlatScanner {
 public:
  FlatScanner(const DirectoryReader& directory, std::string path, const HubOrigin& origin)
      : directory_(directory), path_(std::move(path)), origin_(origin) {}

  void add(const std::string& name) {
    ++seen_;
    const auto info = directory_.look(name);
    if (!info) return;
    if (!S_ISREG(info->st_mode)) return leaveOut(name, Unused::kNotAFile);
    if (!directory_.mayRead(name, *info)) return leaveOut(name, Unused::kUnreadable);
    const FileStamp stamp = FileStamp::of(*info);
    auto described = describe(name, stamp);
    if (!described) return;
    Repo& repo = repoOf(described->url.repo);
    const auto copy = static_cast<uint32_t>(repo.scan.copies.size());
    repo.scan.copies.push_back({name, described->etag.name, stamp});
    Shown shown{copy, stamp.mtimeNs, std::move(described->etag.text)};
    auto& files = repo.revisions[described->url.revision];
    const auto [at, first] = files.try_emplace(described->url.path, shown);
    if (!first && at->second < shown) at->second = std::move(shown);
  }

  void finish(RootScan& root) {
    for (auto& [id, repo] : repos_) {
      for (const auto& [revision, files] : repo.revisions) show(repo.scan, revision, files);
      auto& snapshots = repo.scan.snapshots;
      std::sort(snapshots.begin(), snapshots.end(),
                [](const auto& a, const auto& b) { return a.commit < b.commit; });
      std::sort(repo.scan.refs.begin(), repo.scan.refs.end(),
                [](const RefState& a, const RefState& b) { return a.ref < b.ref; });
      root.repos.push_back(id);
      root.contents.push_back(std::move(repo.scan));
    }
    if (auto problem = unusedText()) root.problems.push_back(*std::move(problem));
  }

 private:
  struct Shown {
    uint32_t copy;
    int64_t writtenNs;
    std::string etag;
    bool operator<(const Shown& other) const {
      return std::tie(writtenNs, etag) < std::tie(other.writtenNs, other.etag);
    }
  };
  using Files = std::map<RelativePath, Shown>;
  struct Repo {
    RepoScan scan;
    std::map<std::variant<Commit, RefName>, Files> revisions;
  };

  Repo& repoOf(const RepoId& id) {
    return repos_.try_emplace(id, Repo{{.repo = id}, {}}).first->second;
  }

  void leaveOut(const std::string& name, Unused why) {
    if (unused_ == std::array<size_t, 6>{}) example_ = name;
    ++unused_[static_cast<size_t>(why)];
  }

  std::optional<Described> describe(const std::string& name, const FileStamp& stamp) {
    const std::optional<std::string> text = readDescription(name);
    if (!text) {
      const absl::Duration age = absl::Now() - absl::FromUnixNanos(stamp.ctimeNs);
      if (age > kDescriptionPatience) leaveOut(name, Unused::kNoDescription);
      return std::nullopt;
    }
    const auto said = parseDescription(*text);
    const bool fits = said && said->url.size() <= kUrlBytesMax &&
                      name == absl::StrCat(sha256Hex(said->url), ".", sha256Hex(said->etag),
                                           absl::EndsWith(said->url, ".h5") ? ".h5" : "");
    if (!fits) return leaveOut(name, Unused::kOtherName), std::nullopt;
    auto url = parseFlatUrl(said->url, origin_);
    if (!url) return leaveOut(name, Unused::kNoRepo), std::nullopt;
    if (repos_.size() >= kRepoFoldersMax && !repos_.contains(url->repo)) return std::nullopt;
    auto etag = parseEtag(said->etag);
    if (!etag) return leaveOut(name, Unused::kNoEtag), std::nullopt;
    return Described{*std::move(url), *std::move(etag)};
  }

  std::optional<std::string> readDescription(const std::string& name) const {
    const std::string file = absl::StrCat(name, kDescription);
    const UniqueFd fd(
        openat(directory_.fd(), file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    struct stat info {};
    if (!fd || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    auto text = readSmallFile(fd.get(), file, kDescriptionBytesMax);
    if (!text.ok()) return std::string();  // no description in it, that is
    return *std::move(text);
  }

  // A path below one that is a file cannot be shown.
  static bool isBelowAFile(const RelativePath& path, const Files& files) {
    const std::string& text = path.text();
    for (size_t slash = text.find('/'); slash != std::string::npos;
         slash = text.find('/', slash + 1)) {
      const auto parent = RelativePath::parse(text.substr(0, slash));
      if (parent.ok() && files.contains(*parent)) return true;
    }
    return false;
  }

  static void show(RepoScan& scan, const std::variant<Commit, RefName>& revision,
                   const Files& files) {
    std::vector<ScannedFile> shown;
    std::map<RelativePath, std::string> etags;
    for (const auto& [path, file] : files) {
      if (shown.size() == kManifestFilesMax || isBelowAFile(path, files)) continue;
      shown.push_back({path, file.copy});
      etags.emplace(path, file.etag);
    }
    const auto* ref = std::get_if<RefName>(&revision);
    const Commit commit = ref != nullptr ? flatCommit(etags) : std::get<Commit>(revision);
    if (ref != nullptr) scan.refs.push_back({*ref, commit, std::nullopt});
    // Two refs with the same files have one commit.
    const bool known = std::any_of(scan.snapshots.begin(), scan.snapshots.end(),
                                   [&](const auto& other) { return other.commit == commit; });
    if (!known) scan.snapshots.push_back({commit, std::move(shown), ref != nullptr});
  }

  std::optional<std::string> unusedText() const {
    static constexpr std::array<absl::string_view, 6> kWhy = {
        "have no description (.json)",
        "have a description that does not fit their name",
        "come from a URL that names no repo of the hub",
        "have an etag that is no hash",
        "are not files",
        "cannot be read by the agent's user"};
    size_t all = 0;
    std::vector<std::string> whys;
    for (size_t i = 0; i < kWhy.size(); ++i) {
      all += unused_[i];
      if (unused_[i] > 0) whys.push_back(absl::StrCat(unused_[i], " ", kWhy[i]));
    }
    if (all == 0) return std::nullopt;
    return sentence(absl::StrCat(all, " of ", seen_, " files in ", path_, " are not used"),
                    absl::StrCat(absl::StrJoin(whys, ", "), "; the first is ", example_),
                    "Delete them if no old transformers needs them");
  }

  const DirectoryReader& directory_;
  const std::string path_;
  const HubOrigin& origin_;
  std::map<RepoId, Repo> repos_;
  size_t seen_ = 0;
  std::array<size_t, 6> unused_{};  // by Unused
  std::string example_;
};

}  // namespace

std::optional<FlatUrl> parseFlatUrl(absl::string_view url, const HubOrigin& origin) {
  const auto segmentsAfter =
      [&](absl::string_view prefix) -> std::optional<std::vector<std::string>> {
    absl::string_view rest = url;
    if (!absl::ConsumePrefix(&rest, prefix) || !absl::ConsumePrefix(&rest, "/")) return {};
    if (absl::StrContains(rest, '?') || absl::StrContains(rest, '#')) return {};
    std::vector<std::string> segments;
    for (absl::string_view segment : absl::StrSplit(rest, '/')) {
      auto decoded = percentDecoded(segment);
      if (!decoded || decoded->empty()) return {};
      segments.push_back(*std::move(decoded));
    }
    return segments;
  };
  const std::string hub = HubOrigin::huggingFace().url();
  for (const std::string& prefix : {origin.url(), hub}) {
    if (const auto segments = segmentsAfter(prefix)) return ofHub(origin, *segments);
  }
  for (absl::string_view prefix :
       {"https://cdn.huggingface.co", "https://s3.amazonaws.com/models.huggingface.co/bert"}) {
    if (const auto segments = segmentsAfter(prefix)) return ofFormerStorage(origin, *segments);
  }
  return std::nullopt;
}

Commit flatCommit(const std::map<RelativePath, std::string>& etags) {
  std::string text;
  for (const auto& [path, etag] : etags) {
    text.append(path.text()).append(1, '\0').append(etag).append(1, '\n');
  }
  return *Commit::parse(sha256Hex(text).substr(0, 40));
}

bool isFlatName(absl::string_view name) {
  absl::ConsumeSuffix(&name, kDescription);
  return isContentName(name);
}

absl::StatusOr<RootScan> scanFlat(const std::string& root, const HubOrigin& origin) {
  ROOST_ASSIGN_OR_RETURN(const RealFolder real, realFolder(root));
  ROOST_ASSIGN_OR_RETURN(DirectoryReader directory, DirectoryReader::open(AT_FDCWD, real.path));
  RootScan scan;
  scan.realPath = real.path;
  scan.kind = real.kind;
  // Very old versions write in place. Where inotify tells, names are enough: it tells of a close.
  scan.directory.scope =
      real.kind == FileSystemKind::kLocal ? MarkScope::kNames : MarkScope::kContents;
  ROOST_ASSIGN_OR_RETURN(scan.directory.mark, markOf(directory.fd(), scan.directory.scope, root));
  FlatScanner scanner(directory, root, origin);
  for (size_t entries = 0; const auto entry = directory.next();) {
    if (++entries > kScanFilesMax) {
      scan.problems.push_back(sentence(absl::StrCat(root, " is read only in part"),
                                       absl::StrCat("it has more than ", kScanFilesMax, " files"),
                                       "Delete what is not needed"));
      break;
    }
    if (isContentName(*entry)) scanner.add(std::string(*entry));
  }
  scanner.finish(scan);
  return scan;
}

}  // namespace roost
