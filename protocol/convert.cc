#include "protocol/convert.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protocol/errors.h"
#include "protocol/flat_message.h"
#include "protocol/limits.h"

namespace roost {
namespace {

absl::Status bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed message: ", what));
}

// Enums are numbers on the wire: one that this version does not know is refused, not cast.
template <typename Value, typename Wire>
absl::StatusOr<Value> enumOf(Wire wire, uint16_t first, uint16_t last, absl::string_view what) {
  const auto number = static_cast<uint16_t>(wire);
  if (number < first || number > last) return bad(absl::StrCat("unknown ", what, " ", number));
  return static_cast<Value>(number);
}

int64_t toMs(std::optional<absl::Time> time) {
  return time ? absl::ToUnixMillis(*time) : 0;
}

std::optional<absl::Time> ofMs(int64_t ms) {
  if (ms <= 0) return std::nullopt;
  return absl::FromUnixMillis(ms);
}

absl::StatusOr<std::optional<Sha256>> optionalSha256(capnp::Data::Reader data) {
  if (data.size() == 0) return std::optional<Sha256>();
  Sha256 digest;
  if (data.size() != digest.size()) return bad("sha256 of the wrong length");
  std::copy(data.begin(), data.end(), digest.begin());
  return std::optional<Sha256>(digest);
}

void write(const RefState& value, wire::RefState::Builder to) {
  to.setRef(value.ref.text());
  to.setCommit(value.commit.hex());
  to.setHubTimeMs(toMs(value.hubTime));
}

absl::StatusOr<RefState> read(wire::RefState::Reader from) {
  ROOST_ASSIGN_OR_RETURN(RefName ref, RefName::parse(toView(from.getRef())));
  ROOST_ASSIGN_OR_RETURN(Commit commit, Commit::parse(toView(from.getCommit())));
  return RefState{std::move(ref), std::move(commit), ofMs(from.getHubTimeMs())};
}

void write(const FileEntry& value, wire::FileEntry::Builder to) {
  to.setPath(value.path.text());
  toWire(value.blob, to.initBlob());
  if (value.pointer) to.setPointer(toData(*value.pointer));
  if (value.observedAs) to.setObservedAs(toData(value.observedAs->bytes()));
  to.setExecutable(value.executable);
}

absl::StatusOr<FileEntry> read(wire::FileEntry::Reader from) {
  ROOST_ASSIGN_OR_RETURN(RelativePath path, RelativePath::parse(toView(from.getPath())));
  ROOST_ASSIGN_OR_RETURN(BlobInfo blob, fromWire(from.getBlob()));
  std::optional<GitSha1> pointer;
  if (const auto data = from.getPointer(); data.size() != 0) {
    pointer.emplace();
    if (data.size() != pointer->size()) return bad("pointer digest of the wrong length");
    std::copy(data.begin(), data.end(), pointer->begin());
  }
  std::optional<MadeEtag> observedAs;
  if (const auto data = from.getObservedAs(); data.size() != 0) {
    ROOST_ASSIGN_OR_RETURN(observedAs, MadeEtag::fromBytes({data.begin(), data.size()}));
    if (blob.id.algorithm() != HashAlgorithm::kSha256)
      return bad("observed content by another hash");
  }
  return FileEntry{std::move(path), blob, pointer, observedAs, from.getExecutable()};
}

template <typename Values, typename Lists>
void writeList(const Values& values, Lists list) {
  for (uint32_t i = 0; i < list.size(); ++i) write(values[i], list[i]);
}

template <typename Value, typename List>
absl::StatusOr<std::vector<Value>> readList(List list, size_t most, absl::string_view what) {
  if (list.size() > most) return bad(absl::StrCat("more than ", most, " ", what));
  std::vector<Value> values;
  values.reserve(list.size());
  for (auto item : list) {
    ROOST_ASSIGN_OR_RETURN(auto value, read(item));
    values.push_back(std::move(value));
  }
  return values;
}

struct AdvertWriter {
  wire::AdvertChange::Builder to;
  void operator()(const BlobAdvert& advert) {
    auto blob = to.initBlob();
    toWire(advert.blob, blob.initBlob());
    blob.setUnverified(advert.unverified);
    blob.setVisibility(static_cast<wire::Visibility>(advert.visibility));
    if (advert.sha256) blob.setSha256(toData(*advert.sha256));
  }
  void operator()(const RepoAdvert& advert) {
    auto repo = to.initRepo();
    toWire(advert.repo, repo.initRepo());
    repo.setCommit(advert.commit.hex());
    repo.setVisibility(static_cast<wire::Visibility>(advert.visibility));
    repo.setFiles(advert.files);
    repo.setBytes(advert.bytes);
    repo.setManifest(advert.manifest);
    repo.setFilesTotal(advert.filesTotal);
    repo.setBytesTotal(advert.bytesTotal);
  }
  void operator()(const RefAdvert& advert) {
    auto ref = to.initRef();
    toWire(advert.repo, ref.initRepo());
    write(advert.state, ref.initState());
  }
  void operator()(const RepresentationAdvert& advert) {
    auto value = to.initRepresentation();
    value.setKey(toData(advert.key.bytes()));
    value.setSha256(toData(advert.claim.blob.id.digest()));
    value.setSize(advert.claim.blob.size);
    value.setCreatedMs(absl::ToUnixMillis(advert.claim.created));
    value.setProducer(toData(advert.claim.producer.bytes()));
  }
  void operator()(const BlobId& id) { toWire(id, to.initWithdrawnBlob()); }
  void operator()(const RepresentationKey& key) {
    to.setWithdrawnRepresentation(toData(key.bytes()));
  }
  void operator()(const RepoKey& key) {
    auto repo = to.initWithdrawnRepo();
    toWire(key.repo, repo.initRepo());
    repo.setCommit(key.commit.hex());
  }
  void operator()(const RefKey& key) {
    auto ref = to.initWithdrawnRef();
    toWire(key.repo, ref.initRepo());
    ref.setRef(key.ref.text());
  }
  void operator()(const Advert& advert) { std::visit(*this, advert); }
  void operator()(const AdvertKey& key) { std::visit(*this, key); }
};

absl::StatusOr<Visibility> visibilityOf(wire::Visibility wire) {
  return enumOf<Visibility>(wire, 0, 3, "visibility");
}

absl::StatusOr<Advert> read(wire::BlobAdvert::Reader from) {
  ROOST_ASSIGN_OR_RETURN(BlobInfo blob, fromWire(from.getBlob()));
  ROOST_ASSIGN_OR_RETURN(Visibility visibility, visibilityOf(from.getVisibility()));
  ROOST_ASSIGN_OR_RETURN(auto sha256, optionalSha256(from.getSha256()));
  return BlobAdvert{blob, from.getUnverified(), visibility, sha256};
}

absl::StatusOr<Advert> read(wire::RepoAdvert::Reader from) {
  ROOST_ASSIGN_OR_RETURN(RepoId repo, fromWire(from.getRepo()));
  ROOST_ASSIGN_OR_RETURN(Commit commit, Commit::parse(toView(from.getCommit())));
  ROOST_ASSIGN_OR_RETURN(Visibility visibility, visibilityOf(from.getVisibility()));
  return RepoAdvert{std::move(repo),      std::move(commit),   visibility,
                    from.getFiles(),      from.getBytes(),     from.getManifest(),
                    from.getFilesTotal(), from.getBytesTotal()};
}

absl::StatusOr<Advert> read(wire::RefAdvert::Reader from) {
  ROOST_ASSIGN_OR_RETURN(RepoId repo, fromWire(from.getRepo()));
  ROOST_ASSIGN_OR_RETURN(RefState state, read(from.getState()));
  return RefAdvert{std::move(repo), std::move(state)};
}

absl::StatusOr<Advert> read(wire::RepresentationAdvert::Reader from) {
  ROOST_ASSIGN_OR_RETURN(const RepresentationKey key, keyFromWire(from.getKey()));
  const auto digest = from.getSha256();
  ROOST_ASSIGN_OR_RETURN(
      const BlobId id, BlobId::fromBytes(HashAlgorithm::kSha256, {digest.begin(), digest.size()}));
  if (from.getSize() > kBlobBytesMax) return bad("representation larger than the limit");
  if (from.getCreatedMs() <= 0) return bad("representation without a time");
  ROOST_ASSIGN_OR_RETURN(const NodeId producer, nodeIdFromWire(from.getProducer()));
  return RepresentationAdvert{
      key, {{id, from.getSize()}, absl::FromUnixMillis(from.getCreatedMs()), producer}};
}

absl::StatusOr<AdvertKey> read(wire::RepoKey::Reader from) {
  ROOST_ASSIGN_OR_RETURN(RepoId repo, fromWire(from.getRepo()));
  ROOST_ASSIGN_OR_RETURN(Commit commit, Commit::parse(toView(from.getCommit())));
  return RepoKey{std::move(repo), std::move(commit)};
}

absl::StatusOr<AdvertKey> read(wire::RefKey::Reader from) {
  ROOST_ASSIGN_OR_RETURN(RepoId repo, fromWire(from.getRepo()));
  ROOST_ASSIGN_OR_RETURN(RefName ref, RefName::parse(toView(from.getRef())));
  return RefKey{std::move(repo), std::move(ref)};
}

template <typename Result>
absl::StatusOr<AdvertChange> change(uint64_t sequence, absl::StatusOr<Result> what) {
  if (!what.ok()) return what.status();
  return AdvertChange{sequence, *std::move(what)};
}

// Of a type that only later versions know: nothing that this one could want.
template <typename Reader>
bool isOfLaterType(Reader from) {
  return static_cast<uint16_t>(from.getRepo().getType()) > kRepoTypes.size();
}

// nullopt: an advert of a kind that only later versions know.
absl::StatusOr<std::optional<AdvertChange>> read(wire::AdvertChange::Reader from) {
  const uint64_t sequence = from.getSequence();
  switch (from.which()) {
    case wire::AdvertChange::BLOB:
      return change(sequence, read(from.getBlob()));
    case wire::AdvertChange::REPO:
      if (isOfLaterType(from.getRepo())) break;
      return change(sequence, read(from.getRepo()));
    case wire::AdvertChange::REF:
      if (isOfLaterType(from.getRef())) break;
      return change(sequence, read(from.getRef()));
    case wire::AdvertChange::WITHDRAWN_BLOB: {
      ROOST_ASSIGN_OR_RETURN(BlobId id, fromWire(from.getWithdrawnBlob()));
      return AdvertChange{sequence, AdvertKey(id)};
    }
    case wire::AdvertChange::WITHDRAWN_REPO:
      if (isOfLaterType(from.getWithdrawnRepo())) break;
      return change(sequence, read(from.getWithdrawnRepo()));
    case wire::AdvertChange::WITHDRAWN_REF:
      if (isOfLaterType(from.getWithdrawnRef())) break;
      return change(sequence, read(from.getWithdrawnRef()));
    case wire::AdvertChange::REPRESENTATION:
      return change(sequence, read(from.getRepresentation()));
    case wire::AdvertChange::WITHDRAWN_REPRESENTATION: {
      ROOST_ASSIGN_OR_RETURN(const RepresentationKey key,
                             keyFromWire(from.getWithdrawnRepresentation()));
      return AdvertChange{sequence, AdvertKey(key)};
    }
  }
  return std::optional<AdvertChange>();
}

void writeChanges(const std::vector<AdvertChange>& changes,
                  capnp::List<wire::AdvertChange>::Builder list) {
  for (uint32_t i = 0; i < list.size(); ++i) {
    list[i].setSequence(changes[i].sequence);
    std::visit(AdvertWriter{list[i]}, changes[i].what);
  }
}

absl::StatusOr<std::vector<AdvertChange>> readChanges(capnp::List<wire::AdvertChange>::Reader list,
                                                      size_t most) {
  if (list.size() > most) return bad("too many adverts in one page");
  std::vector<AdvertChange> changes;
  changes.reserve(list.size());
  uint64_t last = 0;
  for (auto item : list) {
    ROOST_ASSIGN_OR_RETURN(auto one, read(item));
    if (item.getSequence() < last) return bad("adverts out of order");
    last = item.getSequence();
    if (one) changes.push_back(*std::move(one));
  }
  return changes;
}

}  // namespace

capnp::Data::Reader toData(absl::Span<const uint8_t> bytes) {
  return {bytes.data(), bytes.size()};
}

absl::string_view toView(capnp::Text::Reader text) {
  return {text.begin(), text.size()};
}

absl::StatusOr<NodeId> nodeIdFromWire(capnp::Data::Reader from) {
  return NodeId::fromBytes({from.begin(), from.size()});
}

absl::StatusOr<RepresentationKey> keyFromWire(capnp::Data::Reader from) {
  return RepresentationKey::fromBytes({from.begin(), from.size()});
}

void toWire(const BlobId& value, wire::BlobId::Builder to) {
  to.setAlgorithm(static_cast<wire::HashAlgorithm>(value.algorithm()));
  to.setDigest(toData(value.digest()));
}

absl::StatusOr<BlobId> fromWire(wire::BlobId::Reader from) {
  ROOST_ASSIGN_OR_RETURN(auto algorithm,
                         enumOf<HashAlgorithm>(from.getAlgorithm(), 1, 2, "hash algorithm"));
  const auto digest = from.getDigest();
  return BlobId::fromBytes(algorithm, {digest.begin(), digest.size()});
}

void toWire(const BlobInfo& value, wire::BlobInfo::Builder to) {
  toWire(value.id, to.initId());
  to.setSize(value.size);
}

absl::StatusOr<BlobInfo> fromWire(wire::BlobInfo::Reader from) {
  ROOST_ASSIGN_OR_RETURN(BlobId id, fromWire(from.getId()));
  if (from.getSize() > kBlobBytesMax) return bad("blob larger than the limit");
  return BlobInfo{id, from.getSize()};
}

void toWire(const RepoId& value, wire::RepoId::Builder to) {
  to.setOrigin(value.origin().url());
  to.setType(static_cast<wire::RepoType>(value.type()));
  to.setName(value.name());
}

absl::StatusOr<RepoId> fromWire(wire::RepoId::Reader from) {
  ROOST_ASSIGN_OR_RETURN(HubOrigin origin, HubOrigin::parse(toView(from.getOrigin())));
  ROOST_ASSIGN_OR_RETURN(auto type,
                         enumOf<RepoType>(from.getType(), 1, kRepoTypes.size(), "repo type"));
  return RepoId::make(std::move(origin), type, toView(from.getName()));
}

void toWire(const Listing& value, wire::Listing::Builder to) {
  toWire(value.repo, to.initRepo());
  to.setCommit(value.commit.hex());
  to.setComplete(value.complete);
  to.setVisibility(static_cast<wire::Visibility>(value.visibility));
  writeList(value.files, to.initFiles(static_cast<uint32_t>(value.files.size())));
}

absl::StatusOr<Listing> fromWire(wire::Listing::Reader from) {
  ROOST_ASSIGN_OR_RETURN(RepoId repo, fromWire(from.getRepo()));
  ROOST_ASSIGN_OR_RETURN(Commit commit, Commit::parse(toView(from.getCommit())));
  ROOST_ASSIGN_OR_RETURN(Visibility visibility, visibilityOf(from.getVisibility()));
  ROOST_ASSIGN_OR_RETURN(auto files,
                         readList<FileEntry>(from.getFiles(), kManifestFilesMax, "files"));
  Listing listing{std::move(repo), std::move(commit), from.getComplete(), visibility,
                  std::move(files)};
  ROOST_RETURN_IF_ERROR(normalize(listing));
  if (listing.complete && listing.observes()) {
    return bad("a manifest with a file whose hash no hub named");
  }
  return listing;
}

namespace {

void writeStores(const std::vector<StoreId>& stores, capnp::List<capnp::Text>::Builder to) {
  for (uint32_t i = 0; i < to.size(); ++i) to.set(i, stores[i].text());
}

absl::StatusOr<std::vector<StoreId>> readStores(capnp::List<capnp::Text>::Reader from) {
  if (from.size() > kStoresMax) return bad("too many stores");
  std::vector<StoreId> stores;
  for (auto text : from) {
    ROOST_ASSIGN_OR_RETURN(StoreId store, StoreId::parse(toView(text)));
    stores.push_back(std::move(store));
  }
  return stores;
}

}  // namespace

void toWire(const MemberInfo& value, wire::MemberInfo::Builder to) {
  to.setId(toData(value.id.bytes()));
  to.setEpoch(value.epoch);
  to.setName(value.name);
  auto addresses = to.initAddresses(static_cast<uint32_t>(value.addresses.size()));
  for (uint32_t i = 0; i < addresses.size(); ++i) {
    addresses.set(i, value.addresses[i].toString());
  }
  to.setVersionMin(value.versionMin);
  to.setVersionMax(value.versionMax);
  to.setFeatures(value.features);
  to.setZone(value.zone);
  to.setInstance(value.instance);
  writeStores(value.stores, to.initStores(static_cast<uint32_t>(value.stores.size())));
}

absl::StatusOr<MemberInfo> fromWire(wire::MemberInfo::Reader from) {
  ROOST_ASSIGN_OR_RETURN(NodeId id, nodeIdFromWire(from.getId()));
  MemberInfo member{.id = id, .epoch = from.getEpoch()};
  ROOST_ASSIGN_OR_RETURN(member.name, parseNodeName(toView(from.getName())));
  if (from.getAddresses().size() > kAddressesMax) return bad("too many addresses");
  for (auto text : from.getAddresses()) {
    ROOST_ASSIGN_OR_RETURN(Address address, Address::parse(toView(text)));
    member.addresses.push_back(std::move(address));
  }
  member.versionMin = from.getVersionMin();
  member.versionMax = from.getVersionMax();
  member.features = from.getFeatures();
  member.instance = from.getInstance();
  if (from.getZone().size() != 0) {
    ROOST_ASSIGN_OR_RETURN(member.zone, parseNodeName(toView(from.getZone())));
  }
  ROOST_ASSIGN_OR_RETURN(member.stores, readStores(from.getStores()));
  return member;
}

namespace {

bool isPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
  });
}

// UINT64_MAX: for ever.
uint64_t millisToWire(absl::Duration value) {
  if (value == absl::InfiniteDuration()) return UINT64_MAX;
  return static_cast<uint64_t>(std::max(absl::ToInt64Milliseconds(value), int64_t{0}));
}

absl::Duration millisFromWire(uint64_t value) {
  if (value > uint64_t{INT64_MAX}) return absl::InfiniteDuration();
  return absl::Milliseconds(static_cast<int64_t>(value));
}

}  // namespace

void toWire(const HubQuestionRequest& value, wire::HubQuestion::Builder to) {
  to.setOrigin(value.origin.url());
  to.setTarget(value.target);
  to.setHasForm(value.form.has_value());
  if (value.form)
    to.setForm(capnp::Data::Reader(reinterpret_cast<const kj::byte*>(value.form->data()),
                                   value.form->size()));
  to.setFormType(value.formType);
  to.setAgeMaxMs(millisToWire(value.ageMax));
}

absl::StatusOr<HubQuestionRequest> fromWire(wire::HubQuestion::Reader from) {
  ROOST_ASSIGN_OR_RETURN(HubOrigin origin, HubOrigin::parse(toView(from.getOrigin())));
  HubQuestionRequest value{std::move(origin), std::string(toView(from.getTarget())), std::nullopt,
                           std::string(toView(from.getFormType())),
                           millisFromWire(from.getAgeMaxMs())};
  if (value.target.size() > kUrlBytesMax || !absl::StartsWith(value.target, "/")) {
    return bad("not a question to the hub");
  }
  if (value.formType.size() > kUrlBytesMax || from.getForm().size() > kEndpointBodyBytesMax) {
    return bad("question too long");
  }
  // They become a request line and a header of ours.
  if (!isPrintable(value.target) || !isPrintable(value.formType)) {
    return bad("control characters in a question to the hub");
  }
  if (from.getHasForm())
    value.form = std::string(from.getForm().asChars().begin(), from.getForm().size());
  return value;
}

void toWire(const HubQuestionReply& value, wire::HubWord::Builder to) {
  to.setOutcome(static_cast<wire::HubOutcome>(value.outcome));
  to.setStatus(value.status);
  auto headers = to.initHeaders(static_cast<uint32_t>(value.headers.size()));
  for (uint32_t i = 0; i < headers.size(); ++i) {
    headers[i].setName(value.headers[i].first);
    headers[i].setValue(value.headers[i].second);
  }
  to.setBody(
      capnp::Data::Reader(reinterpret_cast<const kj::byte*>(value.body.data()), value.body.size()));
  to.setAgeMs(millisToWire(value.age));
  to.setStale(value.stale);
  to.setRestMs(millisToWire(value.rest));
}

absl::StatusOr<HubQuestionReply> fromWire(wire::HubWord::Reader from) {
  HubQuestionReply value;
  ROOST_ASSIGN_OR_RETURN(value.outcome, enumOf<HubOutcome>(from.getOutcome(), 0, 2, "hub outcome"));
  value.status = from.getStatus();
  if (value.outcome == HubOutcome::kAnswer && (value.status < 200 || value.status > 499)) {
    return bad("no status of the hub");
  }
  if (from.getHeaders().size() > kHubHeadersMax) return bad("too many headers");
  for (auto header : from.getHeaders()) {
    std::string name = absl::AsciiStrToLower(toView(header.getName()));
    std::string text(toView(header.getValue()));
    // They become headers of our own answers.
    if (name.empty() || !isPrintable(name) || !isPrintable(text) ||
        name.find_first_of(" :") != std::string::npos) {
      return bad("no header of the hub");
    }
    value.headers.emplace_back(std::move(name), std::move(text));
  }
  value.body = std::string(from.getBody().asChars().begin(), from.getBody().size());
  value.age = millisFromWire(from.getAgeMs());
  value.stale = from.getStale();
  value.rest = millisFromWire(from.getRestMs());
  return value;
}

void toWire(const ComputeLeaseRequest& value, wire::Peer::ComputeLeaseParams::Builder to) {
  to.setHolder(value.holder);
  to.setDurationMs(millisToWire(value.duration));
  to.setRelease(value.release);
  auto keys = to.initKeys(static_cast<uint32_t>(value.keys.size()));
  for (uint32_t i = 0; i < keys.size(); ++i) keys.set(i, toData(value.keys[i].bytes()));
}

absl::StatusOr<ComputeLeaseRequest> fromWire(wire::Peer::ComputeLeaseParams::Reader from) {
  ComputeLeaseRequest value{std::string(toView(from.getHolder())),
                            millisFromWire(from.getDurationMs()),
                            from.getRelease(),
                            {}};
  if (value.holder.empty() || value.holder.size() > kComputeHolderBytesMax) {
    return bad("no name of a computation");
  }
  value.duration = std::min(value.duration, kComputeLeaseMax);
  if (from.getKeys().size() > kComputeLeaseKeysMax) return bad("too many keys");
  for (auto bytes : from.getKeys()) {
    ROOST_ASSIGN_OR_RETURN(const RepresentationKey key, keyFromWire(bytes));
    value.keys.push_back(key);
  }
  return value;
}

void toWire(const ComputeLeaseReply& value, wire::Peer::ComputeLeaseResults::Builder to) {
  auto verdicts = to.initVerdicts(static_cast<uint32_t>(value.verdicts.size()));
  for (uint32_t i = 0; i < verdicts.size(); ++i) {
    verdicts.set(i, static_cast<wire::ComputeVerdict>(value.verdicts[i]));
  }
}

absl::StatusOr<ComputeLeaseReply> fromWire(wire::Peer::ComputeLeaseResults::Reader from) {
  ComputeLeaseReply value;
  if (from.getVerdicts().size() > kComputeLeaseKeysMax) return bad("too many verdicts");
  for (auto verdict : from.getVerdicts()) {
    ROOST_ASSIGN_OR_RETURN(const auto one, enumOf<ComputeVerdict>(verdict, 0, 2, "verdict"));
    value.verdicts.push_back(one);
  }
  return value;
}

void toWire(const NodeSummary& value, wire::NodeSummary::Builder to) {
  to.setState(static_cast<wire::NodeState>(value.state));
  to.setBlobs(value.blobs);
  to.setHeldBytes(value.heldBytes);
  to.setFreeBytes(value.freeBytes);
  to.setInRate(value.inRate);
  to.setOutRate(value.outRate);
  to.setPeerBytesIn(value.peerBytesIn);
  to.setPeerBytesOut(value.peerBytesOut);
  to.setHubBytes(value.hubBytes);
  to.setSavedBytes(value.savedBytes);
  to.setCheckBytesLeft(value.checkBytesLeft);
  to.setCheckBytesTotal(value.checkBytesTotal);
  to.setProblems(value.problems);
  writeStores(value.stores, to.initStores(static_cast<uint32_t>(value.stores.size())));
  to.setHubRestMs(millisToWire(value.hubRest));
}

absl::StatusOr<NodeSummary> fromWire(wire::NodeSummary::Reader from) {
  ROOST_ASSIGN_OR_RETURN(auto state, enumOf<NodeState>(from.getState(), 0, 5, "node state"));
  ROOST_ASSIGN_OR_RETURN(auto stores, readStores(from.getStores()));
  return NodeSummary{.state = state,
                     .blobs = from.getBlobs(),
                     .heldBytes = from.getHeldBytes(),
                     .freeBytes = from.getFreeBytes(),
                     .inRate = from.getInRate(),
                     .outRate = from.getOutRate(),
                     .peerBytesIn = from.getPeerBytesIn(),
                     .peerBytesOut = from.getPeerBytesOut(),
                     .hubBytes = from.getHubBytes(),
                     .savedBytes = from.getSavedBytes(),
                     .checkBytesLeft = from.getCheckBytesLeft(),
                     .checkBytesTotal = from.getCheckBytesTotal(),
                     .problems = from.getProblems(),
                     .stores = std::move(stores),
                     .hubRest = millisFromWire(from.getHubRestMs())};
}

void toWire(const LogPosition& value, wire::LogPosition::Builder to) {
  to.setLogId(value.logId);
  to.setSequence(value.sequence);
}

LogPosition fromWire(wire::LogPosition::Reader from) {
  return {from.getLogId(), from.getSequence()};
}

void toWire(const FollowReply& value, wire::AdvertPage::Builder to) {
  to.setReset(value.reset);
  writeChanges(value.changes, to.initChanges(static_cast<uint32_t>(value.changes.size())));
  toWire(value.next, to.initNext());
  to.setMore(value.more);
}

absl::StatusOr<FollowReply> fromWire(wire::AdvertPage::Reader from) {
  ROOST_ASSIGN_OR_RETURN(auto changes, readChanges(from.getChanges(), kAdvertPageMax));
  return FollowReply{from.getReset(), std::move(changes), fromWire(from.getNext()), from.getMore()};
}

capnp::Data::Reader toData(const PieceMap& map) {
  return {reinterpret_cast<const kj::byte*>(map.bytes().data()), map.bytes().size()};
}

PieceMap pieceMapOf(capnp::Data::Reader from) {
  return PieceMap::ofBytes({reinterpret_cast<const char*>(from.begin()), from.size()});
}

void toWire(const Want& value, wire::Want::Builder to) {
  toWire(value.blob, to.initBlob());
  to.setPhase(static_cast<wire::WantPhase>(value.phase));
  to.setCanUseHub(value.canUseHub);
  to.setPeersHaveIt(value.peersHaveIt);
  to.setPrefixBytes(value.prefixBytes);
  to.setHeldFence(value.heldFence);
  to.setHave(toData(value.have));
}

absl::StatusOr<Want> fromWire(wire::Want::Reader from) {
  ROOST_ASSIGN_OR_RETURN(BlobInfo blob, fromWire(from.getBlob()));
  ROOST_ASSIGN_OR_RETURN(auto phase, enumOf<WantPhase>(from.getPhase(), 0, 2, "want phase"));
  return Want{blob,
              phase,
              from.getCanUseHub(),
              from.getPeersHaveIt(),
              from.getPrefixBytes(),
              from.getHeldFence(),
              pieceMapOf(from.getHave())};
}

void toWire(const Grant& value, wire::Grant::Builder to) {
  to.setNotRegistrar(value.notRegistrar);
  to.setFence(value.fence);
  if (value.leaseholder) to.setLeaseholder(toData(value.leaseholder->bytes()));
  to.setNumber(value.number);
  auto wanters = to.initWanters(static_cast<uint32_t>(value.wanters.size()));
  for (uint32_t i = 0; i < wanters.size(); ++i) wanters.set(i, toData(value.wanters[i].bytes()));
  auto have = to.initHave(static_cast<uint32_t>(value.have.size()));
  for (uint32_t i = 0; i < have.size(); ++i) have.set(i, toData(value.have[i]));
}

absl::StatusOr<Grant> fromWire(wire::Grant::Reader from) {
  Grant grant;
  grant.notRegistrar = from.getNotRegistrar();
  grant.fence = from.getFence();
  if (from.getLeaseholder().size() != 0) {
    ROOST_ASSIGN_OR_RETURN(grant.leaseholder, nodeIdFromWire(from.getLeaseholder()));
  }
  grant.number = from.getNumber();
  if (from.getWanters().size() > kStripeWantersMax) return bad("too many wanters");
  for (auto id : from.getWanters()) {
    ROOST_ASSIGN_OR_RETURN(NodeId node, nodeIdFromWire(id));
    grant.wanters.push_back(node);
  }
  const auto have = from.getHave();
  if (have.size() != 0 && have.size() != grant.wanters.size()) {
    return bad("not one list of pieces for each wanter");
  }
  for (const auto map : have) grant.have.push_back(pieceMapOf(map));
  return grant;
}

void toWire(const ObtainRequest& value, wire::Obtain::Builder to) {
  to.setCoordinator(toData(value.coordinator.bytes()));
  to.setJob(value.job);
  toWire(value.listing, to.initListing());
  writeList(value.manifestOnly,
            to.initManifestOnly(static_cast<uint32_t>(value.manifestOnly.size())));
  writeList(value.refs, to.initRefs(static_cast<uint32_t>(value.refs.size())));
  to.setFrom(static_cast<wire::SourceRule>(value.from));
  to.setLimit(value.limit);
  to.setCompany(value.company);
}

absl::StatusOr<ObtainRequest> fromWire(wire::Obtain::Reader from) {
  ROOST_ASSIGN_OR_RETURN(NodeId coordinator, nodeIdFromWire(from.getCoordinator()));
  ROOST_ASSIGN_OR_RETURN(Listing listing, fromWire(from.getListing()));
  ROOST_ASSIGN_OR_RETURN(auto others,
                         readList<FileEntry>(from.getManifestOnly(), kManifestFilesMax, "files"));
  ROOST_ASSIGN_OR_RETURN(auto refs, readList<RefState>(from.getRefs(), 64, "refs"));
  ROOST_ASSIGN_OR_RETURN(auto rule, enumOf<SourceRule>(from.getFrom(), 0, 2, "source rule"));
  return ObtainRequest{coordinator,     from.getJob(), std::move(listing), std::move(others),
                       std::move(refs), rule,          from.getLimit(),    from.getCompany()};
}

void toWire(const ObtainProgress& value, wire::ObtainProgress::Builder to) {
  to.setState(static_cast<wire::ObtainState>(value.state));
  to.setFilesTotal(value.filesTotal);
  to.setFilesDone(value.filesDone);
  to.setBytesTotal(value.bytesTotal);
  to.setBytesDone(value.bytesDone);
  to.setBytesPresent(value.bytesPresent);
  to.setRate(value.rate);
  auto sources = to.initSources(static_cast<uint32_t>(value.sources.size()));
  for (uint32_t i = 0; i < sources.size(); ++i) {
    sources[i].setName(value.sources[i].name);
    sources[i].setBytes(value.sources[i].bytes);
  }
  to.setCode(static_cast<uint16_t>(value.code));
  to.setMessage(value.message);
}

absl::StatusOr<ObtainProgress> fromWire(wire::ObtainProgress::Reader from) {
  ROOST_ASSIGN_OR_RETURN(auto state, enumOf<ObtainState>(from.getState(), 0, 4, "obtain state"));
  ROOST_ASSIGN_OR_RETURN(auto code, enumOf<absl::StatusCode>(from.getCode(), 0, 16, "status code"));
  ObtainProgress progress{.state = state,
                          .filesTotal = from.getFilesTotal(),
                          .filesDone = from.getFilesDone(),
                          .bytesTotal = from.getBytesTotal(),
                          .bytesDone = from.getBytesDone(),
                          .bytesPresent = from.getBytesPresent(),
                          .rate = from.getRate(),
                          .code = code,
                          .message = std::string(toView(from.getMessage()))};
  if (progress.message.size() > 4096) return bad("message longer than 4 KiB");
  if (from.getSources().size() > kMembersMax) return bad("too many sources");
  for (auto source : from.getSources()) {
    ROOST_ASSIGN_OR_RETURN(std::string name, parseNodeName(toView(source.getName())));
    progress.sources.push_back({std::move(name), source.getBytes()});
  }
  return progress;
}

std::string encodeAdverts(const std::vector<AdvertChange>& changes) {
  capnp::MallocMessageBuilder message;
  auto page = message.initRoot<wire::AdvertPage>();
  writeChanges(changes, page.initChanges(static_cast<uint32_t>(changes.size())));
  return toFlat(message);
}

absl::StatusOr<std::vector<AdvertChange>> decodeAdverts(absl::string_view bytes) {
  return readFlat<wire::AdvertPage>(bytes, [](wire::AdvertPage::Reader page) {
    return readChanges(page.getChanges(), kAdvertsPerNodeMax);
  });
}

}  // namespace roost
