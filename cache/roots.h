// Which cache folders this node watches, and why: the clients' own variables in their own
// precedence, unless the operator names folders.
//
// Threads: any. findRoots() does no I/O; resolveRoots() looks at the folders (a worker's job).
#ifndef ROOST_CACHE_ROOTS_H_
#define ROOST_CACHE_ROOTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/client_environment.h"
#include "protocol/names.h"
#include "protocol/node_id.h"

namespace roost {

enum class Layout : uint8_t { kHub, kFlat, kDatasets, kPip, kTree, kRepresentations };

absl::string_view layoutName(Layout layout);  // as in roost.toml: "hub"
absl::StatusOr<Layout> parseLayout(absl::string_view name);

// What is known beforehand about the repos of a root. kAsk: one anonymous question to the hub each.
enum class RootVisibility : uint8_t { kAsk, kPublic, kPrivate };

absl::StatusOr<RootVisibility> parseRootVisibility(absl::string_view name);

// Whether models that arrive in another root of this node are shown here too.
enum class ShowHere : uint8_t {
  kNo,
  kLink,  // if their content can be shared: hard link or reflink, on one file system
  kCopy,  // if need be, as a second copy
};

absl::StatusOr<ShowHere> parseShowHere(absl::string_view name);  // "no", "link", "copy"

// What content that derives from a not-public source may do.
enum class Share : uint8_t { kNode, kCluster };

struct RootConfig {
  std::string path;  // absolute; need not exist yet
  Layout layout = Layout::kHub;
  std::string origin;  // who named it, for people: "HF_HUB_CACHE", "--root", "default"
  // Trees: exchanged only between equal scopes (tree_scope.h).
  std::string scope;
  RootVisibility visibility = RootVisibility::kAsk;
  Share share = Share::kNode;
  bool write = true;             // false: served, never written; of the flat layout always
  std::optional<ShowHere> show;  // none: what was said before, else kNo
  std::optional<StoreId> store;  // `store = NAME`: the operator's word on what is the same folder
  // Whose repos lie there, if not the hub's: the agent's own files of a pip index.
  std::optional<HubOrigin> names = std::nullopt;
  std::string tree = {};  // a tree's name in the cluster
  std::string python =
      {};             // where the versions of its scope are looked up; empty: see tree_facts.h
  bool pull = false;  // what other nodes have of it comes by itself
  friend bool operator==(const RootConfig&, const RootConfig&) = default;
};

// What the operator says on the command line or in roost.toml. An option takes the place of the
// variables of its kind.
struct RootOptions {
  std::string hubCache;           // --hub-cache; empty: not given
  std::string transformersCache;  // --transformers-cache; empty: not given
  std::string datasetsCache;      // --datasets-cache; empty: not given
  std::vector<RootConfig> roots;  // --root and [[root]]
};

struct RootSearch {
  std::vector<RootConfig> roots;   // the hub cache first: new blobs are written there
  std::vector<std::string> notes;  // what was not taken, why, and what to do
};

// The folders of all clients on this node, first those of hub layout:
//   hub cache       --hub-cache > HF_HUB_CACHE > HUGGINGFACE_HUB_CACHE > $HF_HOME/hub
//   transformers 4  --transformers-cache > TRANSFORMERS_CACHE > PYTORCH_TRANSFORMERS_CACHE
//                   > PYTORCH_PRETRAINED_BERT_CACHE; besides the hub cache, because transformers 5
//                   and huggingface_hub ignore them; models that arrive are shown there too
//   llama.cpp       LLAMA_CACHE, besides
//   Rust hf-hub 0.5 $HF_HOME/hub although HF_HUB_CACHE is set, if HF_HOME is set
// then of flat layout, what transformers before 4.22 wrote:
//   the same folder as for transformers 4; if none is named its defaults then,
//   $HF_HOME/transformers and $TORCH_HOME/transformers ($XDG_CACHE_HOME/torch, ~/.cache/torch)
// then of datasets layout, what the datasets library has prepared:
//   datasets cache  --datasets-cache > HF_DATASETS_CACHE > $HF_HOME/datasets
// and the operator's own roots, trees among them: those have no default. The Hugging Face home
// itself holds tokens and is refused, as are trees in which it lies and
// relative paths: a client's working folder is its own. A folder that is named again with
// the same layout keeps its place and takes what is said of it last, so [[root]] can say more of a
// folder that a variable names.
RootSearch findRoots(const ClientEnvironment& environment, const RootOptions& options);

// Where a root is, after looking. A root that is not there yet keeps its place: it may appear.
struct Root {
  RootConfig config;
  std::string realPath;  // without symlinks; config.path while it does not exist
  bool exists = false;
  bool polled = false;           // inotify does not see what other machines do there
  std::optional<StoreId> store;  // none while it does not exist
};

struct ResolvedRoots {
  std::vector<Root> roots;
  std::vector<std::string> notes;
};

// Looks at the folders and merges those that are one (same device, inode and layout): the first
// keeps its place and path, and takes what is said last. A folder that cannot be entered stays, as
// not existing, with a note that says why.
ResolvedRoots resolveRoots(const std::vector<RootConfig>& configs);

}  // namespace roost

#endif  // ROOST_CACHE_ROOTS_H_
