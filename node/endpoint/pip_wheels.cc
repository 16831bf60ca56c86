#include "node/endpoint/pip_wheels.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cache/pip_entry.h"
#include "node/await_callback.h"
#include "node/endpoint/pip_route.h"
#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::Duration kLookPause = absl::Milliseconds(20);
constexpr int kLooksMax = 1500;  // half a minute: what is verified is synced and published

bool matchesAny(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return globMatches(pattern, name); });
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

absl::Status statusOf(const HttpAnswer& answer) {
  const auto message = std::find_if(answer.headers.begin(), answer.headers.end(),
                                    [](const auto& h) { return h.first == "X-Error-Message"; });
  const std::string text =
      message == answer.headers.end() ? "the pip index does not answer" : message->second;
  return answer.status == 404 ? absl::NotFoundError(text) : absl::UnavailableError(text);
}

absl::Status isStopping() {
  return absl::UnavailableError("the agent is stopping");
}

}  // namespace

std::optional<BlobSite> pipSite(const HubOrigin& origin, const std::string& project,
                                const std::string& name, std::string url) {
  static const Commit nowhere = *Commit::parse(std::string(40, '0'));  // an index has no commits
  const auto repo = RepoId::make(origin, RepoType::kModel, project);
  const auto path = RelativePath::parse(name);
  if (!repo.ok() || !path.ok()) return std::nullopt;
  return BlobSite{*repo, nowhere, *path, false, std::move(url)};
}

asio::awaitable<absl::StatusOr<std::vector<PipWheel>>> PipWheels::find(PipOrder order) {
  OrAnswer<PipPages::Found> found = co_await s_.pages.find(order.what.project);
  if (const auto* error = std::get_if<HttpAnswer>(&found)) co_return statusOf(*error);
  const PipPages::Found& page = std::get<PipPages::Found>(found);
  co_return select(order, page.shown->page, page.stale);
}

absl::StatusOr<std::vector<PipWheel>> PipWheels::select(const PipOrder& order, const PipPage& page,
                                                        bool stale) const {
  const bool named = !order.include.empty() || !order.files.empty();
  std::vector<PipWheel> wheels;
  size_t matching = 0;
  for (const PipFile& file : page.files) {
    const auto version = versionOfWheel(file.name);
    if (!version || !file.sha256) continue;  // what nobody can check is not written
    if (!order.what.version.empty() && !isVersion(order.what.version, *version)) continue;
    if (!order.files.empty() && !contains(order.files, file.name)) continue;
    if (!order.include.empty() && !matchesAny(order.include, file.name)) continue;
    if (matchesAny(order.exclude, file.name)) continue;
    ++matching;
    PipWheel wheel{page.project, *version, file, {}, stale};
    for (const HolderView& holder : s_.core.holders(*file.sha256)) {
      wheel.holders.push_back(holder.node);
    }
    if (!named && wheel.holders.empty()) continue;
    if (wheels.size() == kPipOrderWheelsMax) {
      return absl::InvalidArgumentError(
          sentence(absl::StrCat("more than ", kPipOrderWheelsMax, " wheels of ", page.project), "",
                   "Name a version, as in NAME==1.0, or files with --include"));
    }
    wheels.push_back(std::move(wheel));
  }
  for (const std::string& name : order.files) {
    const bool known = std::any_of(wheels.begin(), wheels.end(),
                                   [&](const PipWheel& wheel) { return wheel.file.name == name; });
    if (!known) {
      return absl::NotFoundError(absl::StrCat("the pip index names no wheel ", roost::quoted(name),
                                              " of ", order.what.toString(), " with its sha256"));
    }
  }
  if (!wheels.empty()) return wheels;
  if (matching == 0) {
    return absl::NotFoundError(
        absl::StrCat("the pip index names no such wheel of ", order.what.toString()));
  }
  return absl::NotFoundError(
      sentence(absl::StrCat("no node holds a wheel of ", order.what.toString()),
               absl::StrCat("the index has ", matching),
               "Name those to fetch from it: --include '*-cp311-*x86_64.whl'"));
}

asio::awaitable<absl::StatusOr<PipBrought>> PipWheels::bring(PipWheel wheel) {
  if (s_.cache.empty()) {
    co_return absl::InvalidArgumentError(sentence("pip's cache is not known",
                                                  "neither pip's settings nor HOME say where it is",
                                                  "Name it with --pip-cache"));
  }
  const PipFile& named = wheel.file;
  File file{*named.sha256, named.size, wheel.project,
            named.name,    named.url,  pipRequestUrl(named.url)};
  absl::StatusOr<PipBrought> brought = co_await bringFile(file);
  if (!brought.ok() || !named.metadata) co_return brought;
  // pip asks for it first. Without it, it looks into the wheel.
  const BlobId metadata = *named.metadata;
  const bool isHeld =
      s_.folders.inventory().find(metadata).has_value() || s_.core.sizeOf(metadata).has_value();
  if (wheel.indexAway && !isHeld) co_return brought;
  File beside{metadata,
              std::nullopt,
              wheel.project,
              absl::StrCat(named.name, kMetadataSuffix),
              metadataUrlOf(named),
              pipRequestUrl(absl::StrCat(named.url, kMetadataSuffix))};
  (void)co_await bringFile(beside);
  co_return brought;
}

asio::awaitable<absl::StatusOr<PipBrought>> PipWheels::bringFile(File file) {
  auto asked = s_.sizeOf(file.id, file.size, file.url);
  const absl::StatusOr<uint64_t> size = co_await std::move(asked);
  if (!size.ok()) co_return size.status();
  const BlobInfo blob{file.id, *size};
  PipBrought brought{.bytes = *size};
  const bool there = co_await isThere(file, blob);
  if (there) co_return brought;
  absl::Status got = absl::NotFoundError("");
  if (s_.folders.inventory().find(file.id)) {
    brought.from = PipBrought::From::kHere;
    got = co_await verified(file.id);
  }
  if (!got.ok()) {
    const bool held = !s_.core.holders(file.id).empty();
    brought.from = held ? PipBrought::From::kPeers : PipBrought::From::kIndex;
    got = co_await fetch(file, blob);
  }
  if (got.ok()) got = co_await write(file);
  if (!got.ok()) co_return got;
  co_return brought;
}

asio::awaitable<bool> PipWheels::isThere(File file, BlobInfo blob) {
  const std::function<void(std::function<void(bool)>)> start = [&](std::function<void(bool)> done) {
    (void)s_.pool.submit(
        {"pip entry", WorkPriority::kNormal, s_.cache},
        [cache = s_.cache, key = file.key, blob, done] { done(hasPipEntry(cache, key, blob)); });
  };
  co_return co_await awaitCallback<bool>(start, false);
}

asio::awaitable<absl::Status> PipWheels::verified(BlobId blob) {
  const std::function<void(std::function<void(absl::Status)>)> start =
      [&](std::function<void(absl::Status)> done) {
        s_.folders.whenVerified(blob, std::move(done));
      };
  const absl::Status dropped = isStopping();
  co_return co_await awaitCallback<absl::Status>(start, dropped);
}

// As for a client that reads it: from other nodes first, else from the index, once for all.
asio::awaitable<absl::Status> PipWheels::fetch(File file, BlobInfo blob) {
  const std::optional<BlobSite> site = pipSite(s_.origin, file.project, file.name, file.url);
  if (!site) co_return absl::NotFoundError("there is no such file");
  const std::shared_ptr<BlobReading> reading = s_.readings.arriving(blob, *site, false);
  const std::function<void(std::function<void(absl::Status)>)> start =
      [&](std::function<void(absl::Status)> done) {
        reading->verified([done](BlobReading::Piece whole) { done(whole.status()); });
      };
  const absl::Status dropped = isStopping();
  const absl::Status whole = co_await awaitCallback<absl::Status>(start, dropped);
  if (!whole.ok()) co_return whole;
  for (int looks = 0; looks < kLooksMax && !s_.stopped(); ++looks) {
    if (s_.folders.inventory().find(blob.id)) co_return absl::OkStatus();
    co_await s_.timers.sleep(kLookPause);
  }
  co_return absl::UnavailableError(absl::StrCat(file.name, " came, but was not published"));
}

asio::awaitable<absl::Status> PipWheels::write(File file) {
  using Opened = std::shared_ptr<const LocalBlob>;
  const std::function<void(std::function<void(Opened)>)> open =
      [&](std::function<void(Opened)> done) { s_.folders.open(file.id, std::move(done)); };
  const Opened none;
  const Opened content = co_await awaitCallback<Opened>(open, none);
  if (content == nullptr) {
    co_return absl::UnavailableError(absl::StrCat(file.name, " went away meanwhile"));
  }
  const std::function<void(std::function<void(absl::Status)>)> start =
      [&](std::function<void(absl::Status)> done) {
        (void)s_.pool.submit(
            {"pip entry", WorkPriority::kNormal, s_.cache},
            [cache = s_.cache, key = file.key, room = s_.reservations, content, done] {
              done(writePipEntry(cache, key, *content, room, absl::Now()));
            });
      };
  const absl::Status dropped = isStopping();
  co_return co_await awaitCallback<absl::Status>(start, dropped);
}

}  // namespace roost
