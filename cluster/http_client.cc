#include "cluster/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cluster/hub_urls.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr long kKeptConnections = 64;  // open to the hub and its file hosts, for the next request

using Clock = std::chrono::steady_clock;
constexpr long kReceiveBufferBytes = 256 << 10;  // fewer callbacks at gigabytes a second
constexpr int kPollMillisMax = 1000;
constexpr int kProxyAuthentication = 407;
constexpr size_t kRepeatedTokenBytesMin = 8;  // shorter "tokens" would blot out ordinary words

// One request on its way; owned by the loop, its address is known to libcurl.
struct Transfer {
  HttpRequestId id;
  HttpRequest request;
  HttpDone done;
  CURL* easy = nullptr;
  curl_slist* headerList = nullptr;
  std::array<char, CURL_ERROR_SIZE> errorText{};
  HttpHead head;
  size_t headBytes = 0;
  std::string body;
  absl::Status ended;  // why a callback ended it
  bool cancelled = false;

  ~Transfer() {
    curl_slist_free_all(headerList);
    if (easy != nullptr) curl_easy_cleanup(easy);
  }
};

size_t onHeader(char* text, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.cancelled) return 0;
  absl::string_view line = absl::StripAsciiWhitespace(absl::string_view(text, size));
  transfer.headBytes += size;
  if (transfer.headBytes > kHttpHeadBytesMax) {
    transfer.ended = absl::InternalError("the answer's headers are too large");
    return 0;
  }
  if (absl::StartsWith(line, "HTTP/")) {  // also after "100 Continue"
    transfer.head = HttpHead{};
    long status = 0;
    const size_t space = line.find(' ');
    if (space != absl::string_view::npos && !absl::SimpleAtoi(line.substr(space + 1, 3), &status)) {
      status = 0;
    }
    transfer.head.status = static_cast<int>(status);
  } else if (const size_t colon = line.find(':'); colon != absl::string_view::npos) {
    transfer.head.headers.emplace_back(
        absl::AsciiStrToLower(line.substr(0, colon)),
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1))));
  }
  return size;
}

size_t onBody(char* bytes, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.cancelled) return 0;
  if (transfer.head.status == kProxyAuthentication) return size;  // the proxy's, for nobody
  if (!transfer.request.onBody) {
    if (transfer.body.size() + size > transfer.request.bodyBytesMax) {
      transfer.ended = absl::InternalError(
          absl::StrCat("the answer is larger than ", transfer.request.bodyBytesMax, " bytes"));
      return 0;
    }
    transfer.body.append(bytes, size);
    return size;
  }
  switch (transfer.request.onBody(transfer.head, absl::string_view(bytes, size))) {
    case BodyAction::kTaken:
      return size;
    case BodyAction::kPause:
      return CURL_WRITEFUNC_PAUSE;
    case BodyAction::kStop:
      break;
  }
  transfer.ended = absl::CancelledError("stopped");
  return 0;
}

size_t onUpload(char* to, size_t, size_t room, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.cancelled) return CURL_READFUNC_ABORT;
  const HttpUpload::Read read = transfer.request.stream->read(to, room);
  switch (read.has) {
    case HttpUpload::Has::kBytes:
      return read.size;
    case HttpUpload::Has::kWait:
      return CURL_READFUNC_PAUSE;
    case HttpUpload::Has::kEnd:
      return 0;
    case HttpUpload::Has::kStop:
      break;
  }
  transfer.ended = absl::CancelledError("stopped");
  return CURL_READFUNC_ABORT;
}

// Why a proxy, and not the server, refused; ok if none did. Only proxies answer 407.
absl::Status proxyStatus(const Transfer& transfer) {
  long connected = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_HTTP_CONNECTCODE, &connected);
  if (connected == kProxyAuthentication || transfer.head.status == kProxyAuthentication) {
    return absl::UnavailableError(
        "the proxy refuses this agent without a user and a password, or with these (407): give "
        "the agent https_proxy=http://USER:PASSWORD@HOST:PORT");
  }
  if (connected >= 300) {
    return absl::UnavailableError(
        absl::StrCat("the proxy refuses to connect to the hub: it answers ", connected));
  }
  return absl::OkStatus();
}

// What libcurl says of itself, without what it may repeat of a proxy's URL.
std::string reasonOf(const Transfer& transfer, CURLcode code) {
  const absl::string_view said = transfer.errorText.data();
  if (absl::StrContains(said, "Unsupported proxy") || absl::StrContains(said, "@")) {
    return absl::StrCat(curl_easy_strerror(code),
                        ". Look at https_proxy, http_proxy and all_proxy in its environment");
  }
  std::string why(said.empty() ? curl_easy_strerror(code) : said);
  if (code == CURLE_PEER_FAILED_VERIFICATION) {
    absl::StrAppend(&why,
                    ". If the hub's certificate comes from a CA of your own, name its file "
                    "with --ca-file FILE");
  }
  return why;
}

absl::Status transportStatus(const Transfer& transfer, CURLcode code) {
  if (transfer.cancelled) return absl::CancelledError("cancelled");
  if (!transfer.ended.ok()) return transfer.ended;
  if (const absl::Status status = proxyStatus(transfer); !status.ok()) return status;
  if (code == CURLE_OK) {
    return transfer.head.status != 0 ? absl::OkStatus()
                                     : absl::UnavailableError("the answer has no status");
  }
  const std::string why = reasonOf(transfer, code);
  return code == CURLE_OPERATION_TIMEDOUT ? absl::DeadlineExceededError(why)
                                          : absl::UnavailableError(why);
}

long millisOf(absl::Duration duration) {
  return duration == absl::InfiniteDuration()
             ? 0  // libcurl: no limit
             : static_cast<long>(std::max<int64_t>(1, absl::ToInt64Milliseconds(duration)));
}

// kOk with the header line, or nothing where the request goes without a token.
absl::StatusOr<std::string> authorization(const HttpRequest& request) {
  ROOST_ASSIGN_OR_RETURN(const std::string origin, webOrigin(request.url));
  if (!request.credential || request.credential->origin != origin) return std::string();
  return absl::StrCat("Authorization: ", request.credential->scheme, " ",
                      request.credential->token.reveal());
}

// What has no end that libcurl knows of before goes out in chunks.
void streamUpload(Transfer& transfer) {
  const HttpUpload& stream = *transfer.request.stream;
  CURL* easy = transfer.easy;
  curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                   stream.length ? static_cast<curl_off_t>(*stream.length) : curl_off_t{-1});
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, onUpload);
  curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
  // A kept connection may turn out to be dead: libcurl would send the body again from its start,
  // which is gone.
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
}

absl::Status prepare(Transfer& transfer, const HttpClient::Options& options) {
  const HttpRequest& request = transfer.request;
  ROOST_ASSIGN_OR_RETURN(const std::string authorizationLine, authorization(request));
  transfer.easy = curl_easy_init();
  if (transfer.easy == nullptr) return absl::InternalError("cannot make an HTTP request");
  const auto add = [&](const std::string& line) {
    if (curl_slist* grown = curl_slist_append(transfer.headerList, line.c_str())) {
      transfer.headerList = grown;
    }
  };
  if (!authorizationLine.empty()) add(authorizationLine);
  for (const auto& [name, value] : request.headers) add(absl::StrCat(name, ": ", value));
  if (!request.mayCompress) add("Accept-Encoding: identity");
  // Otherwise libcurl decides by the size whether it waits for "100 Continue" first.
  const bool asksFirst = request.stream && request.stream->asksFirst;
  if (request.upload || request.stream) add(asksFirst ? "Expect: 100-continue" : "Expect:");

  CURL* easy = transfer.easy;
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, options.userAgent.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headerList);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.errorText.data());
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, onHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, onBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, millisOf(request.connectTimeout));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, millisOf(request.totalTimeout));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                   std::max(1L, millisOf(request.stallTimeout) / 1000));
  if (request.method == HttpMethod::kHead) curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (request.stream) streamUpload(transfer);
  if (request.upload) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.upload->size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.upload->data());
  }
  if (!request.verb.empty()) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.verb.c_str());
  if (request.mayCompress) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
  if (request.ownConnection) {
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  }
  if (request.range) {
    curl_easy_setopt(easy, CURLOPT_RANGE,
                     absl::StrCat(request.range->first, "-", request.range->last).c_str());
  }
  if (!options.caFile.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options.caFile.c_str());
  return absl::OkStatus();
}

// A server that repeats the token in an answer must not bring it into an error text or a log.
void hide(const Token& token, HttpResult& result) {
  if (token.reveal().size() < kRepeatedTokenBytesMin) return;
  const auto hidden = [&](std::string& text) {
    if (absl::StrContains(text, token.reveal())) {
      text = absl::StrReplaceAll(text, {{token.reveal(), "[token]"}});
    }
  };
  for (auto& [name, value] : result.head.headers) hidden(value);
  hidden(result.body);
  std::string why(result.status.message());
  hidden(why);
  if (why != result.status.message()) result.status = absl::Status(result.status.code(), why);
}

}  // namespace

const std::string* HttpHead::find(absl::string_view lowerName) const {
  for (const auto& [name, value] : headers) {
    if (name == lowerName) return &value;
  }
  return nullptr;
}

class HttpClient::Loop {
 public:
  explicit Loop(Options options) : options_(std::move(options)) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    multi_ = curl_multi_init();
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kKeptConnections);
    thread_ = std::thread([this] { run(); });
  }

  ~Loop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    curl_multi_wakeup(multi_);
    thread_.join();
    curl_multi_cleanup(multi_);
  }

  HttpRequestId start(HttpRequest request, HttpDone done) {
    auto transfer = std::make_unique<Transfer>();
    transfer->request = std::move(request);
    transfer->done = std::move(done);
    HttpRequestId id;
    {
      const std::lock_guard lock(mutex_);
      id = HttpRequestId{++lastId_};
      transfer->id = id;
      incoming_.push_back(std::move(transfer));
    }
    curl_multi_wakeup(multi_);
    return id;
  }

  bool post(std::function<void()> job) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return false;
      posted_.push_back(std::move(job));
    }
    curl_multi_wakeup(multi_);
    return true;
  }

  // Hub thread only, as everything below.
  void addTimer(Clock::time_point due, std::function<void()> job) {
    timers_.emplace(due, std::move(job));
  }

  void cancel(HttpRequestId id) {
    if (const auto it = active_.find(id); it != active_.end()) {
      it->second->cancelled = true;
      end(id, CURLE_ABORTED_BY_CALLBACK);
      return;
    }
    const auto it = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const auto& transfer) { return transfer->id == id; });
    if (it == waiting_.end()) return;
    auto transfer = std::move(*it);
    waiting_.erase(it);
    transfer->done(HttpResult{absl::CancelledError("cancelled"), {}, {}});
  }

  void resume(HttpRequestId id) {
    if (const auto it = active_.find(id); it != active_.end()) {
      curl_easy_pause(it->second->easy, CURLPAUSE_CONT);
    }
  }

  bool onThread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void run() {
    while (takePosted()) {
      runTimers();
      startWaiting();
      int running = 0;
      curl_multi_perform(multi_, &running);
      const bool ended = endFinished();
      if (!ended || waiting_.empty()) curl_multi_poll(multi_, nullptr, 0, pollMillis(), nullptr);
    }
    do {  // an ended request may have been the reason for a new one
      takePosted();
      while (!active_.empty()) cancel(active_.begin()->first);
      while (!waiting_.empty()) cancel(waiting_.front()->id);
    } while (anyIncoming());
  }

  bool anyIncoming() {
    const std::lock_guard lock(mutex_);
    return !incoming_.empty();
  }

  // False when the client is being destroyed.
  bool takePosted() {
    std::vector<std::unique_ptr<Transfer>> incoming;
    std::vector<std::function<void()>> posted;
    bool stopping = false;
    {
      const std::lock_guard lock(mutex_);
      incoming.swap(incoming_);
      posted.swap(posted_);
      stopping = stopping_;
    }
    for (auto& transfer : incoming) {
      if (waiting_.size() >= options_.queueMax) {
        transfer->done(HttpResult{absl::AbortedError("too many requests wait already"), {}, {}});
      } else {
        waiting_.push_back(std::move(transfer));
      }
    }
    for (auto& job : posted) job();
    return !stopping;
  }

  void runTimers() {
    const Clock::time_point now = Clock::now();
    while (!timers_.empty() && timers_.begin()->first <= now) {
      auto job = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      job();
    }
  }

  void startWaiting() {
    while (!waiting_.empty() && active_.size() < options_.transfersMax) {
      std::unique_ptr<Transfer> transfer = std::move(waiting_.front());
      waiting_.pop_front();
      if (const absl::Status status = prepare(*transfer, options_); !status.ok()) {
        transfer->done(HttpResult{status, {}, {}});
        continue;
      }
      curl_multi_add_handle(multi_, transfer->easy);
      const HttpRequestId id = transfer->id;
      active_.emplace(id, std::move(transfer));
    }
  }

  bool endFinished() {
    bool any = false;
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      void* user = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
      end(static_cast<Transfer*>(user)->id, message->data.result);
      any = true;
    }
    return any;
  }

  void end(HttpRequestId id, CURLcode code) {
    const auto it = active_.find(id);
    std::unique_ptr<Transfer> transfer = std::move(it->second);
    active_.erase(it);
    curl_multi_remove_handle(multi_, transfer->easy);
    HttpResult result{transportStatus(*transfer, code), std::move(transfer->head),
                      std::move(transfer->body)};
    if (transfer->request.credential) hide(transfer->request.credential->token, result);
    transfer->done(std::move(result));
  }

  int pollMillis() {
    {
      const std::lock_guard lock(mutex_);
      if (!posted_.empty() || !incoming_.empty() || stopping_) return 0;
    }
    if (timers_.empty()) return kPollMillisMax;
    const auto wait =
        std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
    return static_cast<int>(std::clamp<int64_t>(wait.count(), 0, kPollMillisMax));
  }

  const Options options_;
  CURLM* multi_ = nullptr;

  std::mutex mutex_;  // guards the next four
  uint64_t lastId_ = 0;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Transfer>> incoming_;
  std::vector<std::function<void()>> posted_;

  // Hub thread only.
  std::deque<std::unique_ptr<Transfer>> waiting_;
  std::unordered_map<HttpRequestId, std::unique_ptr<Transfer>> active_;
  std::multimap<Clock::time_point, std::function<void()>> timers_;

  std::thread thread_;
};

HttpClient::HttpClient(Options options) : loop_(std::make_unique<Loop>(std::move(options))) {}

HttpClient::~HttpClient() = default;

HttpRequestId HttpClient::start(HttpRequest request, HttpDone done) {
  return loop_->start(std::move(request), std::move(done));
}

void HttpClient::cancel(HttpRequestId id) {
  post([loop = loop_.get(), id] { loop->cancel(id); });
}

void HttpClient::resume(HttpRequestId id) {
  post([loop = loop_.get(), id] { loop->resume(id); });
}

bool HttpClient::post(std::function<void()> job) {
  return loop_->post(std::move(job));
}

void HttpClient::after(absl::Duration delay, std::function<void()> job) {
  const auto due = Clock::now() + absl::ToChronoNanoseconds(delay);
  post([loop = loop_.get(), due, job = std::move(job)]() mutable {
    loop->addTimer(due, std::move(job));
  });
}

bool HttpClient::onThread() const {
  return loop_->onThread();
}

}  // namespace roost
