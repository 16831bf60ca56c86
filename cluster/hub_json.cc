#include "cluster/hub_json.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using nlohmann::json;

constexpr size_t kDepthMax = 64;  // the hub's own answers are at most 8 deep

// A scalar, as far as these answers need it.
struct Scalar {
  enum class Kind { kNull, kBool, kNumber, kText, kOther } kind = Kind::kNull;
  bool flag = false;
  uint64_t number = 0;
  std::string* text = nullptr;
};

// Walks a document and tells the heir each scalar with its place, such as "/[]/lfs/oid", and each
// object that begins or ends. The heir sets error_ to stop.
class Walk {
 public:
  absl::Status run(absl::string_view text) {
    const bool whole = json::sax_parse(text.begin(), text.end(), this);
    if (!error_.ok()) return error_;
    return whole ? absl::OkStatus() : absl::InternalError("the hub's answer is not JSON");
  }

  // nlohmann's SAX interface.
  bool null() { return scalar({}); }
  bool boolean(bool flag) { return scalar({Scalar::Kind::kBool, flag}); }
  bool number_integer(json::number_integer_t) { return scalar({Scalar::Kind::kOther}); }
  bool number_unsigned(json::number_unsigned_t number) {
    return scalar({Scalar::Kind::kNumber, false, number});
  }
  bool number_float(json::number_float_t, const std::string&) {
    return scalar({Scalar::Kind::kOther});
  }
  bool string(std::string& text) { return scalar({Scalar::Kind::kText, false, 0, &text}); }
  bool binary(json::binary_t&) { return false; }
  bool start_object(size_t) { return open("", &Walk::objectBegins); }
  bool start_array(size_t) { return open("[]", &Walk::arrayBegins); }
  bool key(std::string& name) {
    place_.resize(levels_.back());
    absl::StrAppend(&place_, "/", name);
    return true;
  }
  bool end_object() { return close(&Walk::objectEnds); }
  bool end_array() { return close(nullptr); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) { return false; }

 protected:
  ~Walk() = default;
  virtual void onScalar(const std::string& place, const Scalar& value) = 0;
  virtual void objectBegins(const std::string&) {}
  virtual void arrayBegins(const std::string&) {}
  virtual void objectEnds(const std::string&) {}

  absl::Status error_;

 private:
  bool scalar(const Scalar& value) {
    onScalar(place_, value);
    return error_.ok();
  }

  bool open(absl::string_view inside, void (Walk::*tell)(const std::string&)) {
    if (levels_.size() >= kDepthMax) {
      error_ = absl::InternalError("the hub's answer is nested too deeply");
      return false;
    }
    (this->*tell)(place_);
    ends_.push_back(place_.size());
    if (!inside.empty()) absl::StrAppend(&place_, "/", inside);
    levels_.push_back(place_.size());
    return error_.ok();
  }

  bool close(void (Walk::*tell)(const std::string&)) {
    place_.resize(ends_.back());
    ends_.pop_back();
    levels_.pop_back();
    if (tell != nullptr) (this->*tell)(place_);
    return error_.ok();
  }

  std::string place_;
  std::vector<size_t> ends_;    // of the place when each open container began
  std::vector<size_t> levels_;  // the same, inside: what keys are appended to
};

class RevisionWalk final : public Walk {
 public:
  absl::StatusOr<RevisionAnswer> result() && {
    if (!commit_) return absl::InternalError("the hub's answer has no \"sha\"");
    Visibility visibility = Visibility::kUnknown;
    if (private_) {
      visibility = *private_ ? Visibility::kPrivate
                   : gated_  ? Visibility::kGated
                             : Visibility::kPublic;
    }
    return RevisionAnswer{*std::move(commit_), visibility, std::move(paths_)};
  }

 private:
  void onScalar(const std::string& place, const Scalar& value) override {
    const bool isText = value.kind == Scalar::Kind::kText;
    if (place == "/sha") {
      auto commit = Commit::parse(isText ? absl::string_view(*value.text) : "");
      if (commit.ok()) {
        commit_ = *std::move(commit);
      } else {
        error_ = absl::InternalError(
            absl::StrCat("the hub's answer has a bad \"sha\": ", commit.status().message()));
      }
    } else if (place == "/private") {
      if (value.kind == Scalar::Kind::kBool) private_ = value.flag;
    } else if (place == "/gated") {  // false, "auto" or "manual"
      gated_ = value.kind == Scalar::Kind::kBool ? value.flag : isText;
    } else if (place == "/siblings/[]/rfilename") {
      addPath(isText ? absl::string_view(*value.text) : "");
    }
  }

  void addPath(absl::string_view text) {
    auto path = RelativePath::parse(text);
    if (!path.ok()) {
      error_ = absl::InternalError(
          absl::StrCat("the hub lists a file that cannot be used: ", path.status().message()));
    } else if (paths_.size() >= kManifestFilesMax) {
      error_ = absl::InternalError(
          absl::StrCat("the hub lists more than ", kManifestFilesMax, " files"));
    } else {
      paths_.push_back(*std::move(path));
    }
  }

  std::optional<Commit> commit_;
  std::optional<bool> private_;
  bool gated_ = false;
  std::vector<RelativePath> paths_;
};

// The fields of one entry as they came.
struct RawEntry {
  std::string type, path, oid, lfsOid;
  std::optional<uint64_t> size, lfsSize;
  bool lfs = false;
};

absl::StatusOr<GitSha1> gitObject(absl::string_view hex) {
  const auto id = BlobId::parseHex(hex);
  if (!id.ok() || id->algorithm() != HashAlgorithm::kGitSha1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "oid ", roost::quoted(hex), " is not a git object (40 lower-case hex digits)"));
  }
  GitSha1 digest;
  std::copy(id->digest().begin(), id->digest().end(), digest.begin());
  return digest;
}

absl::StatusOr<FileEntry> fileOf(const RawEntry& raw) {
  auto path = RelativePath::parse(raw.path);
  if (!path.ok()) return path.status();
  const std::optional<uint64_t> size = raw.lfs ? raw.lfsSize : raw.size;
  if (!size || *size > kBlobBytesMax) return absl::InvalidArgumentError("no usable size");
  if (raw.lfs && raw.size && *raw.size != *size) {
    return absl::InvalidArgumentError(
        absl::StrCat("two sizes, ", *raw.size, " and ", *size, " bytes"));
  }
  if (!raw.lfs) {
    const auto oid = gitObject(raw.oid);
    if (!oid.ok()) return oid.status();
    return FileEntry{*std::move(path), {BlobId::gitSha1(*oid), *size}, std::nullopt};
  }
  const auto content = BlobId::parseHex(raw.lfsOid);
  if (!content.ok() || content->algorithm() != HashAlgorithm::kSha256) {
    return absl::InvalidArgumentError(absl::StrCat("lfs.oid ", roost::quoted(raw.lfsOid),
                                                   " is not a sha256 (64 lower-case hex digits)"));
  }
  const auto pointer = gitObject(raw.oid);
  if (!pointer.ok()) return pointer.status();
  return FileEntry{*std::move(path), {*content, *size}, *pointer};
}

class TreeWalk final : public Walk {
 public:
  absl::StatusOr<TreePage> result() && {
    if (!isList_) return absl::InternalError("the hub's listing is not a list");
    return std::move(page_);
  }

 private:
  void arrayBegins(const std::string& place) override { isList_ |= place.empty(); }

  void objectBegins(const std::string& place) override {
    if (place == "/[]") raw_ = RawEntry{};
    if (place == "/[]/lfs") raw_.lfs = true;
  }

  void onScalar(const std::string& place, const Scalar& value) override {
    if (place == "/[]")
      error_ = absl::InternalError("the hub's listing has an entry without fields");
    const bool isText = value.kind == Scalar::Kind::kText;
    const bool isNumber = value.kind == Scalar::Kind::kNumber;
    if (isText && place == "/[]/type") raw_.type = *value.text;
    if (isText && place == "/[]/path") raw_.path = *value.text;
    if (isText && place == "/[]/oid") raw_.oid = *value.text;
    if (isText && place == "/[]/lfs/oid") raw_.lfsOid = *value.text;
    if (isNumber && place == "/[]/size") raw_.size = value.number;
    if (isNumber && place == "/[]/lfs/size") raw_.lfsSize = value.number;
  }

  void objectEnds(const std::string& place) override {
    if (place != "/[]") return;
    ++page_.entries;
    if (raw_.type != "file") return;  // folders, and what huggingface_hub takes for one
    auto file = fileOf(raw_);
    if (!file.ok()) {
      error_ = absl::InternalError(absl::StrCat("the hub lists a file that cannot be used, ",
                                                roost::quoted(raw_.path), ": ",
                                                file.status().message()));
    } else if (page_.files.size() >= kManifestFilesMax) {
      error_ = absl::InternalError(
          absl::StrCat("the hub lists more than ", kManifestFilesMax, " files"));
    } else {
      page_.files.push_back(*std::move(file));
    }
  }

  bool isList_ = false;
  RawEntry raw_;
  TreePage page_;
};

}  // namespace

absl::StatusOr<RevisionAnswer> parseHubRevision(absl::string_view text) {
  RevisionWalk walk;
  if (absl::Status status = walk.run(text); !status.ok()) return status;
  return std::move(walk).result();
}

absl::StatusOr<TreePage> parseTreePage(absl::string_view text) {
  TreeWalk walk;
  if (absl::Status status = walk.run(text); !status.ok()) return status;
  return std::move(walk).result();
}

}  // namespace roost
