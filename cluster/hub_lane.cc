#include "cluster/hub_lane.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cluster/hub_governor.h"
#include "cluster/hub_plan.h"
#include "cluster/hub_urls.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr absl::Duration kGovernorPeriod = absl::Milliseconds(250);
constexpr absl::Duration kLimitLook = absl::Milliseconds(250);

// One request for a stretch of a download, from its start to its end.
struct Stream {
  HubStretch stretch;
  std::string url;
  int hops = 0;             // redirects followed for this stretch
  uint64_t generation = 0;  // of the download when the request was made
  HttpRequestId request{};
  bool headJudged = false;
  bool dropped = false;           // its download goes on without it
  bool cut = false;               // more will come than is still wanted
  size_t taken = 0;               // of the bytes that will come again after the pause
  bool stoppedForStatus = false;  // the body is of no interest, the status is
  absl::Status fatal;             // ends the whole download
};

enum class Phase { kWaiting, kResolving, kReady, kPausing, kEnded };

// Hub thread only, but for `stopped`.
struct Download {
  Download(HubDownloadId downloadId, HubLane::Order&& anOrder, HubLane::OnPiece&& piece,
           HubLane::Done&& end, const HubLane::Options& options)
      : id(downloadId),
        blob(anOrder.blob),
        site(std::move(anOrder.site)),
        token(std::move(anOrder.token)),
        onPiece(std::move(piece)),
        done(std::move(end)),
        underWayMax(anOrder.underWayMax),
        pieces(std::move(anOrder.pieces)),
        limit(anOrder.limit),
        until(anOrder.until),
        yields(anOrder.yields),
        pace(std::move(anOrder.pace)),
        plan(0, {}, 1, 1),
        backoff(options.patience) {}

  uint64_t streamsMax() const { return std::max<uint64_t>(1, underWayMax / kPieceBytes); }
  HubSubject subject() const { return {site.repo, site.commit.hex(), site.path.text()}; }

  const HubDownloadId id;
  const BlobInfo blob;
  const BlobSite site;
  const TokenSource token;
  const HubLane::OnPiece onPiece;
  const HubLane::Done done;
  uint64_t underWayMax;          // as ordered, or told since
  std::vector<uint64_t> pieces;  // until the plan is made
  const uint64_t limit;          // as ordered
  absl::Time until;              // as ordered, or told since
  bool yields;                   // same
  std::shared_ptr<RateLimit> pace;
  std::atomic<bool> stopped = false;

  Phase phase = Phase::kWaiting;
  HubPlan plan;
  std::string url;            // where the bytes are
  bool mayBeExpired = false;  // the URL was given by a redirect, perhaps signed for a while
  bool sequential = false;    // the server has no ranges
  uint64_t generation = 0;  // counted up by each failure: 16 connections that break at once are one
  HubBackoff backoff;
  uint64_t progressBytes = 0;  // since the last failure
  std::list<std::shared_ptr<Stream>> streams;
};

using DownloadPtr = std::shared_ptr<Download>;
using StreamPtr = std::shared_ptr<Stream>;

absl::Status checkOrder(const HubLane::Order& order) {
  if (order.blob.size > kBlobBytesMax) return absl::InvalidArgumentError("the blob is too large");
  const uint64_t count = pieceCount(order.blob.size);
  for (size_t i = 0; i < order.pieces.size(); ++i) {
    const bool ascending = i == 0 || order.pieces[i - 1] < order.pieces[i];
    if (!ascending || order.pieces[i] >= count) {
      return absl::InvalidArgumentError(
          absl::StrCat("the pieces to download are not ascending within ", count));
    }
  }
  return absl::OkStatus();
}

}  // namespace

class HubLane::Work : public std::enable_shared_from_this<Work> {
 public:
  Work(const HubOrigin& origin, HttpClient& http, TokenSource token, Options options)
      : http_(http),
        calls_(origin, http, options.patience),
        origin_(webOrigin(origin.url()).value_or("")),
        token_(std::move(token)),
        options_(options),
        governor_(options_.connectionsMax),
        room_(std::make_shared<HubRoom>(options_.piecesHeldMax)) {}

  void listen() {
    room_->setOnFree([weak = weak_from_this(), &http = http_] {
      http.post([weak] {
        if (const auto self = weak.lock()) self->resumePaused();
      });
    });
  }

  // ---- Any thread ----

  HubDownloadId add(Order order, OnPiece onPiece, Done done) {
    const absl::Status status = checkOrder(order);
    const absl::Status belongs = calls_.belongs(order.site.repo);
    DownloadPtr download;
    {
      const std::lock_guard lock(mutex_);
      download = std::make_shared<Download>(HubDownloadId{++lastId_}, std::move(order),
                                            std::move(onPiece), std::move(done), options_);
      known_.emplace(download->id, download);
    }
    http_.post([self = shared_from_this(), download, refused = status.ok() ? belongs : status] {
      self->begin(download, refused);
    });
    return download->id;
  }

  void stop(HubDownloadId id) {
    DownloadPtr download;
    {
      const std::lock_guard lock(mutex_);
      const auto it = known_.find(id);
      if (it == known_.end()) return;
      download = it->second;
    }
    download->stopped = true;
    http_.post([self = shared_from_this(), download] {
      self->end(download, absl::CancelledError("stopped"));
    });
  }

  void setLimit(HubDownloadId id, uint64_t piece, uint64_t underWayMax, absl::Time until,
                bool yields, std::shared_ptr<RateLimit> pace) {
    const std::lock_guard lock(mutex_);
    const auto it = known_.find(id);
    if (it == known_.end()) return;
    http_.post([self = shared_from_this(), download = it->second, piece, underWayMax, until, yields,
                pace = std::move(pace)] {
      if (download->phase == Phase::kEnded) return;
      download->until = until;
      download->yields = yields;
      download->pace = pace;
      if (download->sequential) return;
      const bool less = underWayMax < download->underWayMax;
      download->underWayMax = underWayMax;
      download->plan.setRange(self->rangeBytes(*download));
      download->plan.setLimit(piece);
      if (less) self->cutShort(download);
      self->assign();
    });
  }

  uint64_t bytesDownloaded() const { return bytes_; }

  bool post(std::function<void()> job) { return http_.post(std::move(job)); }

  // ---- Hub thread ----

  void close() {
    closing_ = true;
    room_->setOnFree(nullptr);
    while (!downloads_.empty()) end(downloads_.front(), absl::CancelledError("the node stops"));
  }

 private:
  // Of one request: who is followed asks for little at once.
  uint64_t rangeBytes(const Download& download) const {
    return download.underWayMax == UINT64_MAX ? options_.rangeBytes : kPieceBytes;
  }

  void begin(const DownloadPtr& download, const absl::Status& refused) {
    downloads_.push_back(download);
    if (!refused.ok()) return end(download, refused);
    if (download->pieces.empty()) return end(download, absl::OkStatus());
    download->plan = HubPlan(download->blob.size, std::exchange(download->pieces, {}),
                             options_.rangeBytes, options_.connectionsMax);
    download->plan.setRange(rangeBytes(*download));
    download->plan.setLimit(download->limit);
    if (!download->site.url.empty()) {  // nobody has to be asked where it is
      download->url = download->site.url;
      download->phase = Phase::kReady;
    }
    assign();
    keepGoverning();
  }

  void end(DownloadPtr download, absl::Status status) {
    if (download->phase == Phase::kEnded) return;
    download->phase = Phase::kEnded;
    while (!download->streams.empty()) drop(download, StreamPtr(download->streams.front()));
    downloads_.remove(download);
    {
      const std::lock_guard lock(mutex_);
      known_.erase(download->id);
    }
    download->done(std::move(status));
    assign();
  }

  void drop(const DownloadPtr& download, const StreamPtr& stream) {
    stream->dropped = true;
    http_.cancel(stream->request);
    paused_.remove(stream);
    --connections_;
    download->streams.remove(stream);
  }

  void cutShort(const DownloadPtr& download) {
    for (const StreamPtr& stream :
         std::vector(download->streams.begin(), download->streams.end())) {
      if (stream->headJudged) {
        stream->cut |= download->plan.cutShort(stream->stretch);
      } else {  // an answer is judged by what was asked for
        drop(download, stream);
        download->plan.giveBack(std::move(stream->stretch));
      }
    }
  }

  // Those that do not yield, in order of arrival, then those that do.
  std::vector<DownloadPtr> inOrder() const {
    std::vector<DownloadPtr> all(downloads_.begin(), downloads_.end());
    std::stable_partition(all.begin(), all.end(), [](const auto& one) { return !one->yields; });
    return all;
  }

  // One that yields has no connection of its own while all of them together have their trickle.
  bool mayConnect(const DownloadPtr& download) const {
    if (!download->yields) return true;
    int trickling = 0;
    bool alone = true;
    for (const DownloadPtr& other : downloads_) {
      if (!other->yields) {
        alone = false;
      } else {
        trickling += static_cast<int>(other->streams.size());
      }
    }
    return alone || trickling < kTrickleConnections;
  }

  // Gives free connections to downloads: first one to each in order of arrival, then more of them
  // to those that have work, as far as the governor finds them worthwhile.
  void assign() {
    if (closing_) return;
    for (const DownloadPtr& download : inOrder()) {
      if (connections_ >= options_.connectionsMax) break;
      if (!mayConnect(download)) continue;
      if (download->phase == Phase::kWaiting) {
        if (!resting()) resolve(download);
      } else if (download->streams.empty()) {
        startStream(download);
      }
    }
    wantedMore_ = false;
    bool started = true;
    while (started) {
      started = false;
      for (const DownloadPtr& download : inOrder()) {
        if (download->phase != Phase::kReady || download->sequential || !download->plan.hasWork() ||
            download->streams.size() >= download->streamsMax() || !mayConnect(download)) {
          continue;
        }
        wantedMore_ = true;
        if (connections_ < governor_.target()) started |= startStream(download);
      }
    }
  }

  bool ofHub(const std::string& url) const { return webOrigin(url).value_or("") == origin_; }

  // The hub wants to be left alone; afterwards it goes on by itself.
  bool resting() {
    const HubRest* rest = options_.patience.rest;
    const absl::Duration left = rest == nullptr ? absl::ZeroDuration() : rest->left(absl::Now());
    if (left <= absl::ZeroDuration()) return false;
    if (!std::exchange(waking_, true)) {
      http_.after(left, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self) return;
        self->waking_ = false;
        self->assign();
      });
    }
    return true;
  }

  // Asks the hub where the file is.
  void resolve(const DownloadPtr& download) {
    download->phase = Phase::kResolving;
    ++connections_;
    HubCall call{HttpMethod::kHead,
                 resolveUrl(download->site.repo, download->site.commit, download->site.path),
                 download->subject()};
    call.mayLeave = true;
    call.token = download->token ? download->token : token_;
    call.allowed = [download] { return !download->stopped; };
    calls_.ask(std::move(call),
               [weak = weak_from_this(), download](absl::StatusOr<HubReply> reply) {
                 if (const auto self = weak.lock()) self->onResolved(download, std::move(reply));
               });
  }

  void onResolved(const DownloadPtr& download, absl::StatusOr<HubReply> reply) {
    --connections_;
    if (download->phase == Phase::kEnded) return assign();
    if (!reply.ok()) return end(download, reply.status());
    const bool leaves = !reply->elsewhere.empty();
    const HttpHead& last = reply->heads.back();
    const auto said = [&](absl::string_view linked, absl::string_view own) {
      const std::string* value = reply->find(linked);
      return value != nullptr || leaves ? value : last.find(own);
    };
    const absl::Status status =
        judgeMetadata(said("x-linked-etag", "etag"), said("x-linked-size", "content-length"),
                      download->blob, download->subject());
    if (!status.ok()) return end(download, status);
    download->url = leaves ? reply->elsewhere : reply->url;
    download->mayBeExpired = reply->heads.size() > 1 || leaves;
    download->phase = Phase::kReady;
    assign();
  }

  bool startStream(const DownloadPtr& download) {
    if (download->phase != Phase::kReady || !download->plan.hasWork()) return false;
    if (ofHub(download->url) && resting()) return false;
    auto stream = std::make_shared<Stream>();
    stream->stretch = download->plan.take();
    stream->url = download->url;
    download->streams.push_back(stream);
    ++connections_;
    send(download, stream);
    return true;
  }

  void send(const DownloadPtr& download, const StreamPtr& stream) {
    if (download->stopped) return;  // the posted end() is on its way
    if (absl::Now() > download->until) {
      download->stopped = true;
      http_.post([weak = weak_from_this(), download] {
        const auto self = weak.lock();
        if (self) self->end(download, absl::AbortedError("the lease of this download has ended"));
      });
      return;
    }
    stream->generation = download->generation;
    stream->headJudged = false;
    stream->stoppedForStatus = false;
    HttpRequest request;
    request.url = stream->url;
    request.ownConnection = true;
    request.stallTimeout = options_.patience.stall;
    if (!download->sequential && !download->plan.whole(stream->stretch)) {
      request.range = HttpRange{stream->stretch.next, stream->stretch.end - 1};
    }
    const TokenSource& source = download->token ? download->token : token_;
    if (std::optional<Token> token = source ? source() : std::nullopt) {
      request.credential = HttpCredential{*std::move(token), origin_, options_.scheme};
    }
    request.onBody = [weak = weak_from_this(), download, stream](const HttpHead& head,
                                                                 absl::string_view bytes) {
      const auto self = weak.lock();
      return self ? self->onBody(download, stream, head, bytes) : BodyAction::kStop;
    };
    stream->request = http_.start(std::move(request),
                                  [weak = weak_from_this(), download, stream](HttpResult result) {
                                    if (const auto self = weak.lock())
                                      self->onEnd(download, stream, std::move(result));
                                  });
  }

  BodyAction onBody(const DownloadPtr& download, const StreamPtr& stream, const HttpHead& head,
                    absl::string_view bytes) {
    if (stream->dropped || download->stopped) return BodyAction::kStop;
    if (!stream->headJudged && !judgeHead(download, stream, head)) return BodyAction::kStop;
    if (const absl::Duration wait = mustWait(*download); wait > absl::ZeroDuration()) {
      http_.after(wait, [&http = http_, stream] {
        if (!stream->dropped) http.resume(stream->request);
      });
      return BodyAction::kPause;
    }
    const absl::string_view fresh = bytes.substr(stream->taken);
    const uint64_t before = stream->stretch.next;
    const size_t taken = download->plan.feed(stream->stretch, fresh, *room_, [&](auto piece) {
      if (!download->stopped) download->onPiece(std::move(piece));
    });
    bytes_ += taken;
    periodBytes_ += taken;
    charge(*download, taken);
    progress(download, stream->stretch.next - before);
    if (download->sequential && download->plan.done()) return BodyAction::kStop;
    if (taken == fresh.size()) {
      stream->taken = 0;
      return BodyAction::kTaken;
    }
    if (stream->stretch.next == stream->stretch.end) {
      if (stream->cut) return BodyAction::kStop;
      stream->fatal = absl::DataLossError(
          sentence(absl::StrCat(download->site.repo.origin().url(), " has other content for ",
                                download->subject().toString()),
                   absl::StrCat("it sends more than byte ", stream->stretch.end), ""));
      return BodyAction::kStop;
    }
    stream->taken += taken;
    paused_.push_back(stream);
    return BodyAction::kPause;
  }

  // By the limits. Not longer than a while: they may be changed.
  absl::Duration mustWait(const Download& download) const {
    const absl::Time now = absl::Now();
    absl::Duration wait = absl::ZeroDuration();
    if (options_.limit != nullptr) wait = options_.limit->left(now);
    if (download.pace) wait = std::max(wait, download.pace->left(now));
    return std::min(wait, kLimitLook);
  }

  void charge(const Download& download, uint64_t bytes) const {
    const absl::Time now = absl::Now();
    if (options_.limit != nullptr) options_.limit->take(bytes, now);
    if (download.pace) download.pace->take(bytes, now);
  }

  // True if the body that follows is bytes of the blob.
  bool judgeHead(const DownloadPtr& download, const StreamPtr& stream, const HttpHead& head) {
    const auto answer = judgeAnswer(head, stream->stretch, download->blob, download->subject());
    if (!answer.ok()) {
      stream->fatal = answer.status();
      return false;
    }
    if (*answer == HubAnswer::kStatus) {
      stream->stoppedForStatus = true;
      return false;
    }
    stream->headJudged = true;
    if (*answer == HubAnswer::kWhole && !download->plan.whole(stream->stretch)) {
      readWhole(download, stream);
    }
    return true;
  }

  // The server has no ranges: this stream goes on alone, from the start of the file.
  void readWhole(const DownloadPtr& download, const StreamPtr& stream) {
    download->sequential = true;
    for (const StreamPtr& other : std::vector(download->streams.begin(), download->streams.end())) {
      if (other != stream) drop(download, other);
    }
    download->plan.restartWhole();
    stream->stretch = download->plan.take();
  }

  void progress(const DownloadPtr& download, uint64_t bytes) {
    download->progressBytes += bytes;
    if (download->progressBytes >= kHubProgressBytes) download->backoff.progress();
  }

  void resumePaused() {
    for (const StreamPtr& stream : std::exchange(paused_, {})) {
      http_.resume(stream->request);
    }
  }

  void onEnd(const DownloadPtr& download, const StreamPtr& stream, HttpResult result) {
    if (stream->dropped || download->stopped) return;  // if stopped, end() is on its way
    paused_.remove(stream);
    stream->taken = 0;
    const bool judged = stream->headJudged || stream->stoppedForStatus || !stream->fatal.ok();
    if (!judged && result.status.ok()) judgeHead(download, stream, result.head);  // no body came
    if (!stream->fatal.ok()) return end(download, stream->fatal);
    if (stream->stoppedForStatus) {
      result.status = absl::OkStatus();
      if (result.head.status >= 300 && result.head.status < 400 && result.head.status != 304) {
        return follow(download, stream, result.head);
      }
    }
    if (download->plan.done()) return end(download, absl::OkStatus());
    drop(download, stream);
    const bool complete = stream->stretch.next == stream->stretch.end;
    if (download->sequential) {
      download->plan.restartWhole();
    } else {
      keepPartialIfRoom(stream->stretch);
      download->plan.giveBack(std::move(stream->stretch));
    }
    if (!complete || download->sequential) onBroken(download, stream, result);
    assign();
  }

  // Stretches without a connection keep at most half of the room, so that those with one always get
  // some.
  void keepPartialIfRoom(HubStretch& stretch) {
    if (room_->free() < static_cast<size_t>(options_.connectionsMax)) {
      HubPlan::forgetPartial(stretch);
    }
  }

  // The stream ended before its stretch did.
  void onBroken(const DownloadPtr& download, const StreamPtr& stream, const HttpResult& result) {
    if (stream->generation != download->generation) return;  // the same failure as another stream's
    const int status = result.head.status;
    HubVerdict verdict =
        judge(result, download->subject(), download->token != nullptr || token_ != nullptr);
    const bool refused = stream->stoppedForStatus;
    const bool expired = refused && download->mayBeExpired && !verdict.retry;
    if (refused && (status == 429 || status == 503)) governor_.onRefused();
    if (verdict.status.ok()) {
      verdict.status = absl::UnavailableError(
          sentence(absl::StrCat(download->site.repo.origin().url(), " did not give ",
                                download->subject().toString()),
                   "the answer ended too early", ""));
    } else if (expired) {
      verdict.status = absl::UnavailableError(
          sentence(absl::StrCat("the download of ", download->subject().toString(), " from ",
                                urlForPeople(stream->url)),
                   absl::StrCat("HTTP ", status), ""));
    } else if (!verdict.retry) {
      return end(download, std::move(verdict.status));
    }
    if (verdict.wait && ofHub(stream->url) && options_.patience.rest != nullptr) {
      options_.patience.rest->told(*verdict.wait, absl::Now());
    }
    const auto pause = download->backoff.next(verdict.wait, random_);
    if (!pause) return end(download, std::move(verdict.status));
    ++download->generation;
    download->progressBytes = 0;
    download->phase = Phase::kPausing;
    http_.after(*pause, [weak = weak_from_this(), download, expired] {
      const auto self = weak.lock();
      if (!self || download->phase != Phase::kPausing) return;
      // A signed URL may also have expired behind a cut connection, but then it says so next time.
      download->phase = expired ? Phase::kWaiting : Phase::kReady;
      self->assign();
    });
  }

  void follow(const DownloadPtr& download, const StreamPtr& stream, const HttpHead& head) {
    const std::string* location = head.find("location");
    const auto target = followed(stream->url, location == nullptr ? "" : *location);
    const absl::string_view why = ++stream->hops > kHubRedirectsMax ? "too many redirects"
                                  : target.ok()                     ? absl::string_view("")
                                                                    : target.status().message();
    if (!why.empty()) {
      return end(download, absl::InternalError(
                               sentence(absl::StrCat("cannot follow ", urlForPeople(stream->url),
                                                     " to ", download->subject().toString()),
                                        why, "")));
    }
    stream->url = *target;
    send(download, stream);
  }

  // Measures while there is something to measure.
  void keepGoverning() {
    if (std::exchange(governing_, true)) return;
    periodBytes_ = 0;
    scheduleGoverning();
  }

  void scheduleGoverning() {
    http_.after(kGovernorPeriod, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->governor_.onPeriod(std::exchange(self->periodBytes_, 0), self->wantedMore_);
      self->assign();
      self->governing_ = !self->downloads_.empty();
      if (self->governing_) self->scheduleGoverning();
    });
  }

  HttpClient& http_;
  HubCalls calls_;
  const std::string origin_;  // that tokens go to
  const TokenSource token_;
  const Options options_;
  std::atomic<uint64_t> bytes_ = 0;

  std::mutex mutex_;  // guards the next two
  uint64_t lastId_ = 0;
  std::map<HubDownloadId, DownloadPtr> known_;

  // Hub thread only.
  std::list<DownloadPtr> downloads_;
  std::list<StreamPtr> paused_;
  HubGovernor governor_;
  std::shared_ptr<HubRoom> room_;
  absl::BitGen random_;
  int connections_ = 0;  // streams and resolves
  uint64_t periodBytes_ = 0;
  bool wantedMore_ = false;
  bool governing_ = false;
  bool closing_ = false;
  bool waking_ = false;  // assign() is due at the end of the hub's pause
};

HubLane::HubLane(const HubOrigin& origin, HttpClient& http, TokenSource token, Options options)
    : work_(std::make_shared<Work>(origin, http, std::move(token), options)) {
  work_->listen();
}

HubLane::~HubLane() {
  std::promise<void> closed;
  if (!work_->post([&] {
        work_->close();
        closed.set_value();
      })) {
    return;
  }
  closed.get_future().wait();
}

HubDownloadId HubLane::start(Order order, OnPiece onPiece, Done done) {
  return work_->add(std::move(order), std::move(onPiece), std::move(done));
}

void HubLane::stop(HubDownloadId id) {
  work_->stop(id);
}

void HubLane::setLimit(HubDownloadId id, uint64_t piece, uint64_t underWayMax, absl::Time until,
                       bool yields, std::shared_ptr<RateLimit> pace) {
  work_->setLimit(id, piece, underWayMax, until, yields, std::move(pace));
}

uint64_t HubLane::bytesDownloaded() const {
  return work_->bytesDownloaded();
}

}  // namespace roost
