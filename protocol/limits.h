// Every limit of the system, with its unit and its reason. A limit that is not here does not exist.
#ifndef ROOST_PROTOCOL_LIMITS_H_
#define ROOST_PROTOCOL_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace roost {

// --- Names. The hub's own limits, or the file system's where it is stricter. ---
inline constexpr size_t kRepoNameBytesMax = 96;      // huggingface_hub refuses longer ids
inline constexpr size_t kRefBytesMax = 255;          // one path component on disk per segment
inline constexpr size_t kPathBytesMax = 1024;        // a path inside a repo
inline constexpr size_t kPathSegmentBytesMax = 255;  // NAME_MAX
inline constexpr size_t kPathDepthMax = 32;          // directories are made one by one
inline constexpr size_t kNodeNameBytesMax = 64;      // shown in tables
inline constexpr size_t kOriginBytesMax = 512;       // hub URL with a path prefix

// --- Blobs. ---
inline constexpr uint64_t kPieceBytes = 1 << 20;  // unit of reads, of XXH3 checks and of stripes
inline constexpr uint64_t kInlineBlobBytesMax = 1 << 20;  // travels inline, many in a round trip
inline constexpr uint64_t kBlobBytesMax = uint64_t{1} << 43;  // 8 TiB: a larger size is hostile
inline constexpr size_t kManifestFilesMax = 200'000;          // files in one repo at one commit
inline constexpr size_t kInlineAnswerBytesMax = 4 << 20;      // bytes of small blobs in one answer
inline constexpr size_t kInlineIdsMax = 256;  // small blobs asked for in one round trip

// --- Messages between nodes. ---
inline constexpr size_t kMessageBytesMax =
    64 << 20;  // one Cap'n Proto message; a manifest of 200,000 files fits
inline constexpr size_t kAdvertPageMax = 2'000;          // adverts in one page: about 200 KB
inline constexpr size_t kMembersMax = 4'096;             // full mesh serves about 1,000
inline constexpr size_t kAddressesMax = 16;              // per member: several NICs, IPv4 and IPv6
inline constexpr size_t kStoresMax = 16;                 // per member: physical folders it watches
inline constexpr size_t kWantsMax = 1'024;               // blobs in one Want message
inline constexpr size_t kAdvertsPerNodeMax = 2'000'000;  // a peer that claims more is not believed
inline constexpr size_t kTombstonesMax = 50'000;  // withdrawn adverts remembered for delta resume

// --- Links. ---
inline constexpr int kPeerConnectionsMax =
    4'096;  // accepted peer sockets, control and bulk together
inline constexpr absl::Duration kHandshakeTimeout = absl::Seconds(10);  // preface + TLS + hello
inline constexpr absl::Duration kStalledWriteTimeout =
    absl::Seconds(30);                                      // a link that reads nothing ends
inline constexpr size_t kUnsentBytesPerLinkMax = 16 << 20;  // results not yet written to a link
inline constexpr size_t kUnsentBytesMax = 256 << 20;        // the same, over all links of an agent
inline constexpr int kReadWindow = 8;  // reads in flight per source and blob: 8 MiB
inline constexpr int kReadWindowFar = 32;  // the same where they are needed to fill a long link
inline constexpr int kReadsMax =
    64;  // under way from holders, over all blobs; as many from wanters
inline constexpr int kKjTurnsPerPost = 256;  // KJ turns before Asio gets its turn
// Buffers of a link are given back when it has been idle for kBuffersKept; freeing them after each
// message costs a third of the throughput in page faults.
inline constexpr absl::Duration kBuffersKept = absl::Milliseconds(250);
inline constexpr size_t kReadAheadBytes = 16 << 10;   // plain link: many small messages in one recv
inline constexpr size_t kTlsInputBytes = 128 << 10;   // ciphertext in one recv
inline constexpr size_t kTlsOutputBytes = 128 << 10;  // ciphertext in one send: stays in L2
inline constexpr size_t kTlsOutputSlackBytes = 64 << 10;  // for a last record and TLS's own answers
inline constexpr size_t kErrorTextBytesMax = 400;  // of a peer's error text, for logs and people
inline constexpr size_t kUnansweredCallBytesMax =
    2 * kMessageBytesMax;  // calls a peer has in flight; above one message, or call-backs deadlock

// --- Cluster timing (each a default; the simulator moves the clock). ---
inline constexpr absl::Duration kHeartbeatPeriodMin = absl::Seconds(1);
inline constexpr absl::Duration kHeartbeatPerMember = absl::Milliseconds(10);
inline constexpr int kSuspectedAfterPeriods = 3;
inline constexpr int kGoneAfterPeriods = 10;
inline constexpr absl::Duration kLeaseDuration = absl::Seconds(3);
inline constexpr absl::Duration kLeaseRenewal = absl::Seconds(1);
inline constexpr absl::Duration kReadDeadlineMin = absl::Milliseconds(500);
inline constexpr int kHedgePercentMax = 5;  // bytes asked twice, of a blob

// --- Rate limits, and who goes first. ---
inline constexpr uint64_t kRateLimitMin = 100'000;  // bytes/s: a piece in 10 s; less looks hung
// A read waits so long at a node that limits its uploads, else it is told "busy" and asked again:
// below kReadDeadlineMin, so that nobody is taken for dead who only keeps a limit.
inline constexpr absl::Duration kUploadPatience = absl::Milliseconds(300);
inline constexpr absl::Duration kUploadPatienceOfWarm = absl::Milliseconds(50);  // clients go first
inline constexpr absl::Duration kBusyPause = absl::Milliseconds(200);  // before it is asked again
// While a client waits for a piece: reads of all fetches together that no client waits for, from
// holders; as many from wanters; and connections to the hub.
inline constexpr int kTrickleReads = 2;
inline constexpr int kTrickleConnections = 1;
// Between two pieces a client does not wait for a moment; it still goes first.
inline constexpr absl::Duration kReaderLinger = absl::Milliseconds(100);

// --- Jobs and fetches of one node. ---
inline constexpr size_t kFetchesActiveMax = 16;            // large blobs fetched at once
inline constexpr size_t kSmallFetchesActiveMax = 512;      // small ones
inline constexpr uint64_t kSmallFetchBytesMax = 16 << 20;  // of them, or a slow link answers late
inline constexpr size_t kJobsKept = 200;                   // finished jobs remembered
inline constexpr absl::Duration kProgressHeldMax =
    absl::Milliseconds(500);  // a target's answer to its coordinator, unless its part ends
inline constexpr size_t kWantedBlobsMax =
    200'000;                                    // a registrar counts for: all nodes' active fetches
inline constexpr size_t kDistrustMax = 10'000;  // (blob, node) pairs that sent wrong bytes
inline constexpr size_t kReadersMax = 512;      // clients that read blobs which are being fetched
inline constexpr size_t kPieceListBytesMax = 8 << 20;  // hashes of a blob's pieces: 512 GiB
inline constexpr size_t kPieceListsMax = 64;           // of other nodes' blobs, remembered
inline constexpr size_t kPieceListsBytesMax = 32 << 20;
inline constexpr uint64_t kPiecesInMemoryMax =
    256 << 20;  // bytes that wait for clients to write them themselves, all blobs together
// Wanters of one blob that exchange pieces; a registrar makes another group of more.
inline constexpr size_t kStripeWantersMax = 64;
inline constexpr size_t kPieceMapBits = 2'048;  // that tell which pieces a wanter has
inline constexpr size_t kPromisesMax = 1'024;   // reads of one blob that wait for a piece
// Of the memory, for pages of what is brought and served.
inline constexpr uint64_t kPageCacheShare = 8;
inline constexpr absl::Duration kPageCacheRefill = absl::Minutes(10);

// --- Hub lane. ---
inline constexpr int kHubConnectionsMax = 16;            // ranged connections, all blobs together
inline constexpr uint64_t kHubRangeBytes = 8 << 20;      // one ranged request
inline constexpr uint64_t kHubRangeBytesMin = 2 << 20;   // one near the end of the blob
inline constexpr uint64_t kLimitedRangeBytes = 4 << 20;  // one while a client sets the pace
inline constexpr size_t kHubJsonBytesMax = 256 << 20;    // one page of a listing
inline constexpr size_t kHubPagesMax = 10'000;  // pages of one listing: empty ones must end
inline constexpr int kHubRedirectsMax = 5;      // renamed repo → resolve-cache → CDN is 3
inline constexpr int kHubTriesMax = 5;          // requests for one thing, as huggingface_hub
inline constexpr absl::Duration kHubRetryTotal = absl::Seconds(60);  // waits of all tries together
inline constexpr absl::Duration kHubStallTimeout = absl::Seconds(20);  // no byte for so long: cut
inline constexpr absl::Duration kHubJsonTimeout = absl::Seconds(120);  // one whole API answer
inline constexpr uint64_t kHubProgressBytes = 64 << 10;  // a cut after more than this is no failure
inline constexpr size_t kHubPiecesHeldMax = 2 * kHubConnectionsMax;  // downloaded, not yet written

// --- Swarm lane. ---
inline constexpr uint32_t kSwarmNodesDefault =
    9;  // up to 8 that want a blob at once, stripes were measured to be faster
inline constexpr uint64_t kSwarmBlockBytes = 16 << 10;  // a leaf of the hash tree: BEP 52
inline constexpr uint64_t kSwarmPieceBytesMin =
    kPieceBytes;  // a piece of the swarm is at least one of ours, so both are verified and written
                  // together
inline constexpr uint64_t kSwarmPiecesMax = 65'536;  // of one blob: its layer of hashes is 2 MiB
// Taken from a swarm: libtorrent keeps 1/256 of it in memory meanwhile, as hashes. Above it, pieces
// would be larger than ours too.
inline constexpr uint64_t kSwarmBlobBytesMax = kSwarmPiecesMax * kSwarmPieceBytesMin;  // 64 GiB
inline constexpr size_t kSwarmPiecesHeldMax =
    256;  // half received ones, and whole ones that the disk has not taken: 256 MiB, all blobs
inline constexpr size_t kSwarmPiecesWaitingMax = 32;  // whole ones among them: then peers wait
inline constexpr size_t kSwarmReadsKeptMax = 16;      // pieces read last: peers ask block by block
inline constexpr int kSwarmRequestsPerPeerMax = 256;  // blocks asked for and not here: 4 MiB
inline constexpr int kSwarmConnectionsMax = 512;      // of the session
inline constexpr size_t kSwarmTorrentsMax = 1'024;    // at once; the one idle longest makes room
inline constexpr size_t kSwarmPeersMax = 4'096;       // addresses that may connect
inline constexpr absl::Duration kSwarmIdle =
    absl::Seconds(60);  // a blob that nobody asked a byte of leaves the swarm
inline constexpr absl::Duration kSwarmSwept =
    absl::Milliseconds(500);  // how often idle blobs, limits and peers' pieces are looked at
inline constexpr size_t kSwarmBannedMax = 10'000;        // roots that gave wrong content
inline constexpr size_t kSwarmTreesBytesMax = 64 << 20;  // hash trees remembered
inline constexpr size_t kSwarmTreesComputedMax = 2;      // at once: each reads a whole blob
inline constexpr absl::Duration kSwarmAnswer =
    absl::Seconds(2);  // within it "not yet", if the tree is still being computed

// --- The hub asked once for the cluster. ---
inline constexpr absl::Duration kEnvoyPatience =
    absl::Seconds(1);  // a silent member delays so long
inline constexpr absl::Duration kEnvoyAnswer = absl::Milliseconds(700);  // within it, "asking"
inline constexpr absl::Duration kEnvoyPause = absl::Milliseconds(50);  // after it: a peer that says
                                                                       // so at once is no busy loop
inline constexpr absl::Duration kEnvoyRest = absl::Seconds(30);  // one that failed is passed over
inline constexpr size_t kEnvoyFlightsMax = 256;  // peers' questions that wait for the hub
inline constexpr size_t kHubHeadersMax = 100;    // of an answer that is passed on
inline constexpr absl::Duration kPeerListPatience = absl::Seconds(1);  // then the hub's list
inline constexpr absl::Duration kVisibilityTtlMin = absl::Seconds(1);  // of "public", asked anew
inline constexpr absl::Duration kHubRestMax = absl::Hours(1);          // believed of the hub
inline constexpr absl::Duration kHubRestHeardMax = absl::Minutes(1);   // believed of peers, on end
inline constexpr absl::Duration kHubRestJitterMax = absl::Seconds(2);  // each node's own, on top

// --- HTTP client. ---
inline constexpr absl::Duration kHttpConnectTimeout = absl::Seconds(10);
// At once: downloads, API calls, and what is passed through for as long as a slow client likes.
inline constexpr size_t kHttpTransfersMax = 256;
inline constexpr size_t kHttpQueueMax = 4'096;          // waiting requests; more are told "busy"
inline constexpr size_t kHttpHeadBytesMax = 256 << 10;  // all headers of one response
inline constexpr size_t kUrlBytesMax = 16 << 10;        // signed URLs are about 1 to 2 KB

inline constexpr size_t kHostFileBytesMax = 1 << 20;  // --join file:PATH, 4,096 long names
inline constexpr size_t kTokenBytesMax = 1'024;       // hub tokens have 37, OIDC tokens some 800

// --- Endpoint: HTTP for clients. ---
inline constexpr int kEndpointConnectionsMax = 4'096;  // open at once
inline constexpr int kEndpointRefusalsMax = 256;       // told that there are too many, at once
inline constexpr absl::Duration kEndpointRefusalTimeout = absl::Seconds(2);
inline constexpr size_t kEndpointHeadBytesMax = 64 << 10;  // request line and headers
inline constexpr size_t kEndpointBodyBytesMax = 8 << 20;   // of a request that is answered here
inline constexpr size_t kEndpointSendBytes = 1 << 20;      // one sendfile, or one piece
inline constexpr absl::Duration kEndpointIdleTimeout = absl::Seconds(120);  // between requests
inline constexpr absl::Duration kEndpointHeadTimeout = absl::Seconds(15);   // a whole head
inline constexpr absl::Duration kEndpointBodyTimeout =
    absl::Seconds(60);  // a whole request body; of one that is passed on: without a byte
inline constexpr size_t kUploadBytesMax = 512 << 10;   // of a body that is passed on, waiting here
inline constexpr size_t kUploadChunkBytes = 64 << 10;  // read at once of it
inline constexpr absl::Duration kUploadStallTimeout =
    absl::Minutes(5);  // the hub neither takes a byte nor answers: large commits take minutes
inline constexpr absl::Duration kEndpointLinger =
    absl::Seconds(30);  // a refused body is read and thrown away: a reset would lose the answer
inline constexpr uint64_t kHttpFileBytesMax =
    50'000'000'000;  // huggingface_hub refuses a larger file over HTTP, if it knows its size
inline constexpr absl::Duration kEndpointWriteTimeout = absl::Seconds(60);  // no byte was taken
inline constexpr absl::Duration kEndpointAnswerTimeout = absl::Seconds(9);  // clients wait 10 s
// Held back of a body until its hash is known; a byte of it goes out when nothing else does, so
// that no client's 10 s without a byte pass.
inline constexpr uint64_t kHeldBackBytes = 64 << 10;
inline constexpr absl::Duration kTrickle = absl::Seconds(3);
inline constexpr size_t kRefsCachedMax = 10'000;  // branches whose commit is remembered
// Bodies that pass through and are kept on the way: each has a file open, and so much in memory
// that the disk has not taken. A client waits for a slow disk so long; then its file is not kept.
inline constexpr size_t kKeptBodiesMax = 16;
inline constexpr size_t kKeptWaitingBytesMax = 4 << 20;
inline constexpr absl::Duration kKeptPatience = absl::Seconds(3);
inline constexpr absl::Duration kKeptPause = absl::Minutes(1);  // after one could not be kept
inline constexpr uint64_t kUnnamedRoomBytes = 16 << 20;  // reserved at once where no length is told
inline constexpr size_t kHubAnswersCachedMax = 2'000;    // JSON answers, 64 MiB in all at most
inline constexpr size_t kHubAnswersBytesMax = 64 << 20;
inline constexpr size_t kAccessCachedMax = 10'000;  // (token, repo) pairs

// --- Representations. ---
inline constexpr size_t kProvenanceBytesMax = 16 << 10;  // as it came, and as canonical JSON
inline constexpr size_t kProvenanceFieldsMax = 64;
inline constexpr uint64_t kRepresentationsQuotaDefault = 10'000'000'000;  // of disk space
inline constexpr size_t kSafetensorsHeaderBytesMax = 16 << 20;            // some 100,000 tensors
// Of one node, advertised to its peers: each takes about 1 KB there and here.
inline constexpr size_t kRepresentationsMax = 1'000'000;
inline constexpr size_t kRepresentationKeysMax = 16'384;           // of one batch
inline constexpr size_t kRepresentationBundleBytesMax = 64 << 20;  // values of one batch
inline constexpr int kRepresentationBatchesMax = 4;     // at work at once, 64 MiB each; others wait
inline constexpr size_t kComputeLeasesMax = 1'000'000;  // that a registrar keeps
inline constexpr size_t kComputeLeaseKeysMax = 4'096;   // in one question to a registrar
inline constexpr size_t kComputeHolderBytesMax = 256;   // a computation's own name
inline constexpr absl::Duration kComputeLeaseMax = absl::Hours(1);
inline constexpr absl::Duration kComputeLeasePatience = absl::Seconds(1);  // then it is granted
inline constexpr size_t kProvenancesAskedMax = 256;           // of a peer at once: 4 MiB
inline constexpr size_t kConflictsKept = 1'000;               // keys with two values, to be shown
inline constexpr size_t kRepresentationFoldersMax = 100'000;  // below one watched root

// --- The pip index. ---
inline constexpr size_t kPipPageBytesMax = 32 << 20;   // the largest of PyPI have 15 MB
inline constexpr size_t kPipFilesMax = 200'000;        // on one page; PyPI's largest has 20,000
inline constexpr size_t kPipVersionsMax = 50'000;      // on one page
inline constexpr size_t kPipTextBytesMax = 4'096;      // an address, a reason, an attribute
inline constexpr size_t kPipNameBytesMax = 240;        // a file's name, ".metadata" may follow
inline constexpr size_t kPipShownBytesMax = 64 << 20;  // pages as they are answered, in memory
inline constexpr size_t kPipSizesMax = 10'000;         // of files whose index names none
inline constexpr absl::Duration kPipPageTtl = absl::Minutes(10);    // where the index says none
inline constexpr absl::Duration kPipPageTtlMax = absl::Hours(24);   // whatever the index says
inline constexpr absl::Duration kPipRefusalTtl = absl::Minutes(1);  // of "there is no such project"

// --- Folders that are scanned. ---
inline constexpr size_t kRepoFoldersMax = 50'000;   // repo folders in one root
inline constexpr size_t kScanFilesMax = 1'000'000;  // files and links in one repo folder
inline constexpr size_t kScanProblemsMax = 20;      // told of one repo folder; the rest counted
inline constexpr size_t kTreeJsonBytesMax = 128
                                            << 20;  // trees/<commit>.json of 200,000 files: 60 MB
inline constexpr size_t kJsonDepthMax = 64;         // nesting below keys that are passed over
inline constexpr size_t kTreesReadMax = 64;         // newest trees/*.json read of one repo
inline constexpr uint64_t kGitFileBytesMax = 10 << 20;  // the hub keeps larger files in LFS only
inline constexpr size_t kRefFileBytesMax = 256;         // a ref has 40; longer ones are none
inline constexpr size_t kLinkTargetBytesMax = 4'096;    // PATH_MAX
inline constexpr size_t kFinishedMax = 50'000;          // finished directories in one root
inline constexpr absl::Duration kFinishedLockPause = absl::Milliseconds(500);  // between tries
inline constexpr absl::Duration kFinishedLockPatience =
    absl::Minutes(10);  // a client that prepares the same directory is waited for so long

// --- Trees. ---
inline constexpr size_t kTreeFilesMax = 100'000;       // of one tree: a list of some 15 MB
inline constexpr uint64_t kTreeBytesMax = 1ULL << 40;  // of one tree: more is a mistaken path
inline constexpr size_t kTreeListsMax = 32;            // nodes' lists that one order unites
inline constexpr absl::Duration kTreePullPeriod = absl::Seconds(5);  // between two looks for news
inline constexpr absl::Duration kTreePullRetry = absl::Minutes(1);   // after one that failed
inline constexpr size_t kTreeAnswerBytesMax = 64 << 10;  // that nvidia-smi gives, or a version file
inline constexpr absl::Duration kTreeAskPatience = absl::Seconds(5);  // nvidia-smi may hang

// --- Disk. ---
inline constexpr uint64_t kFreeBytesKept = 256 << 20;  // space never reserved: the host needs some

// --- Hashing. ---
// A copy that has just changed is hashed at once if it is no larger, and again when the hash can be
// remembered; a larger one then only.
inline constexpr uint64_t kHashedAtOnceMax = 64 << 20;

// --- Work threads. ---
inline constexpr size_t kWorkQueueMax = 4'096;  // jobs waiting, of one priority
inline constexpr size_t kWorkQueuePerShareMax =
    1'024;                                      // of one root: a dead mount cannot fill the queue
inline constexpr size_t kSerialQueueMax = 256;  // jobs waiting for one writer: 256 MiB of pieces

// --- Command line to agent. ---
inline constexpr absl::Duration kControlTimeout = absl::Seconds(10);
inline constexpr absl::Duration kEnvTimeout =
    absl::Seconds(1);  // `roost env`, `roost exec`: they stand before every shell and program

// --- Watchdog of `loop`. ---
inline constexpr absl::Duration kWatchdogPeriod = absl::Seconds(1);
inline constexpr int kWatchdogPeriodsMax = 10;  // without an answer: the agent ends

}  // namespace roost

#endif  // ROOST_PROTOCOL_LIMITS_H_
