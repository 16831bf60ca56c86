// The agent's configuration: options, environment, roost.toml and defaults, in this order of
// precedence, as one value in which everything is parsed and checked.
//
// Threads: any (pure; files are read through the caller's reader).
// Errors:  kInvalidArgument with a sentence that names the option, variable or key it came from.
#ifndef ROOST_NODE_CONFIG_H_
#define ROOST_NODE_CONFIG_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cache/roots.h"
#include "node/addresses.h"
#include "node/environment.h"
#include "node/pip_settings.h"
#include "protocol/limits.h"
#include "protocol/names.h"
#include "protocol/node_id.h"

namespace roost {

struct AgentConfig {
  std::string configFile;  // that was read; empty: none
  std::string stateDir;    // absolute
  std::string name;
  Address listen;                // peers; loopback, or there is a key
  Address endpoint;              // HTTP for clients; loopback
  bool endpointPublish = true;   // what clients were given is put into their cache
  bool endpointMayMove = false;  // nobody chose the port: if it is taken, a free one will do
  absl::Duration branchTtl = absl::Seconds(60);  // of what clients are told of a branch
  std::vector<AdvertiseEntry> advertise;
  std::vector<JoinEntry> join;
  std::optional<std::string> clusterKeyFile;  // absolute; at most one of the two:
  std::optional<std::string> clusterKeyText;  // from the environment; a secret, never print it
  std::optional<HubOrigin> hub;               // none: never opens an outside connection
  std::optional<std::string> hubCache;        // override of what clients' variables say; absolute
  std::optional<std::string> transformersCache;  // same
  std::optional<std::string> datasetsCache;      // same
  std::vector<RootConfig> roots;                 // --root and [[root]]
  std::string zone;                              // label; empty: none
  // Of the values that the agent itself keeps, in bytes. None: kRepresentationsQuotaDefault, at
  // most a tenth of the disk.
  std::optional<uint64_t> representationsQuota;
  std::optional<std::string> hubTokenFile;  // the operator's token; absolute
  uint64_t uploadLimit = 0;                 // bytes per second to peers; 0: none
  uint64_t downloadLimit = 0;               // from peers and hub together
  // No option: the limit is the clients' own. Tests set it lower, on an agent of theirs.
  uint64_t knownSizeMax = kHttpFileBytesMax;
  std::string caFile;  // PEM, trusted for the hub besides the system's; absolute; empty: none
  std::optional<PipIndexSetting> pipIndex;  // none: the pip index is off
  PipShare pipShare = PipShare::kPublic;
  uint64_t pipSpace = 0;                // bytes that its files may take in the agent's own folder
  std::optional<std::string> pipCache;  // pip's own, watched if it is there; absolute
  bool pipCacheShared = true;           // false: what is in it may be of another index
  std::optional<Address> swarm;         // where BitTorrent listens; none: it is off
  bool swarmOutside = false;            // for clients that are no members too
  bool linkOnly = false;  // pieces come by the link also from a node on the same file system
  uint32_t swarmNodes = kSwarmNodesDefault;  // that want a blob at once: from there on by swarm
  bool swarmNodesGiven = false;              // then that alone decides
  std::vector<std::string> notes;            // what was not taken, why, and what to do

  bool hasClusterKey() const { return clusterKeyFile || clusterKeyText; }
  // Where the command line finds this agent.
  std::string controlSocket() const;
};

// `roost agent`'s options as typed; keys are the names without dashes ("state-dir").
struct AgentArguments {
  std::map<std::string, std::string> options;
  std::vector<std::string> roots;  // --root, PATH:LAYOUT or PATH:tree[:SCOPE[:NAME]]
};

// What the machine says about this process.
struct HostFacts {
  std::string hostName;
  std::string workingFolder;
  bool isRoot = false;
};

absl::StatusOr<AgentConfig> loadConfig(const AgentArguments& arguments,
                                       const Environment& environment, const HostFacts& host,
                                       const FileReader& readFile);

// One option of `roost agent`: the one table behind command line, roost.toml and documentation.
struct AgentOption {
  std::string option;       // "state-dir"; also the key with '_' for '-', unless noKey
  std::string placeholder;  // "DIR"
  std::string variable;     // "ROOST_STATE_DIR"; empty: none
  std::string text;         // for --help
  bool hasKey = true;       // can stand in roost.toml
  bool supported = true;    // false: known, refused with "not in this version"
};
const std::vector<AgentOption>& agentOptions();

}  // namespace roost

#endif  // ROOST_NODE_CONFIG_H_
