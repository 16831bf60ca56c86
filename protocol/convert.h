// Between the values of messages.h and roost.capnp on the wire. Everything that comes in is checked
// here: grammar, enum ranges, list sizes. A message with one bad part is refused whole, with the
// part named.
//
// Threads: any; readers and builders belong to the caller. Errors: kInvalidArgument.
#ifndef ROOST_PROTOCOL_CONVERT_H_
#define ROOST_PROTOCOL_CONVERT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/messages.h"
#include "protocol/roost.capnp.h"

namespace roost {

void toWire(const BlobId& value, wire::BlobId::Builder to);
void toWire(const BlobInfo& value, wire::BlobInfo::Builder to);
void toWire(const RepoId& value, wire::RepoId::Builder to);
void toWire(const Listing& value, wire::Listing::Builder to);
void toWire(const MemberInfo& value, wire::MemberInfo::Builder to);
void toWire(const HubQuestionRequest& value, wire::HubQuestion::Builder to);
absl::StatusOr<HubQuestionRequest> fromWire(wire::HubQuestion::Reader from);
void toWire(const HubQuestionReply& value, wire::HubWord::Builder to);
absl::StatusOr<HubQuestionReply> fromWire(wire::HubWord::Reader from);
void toWire(const ComputeLeaseRequest& value, wire::Peer::ComputeLeaseParams::Builder to);
absl::StatusOr<ComputeLeaseRequest> fromWire(wire::Peer::ComputeLeaseParams::Reader from);
void toWire(const ComputeLeaseReply& value, wire::Peer::ComputeLeaseResults::Builder to);
absl::StatusOr<ComputeLeaseReply> fromWire(wire::Peer::ComputeLeaseResults::Reader from);
void toWire(const NodeSummary& value, wire::NodeSummary::Builder to);
void toWire(const LogPosition& value, wire::LogPosition::Builder to);
void toWire(const FollowReply& value, wire::AdvertPage::Builder to);
void toWire(const Want& value, wire::Want::Builder to);
void toWire(const Grant& value, wire::Grant::Builder to);
void toWire(const ObtainRequest& value, wire::Obtain::Builder to);
void toWire(const ObtainProgress& value, wire::ObtainProgress::Builder to);

absl::StatusOr<BlobId> fromWire(wire::BlobId::Reader from);
absl::StatusOr<BlobInfo> fromWire(wire::BlobInfo::Reader from);
absl::StatusOr<RepoId> fromWire(wire::RepoId::Reader from);
absl::StatusOr<Listing> fromWire(wire::Listing::Reader from);
absl::StatusOr<MemberInfo> fromWire(wire::MemberInfo::Reader from);
absl::StatusOr<NodeSummary> fromWire(wire::NodeSummary::Reader from);
LogPosition fromWire(wire::LogPosition::Reader from);
absl::StatusOr<FollowReply> fromWire(wire::AdvertPage::Reader from);
absl::StatusOr<Want> fromWire(wire::Want::Reader from);
absl::StatusOr<Grant> fromWire(wire::Grant::Reader from);
absl::StatusOr<ObtainRequest> fromWire(wire::Obtain::Reader from);
absl::StatusOr<ObtainProgress> fromWire(wire::ObtainProgress::Reader from);

absl::StatusOr<NodeId> nodeIdFromWire(capnp::Data::Reader from);
absl::StatusOr<RepresentationKey> keyFromWire(capnp::Data::Reader from);
capnp::Data::Reader toData(absl::Span<const uint8_t> bytes);
absl::string_view toView(capnp::Text::Reader text);

// The form in which adverts are kept in the index: one flat message.
std::string encodeAdverts(const std::vector<AdvertChange>& changes);
absl::StatusOr<std::vector<AdvertChange>> decodeAdverts(absl::string_view bytes);

}  // namespace roost

#endif  // ROOST_PROTOCOL_CONVERT_H_
