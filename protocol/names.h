// Names that come from outside: hub origins, repos, commits, refs, paths, node names. Each is a
// type with a grammar whitelist; what does not match is refused, never repaired. A value of these
// types is safe to use as a path component (RefName and RelativePath: as a relative path that
// cannot leave its folder).
//
// Threads: any (values only). Errors: kInvalidArgument with a sentence that quotes the name
// (escaped, shortened).
#ifndef ROOST_PROTOCOL_NAMES_H_
#define ROOST_PROTOCOL_NAMES_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

// Text from outside made safe to print: control bytes and quotes escaped, at most 80 characters.
std::string quoted(absl::string_view text);

// Where a repo's names are defined: scheme://host[:port][/prefix], lower-case scheme and host,
// default port and trailing slash removed. Two hubs may use the same repo name for different
// content.
class HubOrigin {
 public:
  static absl::StatusOr<HubOrigin> parse(absl::string_view url);
  static HubOrigin huggingFace();  // https://huggingface.co
  const std::string& url() const { return url_; }
  friend auto operator<=>(const HubOrigin&, const HubOrigin&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const HubOrigin& origin) {
    return H::combine(std::move(state), origin.url_);
  }

 private:
  explicit HubOrigin(std::string url) : url_(std::move(url)) {}
  std::string url_;
};

// Numbers are on the wire: never renumber. No hub knows the last two. A dataset cache is what the
// datasets library made of a dataset on some node. Commits of both are made of their content
// (cache/finished_directory.h).
// A tree is a configured folder; its name has the digest of its scope (cache/tree_scope.h).
enum class RepoType : uint8_t {
  kModel = 1,
  kDataset = 2,
  kSpace = 3,
  kDatasetCache = 4,
  kTree = 5
};
inline constexpr std::array<RepoType, 5> kRepoTypes = {RepoType::kModel, RepoType::kDataset,
                                                       RepoType::kSpace, RepoType::kDatasetCache,
                                                       RepoType::kTree};

absl::string_view repoTypeName(RepoType type);    // "model"
absl::string_view repoTypePlural(RepoType type);  // "models": folder prefix and API path
bool isOfHub(RepoType type);                      // hubs have repos of that type
absl::StatusOr<RepoType> parseRepoType(absl::string_view name);  // singular or plural

// A repo on a hub. Name: one or two segments of [A-Za-z0-9._-], each starting and ending with
// [A-Za-z0-9_], without
// "--" and "..", at most 96 bytes: huggingface_hub's own rule (utils/_validators.py).
class RepoId {
 public:
  static absl::StatusOr<RepoId> make(HubOrigin origin, RepoType type, absl::string_view name);
  // "models--org--name" as clients name folders. Folders that could mean two repos are refused, and
  // types that hubs do not have.
  static absl::StatusOr<RepoId> ofFolder(HubOrigin origin, absl::string_view folder);

  const HubOrigin& origin() const { return origin_; }
  RepoType type() const { return type_; }
  const std::string& name() const { return name_; }
  std::string folder() const;    // "models--org--name"
  std::string toString() const;  // "org/name", "datasets/org/name"; the origin is left out

  friend auto operator<=>(const RepoId&, const RepoId&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const RepoId& id) {
    return H::combine(std::move(state), id.origin_, id.type_, id.name_);
  }

 private:
  RepoId(HubOrigin origin, RepoType type, std::string name)
      : origin_(std::move(origin)), type_(type), name_(std::move(name)) {}
  HubOrigin origin_;
  RepoType type_;
  std::string name_;
};

// A git commit: exactly 40 lower-case hex digits.
class Commit {
 public:
  static absl::StatusOr<Commit> parse(absl::string_view hex);
  const std::string& hex() const { return hex_; }
  friend auto operator<=>(const Commit&, const Commit&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const Commit& commit) {
    return H::combine(std::move(state), commit.hex_);
  }

 private:
  explicit Commit(std::string hex) : hex_(std::move(hex)) {}
  std::string hex_;
};

// A name that moves: "main", "v1.0", "refs/pr/1". Segments of [A-Za-z0-9._+@=-], not starting with
// '.', not ending with ".lock" or ".tmp"; at most 255 bytes and 8 segments; never 40 hex digits
// (that is a commit).
class RefName {
 public:
  static absl::StatusOr<RefName> parse(absl::string_view name);
  static RefName main();
  const std::string& text() const { return text_; }
  friend auto operator<=>(const RefName&, const RefName&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const RefName& ref) {
    return H::combine(std::move(state), ref.text_);
  }

 private:
  explicit RefName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// A file inside a repo: valid UTF-8, '/'-separated, no empty, "." or ".." segment, no control byte,
// no backslash, within the limits of limits.h.
class RelativePath {
 public:
  static absl::StatusOr<RelativePath> parse(absl::string_view path);
  const std::string& text() const { return text_; }
  size_t depth() const;  // number of segments
  friend auto operator<=>(const RelativePath&, const RelativePath&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const RelativePath& path) {
    return H::combine(std::move(state), path.text_);
  }

 private:
  explicit RelativePath(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// A node's label: 1 to 64 characters of [A-Za-z0-9._-], the first not '.'.
absl::StatusOr<std::string> parseNodeName(absl::string_view name);

// "host:port", "1.2.3.4:port", "[v6]:port"; kept as text until it is resolved.
struct Address {
  static absl::StatusOr<Address> parse(absl::string_view text);  // the port is required, 1..65535
  std::string host;                                              // without brackets
  uint16_t port = 0;
  std::string toString() const;
  friend auto operator<=>(const Address&, const Address&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const Address& address) {
    return H::combine(std::move(state), address.host, address.port);
  }
};

// true for shell patterns ('*', '?', '[…]', '*' also matches '/', as huggingface_hub's
// allow_patterns do).
bool globMatches(absl::string_view pattern, absl::string_view text);

}  // namespace roost

#endif  // ROOST_PROTOCOL_NAMES_H_
