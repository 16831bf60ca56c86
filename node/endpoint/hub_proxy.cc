#include "node/endpoint/hub_proxy.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cluster/hub_urls.h"
#include "node/await_callback.h"
#include "node/endpoint/upload_pipe.h"
#include "node/endpoint/url_rewriter.h"
#include "protocol/limits.h"
#include "protocol/socket_deadline.h"

namespace roost {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr size_t kWaitingBytesMax = 1 << 20;

// The body of a hub's answer between the hub thread and the lane.
class Pipe {
 public:
  explicit Pipe(HttpClient& http) : http_(http) {}

  // ---- Hub thread.
  BodyAction put(absl::string_view bytes) {
    std::function<void(bool)> waiter;
    {
      const std::lock_guard lock(mutex_);
      if (abandoned_) return BodyAction::kStop;
      if (size_ >= kWaitingBytesMax) {
        paused_ = true;
        return BodyAction::kPause;
      }
      chunks_.emplace_back(bytes);
      size_ += bytes.size();
      waiter = std::exchange(waiter_, nullptr);
    }
    if (waiter) waiter(true);
    return BodyAction::kTaken;
  }
  void end(absl::Status status) {
    std::function<void(bool)> waiter;
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      status_ = std::move(status);
      waiter = std::exchange(waiter_, nullptr);
    }
    if (waiter) waiter(true);
  }
  void setRequest(HttpRequestId id) {
    const std::lock_guard lock(mutex_);
    request_ = id;
    if (size_ < kWaitingBytesMax) goOn();  // it may have paused before it had a name here
  }

  // ---- Lane.
  void wait(std::function<void(bool)> done) {
    {
      const std::lock_guard lock(mutex_);
      if (chunks_.empty() && !ended_) {
        waiter_ = std::move(done);
        return;
      }
    }
    done(true);
  }
  // nullopt: the end, with its status.
  std::optional<std::string> take(absl::Status& status) {
    const std::lock_guard lock(mutex_);
    if (chunks_.empty()) {
      status = ended_ ? status_ : absl::UnavailableError("the agent is stopping");
      return std::nullopt;
    }
    std::string chunk = std::move(chunks_.front());
    chunks_.pop_front();
    size_ -= chunk.size();
    if (size_ < kWaitingBytesMax) goOn();
    return chunk;
  }
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    goOn();  // so that it sees that nobody reads
  }

 private:
  // Under the lock: a request that has not ended keeps its client alive.
  void goOn() {
    if (ended_ || !paused_ || request_ == HttpRequestId{}) return;
    paused_ = false;
    http_.resume(request_);
  }

  HttpClient& http_;
  std::mutex mutex_;
  std::deque<std::string> chunks_;
  size_t size_ = 0;
  bool paused_ = false;
  bool ended_ = false;
  bool abandoned_ = false;
  absl::Status status_;
  HttpRequestId request_{};
  std::function<void(bool)> waiter_;
};

class ProxyBody final : public BodyStream {
 public:
  // `endShows`: the hub's connection tells the body's end from a cut.
  ProxyBody(std::shared_ptr<Pipe> pipe, bool chunked, bool endShows,
            std::optional<UrlRewriter> rewriter)
      : pipe_(std::move(pipe)),
        chunked_(chunked),
        endShows_(endShows),
        rewriter_(std::move(rewriter)) {}
  ~ProxyBody() override { pipe_->abandon(); }

  bool copyTo(std::shared_ptr<BodyCopy> copy) override {
    if (!endShows_ || rewriter_) return false;
    copy_ = std::move(copy);
    return true;
  }

  asio::awaitable<absl::Status> send(tcp::socket& socket) override {
    while (true) {
      const std::function<void(std::function<void(bool)>)> start =
          [this](std::function<void(bool)> done) { pipe_->wait(std::move(done)); };
      co_await awaitCallback<bool>(start, false);
      absl::Status status;
      std::optional<std::string> chunk = pipe_->take(status);
      if (!chunk && !status.ok()) co_return status;
      std::string bytes = chunk.value_or("");
      if (rewriter_) bytes = chunk ? rewriter_->next(bytes) : rewriter_->rest();
      std::string out = chunked_ ? framed(bytes, !chunk) : std::move(bytes);
      if (!out.empty()) {
        boost::system::error_code ec;
        const SocketDeadline deadline(socket, kEndpointWriteTimeout);
        co_await asio::async_write(socket, asio::buffer(out),
                                   asio::redirect_error(asio::use_awaitable, ec));
        if (ec) co_return absl::UnavailableError(ec.message());
      }
      if (chunk && copy_) co_await copied(*chunk);
      if (!chunk && copy_) copy_->end();
      if (!chunk) co_return absl::OkStatus();
    }
  }

 private:
  // A copy that does not keep up is given up.
  asio::awaitable<void> copied(absl::string_view bytes) {
    if (copy_->put(bytes)) co_return;
    const std::function<void(std::function<void(bool)>)> start =
        [this](std::function<void(bool)> done) { copy_->whenRoom(std::move(done)); };
    AwaitTick patience;
    patience.period = kKeptPatience;
    patience.run = late;
    if (!co_await awaitTicking<bool>(start, false, patience)) copy_ = nullptr;
  }
  static asio::awaitable<absl::Status> late() {
    co_return absl::DeadlineExceededError("the disk is too slow");
  }
  static std::string framed(const std::string& bytes, bool last) {
    std::string out;
    if (!bytes.empty()) {
      out = absl::StrCat(absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
    }
    if (last) out += "0\r\n\r\n";
    return out;
  }
  const std::shared_ptr<Pipe> pipe_;
  const bool chunked_;
  const bool endShows_;
  std::optional<UrlRewriter> rewriter_;
  std::shared_ptr<BodyCopy> copy_;
};

// By its length, or by its last chunk; a body that a closed connection ends may lack anything. One
// that is encoded is not the file.
bool endShows(const HttpHead& head) {
  const std::string* coding = head.find("transfer-encoding");
  const bool chunked = coding != nullptr && absl::EqualsIgnoreCase(*coding, "chunked");
  return head.find("content-encoding") == nullptr &&
         (chunked || head.find("content-length") != nullptr);
}

bool isJson(const HttpHead& head) {
  const std::string* type = head.find("content-type");
  return type != nullptr &&
         (absl::StartsWith(*type, "application/json") || absl::StrContains(*type, "+json"));
}

HttpAnswer unreachable(const absl::Status& why) {
  HttpAnswer answer{.status = absl::IsDeadlineExceeded(why) ? 504 : 503};
  const std::string text = absl::StrCat("the hub cannot be reached: ", why.message());
  answer.headers = {{"Content-Type", "application/json"},
                    {"X-Error-Message", absl::StrReplaceAll(text, {{"\n", " "}, {"\r", " "}})}};
  answer.body = "{\"error\":\"the hub cannot be reached\"}";
  return answer;
}

}  // namespace

std::optional<Token> tokenOf(const HttpAsk& ask) {
  const std::string* value = ask.find("authorization");
  if (value == nullptr) return std::nullopt;
  absl::string_view text = *value;
  if (!absl::StartsWithIgnoreCase(text, "bearer ")) return std::nullopt;
  auto token = Token::parse(text.substr(7));
  if (!token.ok()) return std::nullopt;
  return *std::move(token);
}

bool goesToHub(absl::string_view name) {
  static const auto* kKept = new absl::flat_hash_set<absl::string_view>{"host",
                                                                        "connection",
                                                                        "keep-alive",
                                                                        "proxy-authorization",
                                                                        "proxy-connection",
                                                                        "te",
                                                                        "trailer",
                                                                        "transfer-encoding",
                                                                        "upgrade",
                                                                        "content-length",
                                                                        "expect",
                                                                        "accept-encoding",
                                                                        "authorization",
                                                                        "cookie",
                                                                        "forwarded",
                                                                        "via"};
  return !kKept->contains(name) && !absl::StartsWith(name, "x-forwarded-");
}

bool goesToClient(absl::string_view name, absl::string_view value) {
  static const auto* kKept =
      new absl::flat_hash_set<absl::string_view>{"connection",        "keep-alive",
                                                 "transfer-encoding", "content-length",
                                                 "content-encoding",  "trailer",
                                                 "upgrade",           "set-cookie",
                                                 "alt-svc",           "strict-transport-security"};
  if (absl::StartsWith(name, "x-xet-")) return false;
  if (name == "link" && absl::StrContains(value, "xet")) return false;
  return !kKept->contains(name);
}

HubProxy::HubProxy(const HubOrigin& origin, HttpClient& http, std::optional<HttpCredential> own)
    : base_(origin.url()),
      webOrigin_(webOrigin(origin.url()).value_or("")),
      http_(http),
      own_(std::move(own)) {}

std::string HubProxy::urlOf(const std::string& target) const {
  return absl::StrCat(base_, target);
}

std::optional<HttpCredential> HubProxy::credential(std::optional<Token> token) const {
  if (own_) return own_;
  if (!token) return std::nullopt;
  return HttpCredential{*std::move(token), webOrigin_};
}

void HubProxy::ask(Question question, std::function<void(HttpResult)> done) {
  HttpRequest request;
  request.method = question.method;
  request.verb = std::move(question.verb);
  request.upload = std::move(question.upload);
  request.url = urlOf(question.target);
  request.headers = std::move(question.headers);
  request.credential = credential(std::move(question.token));
  request.bodyBytesMax = kHubJsonBytesMax;
  request.mayCompress = true;
  request.connectTimeout = absl::Seconds(4);
  request.totalTimeout = question.timeout;
  http_.start(std::move(request), std::move(done));
}

// One request on its way to the hub, and perhaps on to where the hub sends it.
struct HubProxy::Forward {
  HttpClient& http;
  const std::string base;
  const std::string agent;
  HttpRequest request;                   // of the next hop
  std::shared_ptr<UploadSource> upload;  // its body
  bool writes = false;
  bool follow = false;
  int hops = 0;
  std::vector<HttpHead> before;  // of the redirects that were followed
  std::shared_ptr<Pipe> pipe;
  std::function<void(HttpAnswer)> done;
  bool answered = false;
};

// Where a redirect leads that is to be followed.
std::optional<std::string> HubProxy::nextHop(const Forward& forward, const HttpHead& said) {
  if (!forward.follow || said.status < 301 || said.status > 308 ||
      forward.hops >= kHubRedirectsMax) {
    return std::nullopt;
  }
  const std::string* location = said.find("location");
  if (location == nullptr) return std::nullopt;
  auto next = followed(forward.request.url, *location);
  if (!next.ok()) return std::nullopt;
  return *std::move(next);
}

HttpAnswer HubProxy::answerOf(const Forward& forward, const HttpHead& said) {
  // A refusal of the place where the bytes are says nothing about the file: the hub named it.
  if (!forward.before.empty() && said.status >= 400 && said.status != 416) {
    return unreachable(absl::UnavailableError(
        absl::StrCat("the place that it names for the file answers ", said.status)));
  }
  HttpAnswer answer{.status = said.status};
  for (const auto& [name, value] : said.headers) {
    if (!goesToClient(name, value)) continue;
    const bool leads = name == "link" || name == "location";
    // The place where the bytes are knows nothing of the repo: the hub said that before.
    if (name == "etag" && !forward.before.empty()) continue;
    answer.headers.emplace_back(
        name, leads ? absl::StrReplaceAll(value, {{forward.base, forward.agent}}) : value);
  }
  if (!forward.before.empty()) {
    const auto first = [&](absl::string_view name) -> const std::string* {
      for (const HttpHead& hop : forward.before) {
        if (const std::string* value = hop.find(name)) return value;
      }
      return said.find(name);
    };
    const std::string* etag = first("x-linked-etag");
    if (etag == nullptr) etag = said.find("etag");
    if (etag != nullptr) answer.headers.emplace_back("ETag", *etag);
    if (const std::string* commit = first("x-repo-commit");
        commit != nullptr && said.find("x-repo-commit") == nullptr) {
      answer.headers.emplace_back("X-Repo-Commit", *commit);
    }
  }
  uint64_t length = 0;
  if (const std::string* text = said.find("content-length");
      text != nullptr && absl::SimpleAtoi(*text, &length)) {
    answer.length = length;
  }
  return answer;
}

void HubProxy::send(const std::shared_ptr<Forward>& forward) {
  HttpRequest request = forward->request;
  request.onBody = [forward](const HttpHead& said, absl::string_view bytes) {
    if (nextHop(*forward, said)) return BodyAction::kTaken;  // of a redirect: nobody reads it
    if (!forward->answered) {
      forward->answered = true;
      HttpAnswer answer = answerOf(*forward, said);
      if (answer.body.empty()) {
        std::optional<UrlRewriter> rewriter;
        if (forward->writes && said.status < 300 && isJson(said)) {
          rewriter.emplace(forward->base, forward->agent);
          answer.length = std::nullopt;
        }
        answer.stream = std::make_shared<ProxyBody>(forward->pipe, !answer.length, endShows(said),
                                                    std::move(rewriter));
      }
      std::exchange(forward->done, nullptr)(std::move(answer));
    }
    return forward->pipe->put(bytes);
  };
  const HttpRequestId id = forward->http.start(std::move(request), [forward](HttpResult result) {
    if (forward->upload) forward->upload->abandon();
    if (result.status.ok() && !forward->answered) {
      if (auto next = nextHop(*forward, result.head)) {
        ++forward->hops;
        forward->before.push_back(std::move(result.head));
        forward->request.url = *std::move(next);
        return send(forward);
      }
    }
    if (!forward->answered) {
      forward->answered = true;
      std::exchange(forward->done, nullptr)(result.status.ok() ? answerOf(*forward, result.head)
                                                               : unreachable(result.status));
    }
    forward->pipe->end(result.status);
  });
  forward->pipe->setRequest(id);
  if (forward->upload) {
    forward->upload->onMore([&http = forward->http, id] { http.resume(id); });
  }
}

void HubProxy::forward(HttpAsk ask, const std::string& agent, bool follow,
                       std::function<void(HttpAnswer)> done) {
  std::string url = urlOf(ask.target);
  forwardTo(std::move(url), std::move(ask), agent, follow, std::move(done));
}

void HubProxy::forwardFrom(std::string url, HttpAsk ask, std::function<void(HttpAnswer)> done) {
  forwardTo(std::move(url), std::move(ask), base_, true, std::move(done));
}

void HubProxy::forwardTo(std::string url, HttpAsk ask, const std::string& agent, bool follow,
                         std::function<void(HttpAnswer)> done) {
  HttpRequest request;
  const bool writes = ask.method != "GET" && ask.method != "HEAD";
  if (ask.method == "HEAD") {
    request.method = HttpMethod::kHead;
  } else if (writes) {
    request.verb = ask.method;
    request.stallTimeout = kUploadStallTimeout;
    if (ask.upload) {
      request.stream = HttpUpload{
          .read = [source = ask.upload](char* to, size_t room) { return source->read(to, room); },
          .length = ask.upload->length,
          .asksFirst = ask.upload->asksFirst};
    } else if (!ask.body.empty() || ask.find("content-length") != nullptr ||
               ask.find("transfer-encoding") != nullptr) {
      request.upload = std::move(ask.body);
    }
  }
  request.url = std::move(url);
  for (const auto& [name, value] : ask.headers) {
    if (goesToHub(name)) request.headers.emplace_back(name, value);
  }
  request.credential = credential(tokenOf(ask));
  request.ownConnection = true;
  auto forward = std::make_shared<Forward>(Forward{.http = http_,
                                                   .base = base_,
                                                   .agent = agent,
                                                   .request = std::move(request),
                                                   .upload = std::move(ask.upload),
                                                   .writes = writes,
                                                   .follow = follow,
                                                   .pipe = std::make_shared<Pipe>(http_),
                                                   .done = std::move(done)});
  send(forward);
}

}  // namespace roost
