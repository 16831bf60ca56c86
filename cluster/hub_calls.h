// One question to the hub, asked until it is answered: redirects inside the hub's origin are
// followed by hand, what may pass is asked again with a jittered back-off, nothing is asked while
// the hub wants to be left alone, and the token goes to the hub's origin only.
//
// Threads: ask() from any thread; callbacks on the hub thread. Errors: hub_errors.h.
#ifndef ROOST_CLUSTER_HUB_CALLS_H_
#define ROOST_CLUSTER_HUB_CALLS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cache/hub_token.h"
#include "cluster/http_client.h"
#include "cluster/hub_errors.h"
#include "cluster/hub_rest.h"

namespace roost {

// Where a token comes from: asked for each request, so that a changed token file takes effect.
// None: anonymous. Called on the hub thread; must not block for long.
using TokenSource = std::function<std::optional<Token>()>;

// How often and how long a question is repeated.
struct HubPatience {
  int tries = kHubTriesMax;
  absl::Duration firstPause = absl::Milliseconds(500);  // doubles each time, ± half
  absl::Duration total = kHubRetryTotal;                // of all pauses
  absl::Duration stall = kHubStallTimeout;              // whole seconds
  absl::Duration answer = kHubJsonTimeout;              // for a whole API answer
  HubRest* rest = nullptr;  // the cluster's pause; must outlive the calls; null: none is kept
};

// The pauses of one question.
class HubBackoff {
 public:
  explicit HubBackoff(const HubPatience& patience) : patience_(patience) {}
  // The pause before the next try, or none if the last one was the last. `asked`: the hub's own
  // word, which is honoured unless it exceeds what is left of the total.
  std::optional<absl::Duration> next(std::optional<absl::Duration> asked, absl::BitGen& random);
  void progress() { *this = HubBackoff(patience_); }

 private:
  HubPatience patience_;
  int failures_ = 0;
  absl::Duration spent_;
};

struct HubCall {
  HttpMethod method = HttpMethod::kGet;
  std::string url;  // on the hub's origin
  HubSubject subject;
  size_t bodyBytesMax = 1 << 20;
  bool mayLeave = false;  // a redirect to another origin is an answer (elsewhere), not an error
  TokenSource token = nullptr;
  std::function<bool()> allowed = nullptr;  // asked before each request; false ends with kCancelled
};

struct HubReply {
  std::vector<HttpHead> heads;  // of each hop, in order
  std::string body;             // of the last
  std::string url;              // of the last
  std::string elsewhere;        // where the last one redirects to, if that is another origin
  // The first hop that has it: metadata stands on the hub's first answer, never on the CDN's.
  const std::string* find(absl::string_view lowerName) const;
};

class HubCalls {
 public:
  using Done = std::function<void(absl::StatusOr<HubReply>)>;
  // `origin` is the one hub that gets tokens. `http` must outlive this.
  HubCalls(const HubOrigin& origin, HttpClient& http, HubPatience patience);
  ~HubCalls();  // calls in progress go on to their callbacks

  void ask(HubCall call, Done done);

  // Ok if the repo is of this hub: one of another hub (peers advertise any) is never asked for
  // here.
  absl::Status belongs(const RepoId& repo) const;

 private:
  struct Question;
  struct Common;
  static absl::Status restingStatus(const Question& question, absl::Duration left);
  static void send(std::shared_ptr<Question> question);
  static void onResult(const std::shared_ptr<Question>& question, HttpResult result);
  static void follow(const std::shared_ptr<Question>& question, HttpResult result,
                     const std::string& location);
  std::shared_ptr<Common> common_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_CALLS_H_
