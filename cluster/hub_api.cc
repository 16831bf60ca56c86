#include "cluster/hub_api.h"

#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cluster/hub_json.h"
#include "cluster/hub_urls.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

absl::Status aboutHub(const HubSubject& subject, absl::string_view why) {
  return absl::InternalError(sentence(absl::StrCat("cannot use what ", subject.repo.origin().url(),
                                                   " says of ", subject.toString()),
                                      why, ""));
}

}  // namespace

// A listing on its way, page by page.
struct HubApi::TreeWalk {
  std::shared_ptr<HubCalls> calls;
  TokenSource token;
  HubSubject subject;
  std::string url;  // of the next page
  Listing listing;
  size_t pages = 0;
  size_t bytesLeft = kHubJsonBytesMax;
  std::function<void(absl::StatusOr<Listing>)> done;
};

HubApi::HubApi(const HubOrigin& origin, HttpClient& http, TokenSource token, HubPatience patience)
    : http_(http),
      token_(std::move(token)),
      calls_(std::make_shared<HubCalls>(origin, http, patience)) {}

HubApi::~HubApi() = default;

void HubApi::revision(const RepoId& repo, absl::string_view revision,
                      std::function<void(absl::StatusOr<HubRevision>)> done) {
  absl::Status status = calls_->belongs(repo);
  if (status.ok() && (revision.empty() || revision.size() > kRefBytesMax)) {
    status = absl::InvalidArgumentError(
        absl::StrCat("not a revision: ", quoted(revision), ": 1 to 255 bytes"));
  }
  if (!status.ok()) {
    http_.post([done = std::move(done), status] { done(status); });
    return;
  }
  HubCall call{HttpMethod::kGet, revisionUrl(repo, revision),
               HubSubject{repo, std::string(revision), ""}};
  call.bodyBytesMax = kHubJsonBytesMax;
  call.token = token_;
  const HubSubject subject = call.subject;
  calls_->ask(std::move(call), [subject, done = std::move(done)](absl::StatusOr<HubReply> reply) {
    if (!reply.ok()) return done(reply.status());
    auto answer = parseHubRevision(reply->body);
    if (!answer.ok()) return done(aboutHub(subject, answer.status().message()));
    done(HubRevision{std::move(answer->commit), answer->visibility, std::move(answer->paths),
                     absl::Now()});
  });
}

void HubApi::tree(const RepoId& repo, const Commit& commit,
                  std::function<void(absl::StatusOr<Listing>)> done) {
  if (const absl::Status status = calls_->belongs(repo); !status.ok()) {
    http_.post([done = std::move(done), status] { done(status); });
    return;
  }
  auto walk = std::make_shared<TreeWalk>(TreeWalk{
      calls_, token_, HubSubject{repo, commit.hex(), ""}, treeUrl(repo, commit),
      Listing{repo, commit, true, Visibility::kUnknown, {}}, 0, kHubJsonBytesMax, std::move(done)});
  askPage(walk);
}

void HubApi::askPage(const std::shared_ptr<TreeWalk>& walk) {
  HubCall call{HttpMethod::kGet, walk->url, walk->subject};
  call.bodyBytesMax = walk->bytesLeft;
  call.token = walk->token;
  walk->calls->ask(std::move(call), [walk](absl::StatusOr<HubReply> reply) {
    if (!reply.ok()) return walk->done(reply.status());
    onPage(walk, *std::move(reply));
  });
}

void HubApi::onPage(const std::shared_ptr<TreeWalk>& walk, HubReply reply) {
  auto page = parseTreePage(reply.body);
  if (!page.ok()) return walk->done(aboutHub(walk->subject, page.status().message()));
  walk->bytesLeft -= reply.body.size();
  std::vector<FileEntry>& files = walk->listing.files;
  files.insert(files.end(), std::make_move_iterator(page->files.begin()),
               std::make_move_iterator(page->files.end()));
  if (files.size() > kManifestFilesMax || ++walk->pages > kHubPagesMax) {
    return walk->done(aboutHub(walk->subject, absl::StrCat("it has more than ", kManifestFilesMax,
                                                           " files or ", kHubPagesMax, " pages")));
  }
  const std::string* link = reply.heads.back().find("link");
  const std::optional<std::string> next = link == nullptr ? std::nullopt : nextLink(*link);
  if (!next) {
    if (const absl::Status status = normalize(walk->listing); !status.ok()) {
      return walk->done(aboutHub(walk->subject, status.message()));
    }
    return walk->done(std::move(walk->listing));
  }
  const auto target = followed(reply.url, *next);
  if (!target.ok()) return walk->done(aboutHub(walk->subject, target.status().message()));
  if (*webOrigin(*target) != *webOrigin(walk->subject.repo.origin().url())) {
    return walk->done(aboutHub(walk->subject, absl::StrCat("its next page is at another origin, ",
                                                           quoted(urlForPeople(*target)))));
  }
  walk->url = *target;
  askPage(walk);
}

}  // namespace roost
