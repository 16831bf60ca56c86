#include "protocol/names.h"

#include <arpa/inet.h>
#include <fnmatch.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "protocol/blob_id.h"
#include "protocol/limits.h"

namespace roost {
namespace {

bool isAlnum(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c));
}

bool allOf(absl::string_view text, absl::string_view extra) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return isAlnum(c) || extra.find(c) != absl::string_view::npos;
  });
}

absl::Status refused(absl::string_view kind, absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("not a ", kind, ": ", quoted(text), ": ", why));
}

// Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
bool isUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    size_t length = 1;
    uint32_t code = lead;
    uint32_t least = 0;
    if (lead >= 0xf0 && lead < 0xf8) {
      length = 4, code = lead & 0x07, least = 0x10000;
    } else if (lead >= 0xe0) {
      length = 3, code = lead & 0x0f, least = 0x800;
    } else if (lead >= 0xc0) {
      length = 2, code = lead & 0x1f, least = 0x80;
    } else if (lead >= 0x80) {
      return false;
    }
    if (lead >= 0xf8 || i + length > text.size()) return false;
    for (size_t j = 1; j < length; ++j) {
      const auto next = static_cast<uint8_t>(text[i + j]);
      if ((next & 0xc0) != 0x80) return false;
      code = (code << 6) | (next & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    i += length;
  }
  return true;
}

// Digits only: SimpleAtoi alone would also take spaces and a sign.
std::optional<uint16_t> parsePort(absl::string_view text) {
  uint32_t port = 0;
  if (text.empty() || !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(text, &port) || port == 0 || port > 65535) {
    return std::nullopt;
  }
  return static_cast<uint16_t>(port);
}

// RFC 4291 text, with or without a zone ("fe80::1%eth0", RFC 4007).
bool isIpv6(absl::string_view text) {
  const size_t percent = text.find('%');
  const absl::string_view number = text.substr(0, percent);
  in6_addr address;
  // inet_pton reads up to a NUL, so the characters are looked at first.
  if (!allOf(number, ":.") || inet_pton(AF_INET6, std::string(number).c_str(), &address) != 1) {
    return false;
  }
  if (percent == absl::string_view::npos) return true;
  const absl::string_view zone = text.substr(percent + 1);
  return !zone.empty() && allOf(zone, "._-");
}

bool isRepoSegment(absl::string_view segment) {
  const auto edge = [](char c) { return isAlnum(c) || c == '_'; };
  return !segment.empty() && allOf(segment, "._-") && edge(segment.front()) &&
         edge(segment.back()) && !absl::StrContains(segment, "--") &&
         !absl::StrContains(segment, "..");
}

}  // namespace

std::string quoted(absl::string_view text) {
  constexpr size_t kShown = 80;
  std::string safe = "\"";
  for (char c : text.substr(0, kShown)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte == 0x7f) {
      static constexpr char kDigits[] = "0123456789abcdef";
      absl::StrAppend(&safe, "\\x", std::string(1, kDigits[byte >> 4]),
                      std::string(1, kDigits[byte & 15]));
    } else if (c == '"' || c == '\\') {
      safe += '\\';
      safe += c;
    } else {
      safe += c;
    }
  }
  return absl::StrCat(safe, text.size() > kShown ? "…\"" : "\"");
}

absl::StatusOr<HubOrigin> HubOrigin::parse(absl::string_view url) {
  const auto no = [&](absl::string_view why) { return refused("hub URL", url, why); };
  if (url.size() > kOriginBytesMax) return no("too long");
  const size_t colon = url.find("://");
  if (colon == absl::string_view::npos) return no("expected http:// or https://");
  const std::string scheme = absl::AsciiStrToLower(url.substr(0, colon));
  if (scheme != "http" && scheme != "https") return no("expected http:// or https://");
  absl::string_view rest = url.substr(colon + 3);
  const size_t slash = rest.find('/');
  absl::string_view authority = rest.substr(0, slash);
  absl::string_view prefix = slash == absl::string_view::npos ? "" : rest.substr(slash);
  while (absl::EndsWith(prefix, "/")) prefix.remove_suffix(1);

  std::string host;
  std::optional<uint16_t> port;
  if (absl::StartsWith(authority, "[")) {
    const size_t close = authority.find(']');
    if (close == absl::string_view::npos) return no("'[' without ']'");
    host = absl::AsciiStrToLower(authority.substr(0, close + 1));
    if (!isIpv6(absl::string_view(host).substr(1, host.size() - 2))) {
      return no("not an IPv6 address");
    }
    authority.remove_prefix(close + 1);
    if (!authority.empty() && authority.front() != ':') return no("text after ']'");
    if (!authority.empty()) port = parsePort(authority.substr(1));
    if (!authority.empty() && !port) return no("the port is not in 1..65535");
  } else {
    const size_t at = authority.find(':');
    host = absl::AsciiStrToLower(authority.substr(0, at));
    if (at != absl::string_view::npos) {
      port = parsePort(authority.substr(at + 1));
      if (!port) return no("the port is not in 1..65535");
    }
    if (host.empty() || !allOf(host, ".-_")) return no("not a host name");
  }
  if (!prefix.empty()) {
    for (absl::string_view segment : absl::StrSplit(prefix.substr(1), '/')) {
      if (segment.empty() || segment == "." || segment == ".." || !allOf(segment, "._~-")) {
        return no("the path prefix has a segment outside [A-Za-z0-9._~-]");
      }
    }
  }
  const bool standard =
      !port || (scheme == "http" && *port == 80) || (scheme == "https" && *port == 443);
  return HubOrigin(
      absl::StrCat(scheme, "://", host, standard ? "" : absl::StrCat(":", *port), prefix));
}

HubOrigin HubOrigin::huggingFace() {
  return HubOrigin("https://huggingface.co");
}

absl::string_view repoTypeName(RepoType type) {
  switch (type) {
    case RepoType::kModel:
      return "model";
    case RepoType::kDataset:
      return "dataset";
    case RepoType::kSpace:
      return "space";
    case RepoType::kDatasetCache:
      return "dataset-cache";
    case RepoType::kTree:
      return "tree";
  }
  return "model";
}

absl::string_view repoTypePlural(RepoType type) {
  switch (type) {
    case RepoType::kModel:
      return "models";
    case RepoType::kDataset:
      return "datasets";
    case RepoType::kSpace:
      return "spaces";
    case RepoType::kDatasetCache:
      return "dataset-caches";
    case RepoType::kTree:
      return "trees";
  }
  return "models";
}

bool isOfHub(RepoType type) {
  return type != RepoType::kDatasetCache && type != RepoType::kTree;
}

absl::StatusOr<RepoType> parseRepoType(absl::string_view name) {
  for (RepoType type : kRepoTypes) {
    if (name == repoTypeName(type) || name == repoTypePlural(type)) return type;
  }
  return refused("repo type", name, "expected model, dataset, space, dataset-cache or tree");
}

absl::StatusOr<RepoId> RepoId::make(HubOrigin origin, RepoType type, absl::string_view name) {
  if (name.size() > kRepoNameBytesMax) return refused("repo", name, "longer than 96 bytes");
  const std::vector<absl::string_view> segments = absl::StrSplit(name, '/');
  const bool valid =
      segments.size() <= 2 && std::all_of(segments.begin(), segments.end(), isRepoSegment);
  if (!valid || absl::EndsWith(name, ".git")) {
    return refused("repo", name,
                   "expected NAME or ORG/NAME of letters, digits, '.', '_' and '-', without '..' "
                   "and '--'");
  }
  return RepoId(std::move(origin), type, std::string(name));
}

absl::StatusOr<RepoId> RepoId::ofFolder(HubOrigin origin, absl::string_view folder) {
  const std::vector<std::string> parts = absl::StrSplit(folder, "--");
  if (parts.size() < 2 || parts.size() > 3) {
    return refused("cache folder", folder, "expected TYPE--NAME or TYPE--ORG--NAME");
  }
  if (absl::StrContains(folder, '/')) return refused("cache folder", folder, "has a '/'");
  const auto type = parseRepoType(parts[0]);
  if (!type.ok() || !isOfHub(*type) || parts[0] != repoTypePlural(*type)) {
    return refused("cache folder", folder, "unknown type");
  }
  return make(std::move(origin), *type,
              parts.size() == 2 ? parts[1] : absl::StrCat(parts[1], "/", parts[2]));
}

std::string RepoId::folder() const {
  return absl::StrCat(repoTypePlural(type_), "--", absl::StrJoin(absl::StrSplit(name_, '/'), "--"));
}

std::string RepoId::toString() const {
  return type_ == RepoType::kModel ? name_ : absl::StrCat(repoTypePlural(type_), "/", name_);
}

absl::StatusOr<Commit> Commit::parse(absl::string_view hex) {
  if (hex.size() != 40 || !bytesOfHex(hex)) {
    return refused("commit", hex, "expected 40 lower-case hex digits");
  }
  return Commit(std::string(hex));
}

absl::StatusOr<RefName> RefName::parse(absl::string_view name) {
  if (name.empty() || name.size() > kRefBytesMax) return refused("ref", name, "1 to 255 bytes");
  if (Commit::parse(name).ok()) return refused("ref", name, "this is a commit");
  size_t segments = 0;
  for (absl::string_view segment : absl::StrSplit(name, '/')) {
    if (segment.empty() || segment.front() == '.' || !allOf(segment, "._+@=-") ||
        absl::EndsWith(segment, ".lock") || absl::EndsWith(segment, ".tmp") ||
        absl::StrContains(segment, "..") || ++segments > 8) {
      return refused("ref", name, "expected segments of letters, digits and ._+@=-");
    }
  }
  return RefName(std::string(name));
}

RefName RefName::main() {
  return RefName("main");
}

absl::StatusOr<RelativePath> RelativePath::parse(absl::string_view path) {
  const auto no = [&](absl::string_view why) { return refused("file path", path, why); };
  if (path.empty()) return no("empty");
  if (path.size() > kPathBytesMax) return no("too long");
  if (!isUtf8(path)) return no("not UTF-8");
  for (char c : path) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\') return no("has a control character or '\\'");
  }
  size_t depth = 0;
  for (absl::string_view segment : absl::StrSplit(path, '/')) {
    if (segment.empty()) return no("absolute, or has an empty segment");
    if (segment == "." || segment == "..") return no("has a '.' or '..' segment");
    if (segment.size() > kPathSegmentBytesMax) return no("a segment is too long");
    if (++depth > kPathDepthMax) return no("too deep");
  }
  return RelativePath(std::string(path));
}

size_t RelativePath::depth() const {
  return static_cast<size_t>(std::count(text_.begin(), text_.end(), '/')) + 1;
}

absl::StatusOr<std::string> parseNodeName(absl::string_view name) {
  if (name.empty() || name.size() > kNodeNameBytesMax || name.front() == '.' ||
      !allOf(name, "._-")) {
    return refused("node name", name, "1 to 64 characters of [A-Za-z0-9._-], not '.' first");
  }
  return std::string(name);
}

absl::StatusOr<Address> Address::parse(absl::string_view text) {
  const auto no = [&](absl::string_view why) { return refused("address", text, why); };
  if (text.size() > 260) return no("too long");
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return no("expected HOST:PORT");
  const std::optional<uint16_t> port = parsePort(text.substr(colon + 1));
  if (!port) return no("the port is not in 1..65535");
  absl::string_view host = text.substr(0, colon);
  const bool brackets = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (brackets) host = host.substr(1, host.size() - 2);
  if (brackets ? !isIpv6(host) : host.empty() || !allOf(host, "._-")) {
    return no("expected a host name, an IPv4 address or [an IPv6 address]");
  }
  return Address{std::string(host), *port};
}

std::string Address::toString() const {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port)
                                      : absl::StrCat(host, ":", port);
}

bool globMatches(absl::string_view pattern, absl::string_view text) {
  // No FNM_PATHNAME: Python's fnmatch, which clients use for allow_patterns, lets '*' cross '/'.
  return fnmatch(std::string(pattern).c_str(), std::string(text).c_str(), FNM_NOESCAPE) == 0;
}

}  // namespace roost
