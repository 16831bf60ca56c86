#include "cache/tree_json.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// Receives the events of nlohmann's SAX parser. Levels: 1 the document, 2 "files", 3 one file.
class TreeReader {
 public:
  explicit TreeReader(Listing& listing) : listing_(listing) {}

  const std::string& why() const { return why_; }
  bool finished() const { return finished_; }

  bool null() { return otherValue(); }
  bool boolean(bool) { return otherValue(); }
  bool number_integer(int64_t) { return otherValue(); }  // negative: the others are unsigned
  bool number_float(double, const std::string&) { return otherValue(); }
  bool binary(nlohmann::json::binary_t&) { return otherValue(); }

  bool number_unsigned(uint64_t value) {
    if (skipped_ > 0) return true;
    if (level_ == 1 && key_ == "format_version") {
      hasVersion_ = value == 1;
      return hasVersion_ || refuse(absl::StrCat("unknown format_version ", value));
    }
    if (level_ == 3 && (key_ == "size" || key_ == "lfs_size")) {
      if (value > kBlobBytesMax) return refuse(absl::StrCat("a size of ", value, " bytes"));
      (key_ == "size" ? size_ : lfsSize_) = value;
      return true;
    }
    return otherValue();
  }

  bool string(std::string& value) {
    if (skipped_ > 0) return true;
    if (level_ == 3 && (key_ == "blob_id" || key_ == "lfs_sha256")) {
      const auto id = BlobId::parseHex(value);
      const bool lfs = key_ == "lfs_sha256";
      if (!id.ok() || id->algorithm() != (lfs ? HashAlgorithm::kSha256 : HashAlgorithm::kGitSha1)) {
        return refuse(absl::StrCat(key_, " is ", roost::quoted(value)));
      }
      (lfs ? sha256_ : gitSha1_) = *id;
      return true;
    }
    return otherValue();
  }

  bool start_object(size_t) {
    if (skipped_ > 0 || (level_ == 1 && key_ != "files") || level_ == 3) return skip();
    if (level_ == 2) {
      size_ = lfsSize_ = std::nullopt;
      gitSha1_ = sha256_ = std::nullopt;
    }
    ++level_;
    return true;
  }

  bool end_object() {
    if (skipped_ > 0) return --skipped_, true;
    if (level_ == 3 && !endFile()) return false;
    if (level_ == 2) hasFiles_ = true;
    if (--level_ > 0) return true;
    if (!hasVersion_) return refuse("no format_version");
    if (!hasFiles_) return refuse("no files");
    return finished_ = true;
  }

  bool key(std::string& name) {
    if (skipped_ > 0) return true;
    if (level_ == 2) {
      path_ = std::move(name);
    } else {
      key_ = std::move(name);
    }
    if (level_ == 1 && key_ == "files" && hasFiles_) return refuse("files stands twice");
    return true;
  }

  bool start_array(size_t) {
    if (skipped_ == 0 && (level_ == 0 || level_ == 2)) return refuse("a list where none belongs");
    if (skipped_ == 0 && level_ == 1 && key_ == "files") return refuse("files is a list");
    return skip();
  }
  bool end_array() { return --skipped_, true; }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) {
    return refuse(absl::StrCat("not JSON at byte ", position));
  }

 private:
  bool refuse(std::string why) {
    if (why_.empty()) why_ = std::move(why);
    return false;
  }

  // A value that we don't need: fine where unknown keys are, wrong where ours or a file should be.
  bool otherValue() {
    if (skipped_ > 0) return true;
    static constexpr absl::string_view kOurs[] = {"size", "lfs_size", "blob_id", "lfs_sha256"};
    if (level_ == 0 || level_ == 2) return refuse("a value where an object belongs");
    if (level_ == 1 && (key_ == "files" || key_ == "format_version")) {
      return refuse(absl::StrCat(key_, " has a wrong type"));
    }
    for (absl::string_view ours : kOurs) {
      if (level_ == 3 && key_ == ours) return refuse(absl::StrCat(ours, " has a wrong type"));
    }
    return true;
  }

  bool skip() {
    if (skipped_ == 0 && level_ == 3) {
      if (!otherValue()) return false;
    }
    if (++skipped_ > kJsonDepthMax) return refuse("nested too deep");
    return true;
  }

  bool endFile() {
    auto path = RelativePath::parse(path_);
    if (!path.ok()) return refuse(std::string(path.status().message()));
    if (listing_.files.size() >= kManifestFilesMax) return refuse("too many files");
    if (!gitSha1_) return refuse(absl::StrCat(roost::quoted(path_), " has no blob_id"));
    const std::optional<uint64_t> size = sha256_ ? (lfsSize_ ? lfsSize_ : size_) : size_;
    if (!size) return refuse(absl::StrCat(roost::quoted(path_), " has no size"));
    FileEntry file{*std::move(path), {sha256_.value_or(*gitSha1_), *size}, std::nullopt};
    if (sha256_) {
      GitSha1 pointer;
      std::copy(gitSha1_->digest().begin(), gitSha1_->digest().end(), pointer.begin());
      file.pointer = pointer;
    }
    listing_.files.push_back(std::move(file));
    return true;
  }

  Listing& listing_;
  std::string why_;
  int level_ = 0;
  size_t skipped_ = 0;  // open objects and lists below an unknown key
  bool hasVersion_ = false, hasFiles_ = false, finished_ = false;
  std::string key_, path_;
  std::optional<uint64_t> size_, lfsSize_;
  std::optional<BlobId> gitSha1_, sha256_;
};

}  // namespace

absl::StatusOr<Listing> parseTreeJson(absl::string_view text, const RepoId& repo,
                                      const Commit& commit) {
  Listing listing{repo, commit, /*complete=*/true, Visibility::kUnknown, {}};
  TreeReader reader(listing);
  const auto refused = [&](absl::string_view why) {
    return absl::InvalidArgumentError(sentence(
        absl::StrCat("the tree of ", repo.toString(), " at ", commit.hex(), " is not used"), why,
        "Delete it; clients make a new one"));
  };
  if (text.size() > kTreeJsonBytesMax) return refused("too large");
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader) || !reader.finished()) {
    return refused(reader.why().empty() ? "not JSON" : reader.why());
  }
  if (const absl::Status status = normalize(listing); !status.ok())
    return refused(status.message());
  return listing;
}

}  // namespace roost
