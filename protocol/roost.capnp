# What roost's nodes and its command line say on the wire. Values with a grammar (names, digests, paths) travel as text or
# bytes and become types only through protocol/convert.h, which refuses whatever does not match.
#
# Compatibility: fields and methods are only added. Version n speaks to n-1 in full; a node announces the range it speaks.
@0xd1c3f0a6b7e24c95;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("roost::wire");

# ---- Values ----------------------------------------------------------------------------------------------------------

enum HashAlgorithm { none @0; sha256 @1; gitSha1 @2; }
enum RepoType { none @0; model @1; dataset @2; space @3; datasetCache @4; tree @5; }
enum Visibility { unknown @0; public @1; gated @2; private @3; }
enum NodeState { starting @0; checking @1; ready @2; warming @3; full @4; draining @5; suspected @6; gone @7; }

struct BlobId { algorithm @0 :HashAlgorithm; digest @1 :Data; }
struct BlobInfo { id @0 :BlobId; size @1 :UInt64; }
struct RepoId { origin @0 :Text; type @1 :RepoType; name @2 :Text; }
struct RefState { ref @0 :Text; commit @1 :Text; hubTimeMs @2 :Int64; }   # ms since 1970; 0: the hub was not asked
struct FileEntry {
  path @0 :Text;
  blob @1 :BlobInfo;
  pointer @2 :Data;       # git sha1 of the LFS pointer, or empty
  observedAs @3 :Data;    # 16 bytes: the ETag under which the node got it from a hub that named no hash; or empty
  executable @4 :Bool;    # of a tree: its owner may run it
}

struct Listing {
  repo @0 :RepoId;
  commit @1 :Text;
  complete @2 :Bool;
  visibility @3 :Visibility;
  files @4 :List(FileEntry);
}

struct MemberInfo {
  id @0 :Data;
  epoch @1 :UInt64;
  name @2 :Text;
  addresses @3 :List(Text);
  versionMin @4 :UInt16;
  versionMax @5 :UInt16;
  features @6 :UInt64;
  zone @7 :Text;
  stores @8 :List(Text);
  instance @9 :UInt64;
}

struct NodeSummary {
  state @0 :NodeState;
  blobs @1 :UInt64;
  heldBytes @2 :UInt64;
  freeBytes @3 :UInt64;
  inRate @4 :UInt64;
  outRate @5 :UInt64;
  peerBytesIn @6 :UInt64;
  peerBytesOut @7 :UInt64;
  hubBytes @8 :UInt64;
  savedBytes @9 :UInt64;
  checkBytesLeft @10 :UInt64;
  checkBytesTotal @11 :UInt64;
  problems @12 :UInt32;
  stores @13 :List(Text);
  hubRestMs @14 :UInt64;    # for so long the hub wants to be left alone, as it told this node
}

# ---- Adverts ---------------------------------------------------------------------------------------------------------
# Room is left for what later versions advertise (wheels, trees): an unknown kind is skipped.

struct BlobAdvert { blob @0 :BlobInfo; unverified @1 :Bool; visibility @2 :Visibility; sha256 @3 :Data; }
struct RepoAdvert {
  repo @0 :RepoId;
  commit @1 :Text;
  visibility @2 :Visibility;
  files @3 :UInt32;
  bytes @4 :UInt64;
  manifest @5 :Bool;
  filesTotal @6 :UInt32;
  bytesTotal @7 :UInt64;
}
struct RefAdvert { repo @0 :RepoId; state @1 :RefState; }
# key: 32 bytes. createdMs: ms since 1970. The provenance is not told: it travels with the value.
struct RepresentationAdvert { key @0 :Data; sha256 @1 :Data; size @2 :UInt64; createdMs @3 :Int64; producer @4 :Data; }
struct RepoKey { repo @0 :RepoId; commit @1 :Text; }
struct RefKey { repo @0 :RepoId; ref @1 :Text; }

struct AdvertChange {
  sequence @0 :UInt64;
  union {
    blob @1 :BlobAdvert;
    repo @2 :RepoAdvert;
    ref @3 :RefAdvert;
    withdrawnBlob @4 :BlobId;
    withdrawnRepo @5 :RepoKey;
    withdrawnRef @6 :RefKey;
    representation @7 :RepresentationAdvert;
    withdrawnRepresentation @8 :Data;
  }
}
struct LogPosition { logId @0 :UInt64; sequence @1 :UInt64; }
# Also the form in which adverts are saved in the index.
struct AdvertPage {
  reset @0 :Bool;
  changes @1 :List(AdvertChange);
  next @2 :LogPosition;
  more @3 :Bool;
}

# ---- Wants and jobs --------------------------------------------------------------------------------------------------

enum WantPhase { wanted @0; done @1; givenUp @2; }
enum SourceRule { any @0; clusterOnly @1; hubOnly @2; }
struct Want {
  blob @0 :BlobInfo;
  phase @1 :WantPhase;
  canUseHub @2 :Bool;
  peersHaveIt @3 :Bool;
  prefixBytes @4 :UInt64;
  heldFence @5 :UInt64;
  have @6 :Data;                  # a bit for each piece: piece_map.h
}
struct Grant {
  notRegistrar @0 :Bool;
  fence @1 :UInt64;
  leaseholder @2 :Data;     # empty: none
  number @3 :UInt32;
  wanters @4 :List(Data);
  have @5 :List(Data);            # of each wanter, as in Want, or empty
}
# Also the form in which jobs are saved in the index.
struct Obtain {
  coordinator @0 :Data;
  job @1 :UInt64;
  listing @2 :Listing;
  manifestOnly @3 :List(FileEntry);
  refs @4 :List(RefState);
  from @5 :SourceRule;
  limit @6 :UInt64;                    # bytes per second; 0: none
  company @7 :Bool;                    # others were told to get it at the same time
}
struct SavedJob {
  obtain @0 :Obtain;
  title @1 :Text;
  targets @2 :List(Data);
  createdMs @3 :Int64;
  finished @4 :Bool;
  cancelled @5 :Bool;
  resultCode @6 :UInt16;
  resultMessage @7 :Text;
  finishedMs @8 :Int64;
  progress @9 :List(ObtainProgress);   # of a finished job: one for each target; its list of files is left out
}
enum ObtainState { unknown @0; running @1; done @2; failed @3; cancelled @4; }
struct SourceShare { name @0 :Text; bytes @1 :UInt64; }
struct ObtainProgress {
  state @0 :ObtainState;
  filesTotal @1 :UInt32;
  filesDone @2 :UInt32;
  bytesTotal @3 :UInt64;
  bytesDone @4 :UInt64;
  bytesPresent @5 :UInt64;
  rate @6 :UInt64;
  sources @7 :List(SourceShare);
  code @8 :UInt16;
  message @9 :Text;
}

# ---- What the hub says to anybody ------------------------------------------------------------------------------------

enum HubOutcome { unable @0; asking @1; answer @2; }
struct HubHeader { name @0 :Text; value @1 :Text; }
# Asked without a token, by the member that asks for all.
struct HubQuestion {
  origin @0 :Text;          # the hub's URL: members may have different ones
  target @1 :Text;          # of a GET, from "/" on; with hasForm of a POST
  hasForm @2 :Bool;
  form @3 :Data;
  formType @4 :Text;
  ageMaxMs @5 :UInt64;      # an older answer does not count while the hub can be asked
}
struct HubWord {
  outcome @0 :HubOutcome;
  status @1 :UInt16;
  headers @2 :List(HubHeader);
  body @3 :Data;
  ageMs @4 :UInt64;         # since the hub said so
  stale @5 :Bool;           # the hub does not answer now
  restMs @6 :UInt64;        # unable: for so long the hub wants to be left alone
}

# ---- Representations -------------------------------------------------------------------------------------------------

enum ComputeVerdict { granted @0; other @1; present @2; }

# ---- Interfaces ------------------------------------------------------------------------------------------------------

# What a connection may do before it has said who it is. Capabilities are the permissions: nothing else is reachable.
interface Door {
  # For a control link (preface "c"). observed: the address the caller is seen at, without its port.
  control @0 (hello :MemberInfo, peer :Peer) -> (hello :MemberInfo, peer :Peer, observed :Text);
  # For a bulk link (preface "b").
  bulk @1 (caller :Data, epoch :UInt64) -> (source :BlobSource);
}

# One node's control interface, for one authenticated peer.
interface Peer {
  heartbeat @0 (summary :NodeSummary) -> (summary :NodeSummary);
  members @1 () -> (members :List(MemberInfo));
  # Answered when the advert log has something after `from`, or after a while with nothing.
  follow @2 (from :LogPosition) -> (page :AdvertPage);
  listing @3 (repo :RepoId, commit :Text) -> (known :Bool, listing :Listing);
  want @4 (wants :List(Want)) -> (grants :List(Grant));
  obtain @5 (order :Obtain) -> ();
  progress @6 (coordinator :Data, job :UInt64, cancel :Bool, heldMs :UInt32, limit :UInt64) -> (progress :ObtainProgress);
  # For a node whose hello has the feature "asks the hub"; answered within a second, if only by `asking`.
  hubWord @7 (question :HubQuestion) -> (word :HubWord);
  # For a node whose hello has the feature "representations": who computes them, or gives that back. One verdict a key.
  computeLease @8 (holder :Text, durationMs :UInt64, release :Bool, keys :List(Data)) -> (verdicts :List(ComputeVerdict));
}

# off: not by this node, or not this blob (it is not public, or not here). notYet: its tree is being computed; ask again.
enum SwarmState { off @0; notYet @1; ready @2; }

enum ReadOutcome { data @0; notMine @1; gone @2; busy @3; corrupt @4; }

# The direct lane: what a node serves to one peer over a bulk link.
interface BlobSource {
  # Never fails for an unknown blob: its reader answers `gone`, so that reads can be pipelined on the answer.
  open @0 (id :BlobId) -> (reader :BlobReader);
  # Blobs of at most 1 MiB, as many of the asked-for as fit in one answer, in the order asked; the others are `busy`.
  small @1 (ids :List(BlobId)) -> (blobs :List(SmallBlob));
  # The provenance of representations that this node holds, as canonical JSON; empty of those that it does not.
  provenances @2 (keys :List(Data)) -> (provenances :List(Data));
}
struct SmallBlob { outcome @0 :ReadOutcome; data @1 :Data; }

interface BlobReader {
  # One piece or a part of it: length <= 1 MiB, not across a piece boundary. A short answer means the blob ends there.
  # background: no client waits for it, so those for which one does go first where the sender has a limit.
  read @0 (offset :UInt64, length :UInt32, background :Bool) -> (outcome :ReadOutcome, data :Data);
  # The XXH3-128 of each piece of a blob that this node has whole and has verified, 16 bytes each; empty if it has not.
  pieces @1 () -> (hashes :Data);
  # How to get this blob by BitTorrent. port: where this node's swarm listens, 0 without one, whatever the state is.
  # ready: root and layer are its hash tree (BEP 52, 32 bytes each hash; no layer of a blob of one piece).
  swarm @2 () -> (state :SwarmState, port :UInt16, pieceBytes :UInt64, root :Data, layer :Data);
  # Where the file lies, for a node that writes to the same file system: it may copy the pieces itself. fileSystem: a
  # name that is equal for all who see it. No path: it lies on another one, is told nobody, or has not been verified.
  place @3 (fileSystem :Text) -> (path :Text, inode :UInt64, mtimeNs :Int64);
}

# The command line's interface, on the agent's Unix socket. Documents are JSON: docs/reference/json.md.
interface Control {
  call @0 (method :Text, arguments :Text) -> (code :UInt16, message :Text, document :Text);
}
