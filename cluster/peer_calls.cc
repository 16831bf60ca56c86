#include "cluster/peer_calls.h"

#include <vector>

#include "absl/time/time.h"
#include "protocol/convert.h"
#include "protocol/errors.h"
#include "protocol/kj_await.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// A follow is a long poll; the others are answered from memory.
constexpr absl::Duration kCallTimeout = absl::Seconds(30);
constexpr absl::Duration kFollowTimeout = absl::Minutes(2);

template <typename Value, typename List>
absl::StatusOr<std::vector<Value>> readAll(List list, size_t most) {
  if (list.size() > most) return absl::InvalidArgumentError("malformed message: list too long");
  std::vector<Value> values;
  values.reserve(list.size());
  for (auto item : list) {
    ROOST_ASSIGN_OR_RETURN(auto value, fromWire(item));
    values.push_back(std::move(value));
  }
  return values;
}

template <typename Values, typename List>
void writeAll(const Values& values, List list) {
  for (uint32_t i = 0; i < list.size(); ++i) toWire(values[i], list[i]);
}

uint32_t count(size_t size) {
  return static_cast<uint32_t>(size);
}

// prepare: one overload a request. The call is built and sent; read() makes the reply of its
// results.
auto prepare(wire::Peer::Client& peer, const HeartbeatRequest& request) {
  auto call = peer.heartbeatRequest();
  toWire(request.summary, call.initSummary());
  return call;
}
auto prepare(wire::Peer::Client& peer, const MembersRequest&) {
  return peer.membersRequest();
}
auto prepare(wire::Peer::Client& peer, const FollowRequest& request) {
  auto call = peer.followRequest();
  toWire(request.from, call.initFrom());
  return call;
}
auto prepare(wire::Peer::Client& peer, const ListingRequest& request) {
  auto call = peer.listingRequest();
  toWire(request.repo, call.initRepo());
  call.setCommit(request.commit.hex());
  return call;
}
auto prepare(wire::Peer::Client& peer, const WantRequest& request) {
  auto call = peer.wantRequest();
  writeAll(request.wants, call.initWants(count(request.wants.size())));
  return call;
}
auto prepare(wire::Peer::Client& peer, const ObtainRequest& request) {
  auto call = peer.obtainRequest();
  toWire(request, call.initOrder());
  return call;
}
auto prepare(wire::Peer::Client& peer, const ProgressRequest& request) {
  auto call = peer.progressRequest();
  call.setCoordinator(toData(request.coordinator.bytes()));
  call.setJob(request.job);
  call.setCancel(request.cancel);
  call.setHeldMs(static_cast<uint32_t>(absl::ToInt64Milliseconds(request.held)));
  call.setLimit(request.limit);
  return call;
}

auto prepare(wire::Peer::Client& peer, const HubQuestionRequest& request) {
  auto call = peer.hubWordRequest();
  toWire(request, call.initQuestion());
  return call;
}

auto prepare(wire::Peer::Client& peer, const ComputeLeaseRequest& request) {
  auto call = peer.computeLeaseRequest();
  toWire(request, call);
  return call;
}

absl::StatusOr<Reply> read(wire::Peer::ComputeLeaseResults::Reader results) {
  ROOST_ASSIGN_OR_RETURN(auto reply, fromWire(results));
  return reply;
}
absl::StatusOr<Reply> read(wire::Peer::HeartbeatResults::Reader results) {
  ROOST_ASSIGN_OR_RETURN(auto summary, fromWire(results.getSummary()));
  return HeartbeatReply{summary};
}
absl::StatusOr<Reply> read(wire::Peer::MembersResults::Reader results) {
  ROOST_ASSIGN_OR_RETURN(auto members, readAll<MemberInfo>(results.getMembers(), kMembersMax));
  return MembersReply{std::move(members)};
}
absl::StatusOr<Reply> read(wire::Peer::FollowResults::Reader results) {
  ROOST_ASSIGN_OR_RETURN(auto page, fromWire(results.getPage()));
  return page;
}
absl::StatusOr<Reply> read(wire::Peer::ListingResults::Reader results) {
  if (!results.getKnown()) return ListingReply{};
  ROOST_ASSIGN_OR_RETURN(auto listing, fromWire(results.getListing()));
  return ListingReply{std::move(listing)};
}
absl::StatusOr<Reply> read(wire::Peer::WantResults::Reader results) {
  ROOST_ASSIGN_OR_RETURN(auto grants, readAll<Grant>(results.getGrants(), kWantsMax));
  return WantReply{std::move(grants)};
}
absl::StatusOr<Reply> read(wire::Peer::ObtainResults::Reader) {
  return ObtainReply{};
}
absl::StatusOr<Reply> read(wire::Peer::ProgressResults::Reader results) {
  ROOST_ASSIGN_OR_RETURN(auto progress, fromWire(results.getProgress()));
  return ProgressReply{std::move(progress)};
}

absl::StatusOr<Reply> read(wire::Peer::HubWordResults::Reader results) {
  ROOST_ASSIGN_OR_RETURN(auto word, fromWire(results.getWord()));
  return word;
}

template <typename Params, typename Results>
boost::asio::awaitable<absl::StatusOr<Reply>> send(capnp::Request<Params, Results> call,
                                                   absl::Duration timeout) {
  auto response = co_await withTimeout(kj::Promise<capnp::Response<Results>>(call.send()), timeout);
  if (!response.ok()) co_return response.status();
  co_return read(*response);
}

}  // namespace

boost::asio::awaitable<absl::StatusOr<Reply>> callPeer(wire::Peer::Client peer, Request request) {
  const absl::Duration timeout =
      std::holds_alternative<FollowRequest>(request) ? kFollowTimeout : kCallTimeout;
  auto sent =
      std::visit([&](const auto& one) { return send(prepare(peer, one), timeout); }, request);
  co_return co_await std::move(sent);
}

absl::StatusOr<Request> readParams(wire::Peer::HeartbeatParams::Reader params) {
  ROOST_ASSIGN_OR_RETURN(auto summary, fromWire(params.getSummary()));
  return HeartbeatRequest{summary};
}
absl::StatusOr<Request> readParams(wire::Peer::MembersParams::Reader) {
  return MembersRequest{};
}
absl::StatusOr<Request> readParams(wire::Peer::FollowParams::Reader params) {
  return FollowRequest{fromWire(params.getFrom())};
}
absl::StatusOr<Request> readParams(wire::Peer::ListingParams::Reader params) {
  ROOST_ASSIGN_OR_RETURN(RepoId repo, fromWire(params.getRepo()));
  ROOST_ASSIGN_OR_RETURN(Commit commit, Commit::parse(toView(params.getCommit())));
  return ListingRequest{std::move(repo), std::move(commit)};
}
absl::StatusOr<Request> readParams(wire::Peer::WantParams::Reader params) {
  ROOST_ASSIGN_OR_RETURN(auto wants, readAll<Want>(params.getWants(), kWantsMax));
  return WantRequest{std::move(wants)};
}
absl::StatusOr<Request> readParams(wire::Peer::ObtainParams::Reader params) {
  ROOST_ASSIGN_OR_RETURN(auto order, fromWire(params.getOrder()));
  return order;
}
absl::StatusOr<Request> readParams(wire::Peer::ProgressParams::Reader params) {
  ROOST_ASSIGN_OR_RETURN(NodeId coordinator, nodeIdFromWire(params.getCoordinator()));
  return ProgressRequest{coordinator, params.getJob(), params.getCancel(),
                         std::min(absl::Milliseconds(params.getHeldMs()), kProgressHeldMax),
                         params.getLimit()};
}

absl::StatusOr<Request> readParams(wire::Peer::HubWordParams::Reader params) {
  ROOST_ASSIGN_OR_RETURN(auto question, fromWire(params.getQuestion()));
  return question;
}

absl::StatusOr<Request> readParams(wire::Peer::ComputeLeaseParams::Reader params) {
  ROOST_ASSIGN_OR_RETURN(auto request, fromWire(params));
  return request;
}

void writeResults(const Reply& reply, wire::Peer::ComputeLeaseResults::Builder results) {
  toWire(std::get<ComputeLeaseReply>(reply), results);
}
void writeResults(const Reply& reply, wire::Peer::HeartbeatResults::Builder results) {
  toWire(std::get<HeartbeatReply>(reply).summary, results.initSummary());
}
void writeResults(const Reply& reply, wire::Peer::MembersResults::Builder results) {
  const auto& members = std::get<MembersReply>(reply).members;
  writeAll(members, results.initMembers(count(members.size())));
}
void writeResults(const Reply& reply, wire::Peer::FollowResults::Builder results) {
  toWire(std::get<FollowReply>(reply), results.initPage());
}
void writeResults(const Reply& reply, wire::Peer::ListingResults::Builder results) {
  const auto& listing = std::get<ListingReply>(reply).listing;
  results.setKnown(listing.has_value());
  if (listing) toWire(*listing, results.initListing());
}
void writeResults(const Reply& reply, wire::Peer::WantResults::Builder results) {
  const auto& grants = std::get<WantReply>(reply).grants;
  writeAll(grants, results.initGrants(count(grants.size())));
}
void writeResults(const Reply& reply, wire::Peer::ObtainResults::Builder) {
  (void)std::get<ObtainReply>(reply);  // throws where the core gave another kind: a bug
}
void writeResults(const Reply& reply, wire::Peer::ProgressResults::Builder results) {
  toWire(std::get<ProgressReply>(reply).progress, results.initProgress());
}

void writeResults(const Reply& reply, wire::Peer::HubWordResults::Builder results) {
  toWire(std::get<HubQuestionReply>(reply), results.initWord());
}

}  // namespace roost
