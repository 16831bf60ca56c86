#include "cluster/hub_urls.h"

#include <curl/curl.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using Url = std::unique_ptr<CURLU, void (*)(CURLU*)>;

Url makeUrl() {
  return {curl_url(), curl_url_cleanup};
}

std::optional<std::string> part(const Url& url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return std::nullopt;
  std::string copy(text);
  curl_free(text);
  return copy;
}

absl::Status refused(absl::string_view url, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("not a usable URL: ", quoted(urlForPeople(url)), ": ", why));
}

absl::Status check(const Url& url, absl::string_view shown) {
  const auto scheme = part(url, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return refused(shown, "expected http or https");
  if (part(url, CURLUPART_USER) || part(url, CURLUPART_PASSWORD)) {
    return refused(shown, "has a user name");
  }
  return absl::OkStatus();
}

bool set(const Url& url, absl::string_view text) {
  return text.size() <= kUrlBytesMax &&
         curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), 0) == CURLUE_OK;
}

std::string repoApi(const RepoId& repo) {
  return absl::StrCat(repo.origin().url(), "/api/", repoTypePlural(repo.type()), "/", repo.name());
}

}  // namespace

std::string percentEncoded(absl::string_view text, absl::string_view keep) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || absl::string_view("-._~").find(c) != absl::string_view::npos ||
        keep.find(c) != absl::string_view::npos) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kDigits[byte >> 4]);
      out.push_back(kDigits[byte & 15]);
    }
  }
  return out;
}

std::string revisionUrl(const RepoId& repo, absl::string_view revision) {
  return absl::StrCat(repoApi(repo), "/revision/", percentEncoded(revision));
}

std::string treeUrl(const RepoId& repo, const Commit& commit) {
  return absl::StrCat(repoApi(repo), "/tree/", commit.hex(), "?recursive=true&expand=false");
}

std::string repoPageUrl(const RepoId& repo) {
  return absl::StrCat(repo.origin().url(), "/", repo.toString());
}

std::string resolveUrl(const RepoId& repo, const Commit& commit, const RelativePath& path) {
  return absl::StrCat(repoPageUrl(repo), "/resolve/", commit.hex(), "/",
                      percentEncoded(path.text(), "/"));
}

absl::StatusOr<std::string> webOrigin(absl::string_view text) {
  const Url url = makeUrl();
  if (!set(url, text)) return refused(text, "cannot be parsed");
  if (const absl::Status status = check(url, text); !status.ok()) return status;
  const auto host = part(url, CURLUPART_HOST);
  const auto port = part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (!host || !port) return refused(text, "has no host");
  return absl::StrCat(*part(url, CURLUPART_SCHEME), "://", absl::AsciiStrToLower(*host), ":",
                      *port);
}

absl::StatusOr<std::string> followed(absl::string_view base, absl::string_view location) {
  const Url url = makeUrl();
  if (!set(url, base)) return refused(base, "cannot be parsed");
  const auto before = part(url, CURLUPART_SCHEME);
  if (location.empty() || !set(url, location)) return refused(location, "cannot be parsed");
  if (const absl::Status status = check(url, location); !status.ok()) return status;
  if (before == "https" && part(url, CURLUPART_SCHEME) == "http") {
    return refused(location, "leads from https down to plain http");
  }
  curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
  const auto whole = part(url, CURLUPART_URL);
  if (!whole || whole->size() > kUrlBytesMax) return refused(location, "cannot be parsed");
  return *whole;
}

std::optional<std::string> nextLink(absl::string_view header) {
  // <url>; rel="next", <url>; rel="prev": the URL may hold commas and semicolons, so '<' and '>'
  // lead.
  while (true) {
    const size_t open = header.find('<');
    if (open == absl::string_view::npos) return std::nullopt;
    const size_t close = header.find('>', open);
    if (close == absl::string_view::npos) return std::nullopt;
    const absl::string_view target = header.substr(open + 1, close - open - 1);
    header.remove_prefix(close + 1);
    const absl::string_view parameters = header.substr(0, header.find('<'));
    for (absl::string_view parameter : absl::StrSplit(parameters, absl::ByAnyChar(";,"))) {
      parameter = absl::StripAsciiWhitespace(parameter);
      if (absl::EqualsIgnoreCase(parameter, "rel=\"next\"") ||
          absl::EqualsIgnoreCase(parameter, "rel=next")) {
        return std::string(target);
      }
    }
  }
}

std::string urlForPeople(absl::string_view url) {
  const size_t end = url.find_first_of("?#");
  std::string shown(url.substr(0, end));
  const size_t scheme = shown.find("://");
  const size_t start = scheme == std::string::npos ? 0 : scheme + 3;
  const size_t at = shown.substr(0, shown.find('/', start)).rfind('@');
  if (at != std::string::npos && at >= start) shown.erase(start, at + 1 - start);
  return shown;
}

}  // namespace roost
