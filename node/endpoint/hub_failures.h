// Errors as the hub words them: clients decide by X-Error-Code, and remember what a 404 says. A
// failure of the hub is never one: that would tell them that a file does not exist.
//
// Threads: any (pure).
#ifndef ROOST_NODE_ENDPOINT_HUB_FAILURES_H_
#define ROOST_NODE_ENDPOINT_HUB_FAILURES_H_

#include <optional>
#include <variant>

#include "absl/strings/string_view.h"
#include "cache/hub_token.h"
#include "cluster/http_client.h"
#include "node/endpoint/http_values.h"
#include "protocol/names.h"

namespace roost {

template <typename T>
using OrAnswer = std::variant<T, HttpAnswer>;  // or the answer that ends the request

inline constexpr char kJsonType[] = "application/json; charset=utf-8";

// `code` may be empty.
HttpAnswer failure(int status, absl::string_view code, absl::string_view message);
HttpAnswer unavailable(absl::string_view why);
HttpAnswer entryNotFound(const RepoId& repo, const Commit& commit, absl::string_view path);

// Of a repo that nobody may see because no hub can be asked whether they may; the same for one that
// is not there.
HttpAnswer repoUnknown(const RepoId& repo, const std::optional<Token>& token);
// The hub could not answer: asking it again may help, and somebody else's word counts meanwhile.
bool isOutage(const HttpResult& result);
// The hub's word that this client may not see a repo, or that there is none.
bool refusesRepo(const HttpResult& result);
// The same, or what a hub that says no codes answers for a repo that not everybody may see.
bool mayBeHidden(const HttpResult& result);
// The hub's own error, with the code that clients need even where it said none.
HttpAnswer passed(const HttpResult& result, const std::optional<RepoId>& repo);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_FAILURES_H_
