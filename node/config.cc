#include "node/config.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cache/layouts.h"
#include "cache/tree_scope.h"
#include "node/byte_rate.h"
#include "node/byte_size.h"
#include "node/config_file.h"
#include "protocol/errors.h"

namespace roost {
namespace {

constexpr char kListenDefault[] = "127.0.0.1:8376";
constexpr char kEndpointDefault[] = "127.0.0.1:8377";
constexpr char kServiceStateDir[] = "/var/lib/roost";
constexpr char kMakeKey[] =
    "Make a key with `(umask 077; roost key > FILE)`, give it to every node with "
    "--cluster-key-file FILE, or listen on 127.0.0.1";

const std::vector<std::string>& rootKeys() {
  static const std::vector<std::string> keys = {"path",  "layout", "visibility", "share",
                                                "write", "show",   "store",      "scope",
                                                "name",  "python", "pull"};
  return keys;
}

std::string keyOf(absl::string_view option) {
  return absl::StrReplaceAll(option, {{"-", "_"}});
}

// A value and where it was said, so that an error can name it.
struct Setting {
  std::string text;
  std::string origin;  // "--listen", "ROOST_LISTEN", "/etc/roost/roost.toml: listen"
  std::string folder;  // where relative paths start
};

absl::Status refused(const Setting& setting, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(setting.origin, ": ", why));
}

// Puts the origin before the parser's sentence.
template <typename T>
absl::StatusOr<T> from(const Setting& setting, absl::StatusOr<T> parsed) {
  if (parsed.ok()) return parsed;
  return refused(setting, parsed.status().message());
}

std::string folderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

// Looks a setting up by precedence.
class Sources {
 public:
  Sources(const AgentArguments& arguments, const Environment& environment, const HostFacts& host)
      : arguments_(arguments), environment_(environment), host_(host) {}

  void setFile(std::string name, ConfigFile file) {
    fileName_ = std::move(name);
    file_ = std::move(file);
  }
  const std::string& fileName() const { return fileName_; }
  const ConfigFile& file() const { return file_; }
  const Environment& environment() const { return environment_; }
  const HostFacts& host() const { return host_; }

  std::optional<Setting> find(const AgentOption& option) const {
    if (const auto typed = arguments_.options.find(option.option);
        typed != arguments_.options.end()) {
      return Setting{typed->second, absl::StrCat("--", option.option), host_.workingFolder};
    }
    if (!option.variable.empty()) {
      if (auto value = lookUp(environment_, option.variable)) {
        return Setting{*std::move(value), option.variable, host_.workingFolder};
      }
    }
    const std::string key = keyOf(option.option);
    if (const auto value = file_.values.find(key); value != file_.values.end()) {
      return Setting{value->second, absl::StrCat(fileName_, ": ", key), folderOf(fileName_)};
    }
    return std::nullopt;
  }
  std::optional<Setting> find(absl::string_view name) const {
    for (const AgentOption& option : agentOptions()) {
      if (option.option == name) return find(option);
    }
    return std::nullopt;
  }
  Setting findOr(absl::string_view name, std::string fallback) const {
    auto found = find(name);
    return found ? *std::move(found)
                 : Setting{std::move(fallback), absl::StrCat("--", name), host_.workingFolder};
  }

  // Absolute; "~/" is the home folder.
  absl::StatusOr<std::string> path(const Setting& setting) const {
    if (setting.text.empty()) return refused(setting, "expected a path");
    if (setting.text.find('\0') != std::string::npos) return refused(setting, "NUL in the path");
    if (absl::StartsWith(setting.text, "/")) return setting.text;
    if (setting.text == "~" || absl::StartsWith(setting.text, "~/")) {
      const auto home = homeFolder(environment_);
      if (!home) return refused(setting, "HOME is not set, so ~ means nothing");
      return absl::StrCat(*home, setting.text.substr(1));
    }
    return absl::StrCat(setting.folder, "/", setting.text);
  }
  absl::StatusOr<std::optional<std::string>> optionalPath(absl::string_view name) const {
    const auto setting = find(name);
    if (!setting) return std::optional<std::string>();
    ROOST_ASSIGN_OR_RETURN(std::string found, path(*setting));
    return std::optional<std::string>(std::move(found));
  }

 private:
  const AgentArguments& arguments_;
  const Environment& environment_;
  const HostFacts& host_;
  std::string fileName_;
  ConfigFile file_;
};

std::vector<std::string> fileKeys() {
  std::vector<std::string> keys;
  for (const AgentOption& option : agentOptions()) {
    if (option.hasKey) keys.push_back(keyOf(option.option));
  }
  return keys;
}

// A file that was named must exist; of the default places the first that exists counts.
absl::Status readConfigFile(Sources& sources, const FileReader& readFile) {
  struct Place {
    std::string path;
    bool named;
  };
  std::vector<Place> places;
  if (const auto setting = sources.find("config")) {
    ROOST_ASSIGN_OR_RETURN(std::string path, sources.path(*setting));
    places.push_back({std::move(path), true});
  } else {
    if (const auto folder = configHome(sources.environment())) {
      places.push_back({absl::StrCat(*folder, "/roost/roost.toml"), false});
    }
    places.push_back({"/etc/roost/roost.toml", false});
  }
  for (const Place& place : places) {
    const auto text = readFile(place.path);
    if (absl::IsNotFound(text.status()) && !place.named) continue;
    if (!text.ok()) {
      return absl::InvalidArgumentError(sentence(
          absl::StrCat("cannot read the configuration ", place.path), text.status().message(), ""));
    }
    ROOST_ASSIGN_OR_RETURN(ConfigFile file,
                           parseConfigFile(*text, place.path, fileKeys(), rootKeys()));
    sources.setFile(place.path, std::move(file));
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status refuseUnsupported(const Sources& sources) {
  for (const AgentOption& option : agentOptions()) {
    if (option.supported) continue;
    if (const auto setting = sources.find(option)) {
      return refused(*setting, "not in this version of roost. Leave it out");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> stateDir(const Sources& sources) {
  if (const auto setting = sources.find("state-dir")) return sources.path(*setting);
  // systemd sets INVOCATION_ID for what it starts.
  if (sources.host().isRoot && lookUp(sources.environment(), "INVOCATION_ID")) {
    return std::string(kServiceStateDir);
  }
  const auto home = stateHome(sources.environment());
  if (!home) {
    return absl::InvalidArgumentError(
        "no place for the agent's state: neither XDG_STATE_HOME nor HOME is set. Name one with "
        "--state-dir DIR");
  }
  return absl::StrCat(*home, "/roost");
}

absl::StatusOr<std::optional<HubOrigin>> hub(const Sources& sources) {
  const auto setting = sources.find("hub");
  if (!setting) return std::optional<HubOrigin>(HubOrigin::huggingFace());
  if (setting->text == "none") return std::optional<HubOrigin>();
  ROOST_ASSIGN_OR_RETURN(HubOrigin origin, from(*setting, HubOrigin::parse(setting->text)));
  return std::optional<HubOrigin>(std::move(origin));
}

// Read here to be refused now, and not with the first download.
absl::StatusOr<std::string> caFile(const Sources& sources, const FileReader& readFile) {
  const auto setting = sources.find("ca-file");
  if (!setting) return std::string();
  ROOST_ASSIGN_OR_RETURN(std::string file, sources.path(*setting));
  const auto text = readFile(file);
  if (!text.ok()) return refused(*setting, text.status().message());
  if (!absl::StrContains(*text, "-----BEGIN CERTIFICATE-----")) {
    return refused(*setting, absl::StrCat(file, " has no certificate in PEM"));
  }
  return file;
}

// The agent's own index, as `roost env` names it to clients: an agent that is started in such a
// shell must not ask itself.
bool isOwnIndex(const HubOrigin& origin, const Address& endpoint) {
  absl::string_view rest = origin.url();
  if (!absl::ConsumePrefix(&rest, "http://") || !absl::ConsumeSuffix(&rest, "/pip/simple")) {
    return false;
  }
  const auto address = Address::parse(rest);
  return address.ok() && address->port == endpoint.port && isLoopback(address->host);
}

// What pip keeps does not say which index it came from. Where pip is set to others than ours, some
// of it may be for this node's eyes only.
std::optional<PipSaid> otherPipIndex(const Sources& sources, const FileReader& readFile,
                                     const AgentConfig& config) {
  for (const char* name : {"index-url", "extra-index-url"}) {
    auto said = pipSetting(sources.environment(), readFile, name);
    if (!said) continue;
    for (absl::string_view url :
         absl::StrSplit(said->value, absl::ByAnyChar(" \t\n"), absl::SkipEmpty())) {
      const auto index = parsePipIndex(url, said->from);
      const bool ours = index.ok() && (index->origin == config.pipIndex->origin ||
                                       isOwnIndex(index->origin, config.endpoint));
      if (!ours) return said;
    }
  }
  return std::nullopt;
}

absl::Status pip(const Sources& sources, const FileReader& readFile, AgentConfig& config) {
  const Setting share = sources.findOr("pip-share", "public");
  ROOST_ASSIGN_OR_RETURN(config.pipShare, from(share, parsePipShare(share.text)));
  const Setting space = sources.findOr("pip-space", "20GB");
  ROOST_ASSIGN_OR_RETURN(config.pipSpace, from(space, parsePipSpace(space.text)));
  const Environment& environment = sources.environment();
  ROOST_ASSIGN_OR_RETURN(config.pipCache, sources.optionalPath("pip-cache"));
  if (!config.pipCache) {
    auto said = pipCacheFolder(environment, readFile);
    if (said && absl::StartsWith(*said, "/")) config.pipCache = std::move(said);
  }
  if (const auto setting = sources.find("pip-index")) {
    if (setting->text == "none") return absl::OkStatus();
    ROOST_ASSIGN_OR_RETURN(config.pipIndex,
                           from(*setting, parsePipIndex(setting->text, setting->origin)));
    if (isOwnIndex(config.pipIndex->origin, config.endpoint)) {
      return refused(*setting, "that is this agent's own index. Name the one behind it, or none");
    }
  }
  if (!config.hub && !config.pipIndex) return absl::OkStatus();  // no outside connection unasked
  const auto take = [&](const std::optional<PipSaid>& said) {
    if (!said) return;
    auto index = parsePipIndex(said->value, said->from);
    if (!index.ok()) {
      config.notes.push_back(sentence(absl::StrCat("the pip index of ", said->from, " is not used"),
                                      index.status().message(), "Name one with --pip-index."));
    } else if (!isOwnIndex(index->origin, config.endpoint)) {
      config.pipIndex = *std::move(index);
    }
  };
  // Looked for no further than needed: the folders of PATH may be slow.
  if (!config.pipIndex) take(pipSetting(environment, readFile, "index-url"));
  if (!config.pipIndex) take(builtInPipIndex(environment, readFile));
  if (!config.pipIndex) return absl::OkStatus();
  if (!sources.find("pip-cache") && config.pipShare == PipShare::kPublic) {
    if (const auto other = otherPipIndex(sources, readFile, config)) {
      config.pipCacheShared = false;
      config.notes.push_back(
          sentence("the wheels in pip's cache are not shared",
                   absl::StrCat("they may be of another index: ", other->from,
                                " names one besides ", config.pipIndex->origin.url()),
                   "If all nodes may have them, say --pip-share cluster, or name the cache with "
                   "--pip-cache"));
    }
  }
  const auto certificate = pipSetting(environment, readFile, "cert");
  if (certificate && absl::StartsWith(certificate->value, "/")) {
    config.pipIndex->caFile = certificate->value;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> boolOf(const Setting& setting) {
  if (setting.text == "true" || setting.text == "false") return setting.text == "true";
  return refused(setting, absl::StrCat(quoted(setting.text), " is neither true nor false"));
}

absl::Status swarm(const Sources& sources, AgentConfig& config) {
  if (const auto setting = sources.find("swarm")) {
    ROOST_ASSIGN_OR_RETURN(config.swarm, from(*setting, Address::parse(setting->text)));
  }
  const Setting outside = sources.findOr("swarm-outside", "false");
  ROOST_ASSIGN_OR_RETURN(config.swarmOutside, boolOf(outside));
  if (config.swarmOutside && !config.swarm) {
    return refused(outside,
                   "there is no swarm to connect to. Say where with --swarm ADDR:PORT, such as "
                   "--swarm 0.0.0.0:8378");
  }
  const auto given = sources.find("swarm-nodes");
  if (!given) return absl::OkStatus();
  const Setting& nodes = *given;
  config.swarmNodesGiven = true;
  if (!absl::SimpleAtoi(nodes.text, &config.swarmNodes) || config.swarmNodes < 1) {
    return refused(nodes, absl::StrCat(quoted(nodes.text), " is no number of nodes, such as 9"));
  }
  return absl::OkStatus();
}

absl::Status checkCatalog(const Sources& sources) {
  const Setting setting = sources.findOr("catalog", "mesh");
  if (setting.text == "mesh") return absl::OkStatus();
  if (setting.text == "dht") {
    return refused(setting, "dht is not in this version of roost. Use mesh, the default");
  }
  return refused(setting, absl::StrCat("unknown catalog ", quoted(setting.text), ". Use mesh"));
}

absl::Status clusterKey(const Sources& sources, AgentConfig& config) {
  // ROOST_CLUSTER_KEY is the key itself and counts as environment: below the option, beside
  // ROOST_CLUSTER_KEY_FILE, above the file.
  const auto file = sources.find("cluster-key-file");
  const auto text = lookUp(sources.environment(), "ROOST_CLUSTER_KEY");
  if (text && file && file->origin == "ROOST_CLUSTER_KEY_FILE") {
    return absl::InvalidArgumentError(
        "ROOST_CLUSTER_KEY and ROOST_CLUSTER_KEY_FILE are both set: which key counts is not "
        "clear. Unset one");
  }
  if (text && !(file && absl::StartsWith(file->origin, "--"))) {
    config.clusterKeyText = *text;
    return absl::OkStatus();
  }
  ROOST_ASSIGN_OR_RETURN(config.clusterKeyFile, sources.optionalPath("cluster-key-file"));
  return absl::OkStatus();
}

absl::StatusOr<Layout> supportedLayout(absl::string_view text) {
  ROOST_ASSIGN_OR_RETURN(const Layout layout, parseLayout(text));
  if (isReadable(layout) || layout == Layout::kRepresentations) return layout;
  return absl::InvalidArgumentError(absl::StrCat(
      "layout ", text,
      " is not in this version of roost. Use hub, flat, datasets, tree or representations"));
}

// Compile caches are code: a tree is for the cluster's nodes alone, and nobody else is asked.
absl::Status makeTree(const Setting& setting, const std::string& scope, const std::string& name,
                      RootConfig& root) {
  root.layout = Layout::kTree;
  root.tree = name.empty() ? defaultTreeName(root.path) : name;
  root.scope = scope.empty() ? "gathered" : scope;
  root.visibility = RootVisibility::kPrivate;
  root.share = Share::kCluster;
  if (const absl::Status named = checkTreeName(root.tree); !named.ok()) {
    return refused(setting, named.message());
  }
  return from(setting, TreeScope::parse(root.scope)).status();
}

// PATH:tree[:SCOPE[:NAME]]. None: it is none of a tree.
absl::StatusOr<std::optional<RootConfig>> treeOption(const Sources& sources,
                                                     const Setting& setting) {
  const std::string kMark = ":tree";
  const size_t at = setting.text.rfind(kMark);
  if (at == std::string::npos) return std::optional<RootConfig>();
  const std::string rest = setting.text.substr(at + kMark.size());
  if (!rest.empty() && rest[0] != ':') return std::optional<RootConfig>();
  const std::vector<std::string> parts = absl::StrSplit(rest, ':');
  if (parts.size() > 3) {
    return refused(setting, absl::StrCat(quoted(setting.text), ": expected PATH:tree:SCOPE:NAME"));
  }
  RootConfig root;
  root.origin = "--root";
  ROOST_ASSIGN_OR_RETURN(
      root.path, sources.path(Setting{setting.text.substr(0, at), setting.origin, setting.folder}));
  ROOST_RETURN_IF_ERROR(
      makeTree(setting, parts.size() > 1 ? parts[1] : "", parts.size() > 2 ? parts[2] : "", root));
  return std::optional<RootConfig>(std::move(root));
}

// --root PATH:LAYOUT. The path may have colons.
absl::StatusOr<RootConfig> rootOption(const Sources& sources, const std::string& text) {
  const Setting setting{text, "--root", sources.host().workingFolder};
  ROOST_ASSIGN_OR_RETURN(auto tree, treeOption(sources, setting));
  if (tree) return *std::move(tree);
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) {
    return refused(setting, absl::StrCat(quoted(text), ": expected PATH:LAYOUT, as in /data:hub"));
  }
  RootConfig root;
  root.origin = "--root";
  ROOST_ASSIGN_OR_RETURN(root.layout, from(setting, supportedLayout(text.substr(colon + 1))));
  ROOST_ASSIGN_OR_RETURN(
      root.path, sources.path(Setting{text.substr(0, colon), setting.origin, setting.folder}));
  return root;
}

absl::StatusOr<Share> parseShare(absl::string_view text) {
  if (text == "cluster") return Share::kCluster;
  if (text == "none") return Share::kNode;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown share ", quoted(text), ". Use cluster or none"));
}

absl::StatusOr<RootConfig> rootTable(const Sources& sources, const ConfigFile::Root& table) {
  const std::string origin = absl::StrCat(sources.fileName(), ":", table.line, ": [[root]]");
  const auto value = [&](const std::string& key) -> std::optional<Setting> {
    const auto found = table.values.find(key);
    if (found == table.values.end()) return std::nullopt;
    return Setting{found->second, absl::StrCat(origin, " ", key), folderOf(sources.fileName())};
  };
  const auto path = value("path");
  const auto layout = value("layout");
  if (!path || !layout) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": path and layout are required"));
  }
  RootConfig root;
  root.origin = "[[root]]";
  ROOST_ASSIGN_OR_RETURN(root.path, sources.path(*path));
  ROOST_ASSIGN_OR_RETURN(root.layout, from(*layout, supportedLayout(layout->text)));
  if (root.layout == Layout::kTree) {
    for (const char* key : {"visibility", "share", "show"}) {
      if (const auto setting = value(key)) {
        return refused(*setting, "a tree is for the nodes of its cluster, always. Leave it out");
      }
    }
    const auto scope = value("scope"), name = value("name");
    ROOST_RETURN_IF_ERROR(makeTree(scope  ? *scope
                                   : name ? *name
                                          : *path,
                                   scope ? scope->text : "", name ? name->text : "", root));
    if (const auto python = value("python")) {
      ROOST_ASSIGN_OR_RETURN(root.python, sources.path(*python));
    }
    root.pull = table.pull.value_or(false);
  } else {
    for (const char* key : {"scope", "name", "python"}) {
      if (const auto setting = value(key)) {
        return refused(*setting, "only for layout tree. Leave it out");
      }
    }
    if (table.pull) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, " pull: only for layout tree. Leave it out"));
    }
  }
  if (const auto setting = value("visibility")) {
    ROOST_ASSIGN_OR_RETURN(root.visibility, from(*setting, parseRootVisibility(setting->text)));
  }
  if (const auto setting = value("show")) {
    ROOST_ASSIGN_OR_RETURN(root.show, from(*setting, parseShowHere(setting->text)));
    if (root.layout != Layout::kHub) return refused(*setting, "only for layout hub. Leave it out");
  }
  if (const auto setting = value("share")) {
    ROOST_ASSIGN_OR_RETURN(root.share, from(*setting, parseShare(setting->text)));
  }
  if (const auto setting = value("store")) {
    ROOST_ASSIGN_OR_RETURN(root.store, from(*setting, StoreId::parse(setting->text)));
  }
  root.write = table.write.value_or(true);
  return root;
}

absl::StatusOr<std::vector<RootConfig>> roots(const Sources& sources,
                                              const AgentArguments& arguments) {
  std::vector<RootConfig> all;
  for (const std::string& text : arguments.roots) {
    ROOST_ASSIGN_OR_RETURN(RootConfig root, rootOption(sources, text));
    all.push_back(std::move(root));
  }
  for (const ConfigFile::Root& table : sources.file().roots) {
    ROOST_ASSIGN_OR_RETURN(RootConfig root, rootTable(sources, table));
    // An option about the same folder wins.
    const bool named = std::any_of(all.begin(), all.end(), [&](const RootConfig& other) {
      return other.path == root.path && other.layout == root.layout;
    });
    if (!named) all.push_back(std::move(root));
  }
  return all;
}

bool liesIn(absl::string_view path, absl::string_view folder) {
  return path == folder || absl::StartsWith(path, absl::StrCat(folder, "/"));
}

// All files of a tree are told, so nobody's secrets may be among them.
absl::Status checkTrees(const Sources& sources, const AgentConfig& config) {
  std::vector<std::string> secret = {config.stateDir};
  for (const auto& path :
       {config.clusterKeyFile, config.hubTokenFile, homeFolder(sources.environment())}) {
    if (path) secret.push_back(*path);
  }
  for (const RootConfig& root : config.roots) {
    if (root.layout != Layout::kTree) continue;
    for (const std::string& path : secret) {
      if (!liesIn(path, absl::StripSuffix(root.path, "/"))) continue;
      return absl::InvalidArgumentError(
          sentence(absl::StrCat(root.origin, ": the tree ", root.path, " cannot be shared"),
                   absl::StrCat(path, " lies in it"), "Name the folder of the cache itself"));
    }
  }
  return absl::OkStatus();
}

absl::Status checkDoors(const Sources& sources, const AgentConfig& config) {
  if (!isLoopback(config.listen.host) && !config.hasClusterKey()) {
    return refused(sources.findOr("listen", kListenDefault),
                   sentence(absl::StrCat(config.listen.toString(),
                                         " can be reached from other machines, and there is no "
                                         "cluster key"),
                            "anybody could read and fill the caches", kMakeKey));
  }
  if (!isLoopback(config.endpoint.host)) {
    return refused(sources.findOr("endpoint", kEndpointDefault),
                   absl::StrCat(config.endpoint.toString(),
                                " is not a loopback address, and this version of roost serves "
                                "clients of its own node only. Use 127.0.0.1:PORT"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string AgentConfig::controlSocket() const {
  return absl::StrCat(stateDir, "/", kAgentSocketName);
}

const std::vector<AgentOption>& agentOptions() {
  static const std::vector<AgentOption> options = {
      {"config", "FILE", "ROOST_CONFIG",
       "Configuration file (default: ~/.config/roost/roost.toml, then /etc/roost/roost.toml)",
       false},
      {"state-dir", "DIR", "ROOST_STATE_DIR",
       "Identity, index and socket (default: $XDG_STATE_HOME/roost; /var/lib/roost for a service)"},
      {"name", "NAME", "ROOST_NAME", "This node's label (default: the host name)"},
      {"listen", "ADDR:PORT", "ROOST_LISTEN",
       "Where peers connect (default: 127.0.0.1:8376; other machines only with a cluster key)"},
      {"endpoint", "ADDR:PORT", "ROOST_ENDPOINT",
       "HTTP for clients of this node (default: 127.0.0.1:8377)"},
      {"endpoint-publish", "BOOL", "ROOST_ENDPOINT_PUBLISH",
       "What clients were given is put into their hub cache, not into a folder apart (default: "
       "true)"},
      {"branch-ttl", "DURATION", "ROOST_BRANCH_TTL",
       "How long clients get a branch as the hub said last, without asking again (default: 60s)"},
      {"advertise", "ADDR[:PORT]|IFACE|CIDR", "ROOST_ADVERTISE",
       "Addresses that peers are told to dial (default: what they see)"},
      {"join", "PEERS", "ROOST_JOIN",
       "First peers: ADDR:PORT, dns:NAME:PORT, file:PATH or slurm, separated by commas"},
      {"catalog", "mesh", "ROOST_CATALOG", "How nodes learn who has what (mesh)"},
      {"cluster-key-file", "FILE", "ROOST_CLUSTER_KEY_FILE",
       "The cluster's key, made by `roost key` (ROOST_CLUSTER_KEY holds the key itself)"},
      {"hub", "URL|none", "ROOST_HUB",
       "Hub for what the cluster lacks (default: https://huggingface.co); none: never ask one"},
      {"hub-token-file", "FILE", "ROOST_HUB_TOKEN_FILE",
       "The operator's hub token, for gated content that is warmed"},
      {"ca-file", "FILE", "ROOST_CA_FILE",
       "Certificates (PEM) to trust for the hub, besides the system's: a company's own CA"},
      {"hub-cache", "DIR", "", "Hub cache (default: where the clients' variables say)"},
      {"transformers-cache", "DIR", "",
       "Cache of transformers 4 and before (default: where the clients' variables say)"},
      {"datasets-cache", "DIR", "",
       "Cache of the datasets library (default: where the clients' variables say)"},
      {"zone", "ZONE", "ROOST_ZONE", "Label for --nodes zone=ZONE"},
      {"representations-quota", "SIZE", "ROOST_REPRESENTATIONS_QUOTA",
       "Disk space for representations that programs put (default: 10GB, at most a tenth of the "
       "disk)"},
      {"upload-limit", "RATE", "ROOST_UPLOAD_LIMIT",
       "What all peers together get of this node: 200MB, 50MB/s (default: none, no limit)"},
      {"download-limit", "RATE", "ROOST_DOWNLOAD_LIMIT",
       "What this node takes from peers and hub together (default: none)"},
      {"link-only", "BOOL", "ROOST_LINK_ONLY",
       "Also between nodes on one file system bytes go over the network, and no node is told where "
       "files lie (default: false)"},
      {"swarm", "ADDR:PORT", "ROOST_SWARM",
       "Where members connect by BitTorrent, for public content that many want at once, 8378 by "
       "custom (default: off)"},
      {"swarm-outside", "BOOL", "ROOST_SWARM_OUTSIDE",
       "BitTorrent clients that are no members may connect too: `roost torrent` (default: false)"},
      {"swarm-nodes", "N", "ROOST_SWARM_NODES",
       "So many nodes that want a blob at once take it by BitTorrent, always (default: 9 or more, "
       "of "
       "large blobs, if they come and go)"},
      {"metrics", "ADDR:PORT", "ROOST_METRICS", "", true, false},
      {"endpoint-allow", "CIDR", "ROOST_ENDPOINT_ALLOW", "", true, false},
      {"pip-index", "URL|none", "ROOST_PIP_INDEX",
       "The one index behind /pip/simple/ (default: what pip itself would use); none: off"},
      {"pip-share", "public|cluster|none", "ROOST_PIP_SHARE",
       "What other nodes may have of it: public, unless it wants a password (default); always; "
       "never"},
      {"pip-space", "SIZE", "ROOST_PIP_SPACE",
       "What its files may take in the state folder: 500MB, 20GB (default), 1TB"},
      {"pip-cache", "DIR", "", "pip's cache (default: where pip's own settings say)", false},
  };
  return options;
}

absl::StatusOr<AgentConfig> loadConfig(const AgentArguments& arguments,
                                       const Environment& environment, const HostFacts& host,
                                       const FileReader& readFile) {
  Sources sources(arguments, environment, host);
  ROOST_RETURN_IF_ERROR(readConfigFile(sources, readFile));
  ROOST_RETURN_IF_ERROR(refuseUnsupported(sources));

  AgentConfig config;
  config.configFile = sources.fileName();
  ROOST_ASSIGN_OR_RETURN(config.stateDir, stateDir(sources));
  const Setting name = sources.findOr("name", host.hostName);
  ROOST_ASSIGN_OR_RETURN(config.name, from(name, parseNodeName(name.text)));
  const Setting listen = sources.findOr("listen", kListenDefault);
  ROOST_ASSIGN_OR_RETURN(config.listen, from(listen, Address::parse(listen.text)));
  const Setting endpoint = sources.findOr("endpoint", kEndpointDefault);
  ROOST_ASSIGN_OR_RETURN(config.endpoint, from(endpoint, Address::parse(endpoint.text)));
  const Setting branchTtl = sources.findOr("branch-ttl", "60s");
  if (!absl::ParseDuration(branchTtl.text, &config.branchTtl) ||
      config.branchTtl < absl::ZeroDuration() || config.branchTtl > absl::Hours(24 * 365)) {
    return refused(branchTtl, absl::StrCat(quoted(branchTtl.text),
                                           " is not a duration such as 60s, 5m or 1h30m"));
  }
  ROOST_ASSIGN_OR_RETURN(config.endpointPublish,
                         boolOf(sources.findOr("endpoint-publish", "true")));
  config.endpointMayMove = !sources.find("endpoint");
  const Setting advertise = sources.findOr("advertise", "");
  ROOST_ASSIGN_OR_RETURN(config.advertise, from(advertise, parseAdvertise(advertise.text)));
  const Setting join = sources.findOr("join", "");
  ROOST_ASSIGN_OR_RETURN(
      config.join, from(join, parseJoin(join.text, config.listen.port, join.folder, environment)));
  ROOST_RETURN_IF_ERROR(checkCatalog(sources));
  ROOST_RETURN_IF_ERROR(clusterKey(sources, config));
  ROOST_ASSIGN_OR_RETURN(config.hub, hub(sources));
  ROOST_ASSIGN_OR_RETURN(config.hubTokenFile, sources.optionalPath("hub-token-file"));
  ROOST_ASSIGN_OR_RETURN(config.caFile, caFile(sources, readFile));
  ROOST_RETURN_IF_ERROR(pip(sources, readFile, config));
  ROOST_ASSIGN_OR_RETURN(config.hubCache, sources.optionalPath("hub-cache"));
  ROOST_ASSIGN_OR_RETURN(config.transformersCache, sources.optionalPath("transformers-cache"));
  ROOST_ASSIGN_OR_RETURN(config.datasetsCache, sources.optionalPath("datasets-cache"));
  ROOST_ASSIGN_OR_RETURN(config.roots, roots(sources, arguments));
  if (const auto zone = sources.find("zone")) {
    ROOST_ASSIGN_OR_RETURN(config.zone, from(*zone, parseNodeName(zone->text)));
  }
  if (const auto quota = sources.find("representations-quota")) {
    ROOST_ASSIGN_OR_RETURN(config.representationsQuota, from(*quota, parseByteSize(quota->text)));
  }
  for (const auto& [option, rate] : {std::pair("upload-limit", &config.uploadLimit),
                                     std::pair("download-limit", &config.downloadLimit)}) {
    if (const auto limit = sources.find(option)) {
      ROOST_ASSIGN_OR_RETURN(*rate, from(*limit, parseByteRate(limit->text)));
    }
  }
  ROOST_ASSIGN_OR_RETURN(config.linkOnly, boolOf(sources.findOr("link-only", "false")));
  ROOST_RETURN_IF_ERROR(swarm(sources, config));
  ROOST_RETURN_IF_ERROR(checkTrees(sources, config));
  ROOST_RETURN_IF_ERROR(checkDoors(sources, config));
  return config;
}

}  // namespace roost
