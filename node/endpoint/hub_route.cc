#include "node/endpoint/hub_route.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "protocol/percent.h"

namespace roost {
namespace {

using Parts = absl::Span<const std::string>;

std::optional<RepoType> typeOfPlural(absl::string_view text) {
  for (RepoType type : {RepoType::kModel, RepoType::kDataset, RepoType::kSpace}) {
    if (text == repoTypePlural(type)) return type;
  }
  return std::nullopt;
}

std::optional<RepoId> repoOf(const HubOrigin& origin, RepoType type, Parts name) {
  auto repo = RepoId::make(origin, type, absl::StrJoin(name, "/"));
  if (!repo.ok()) return std::nullopt;
  return *std::move(repo);
}

std::optional<Revision> revisionOf(absl::string_view text) {
  auto revision = parseRevision(text);
  if (!revision.ok()) return std::nullopt;
  return *std::move(revision);
}

// ORG/NAME or NAME before the word at `at`.
bool nameEndsAt(size_t from, size_t at) {
  return at - from == 1 || at - from == 2;
}

HubRoute fileRoute(const HubOrigin& origin, Parts parts) {
  size_t from = 0;
  RepoType type = RepoType::kModel;
  if (parts.size() > 3) {
    if (const auto named = typeOfPlural(parts[0]); named && *named != RepoType::kModel) {
      type = *named;
      from = 1;
    }
  }
  for (size_t at = from + 1; at <= from + 2 && at + 2 < parts.size(); ++at) {
    if (parts[at] != "resolve") continue;
    HubRoute route{.kind = HubRoute::Kind::kFile};
    route.repo = repoOf(origin, type, parts.subspan(from, at - from));
    route.revision = revisionOf(parts[at + 1]);
    route.path = absl::StrJoin(parts.subspan(at + 2), "/");
    if (!route.repo || !route.revision || !RelativePath::parse(route.path).ok()) return {};
    return route;
  }
  return {};
}

HubRoute apiRoute(const HubOrigin& origin, absl::string_view method, Parts parts) {
  if (parts.size() == 2 && parts[1] == "agent-harnesses") {
    return {.kind = HubRoute::Kind::kHarnesses};
  }
  if (parts.size() >= 2 && parts[1] == "telemetry") return {.kind = HubRoute::Kind::kTelemetry};
  if (parts.size() < 3) return {};
  const auto type = typeOfPlural(parts[1]);
  if (!type) return {};
  static constexpr std::pair<absl::string_view, HubRoute::Kind> kWords[] = {
      {"revision", HubRoute::Kind::kRevision},
      {"tree", HubRoute::Kind::kTree},
      {"paths-info", HubRoute::Kind::kPathsInfo},
      {"refs", HubRoute::Kind::kRefs},
      {"xet-read-token", HubRoute::Kind::kXetToken}};
  HubRoute route;
  size_t end = parts.size();
  for (size_t at = 3; at < parts.size() && nameEndsAt(2, at); ++at) {
    for (const auto& [word, kind] : kWords) {
      if (parts[at] == word && route.kind == HubRoute::Kind::kOther) {
        route.kind = kind;
        end = at;
      }
    }
  }
  if (route.kind == HubRoute::Kind::kOther) {
    const bool reads = method == "GET" || method == "HEAD";
    if (reads && nameEndsAt(2, end)) {
      route.kind = HubRoute::Kind::kInfo;
    } else {
      if (parts.size() >= 4) route.repo = repoOf(origin, *type, parts.subspan(2, 2));
      return route;
    }
  }
  route.repo = repoOf(origin, *type, parts.subspan(2, end - 2));
  if (!route.repo) return {};
  const Parts rest = end < parts.size() ? parts.subspan(end + 1) : Parts();
  switch (route.kind) {
    case HubRoute::Kind::kRevision:
    case HubRoute::Kind::kPathsInfo:
      if (rest.size() != 1) return {};
      break;
    case HubRoute::Kind::kTree:
      if (rest.empty()) return {};
      route.path = absl::StrJoin(rest.subspan(1), "/");
      if (!route.path.empty() && !RelativePath::parse(route.path).ok()) return {};
      break;
    case HubRoute::Kind::kRefs:
      return rest.empty() ? route : HubRoute{};
    default:
      return route;
  }
  const bool asked = route.kind == HubRoute::Kind::kPathsInfo ? method == "POST"
                                                              : method == "GET" || method == "HEAD";
  route.revision = revisionOf(rest[0]);
  if (!route.revision || !asked) return {};
  return route;
}

}  // namespace

const std::string* HubRoute::find(absl::string_view key) const {
  const std::string* found = nullptr;
  for (const auto& [name, value] : query) {
    if (name == key) found = &value;
  }
  return found;
}

bool HubRoute::flag(absl::string_view key) const {
  const std::string* value = find(key);
  return value != nullptr && (absl::EqualsIgnoreCase(*value, "true") || *value == "1");
}

HubRoute hubRoute(const HubOrigin& origin, absl::string_view method, absl::string_view target) {
  const std::pair<absl::string_view, absl::string_view> split =
      absl::StrSplit(target, absl::MaxSplits('?', 1));
  absl::string_view path = split.first;
  if (!absl::ConsumePrefix(&path, "/")) return {};
  // Split first, then decode: a branch such as refs%2Fpr%2F1 is one segment.
  std::vector<std::string> parts;
  for (absl::string_view segment : absl::StrSplit(path, '/')) {
    auto decoded = percentDecoded(segment);
    if (!decoded) return {};
    parts.push_back(*std::move(decoded));
  }
  HubRoute route;
  const std::string& first = parts.front();
  if (first.empty() || first == "livez" || first == "readyz" || first == "metrics" ||
      (first == "roost" && parts.size() > 1 && parts[1] == "v1")) {
    if (parts.size() == 1 || first == "roost") {
      route = {.kind = HubRoute::Kind::kRoost};
      route.path = absl::StrJoin(parts, "/");
    }
  } else if (first == "api") {
    route = apiRoute(origin, method, parts);
  } else if (method == "GET" || method == "HEAD") {
    route = fileRoute(origin, parts);
  }
  for (absl::string_view pair : absl::StrSplit(split.second, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> entry =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    auto key = percentDecoded(entry.first);
    auto value = percentDecoded(entry.second);
    if (key && value) route.query.emplace_back(*std::move(key), *std::move(value));
  }
  return route;
}

}  // namespace roost
