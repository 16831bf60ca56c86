#include "node/endpoint/kept_files.h"

#include <boost/asio/post.hpp>

#include "absl/time/clock.h"
#include "cluster/transfers.h"
#include "node/await_callback.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

PublishRepo orderOf(const ClientFile& file, const NodeId& self) {
  PublishRepo order{
      {self, 0}, {file.repo, file.commit, false, Visibility::kUnknown, {file.file}}, {}, {}};
  if (file.ref) order.refs.push_back(*file.ref);
  return order;
}

bool KeptFiles::isBusy(const Key& key) {
  std::erase_if(underWay_, [](const auto& entry) { return entry.second.expired(); });
  return absl::Now() < again_ || refused_.contains(key) || underWay_.size() >= kKeptBodiesMax ||
         underWay_.contains(key);
}

asio::awaitable<void> KeptFiles::keep(ClientFile file, HttpAnswer& answer) {
  const Key key{RepoKey{file.repo, file.commit}, file.file.path};
  if (isBusy(key)) co_return;
  const OwnFolder own = co_await ownFolder();
  if (!own.ok()) pause();
  if (!own.ok() || isBusy(key)) co_return;
  KeptBody::Open open = [publisher = *own, repo = file.repo, self = s_.self, length = answer.length,
                         room =
                             s_.reservations]() -> absl::StatusOr<std::unique_ptr<UnnamedWriter>> {
    ROOST_ASSIGN_OR_RETURN(SafeDir blobs, publisher->blobsOf(repo));
    return UnnamedWriter::open(std::move(blobs), self, length, room);
  };
  KeptBody::Done done = [&io = s_.io, alive = std::weak_ptr<void>(s_.alive()), this,
                         file = std::move(file)](absl::StatusOr<UnnamedWriter::Written> written) {
    asio::post(io, [alive, this, file, written = std::move(written)]() mutable {
      const std::shared_ptr<void> here = alive.lock();
      if (here != nullptr && s_.alive() != nullptr) came(file, std::move(written));
    });
  };
  const auto body =
      std::make_shared<KeptBody>(s_.pool, (*own)->root().path(), std::move(open), std::move(done));
  if (answer.stream->copyTo(body)) underWay_.insert_or_assign(key, body);
}

void KeptFiles::came(const ClientFile& file, absl::StatusOr<UnnamedWriter::Written> written) {
  s_.metrics.kept(written.ok());
  if (!written.ok()) return pause();
  ClientFile here = file;
  here.file.blob = written->blob;
  const BlobSite site{here.repo, here.commit, here.file.path, true};
  s_.folders.landed({written->blob, site, std::move(written->path), written->published,
                     std::move(written->hashes), true});
  show(here);
}

void KeptFiles::show(const ClientFile& file) {
  const Key key{RepoKey{file.repo, file.commit}, file.file.path};
  s_.folders.publishApart(orderOf(file, s_.self), [this, key](const RepoPublished& published) {
    if (absl::IsFailedPrecondition(published.status)) {
      if (refused_.size() < kRefsCachedMax) refused_.insert(key);
    } else if (!published.status.ok()) {
      pause();
    }
  });
}

asio::awaitable<absl::Status> KeptFiles::ready() {
  const OwnFolder own = co_await ownFolder();
  co_return own.status();
}

asio::awaitable<KeptFiles::OwnFolder> KeptFiles::ownFolder() {
  const std::function<void(std::function<void(OwnFolder)>)> start =
      [&](std::function<void(OwnFolder)> done) { s_.folders.openApart(std::move(done)); };
  const OwnFolder dropped = absl::UnavailableError("the agent is stopping");
  co_return co_await awaitCallback<OwnFolder>(start, dropped);
}

}  // namespace roost
