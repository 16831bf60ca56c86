#include "node/endpoint/hub_files.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cluster/hub_urls.h"
#include "node/await_callback.h"
#include "node/endpoint/file_head.h"
#include "node/endpoint/hub_failures.h"
#include "node/endpoint/large_files.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr size_t kWantedShownMax = 100'000;

// Some clients ask for all by "Range: bytes=0-".
bool isWhole(const HttpAnswer& answer) {
  if (answer.status != 206 || !answer.length) return answer.status == 200;
  const std::string all =
      absl::StrCat("bytes 0-", *answer.length - 1, "/", *answer.length);  // 206 is of some bytes
  return std::any_of(answer.headers.begin(), answer.headers.end(), [&](const auto& header) {
    return absl::EqualsIgnoreCase(header.first, "content-range") && header.second == all;
  });
}

// What clients name the file by.
std::string etagOf(const FileEntry& file) {
  return file.observedAs ? file.observedAs->hex() : file.blob.id.hex();
}

}  // namespace

std::string HubFiles::pinnedTarget(const RepoId& repo, const Commit& commit,
                                   const RelativePath& path, absl::string_view target) const {
  const std::string url = resolveUrl(repo, commit, path);
  absl::string_view pinned = url;
  absl::ConsumePrefix(&pinned, s_.hub.origin().url());
  const size_t query = target.find('?');
  return absl::StrCat(pinned, query == absl::string_view::npos ? "" : target.substr(query));
}

HubFiles::HubFiles(Seams seams, bool publish, uint64_t knownSizeMax)
    : s_(seams),
      publish_(publish),
      knownSizeMax_(knownSizeMax),
      bodies_({s_.pool, s_.folders, s_.readings, s_.timers, s_.metrics}) {}

void HubFiles::landed(const LandedBlob& blob) {
  const auto it = wanted_.find(blob.blob.id);
  if (it == wanted_.end()) return;
  const ClientFile wanted = it->second;
  wanted_.erase(it);
  if (wanted.file.observedAs) return s_.kept.show(wanted);
  if (!publish_) return;
  s_.folders.publish(orderOf(wanted, s_.core.self().id), [](RepoPublished) {});
}

asio::awaitable<HttpAnswer> HubFiles::answer(HttpAsk ask, HubRoute route) {
  const RepoId repo = *route.repo;
  const std::optional<Token> token = tokenOf(ask);
  OrAnswer<Located> found = co_await s_.names.locate(repo, *route.revision, token);
  if (auto* error = std::get_if<HttpAnswer>(&found)) co_return std::move(*error);
  const Located& located = std::get<Located>(found);
  const Listing& manifest = *located.manifest;
  const FileEntry* entry = manifest.find(route.path);
  const auto path = RelativePath::parse(route.path);
  if (!path.ok()) co_return co_await s_.hub.forward(std::move(ask), true);
  // Whatever is passed on from here is of the commit that the client was told, wherever its branch
  // points by then.
  ask.target = pinnedTarget(repo, manifest.commit, *path, ask.target);
  if (auto refused = co_await mayRead(repo, manifest.commit, *path, token)) {
    co_return *std::move(refused);
  }
  std::optional<FileEntry> alone;
  if (entry == nullptr || entry->observedAs) {
    if (manifest.complete) co_return entryNotFound(repo, manifest.commit, route.path);
    OrAnswer<std::optional<FileEntry>> asked = co_await entryOf(located, *path, token, ask);
    if (auto* error = std::get_if<HttpAnswer>(&asked)) co_return std::move(*error);
    alone = std::get<std::optional<FileEntry>>(std::move(asked));
    if (!alone) co_return co_await passOn(std::move(ask), located, *path);
    entry = &*alone;
  }
  HttpAnswer answer = fileHead(ask, located, *entry);
  if (answer.status != 200) co_return answer;
  const ByteRange range = bodies_.rangeOf(ask, entry->blob, etagOf(*entry), answer);
  const bool hidesSize = refusesKnownSize(ask, entry->blob.size, knownSizeMax_);
  if (ask.method != "HEAD" && answer.status != 416) {
    answer = co_await body(std::move(ask), located, *entry, range, std::move(answer));
  }
  if (hidesSize) answer = withoutLength(std::move(answer));
  co_return answer;
}

// None: it is passed on from the hub. What the hub says counts while it can be asked; what a node
// observed is used if the hub names the file as it did then.
asio::awaitable<OrAnswer<std::optional<FileEntry>>> HubFiles::entryOf(Located located,
                                                                      RelativePath path,
                                                                      std::optional<Token> token,
                                                                      HttpAsk& ask) {
  const RepoId& repo = located.manifest->repo;
  const Commit& commit = located.manifest->commit;
  const FileEntry* shown = located.manifest->find(path.text());
  std::optional<FileEntry> observed;
  if (shown != nullptr) observed = *shown;
  if (!s_.hub.open()) {
    if (observed) co_return observed;
    co_return unavailable("and no node has the complete list of files");
  }
  OrAnswer<RepoNames::NamedFile> asked =
      co_await s_.names.fileOf(repo, commit, path, token, observed.has_value());
  if (auto* error = std::get_if<HttpAnswer>(&asked)) co_return std::move(*error);
  RepoNames::NamedFile& named = std::get<RepoNames::NamedFile>(asked);
  if (!named.asked) co_return observed;
  // What was sent under that name before was not what the name says.
  if (named.file && s_.readings.poisoned(named.file->blob.id)) {
    s_.names.misnamed(repo, commit, path);
    named.misnamed = std::exchange(named.file, std::nullopt);
  }
  if (named.misnamed) {
    if (auto refused = refuseTheRest(ask, located, *named.misnamed)) co_return *std::move(refused);
  }
  if (named.file) co_return named.file;
  if (observed && named.confirms(*observed)) co_return observed;
  co_return std::optional<FileEntry>();
}

// A file that the hub names by no hash. Clients name theirs by its ETag, so that is one that
// serves.
asio::awaitable<HttpAnswer> HubFiles::passOn(HttpAsk ask, Located located, RelativePath path) {
  const bool reads = ask.method == "GET";
  HttpAnswer answer = co_await s_.hub.forward(std::move(ask), true);
  bool named = false;
  std::optional<MadeEtag> made;
  for (auto& [name, value] : answer.headers) {
    named |= absl::EqualsIgnoreCase(name, "x-repo-commit");
    const bool linked = absl::EqualsIgnoreCase(name, "x-linked-etag");
    if (!linked && !absl::EqualsIgnoreCase(name, "etag")) continue;
    const auto etag = madeEtag(located.manifest->repo, path, value);
    if (!etag) continue;
    value = absl::StrCat("\"", etag->hex(), "\"");
    if (linked || !made) made = etag;
  }
  if (!named) answer.headers.emplace_back("X-Repo-Commit", located.manifest->commit.hex());
  if (reads && made && answer.stream && isWhole(answer)) {
    const FileEntry file{path, {BlobId::sha256(Sha256{}), 0}, std::nullopt, made};
    const ClientFile passing{located.manifest->repo, located.manifest->commit, file, located.ref};
    co_await s_.kept.keep(passing, answer);
  }
  co_return answer;
}

// Of what is not public every file needs the hub's yes to this client. None: it may.
asio::awaitable<std::optional<HttpAnswer>> HubFiles::mayRead(RepoId repo, Commit commit,
                                                             RelativePath path,
                                                             std::optional<Token> token) {
  if (s_.access.mayWithoutAsking(repo, token, s_.hub.open())) co_return std::nullopt;
  const std::string url = resolveUrl(repo, commit, path);
  absl::string_view rest = url;
  absl::ConsumePrefix(&rest, s_.hub.origin().url());
  HubProxy::Question question{
      .method = HttpMethod::kHead, .target = std::string(rest), .token = token};
  const bool otherwise = s_.access.mayWithoutAsking(repo, token, false);
  const HttpResult result = co_await s_.hub.ask(std::move(question), otherwise);
  if (isOutage(result)) {
    if (otherwise) co_return std::nullopt;
    if (!s_.hub.exists()) co_return repoUnknown(repo, token);
    co_return passed(result, std::nullopt);
  }
  // The hub looks at the token before it looks for the file.
  const std::string* code = result.head.find("x-error-code");
  const bool onlyMissing = result.head.status == 404 && code != nullptr && *code == "EntryNotFound";
  if (result.head.status < 400 || onlyMissing) {
    s_.access.accepted(repo, token);
    co_return std::nullopt;
  }
  s_.access.refused(repo, token);
  co_return passed(result, repo);
}

HttpAnswer HubFiles::fileHead(const HttpAsk& ask, const Located& located, const FileEntry& file) {
  const std::string etag = absl::StrCat("\"", etagOf(file), "\"");
  HttpAnswer answer;
  answer.headers = {{"ETag", etag},
                    {"X-Repo-Commit", located.manifest->commit.hex()},
                    {"Accept-Ranges", "bytes"},
                    {"Content-Type", "application/octet-stream"},
                    {"Cache-Control", "no-store"}};
  if (located.stale) {
    answer.headers.emplace_back("X-HF-Warning",
                                "roost; The hub does not answer: this is what the cluster holds.");
  }
  answer.length = file.blob.size;
  hasAlready(ask, etag, answer);
  return answer;
}

asio::awaitable<HttpAnswer> HubFiles::body(HttpAsk ask, Located located, FileEntry file,
                                           ByteRange range, HttpAnswer answer) {
  const BlobInfo blob = file.blob;
  if (range.first == range.end) co_return answer;  // an empty file
  const BlobPart part{blob, range.first, range.end};
  if (auto stream = co_await bodies_.fromHere(part)) {
    answer.stream = std::move(stream);
    co_return answer;
  }
  const bool apart = !publish_ || file.observedAs;
  const BlobSite site{located.manifest->repo, located.manifest->commit, file.path, apart};
  const absl::Status room = co_await prepare(located, file, apart);
  if (!room.ok()) {
    if (!s_.hub.open()) co_return failure(503, "", room.message());
    if (auto refused = refuseTheRest(ask, located, file)) co_return *std::move(refused);
    co_return co_await s_.hub.forward(std::move(ask), true);
  }
  if (wanted_.size() < kWantedShownMax) {
    wanted_.insert_or_assign(blob.id, ClientFile{site.repo, site.commit, file, located.ref});
  }
  BlobAnswers::Stream stream = co_await bodies_.arriving(part, site);
  if (stream.ok()) {
    answer.stream = *std::move(stream);
    co_return answer;
  }
  const bool small = blob.size <= kInlineBlobBytesMax;
  if (small && absl::IsDataLoss(stream.status())) {
    s_.names.misnamed(site.repo, site.commit, site.path);
  }
  if (!small && BlobAnswers::isInner(part) && s_.hub.open()) {
    s_.metrics.innerPart(EndpointMetrics::InnerPart::kPassedOn);
  }
  co_return co_await withoutIt(std::move(ask), located, file, stream.status());
}

// What this agent cannot give the hub may.
asio::awaitable<HttpAnswer> HubFiles::withoutIt(HttpAsk ask, const Located& located,
                                                const FileEntry& file, absl::Status why) {
  if (!s_.hub.open()) {
    co_return failure(absl::IsDeadlineExceeded(why) ? 504 : 503, "", why.message());
  }
  if (auto refused = refuseTheRest(ask, located, file)) co_return *std::move(refused);
  if (file.observedAs) co_return co_await passOn(std::move(ask), located, file.path);
  co_return co_await s_.hub.forward(std::move(ask), true);
}

// Before the question goes on to the hub, which knows of no bad beginning: it is asked for the
// whole, or not at all if the client would append that.
std::optional<HttpAnswer> HubFiles::refuseTheRest(HttpAsk& ask, const Located& located,
                                                  const FileEntry& file) const {
  HttpAnswer answer = fileHead(ask, located, file);
  const ByteRange range = bodies_.rangeOf(ask, file.blob, etagOf(file), answer);
  if (answer.status == 416) return answer;
  if (range.kind == ByteRange::Kind::kWhole) {
    std::erase_if(ask.headers, [](const auto& header) {
      return header.first == "range" || header.first == "if-range";
    });
  }
  return std::nullopt;
}

// Finds where the blob is written.
asio::awaitable<absl::Status> HubFiles::prepare(const Located& located, const FileEntry& file,
                                                bool apart) {
  if (apart) co_return co_await s_.kept.ready();
  const CheckPresent question{
      {s_.core.self().id, 0},
      {located.manifest->repo, located.manifest->commit, false, Visibility::kUnknown, {file}}};
  const std::function<void(std::function<void(PresenceKnown)>)> ask =
      [&](std::function<void(PresenceKnown)> done) {
        s_.folders.checkPresent(question, std::move(done));
      };
  const PresenceKnown dropped{question.obtain, absl::UnavailableError("the agent is stopping"), {}};
  const PresenceKnown known = co_await awaitCallback<PresenceKnown>(ask, dropped);
  // Whether there is room shows when it is written: beside a client that writes the file into the
  // same cache, none is needed.
  co_return known.status;
}

}  // namespace roost
