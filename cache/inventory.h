// What this node holds: the one picture that scans, the hasher and the publisher change, and that
// everything else asks. It turns what the folders show into adverts, and says what to hash next.
//
// Finished directories (folder_scan.h) have a commit here as soon as what was prepared is verified:
// a made-up one, of a complete list. What was made of that comes along when it is verified too.
//
// Ownership: values only; no I/O, no clock. Threads: `loop` only. Never blocks, but apply() of a
// repo with 100,000 files takes some 100 ms.
//
// After any change, takeChanges() gives what peers must be told. Callers may do many changes first.
#ifndef ROOST_CACHE_INVENTORY_H_
#define ROOST_CACHE_INVENTORY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cache/file_stamp.h"
#include "cache/folder_scan.h"
#include "cache/index.h"
#include "cache/roots.h"
#include "cache/verify_queue.h"
#include "protocol/blob_id.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"
#include "protocol/node_id.h"

namespace roost {

// Position in the list of roots; smaller ones are preferred.
enum class RootIndex : uint32_t {};

// The order in which things became known. What a scan found says nothing of what landed after the
// scan began.
enum class Moment : uint64_t {};

// What the index remembers of a copy, looked up by its stamp together with the scan.
struct CopyTrust {
  Trust trust = Trust::kUnknown;
  // What the content is, unless unknown. With it, a copy that nobody names gets its names.
  std::optional<BlobId> content;
  Sha256 sha256{};
};

// What hashing a copy found out. Copies with a name are hashed by the algorithm of the name; those
// without by git sha1, which gives both, or of finished directories by sha256, which names them.
struct CheckedCopy {
  FileStamp stamp;
  BlobId content;
  Sha256 sha256{};
  // It was hashed so soon after a change that the hash cannot be remembered: once more, later.
  bool again = false;
};

// A place on this node where a blob lies.
struct LocalCopy {
  CopyId id{};
  RootIndex root{};
  RepoId repo;
  std::string path;               // absolute
  BlobInfo blob;                  // what it should be, with the size it has
  FileStamp stamp;                // key of its piece hashes in the index
  Trust trust = Trust::kUnknown;  // never kWrong
  bool inBlobs = false;           // in a hub blobs/ folder: may be linked from others
  Sha256 sha256{};                // unless trust is unknown
};

// A copy to hash.
struct VerifyJob {
  CopyId copy{};
  std::string path;
  BlobInfo expected;  // by which algorithm; of a nameless copy a hash of zeros
  bool named = true;  // false: expected.id says nothing
  FileStamp stamp;
  VerifyUrgency urgency{};
};

struct InventorySummary {
  uint64_t blobs = 0;            // distinct, usable, however many copies
  uint64_t heldBytes = 0;        // of them
  uint64_t checkBytesLeft = 0;   // never hashed
  uint64_t checkBytesTotal = 0;  // of the check that is under way
};

struct RepoView {
  RepoId repo;
  Visibility visibility = Visibility::kUnknown;
  std::vector<RepoAdvert> commits;  // sorted by commit
  std::vector<RefState> refs;       // sorted by ref
  std::vector<RootIndex> roots;     // where it lies
  uint64_t bytes = 0;               // of its distinct content
};

class Inventory {
 public:
  // Changes are numbered from `lastSequence` + 1.
  explicit Inventory(uint64_t lastSequence = 0) : sequence_(lastSequence) {}

  RootIndex addRoot(const Root& root);
  const Root& root(RootIndex index) const { return at(index).root; }
  // The root appeared, or something else was mounted there.
  void setStore(RootIndex index, const std::optional<StoreId>& store);
  size_t roots() const { return roots_.size(); }

  // What peers have been told before a restart. Not held until a scan finds it again, but not told
  // again either; settled() withdraws what no scan has found.
  void restore(absl::Span<const AdvertChange> told);
  void settled();

  // ---- What scans found
  // To be asked when a scan begins, and given with what it found; without it the scan began just
  // now.
  Moment scanBegins() { return Moment{++clock_}; }
  // The picture of one repo folder; replaces the one before. `trust` has one entry per copy.
  void apply(RootIndex root, const RepoScan& scan, absl::Span<const CopyTrust> trust,
             std::optional<Moment> began = std::nullopt);
  // The repo's folder is gone.
  void remove(RootIndex root, const RepoId& repo, std::optional<Moment> began = std::nullopt);
  // The root was read: forgets repos that are not there any more. Its contents, if it has any, are
  // for apply().
  void applyRoot(RootIndex root, const RootScan& scan, std::optional<Moment> began = std::nullopt);
  // The root cannot be read. What it held is forgotten; the reason is a problem until it is read.
  void rootFailed(RootIndex root, const absl::Status& why);
  // A repo folder cannot be read (not: is gone).
  void repoFailed(RootIndex root, const RepoId& repo, const absl::Status& why);
  // Trees that were read before, for the next scan of the repo; null if none.
  const KnownTrees* knownTrees(RootIndex root, const RepoId& repo) const;

  // ---- What this node did itself
  // A verified blob has its name in blobs/ of that repo: told at once, however long a scan of the
  // repo takes. A scan must follow: it finds the same, or what became of it since.
  void landed(RootIndex root, const RepoId& repo, const BlobId& blob, const FileStamp& stamp,
              const Sha256& sha256);

  // ---- What people and others decided
  void setVisibility(const RepoId& repo, Visibility visibility);
  // Another agent that sees the same store hashes and advertises for all: this one does neither,
  // but still serves itself from there.
  void setFollower(const StoreId& store, bool follower);

  // ---- Verification
  // Somebody waits for this blob to be checked.
  void requestVerify(const BlobId& blob);
  // Large copies not before they are settled, so that they are hashed once.
  std::optional<VerifyJob> nextToVerify(absl::Time now);
  void checked(CopyId copy, const CheckedCopy& result);
  // kAborted, kCancelled: later again. Anything else: the copy is not usable as long as its stamp
  // stays, and is a problem.
  void checkFailed(CopyId copy, const absl::Status& why);
  // A piece that was read did not match, or the file was cut short: `stamp` tells which file.
  void rotten(CopyId copy, const FileStamp& stamp);

  // Adverts that differ from what was told before, numbered; withdrawn ones as keys.
  std::vector<AdvertChange> takeChanges();
  uint64_t lastSequence() const { return sequence_; }
  // The number of an advert that is not of the inventory: one log, one numbering.
  uint64_t nextSequence() { return ++sequence_; }

  // ---- Questions
  // The best usable copy: verified before unverified, then by root. Null if there is none.
  std::optional<LocalCopy> find(const BlobId& blob) const;
  // The copy that this repo's folder in this root shows; only usable ones.
  std::optional<LocalCopy> findIn(RootIndex root, const RepoId& repo, const BlobId& blob) const;
  // Manifest if one is known, else what the folders show. None if nothing is known of the commit.
  std::optional<Listing> listing(const RepoId& repo, const Commit& commit) const;
  // For a peer that asks: none of what this node keeps to itself.
  std::optional<Listing> listingForPeers(const RepoId& repo, const Commit& commit) const;
  std::vector<RepoView> repos() const;  // sorted
  // Verified content in roots of repos of that origin (RootConfig::names): the best copy of each,
  // named by its sha256, in the order of those.
  std::vector<LocalCopy> copiesOf(const HubOrigin& origin) const;
  // As it was said, or as the roots say that it lies in; of a dataset cache as of its sources.
  Visibility visibilityOf(const RepoId& repo) const;
  // The most open of the repos that show it here and that peers may be told of.
  Visibility visibilityOf(const BlobId& blob) const;
  // Datasets of that name that lie here or that something was said of. Sorted.
  std::vector<RepoId> sourcesOf(const RepoId& cache) const;
  // Nobody said yet whether everybody may have that dataset cache, and no operator wants it shared.
  bool waitsForWord(const RepoId& cache) const;
  InventorySummary summary() const;
  // What is wrong, why, and what to do; sentences for status and doctor.
  std::vector<std::string> problems() const;

 private:
  using FolderKey = std::pair<RootIndex, RepoId>;
  struct Folder;

  struct Copy {
    const FolderKey* folder;  // of folders_: stable
    std::string place;        // empty: blobs/<name>
    std::optional<BlobId> name;
    FileStamp stamp;
    Trust trust = Trust::kUnknown;
    std::optional<BlobId> content;  // when hashed
    Sha256 sha256{};                // when hashed
    bool plausible = true;          // by name and tree: worth an advert before it is hashed
    std::string failure;            // cannot be read: why
    Moment landed{};                // when this node put it there; long ago for what scans found
    bool usable() const { return trust != Trust::kWrong && failure.empty(); }
    bool verified() const { return trust == Trust::kVerified || trust == Trust::kRecheck; }
  };

  struct Folder {
    std::vector<CopyId> copies;  // as ScannedFile::copy counts them
    std::vector<ScannedSnapshot> snapshots;
    KnownTrees trees;
    std::vector<RefState> refs;
    std::vector<std::string> problems;
    std::vector<ScannedFinished> finished;  // of those that are known: snapshots, trees and refs
    Moment seen{};  // it is there for sure: a scan that began then, or a landing
  };

  struct RootState {
    Root root;
    bool follower = false;
    std::vector<std::string> problems;
  };

  // What peers believe of a blob.
  struct ToldBlob {
    uint64_t size = 0;
    Visibility visibility = Visibility::kUnknown;
    bool told = false;
    bool unverified = false;
    bool withSha256 = false;
    friend bool operator==(const ToldBlob&, const ToldBlob&) = default;
  };
  struct Blob {
    absl::InlinedVector<CopyId, 2> copies;
    ToldBlob told;
    uint64_t countedBytes = 0;
    bool counted = false;  // in the summary
  };

  const RootState& at(RootIndex index) const { return roots_[static_cast<size_t>(index)]; }
  RootState& at(RootIndex index) { return roots_[static_cast<size_t>(index)]; }
  void setFollower(size_t root, bool follower);
  bool follows(const Copy& copy) const { return at(copy.folder->first).follower; }
  // What was made of a dataset that is not public, unless its root is shared.
  bool keepsToItself(const FolderKey& key) const;
  // Peers may be told of what lies there.
  bool isForPeers(const FolderKey& key) const;
  BlobId nameless(const Copy& copy) const;  // by which algorithm it is hashed
  struct NamedDirectory;
  std::optional<NamedDirectory> named(const Folder& folder, const ScannedFinished& directory) const;
  bool waitsForHash(const Folder& folder, const ScannedFinished& directory) const;
  // `checked`: a copy has been, so what grows may wait until all have.
  void nameFinished(const FolderKey& key, bool checked);
  void noteSource(const RepoId& repo);  // a dataset is there, or something was said of it

  // Names under which a copy can be asked for.
  static absl::InlinedVector<BlobId, 2> namesOf(const Copy& copy);
  static std::string placeOf(const Copy& copy);
  std::optional<CopyId> copyInBlobs(const FolderKey& key, const BlobId& blob) const;
  std::pair<const FolderKey*, Folder*> folderSeen(RootIndex root, const RepoId& repo, Moment when);
  std::string pathOf(const Copy& copy) const;
  LocalCopy view(CopyId id, const Copy& copy, const BlobId& name) const;
  const Copy* best(const Blob& blob, bool forPeers, CopyId* id) const;

  void addCopy(CopyId id);     // makes it findable, and queues it
  void removeCopy(CopyId id);  // the reverse; the copy stays in copies_
  void enqueue(CopyId id, const Copy& copy);
  // Changes a copy by `change` and marks what depends on it.
  template <typename Change>
  void changeCopy(CopyId id, const Change& change);
  void touch(const Copy& copy);           // its blobs' adverts
  void touchRepo(const FolderKey& key);   // all commits and refs of a folder
  void touchFolders(const RepoId& repo);  // all that is told of it
  void forgetFolder(std::map<FolderKey, Folder>::iterator folder);

  // inventory_adverts.cc: what should be told.
  std::vector<std::pair<const FolderKey*, const Folder*>> foldersOf(const RepoId& repo,
                                                                    bool forPeers) const;
  std::pair<ToldBlob, const Copy*> wanted(const BlobId& id, const Blob& blob) const;
  Visibility visibilityOfBlob(const Blob& blob) const;
  std::vector<FileEntry> shownFiles(const Folder& folder, const ScannedSnapshot& snapshot) const;
  Listing shown(const RepoId& repo, const Commit& commit, bool forPeers) const;
  const Listing* manifest(const RepoId& repo, const Commit& commit, bool forPeers) const;
  std::optional<RepoAdvert> wanted(const RepoKey& key, bool forPeers) const;
  std::optional<RefAdvert> wanted(const RefKey& key, bool forPeers) const;
  void tell(std::vector<AdvertChange>& changes, std::variant<Advert, AdvertKey> what);
  void takeBlobChanges(std::vector<AdvertChange>& changes);
  void recount(const BlobId& id, Blob& blob);

  std::vector<RootState> roots_;
  std::map<FolderKey, Folder> folders_;
  absl::flat_hash_map<RepoId, std::set<RootIndex>> rootsOfRepo_;
  absl::node_hash_map<CopyId, Copy> copies_;
  absl::flat_hash_map<BlobId, Blob> blobs_;
  absl::flat_hash_map<RepoId, Visibility> visibility_;
  std::map<RepoId, std::set<RepoId>> sources_;  // of dataset caches: datasets
  std::map<FolderKey, std::string> failedFolders_;
  std::set<CopyId> bad_;  // wrong or unreadable
  VerifyQueue queue_;
  uint64_t lastCopy_ = 0;
  uint64_t clock_ = 0;

  absl::flat_hash_set<BlobId> dirtyBlobs_;
  std::set<RepoKey> dirtyRepos_;
  std::set<RefKey> dirtyRefs_;
  std::map<RepoKey, RepoAdvert> toldRepos_;
  std::map<RefKey, RefAdvert> toldRefs_;
  InventorySummary summary_;
  uint64_t sequence_ = 0;
};

}  // namespace roost

#endif  // ROOST_CACHE_INVENTORY_H_
