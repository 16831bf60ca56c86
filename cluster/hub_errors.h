// What a hub's answer means: an error code of ours with a sentence, and whether asking again helps.
// The X-Error-Code header decides where it is present, as in huggingface_hub's hf_raise_for_status.
//
// Threads: any (pure functions).
// Errors: kNotFound (repo, revision or file: named), kPermissionDenied (gated, private, bad token:
// with the fix), kUnavailable (429, 5xx, no connection, time-outs: names the hub and why),
// kCancelled, kInternal (an answer that no hub gives).
#ifndef ROOST_CLUSTER_HUB_ERRORS_H_
#define ROOST_CLUSTER_HUB_ERRORS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/http_client.h"
#include "protocol/names.h"

namespace roost {

// What was asked for, for the sentence.
struct HubSubject {
  RepoId repo;
  std::string revision;          // empty: none
  std::string path;              // empty: none
  std::string toString() const;  // "model.safetensors of org/model at main"
};

struct HubVerdict {
  absl::Status status;                                // ok for 2xx and for redirects
  bool retry = false;                                 // the same question may be answered later
  std::optional<absl::Duration> wait = std::nullopt;  // the hub said when
};

// `withToken`: a token was sent.
HubVerdict judge(const HttpResult& result, const HubSubject& subject, bool withToken);

// Retry-After in seconds, or t of `ratelimit: "api";r=0;t=55`.
std::optional<absl::Duration> waitAsked(const HttpHead& head);

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_ERRORS_H_
