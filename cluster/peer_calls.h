// Requests and replies of messages.h as calls of the Peer interface.
//
// Threads: that of the client's RPC system. Errors: those of the peer, kUnavailable (link lost),
// kDeadlineExceeded, kInvalidArgument (malformed).
#ifndef ROOST_CLUSTER_PEER_CALLS_H_
#define ROOST_CLUSTER_PEER_CALLS_H_

#include <boost/asio/awaitable.hpp>
#include <utility>

#include "absl/status/statusor.h"
#include "protocol/messages.h"
#include "protocol/roost.capnp.h"

namespace roost {

// The asking side: one call, from request to reply.
boost::asio::awaitable<absl::StatusOr<Reply>> callPeer(wire::Peer::Client peer, Request request);

// The answering side, one pair for each method.
absl::StatusOr<Request> readParams(wire::Peer::HeartbeatParams::Reader params);
absl::StatusOr<Request> readParams(wire::Peer::MembersParams::Reader params);
absl::StatusOr<Request> readParams(wire::Peer::FollowParams::Reader params);
absl::StatusOr<Request> readParams(wire::Peer::ListingParams::Reader params);
absl::StatusOr<Request> readParams(wire::Peer::WantParams::Reader params);
absl::StatusOr<Request> readParams(wire::Peer::ObtainParams::Reader params);
absl::StatusOr<Request> readParams(wire::Peer::ProgressParams::Reader params);
absl::StatusOr<Request> readParams(wire::Peer::HubWordParams::Reader params);
absl::StatusOr<Request> readParams(wire::Peer::ComputeLeaseParams::Reader params);

// The reply must be of the method's kind.
void writeResults(const Reply& reply, wire::Peer::HeartbeatResults::Builder results);
void writeResults(const Reply& reply, wire::Peer::MembersResults::Builder results);
void writeResults(const Reply& reply, wire::Peer::FollowResults::Builder results);
void writeResults(const Reply& reply, wire::Peer::ListingResults::Builder results);
void writeResults(const Reply& reply, wire::Peer::WantResults::Builder results);
void writeResults(const Reply& reply, wire::Peer::ObtainResults::Builder results);
void writeResults(const Reply& reply, wire::Peer::ProgressResults::Builder results);
void writeResults(const Reply& reply, wire::Peer::HubWordResults::Builder results);
void writeResults(const Reply& reply, wire::Peer::ComputeLeaseResults::Builder results);

}  // namespace roost

#endif  // ROOST_CLUSTER_PEER_CALLS_H_
