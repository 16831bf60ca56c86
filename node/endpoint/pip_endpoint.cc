#include "node/endpoint/pip_endpoint.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cluster/hub_urls.h"
#include "node/await_callback.h"
#include "node/endpoint/blob_answers.h"
#include "node/endpoint/endpoint_metrics.h"
#include "node/endpoint/file_head.h"
#include "node/endpoint/hub_failures.h"
#include "node/endpoint/hub_line.h"
#include "node/endpoint/local_callers.h"
#include "node/endpoint/pip_pages.h"
#include "node/loop_timers.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr char kForGood[] = "max-age=365000000, immutable, public";  // as PyPI says of files
constexpr absl::Duration kSizeTimeout = absl::Seconds(8);            // clients wait 10 s and more

// RFC 9110; pip keeps nothing of an answer without it.
std::string httpDate() {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone());
}

HttpAnswer movedTo(const PipRoute& route) {
  HttpAnswer answer{.status = 301};
  answer.headers = {{"Location", absl::StrCat("/pip/simple/", route.project, "/")},
                    {"Content-Type", "text/plain; charset=utf-8"},
                    {"Date", httpDate()}};
  return answer;
}

constexpr char kIsOff[] =
    "the pip index of this agent is off: no index was found to ask. Name one with --pip-index URL, "
    "or set PIP_INDEX_URL for the agent";

EndpointMetrics::PipRequest kindOf(const PipRoute& route) {
  if (route.kind == PipRoute::Kind::kProjects) return EndpointMetrics::PipRequest::kProjects;
  if (route.kind == PipRoute::Kind::kPage) return EndpointMetrics::PipRequest::kPage;
  return route.metadata ? EndpointMetrics::PipRequest::kMetadata
                        : EndpointMetrics::PipRequest::kFile;
}

// The blob that a route leads to, and where it is.
struct Wanted {
  std::optional<BlobId> blob;
  std::optional<uint64_t> size;
  std::string url;
};

std::optional<Wanted> wantedOf(const PipPage& page, const PipRoute& route) {
  const PipFile* file = page.find(route.sha256, route.name);
  if (file == nullptr) return std::nullopt;
  if (!route.metadata) return Wanted{file->sha256, file->size, file->url};
  if (!file->metadata) return std::nullopt;
  return Wanted{file->metadata, std::nullopt, metadataUrlOf(*file)};
}

}  // namespace

class PipEndpoint::Impl : public std::enable_shared_from_this<PipEndpoint::Impl> {
 public:
  Impl(Seams seams, bool shares)
      : s_(std::move(seams)),
        shares_(shares),
        timers_(s_.io),
        line_(s_.index ? &s_.index->proxy : nullptr, s_.origin, "", timers_,
              s_.index ? s_.index->rest : noRest_),
        pages_({s_.io, s_.pool, s_.core, line_, timers_, s_.call,
                [this] { return shared_from_this(); }},
               shares, s_.pagesFolder),
        bodies_({s_.pool, s_.folders, s_.readings, timers_, s_.metrics}),
        wheels_(wheelSeams()) {}

  void handle(HttpAsk ask, PipRoute route, std::function<void(HttpAnswer)> done) {
    asio::post(s_.io, [self = shared_from_this(), ask = std::move(ask), route = std::move(route),
                       done = std::move(done)]() mutable {
      if (self->stopped_) return;  // `done` is dropped: the connection says that we are stopping
      asio::co_spawn(self->s_.io, run(self, std::move(ask), std::move(route), std::move(done)),
                     asio::detached);
    });
  }

  bool asked(const HubQuestionRequest& question, const PeerAnswer& answer) {
    if (stopped_ || s_.index == nullptr || question.origin != s_.origin) return false;
    pages_.asked(question, answer);
    return true;
  }

  absl::Status keepsFiles() const {
    if (s_.index == nullptr) return absl::InvalidArgumentError(kIsOff);
    if (shares_) return absl::OkStatus();
    return absl::InvalidArgumentError(sentence(
        "this agent keeps no files of the pip index", "it wants a password, or --pip-share is none",
        "Set --pip-share cluster where all nodes may see what the index has"));
  }
  PipWheels& wheels() { return wheels_; }

  void stop() {
    stopped_ = true;
    s_.index = nullptr;  // it goes before what is still under way
    line_.stop();
    timers_.stop();
  }

 private:
  PipWheels::Seams wheelSeams() {
    return {.pool = s_.pool,
            .core = s_.core,
            .folders = s_.folders,
            .readings = s_.readings,
            .pages = pages_,
            .timers = timers_,
            .origin = s_.origin,
            .reservations = s_.reservations,
            .cache = s_.pipCache,
            .sizeOf =
                [this](BlobId blob, std::optional<uint64_t> size, std::string url) {
                  return sizeOf({blob, size, url});
                },
            .stopped = [this] { return stopped_; }};
  }

  static asio::awaitable<void> run(std::shared_ptr<Impl> self, HttpAsk ask, PipRoute route,
                                   std::function<void(HttpAnswer)> done) {
    const EndpointMetrics::PipRequest kind = kindOf(route);
    HttpAnswer answer = co_await self->answer(std::move(ask), std::move(route));
    self->s_.metrics.pipRequest(kind, answer.status);
    done(std::move(answer));
  }

  asio::awaitable<HttpAnswer> answer(HttpAsk ask, PipRoute route) {
    if (s_.index == nullptr) co_return failure(404, "", kIsOff);
    if (auto refused = refusedToOthers(ask)) co_return *std::move(refused);
    if (ask.method != "GET" && ask.method != "HEAD") {
      HttpAnswer refused = failure(405, "", "the pip index is read only");
      refused.headers.emplace_back("Allow", "GET, HEAD");
      co_return refused;
    }
    if (!route.exact) co_return movedTo(route);
    switch (route.kind) {
      case PipRoute::Kind::kProjects:
        ask.target.assign(1, '/');
        co_return co_await line_.forward(std::move(ask), true);
      case PipRoute::Kind::kPage:
        co_return co_await page(std::move(ask), std::move(route));
      case PipRoute::Kind::kFile:
        break;
    }
    co_return co_await file(std::move(ask), std::move(route));
  }

  // ---- Pages

  asio::awaitable<HttpAnswer> page(HttpAsk ask, PipRoute route) {
    OrAnswer<PipPages::Found> found = co_await pages_.find(route.project);
    if (auto* error = std::get_if<HttpAnswer>(&found)) co_return std::move(*error);
    const PipPages::Found& page = std::get<PipPages::Found>(found);
    const std::string* accept = ask.find("accept");
    const PipChoice choice = pipFormOf(accept == nullptr ? "" : *accept);
    const bool json = choice.form == PipForm::kJson;
    std::shared_ptr<const PipShown> shown = page.shown;
    if (page.stale) shown = co_await withoutLostMetadata(shown);
    const std::string etag = absl::StrCat("\"", shown->etag, json ? "-json" : "-html", "\"");
    HttpAnswer answer;
    answer.headers = {
        {"Content-Type", std::string(choice.type)},
        {"ETag", etag},
        {"Vary", "Accept"},
        {"Cache-Control", absl::StrCat("max-age=", absl::ToInt64Seconds(page.counts))},
        {"Date", httpDate()}};
    if (page.stale) {
      answer.headers.emplace_back("Warning", "110 roost \"the pip index does not answer\"");
    }
    if (hasAlready(ask, etag, answer)) co_return answer;
    answer.body = json ? shown->json : shown->html;
    co_return answer;
  }

  // While the index is away, metadata that nobody has would keep a client from a wheel that
  // somebody has: without it, the client looks into the wheel.
  asio::awaitable<std::shared_ptr<const PipShown>> withoutLostMetadata(
      std::shared_ptr<const PipShown> shown) {
    std::vector<size_t> lost;
    for (size_t i = 0; i < shown->page.files.size(); ++i) {
      const std::optional<BlobId>& metadata = shown->page.files[i].metadata;
      if (!metadata || s_.folders.inventory().find(*metadata)) continue;
      if (!s_.core.sizeOf(*metadata)) lost.push_back(i);
    }
    if (lost.empty()) co_return shown;
    using Result = std::shared_ptr<const PipShown>;
    const std::function<void(std::function<void(Result)>)> start =
        [&](std::function<void(Result)> done) {
          (void)s_.pool.submit({"pip page", WorkPriority::kReaderWaits, ""}, [shown, lost, done] {
            PipPage page = shown->page;
            for (const size_t i : lost) page.files[i].metadata = std::nullopt;
            done(pipShown(std::move(page)));
          });
        };
    co_return co_await awaitCallback<Result>(start, shown);
  }

  // ---- Files

  asio::awaitable<HttpAnswer> file(HttpAsk ask, PipRoute route) {
    std::optional<Wanted> wanted;
    if (const auto known = pages_.known(route.project)) {
      wanted = wantedOf(known->page, route);
    }
    if (!wanted) {
      OrAnswer<PipPages::Found> found = co_await pages_.find(route.project);
      if (auto* error = std::get_if<HttpAnswer>(&found)) co_return std::move(*error);
      const PipPages::Found& page = std::get<PipPages::Found>(found);
      wanted = wantedOf(page.shown->page, route);
      if (!wanted && page.stale) {
        co_return failure(503, "",
                          "the pip index does not answer, and what is kept of it does "
                          "not name this file");
      }
    }
    if (!wanted) {
      co_return failure(404, "",
                        absl::StrCat("the pip index names no such file of ", route.project));
    }
    if (!wanted->blob || !shares_) co_return co_await passOn(std::move(ask), wanted->url);
    absl::StatusOr<uint64_t> size = co_await sizeOf(*wanted);
    if (!size.ok()) co_return cannotGet(route, size.status());
    const BlobInfo info{*wanted->blob, *size};
    co_return co_await blob(std::move(ask), std::move(route), info, wanted->url);
  }

  asio::awaitable<HttpAnswer> blob(HttpAsk ask, PipRoute route, BlobInfo blob, std::string url) {
    const std::string etag = absl::StrCat("\"", blob.id.hex(), "\"");
    HttpAnswer answer;
    answer.headers = {{"ETag", etag},
                      {"Accept-Ranges", "bytes"},
                      {"Content-Type", "application/octet-stream"},
                      {"Cache-Control", kForGood},
                      {"Date", httpDate()}};
    answer.length = blob.size;
    if (hasAlready(ask, etag, answer)) co_return answer;
    const ByteRange range = bodies_.rangeOf(ask, blob, blob.id.hex(), answer);
    if (ask.method == "HEAD" || answer.status == 416 || range.first == range.end) co_return answer;
    const BlobPart part{blob, range.first, range.end};
    if (auto stream = co_await bodies_.fromHere(part)) {
      s_.metrics.pipBytes(EndpointMetrics::PipSource::kCache, range.end - range.first);
      answer.stream = std::move(stream);
      co_return answer;
    }
    const auto site = pipSite(s_.origin, route.project, route.name, std::move(url));
    if (!site) co_return failure(404, "", "there is no such file");
    BlobAnswers::Stream stream = co_await bodies_.arriving(part, *site);
    if (!stream.ok()) co_return cannotGet(route, stream.status());
    answer.stream = *std::move(stream);
    co_return answer;
  }

  static HttpAnswer cannotGet(const PipRoute& route, const absl::Status& why) {
    const int status = absl::IsDataLoss(why) ? 502 : absl::IsDeadlineExceeded(why) ? 504 : 503;
    return failure(status, "",
                   sentence(absl::StrCat("cannot get ", route.name), why.message(), ""));
  }

  // What nobody can check here, or nobody else may have.
  asio::awaitable<HttpAnswer> passOn(HttpAsk ask, std::string url) {
    PipIndex* index = s_.index;
    if (index == nullptr) co_return failure(503, "", "the agent is stopping");
    const std::function<void(std::function<void(HttpAnswer)>)> start =
        [&](std::function<void(HttpAnswer)> done) {
          index->proxy.forwardFrom(url, ask, std::move(done));
        };
    const HttpAnswer dropped = failure(503, "", "the agent is stopping");
    HttpAnswer answer = co_await awaitCallback<HttpAnswer>(start, dropped);
    if (ask.method == "GET" && answer.status < 300) {
      s_.metrics.pipBytes(EndpointMetrics::PipSource::kIndex, answer.length.value_or(0));
    }
    co_return answer;
  }

  // As the index says, or who has it; else as the place says where it is.
  asio::awaitable<absl::StatusOr<uint64_t>> sizeOf(Wanted wanted) {
    if (wanted.size) co_return *wanted.size;
    const BlobId blob = *wanted.blob;
    if (const auto copy = s_.folders.inventory().find(blob)) co_return copy->blob.size;
    if (const auto size = s_.core.sizeOf(blob)) co_return *size;
    if (const auto known = sizes_.find(blob); known != sizes_.end()) co_return known->second;
    absl::StatusOr<uint64_t> asked = co_await askSize(wanted.url);
    if (asked.ok() && sizes_.size() < kPipSizesMax) sizes_.emplace(blob, *asked);
    co_return asked;
  }

  asio::awaitable<absl::StatusOr<uint64_t>> askSize(std::string url) {
    for (int hops = 0; hops <= kHubRedirectsMax; ++hops) {
      const HttpResult result = co_await askHead(url);
      if (!result.status.ok()) co_return result.status;
      const std::string* location = result.head.find("location");
      if (result.head.status >= 301 && result.head.status <= 308 && location != nullptr) {
        auto next = followed(url, *location);
        if (!next.ok()) co_return next.status();
        url = *std::move(next);
        continue;
      }
      uint64_t size = 0;
      const std::string* length = result.head.find("content-length");
      if (result.head.status == 200 && length != nullptr && absl::SimpleAtoi(*length, &size) &&
          size <= kBlobBytesMax) {
        co_return size;
      }
      co_return absl::UnavailableError(absl::StrCat("the place of the file does not say its size (",
                                                    "HTTP ", result.head.status, ")"));
    }
    co_return absl::UnavailableError("too many redirects");
  }

  asio::awaitable<HttpResult> askHead(std::string url) {
    PipIndex* index = s_.index;
    if (index == nullptr) {
      HttpResult stopping;
      stopping.status = absl::UnavailableError("the agent is stopping");
      co_return stopping;
    }
    const std::function<void(std::function<void(HttpResult)>)> start =
        [&](std::function<void(HttpResult)> done) {
          HttpRequest request;
          request.method = HttpMethod::kHead;
          request.url = url;
          request.credential = index->credential;
          request.connectTimeout = absl::Seconds(4);
          request.totalTimeout = kSizeTimeout;
          index->http.start(std::move(request), std::move(done));
        };
    const HttpResult dropped{absl::UnavailableError("the agent is stopping"), {}, {}};
    co_return co_await awaitCallback<HttpResult>(start, dropped);
  }

  Seams s_;
  const bool shares_;
  bool stopped_ = false;
  LoopTimers timers_;
  HubRest noRest_;
  HubLine line_;
  PipPages pages_;
  BlobAnswers bodies_;
  std::map<BlobId, uint64_t> sizes_;
  PipWheels wheels_;
};

PipEndpoint::PipEndpoint(Seams seams, bool shares)
    : impl_(std::make_shared<Impl>(std::move(seams), shares)) {}
PipEndpoint::~PipEndpoint() {
  impl_->stop();
}
void PipEndpoint::handle(HttpAsk ask, PipRoute route, std::function<void(HttpAnswer)> done) {
  impl_->handle(std::move(ask), std::move(route), std::move(done));
}
bool PipEndpoint::asked(const HubQuestionRequest& question, const PeerAnswer& answer) {
  return impl_->asked(question, answer);
}
// `impl_` is kept while a question is under way.
asio::awaitable<absl::StatusOr<std::vector<PipWheel>>> PipEndpoint::findWheels(PipOrder order) {
  const std::shared_ptr<Impl> kept = impl_;
  ROOST_CO_RETURN_IF_ERROR(kept->keepsFiles());
  co_return co_await kept->wheels().find(std::move(order));
}
asio::awaitable<absl::StatusOr<PipBrought>> PipEndpoint::bringWheel(PipWheel wheel) {
  const std::shared_ptr<Impl> kept = impl_;
  ROOST_CO_RETURN_IF_ERROR(kept->keepsFiles());
  co_return co_await kept->wheels().bring(std::move(wheel));
}
void PipEndpoint::stop() {
  impl_->stop();
}

}  // namespace roost
