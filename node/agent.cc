#include "node/agent.h"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "cache/disk_space.h"
#include "cache/layouts.h"
#include "cache/leftovers.h"
#include "cache/pip_space.h"
#include "cache/staging.h"
#include "cache/tree_scope.h"
#include "cluster/bulk_client.h"
#include "cluster/bulk_server.h"
#include "cluster/lane_thread.h"
#include "cluster/peer_links.h"
#include "cluster/piece_lists.h"
#include "cluster/store_election.h"
#include "cluster/transfers.h"
#include "node/commands.h"
#include "node/control_server.h"
#include "node/documents.h"
#include "node/endpoint/blob_readings.h"
#include "node/endpoint/endpoint_server.h"
#include "node/endpoint/hub_endpoint.h"
#include "node/endpoint/hub_route.h"
#include "node/endpoint/pip_endpoint.h"
#include "node/endpoint/pip_index.h"
#include "node/folders.h"
#include "node/freed_memory.h"
#include "node/hub.h"
#include "node/identity.h"
#include "node/listen_addresses.h"
#include "node/pip_commands.h"
#include "node/representations.h"
#include "node/resolver.h"
#include "node/root_ground.h"
#include "node/saved_state.h"
#include "node/seeds.h"
#include "node/swarms.h"
#include "node/torrent_commands.h"
#include "node/traffic.h"
#include "node/tree_facts.h"
#include "node/tree_pulls.h"
#include "node/watchdog.h"
#include "protocol/errors.h"
#include "protocol/kj_loop.h"
#include "protocol/socket_deadline.h"
#include "protocol/tls.h"

namespace roost {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;  // clang, which clang-tidy reads with, needs to be told

constexpr size_t kProblemsMax = 50;
constexpr absl::Duration kLeftoverAge = absl::Minutes(1);  // longer than any small blob is written
constexpr absl::Duration kEndpointDrain = absl::Seconds(10);
constexpr absl::Duration kPipFilesStay = absl::Minutes(10);  // clients ask again
constexpr absl::Duration kHostFilePeriod = absl::Seconds(10);
constexpr absl::Duration kMeetingTime = absl::Seconds(2);  // to hear of those who share a folder

absl::StatusOr<std::unique_ptr<TlsContext>> tlsOf(const AgentConfig& config) {
  if (!config.hasClusterKey()) return std::unique_ptr<TlsContext>();
  auto keys = config.clusterKeyFile ? ClusterKeys::load(*config.clusterKeyFile)
                                    : ClusterKeys::parse(*config.clusterKeyText);
  if (!keys.ok()) return keys.status();
  return std::make_unique<TlsContext>(*std::move(keys));
}

size_t laneCount() {
  return std::clamp<size_t>(std::thread::hardware_concurrency() / 4, 1, 4);
}

// A lane and what lives on it. Members are made and destroyed on the lane's thread.
struct Lane {
  explicit Lane(const std::string& name) : thread(name) {}
  ~Lane() {
    close();
    thread.stop();
  }
  // Ends its links. The thread goes on: bytes that were received find their way home.
  void close() {
    thread.run([this] {
      SocketDeadline::endAll(thread.io());
      client.reset();
      server.reset();
    });
  }
  LaneThread thread;
  std::unique_ptr<BulkClient> client;
  std::unique_ptr<BulkServer> server;
};

class Agent final : public BlobProvider {
 public:
  Agent(const AgentConfig& config, Identity identity, std::unique_ptr<TlsContext> tls)
      : config_(config),
        identity_(std::move(identity)),
        environment_(ClientEnvironment::ofProcess()),
        tls_(std::move(tls)),
        kj_(io_),
        signals_(io_),
        acceptor_(io_),
        ticker_(io_),
        summaryTimer_(io_),
        drainTimer_(io_) {}

  // What jobs refer to is still there while they end.
  ~Agent() override { pool_.stop(WorkPool::AtStop::kDrain); }

  // Builds everything, top down. An error ends the start.
  absl::Status build() {
    ROOST_ASSIGN_OR_RETURN(auto opened, Index::open(config_.stateDir + "/index.db"));
    if (!opened.movedAside.empty()) note("the index was rebuilt", opened.movedAside, "");
    ROOST_ASSIGN_OR_RETURN(SavedState saved, SavedState::load(*opened.index, identity_.id()));
    savedBytes_ = saved.savedBytes;
    logId_ = saved.logId;
    index_ = std::make_unique<IndexQueue>(pool_, std::move(opened.index));
    savedAdverts_ = std::make_unique<SavedAdverts>(
        *index_, [this](std::function<void()> job) { onLoop(std::move(job)); });

    for (const std::string& text : config_.notes) note(text, "", "");
    const std::vector<Root> roots = findFolders();
    ROOST_RETURN_IF_ERROR(tidy(roots));
    ROOST_ASSIGN_OR_RETURN(const MemberInfo self, describeSelf(roots));
    if (config_.hub) {
      hub_ = std::make_unique<Hub>(*config_.hub, config_.hubTokenFile, environment_, config_.caFile,
                                   hubRest_, &downloads_);
    }
    serveCounters_.uploads.set(config_.uploadLimit, absl::Now());
    downloads_.set(config_.downloadLimit, absl::Now());
    ROOST_RETURN_IF_ERROR(buildPip());
    core_ =
        std::make_unique<Core>(Core::Options{.self = self,
                                             .seeds = seedsOf(config_.join),
                                             .hubAllowed = hub_ != nullptr,
                                             .logId = saved.logId,
                                             .downloads = &downloads_,
                                             .swarmNodes = config_.swarm ? config_.swarmNodes : 0,
                                             .swarmByOrder = config_.swarmNodesGiven},
                               random_);
    for (size_t i = 0; i < laneCount(); ++i) buildLane(i);
    links_ = std::make_unique<PeerLinks>(io_, self, tls_.get(), linkHandlers());
    folders_ = std::make_unique<Folders>(folderSeams(roots), saved.own);
    ROOST_RETURN_IF_ERROR(buildSwarm());
    transfers_ = std::make_unique<Transfers>(transferSeams());
    ROOST_ASSIGN_OR_RETURN(const uint64_t quota, representationsQuota());
    representations_ = std::make_unique<Representations>(representationSeams(quota), saved.own);
    resolver_ = std::make_unique<Resolver>(
        *core_, *links_, folders_->inventory(), hub_ ? &hub_->patient : nullptr,
        hub_ ? &hub_->hurried : nullptr,
        [this](const RepoId& repo, Visibility known) { learnt(repo, known); });
    torrentCommands_ = std::make_unique<TorrentCommands>(TorrentCommands::Seams{
        .folders = *folders_, .resolver = *resolver_, .swarms = swarms_.get(), .peers = [this] {
          return swarmAddresses();
        }});
    commands_ = std::make_unique<Commands>(commandSeams());
    treePulls_ = std::make_unique<TreePulls>(
        TreePulls::Seams{.io = io_,
                         .core = *core_,
                         .inventory = folders_->inventory(),
                         .resolver = *resolver_,
                         .origin = origin(),
                         .order = [this](JobOrder order) { return takeOrder(std::move(order)); }});
    ROOST_RETURN_IF_ERROR(buildEndpoint(saved));
    ROOST_ASSIGN_OR_RETURN(control_,
                           ControlServer::listen(io_, config_.controlSocket(),
                                                 [this](std::string method, std::string arguments) {
                                                   return commands_->call(std::move(method),
                                                                          std::move(arguments));
                                                 }));
    ROOST_RETURN_IF_ERROR(openDoor());
    restore(std::move(saved));
    return absl::OkStatus();
  }

  void run() {
    for (int signal : {SIGTERM, SIGINT}) signals_.add(signal);
    signals_.async_wait([this](boost::system::error_code ec, int) {
      if (!ec) closeEndpoint();
    });
    folders_->start();
    representations_->start();
    treePulls_->start();
    asio::co_spawn(io_, accept(), asio::detached);
    endpoint_->start();
    watchdog_ = std::make_unique<Watchdog>(
        Watchdog::Seams{.onLoop = [this](std::function<void()> job) { onLoop(std::move(job)); },
                        .stuck = [] { endStuckProcess(); }});
    asio::post(io_, [this] { apply(Tick{}); });
    tellSummary();
    spdlog::info("clients: HF_ENDPOINT=http://{}", endpoint_->address().toString());
    spdlog::info("{} ({}) listens for peers on {}{}", config_.name, identity_.id().shortHex(),
                 config_.listen.toString(), tls_ ? ", with the cluster key" : "");
    io_.run();
  }

  // ---- BlobProvider: called on lane threads ----

  void open(const NodeId&, const BlobId& blob,
            std::function<void(std::shared_ptr<const LocalBlob>)> answer) override {
    onLoop([this, blob, answer = std::move(answer)] {
      if (representations_->holds(blob)) return representations_->open(blob, answer);
      folders_->open(blob, answer);
    });
  }

  void provenances(const NodeId&, std::vector<RepresentationKey> keys,
                   std::function<void(std::vector<std::string>)> answer) override {
    onLoop([this, keys = std::move(keys), answer = std::move(answer)] {
      representations_->provenances(keys, answer);
    });
  }

  void swarm(const NodeId&, const BlobId& blob, std::function<void(SwarmWord)> answer) override {
    onLoop([this, blob, answer = std::move(answer)] {
      if (!swarms_) return answer(SwarmWord{});
      swarms_->word(blob, answer);
    });
  }

  bool tellsPlaces() const override { return !config_.linkOnly; }

  void askPiece(
      const NodeId& peer, const BlobId& blob, uint64_t piece,
      std::function<void(ReadOutcome, std::shared_ptr<const BlobWriter>)> answer) override {
    onLoop([this, peer, blob, piece, answer = std::move(answer)] {
      const AskId ask{++lastAsk_};
      pieceAsks_.emplace(ask, answer);
      apply(PieceAsked{peer, ask, blob, piece});
    });
  }

  void foundBad(const BlobId& blob, const absl::Status& why) override {
    onLoop([this, blob, why] {
      if (representations_->holds(blob)) return representations_->foundBadBlob(blob, why);
      folders_->foundBad(blob, why);
    });
  }

 private:
  void onLoop(std::function<void()> job) {
    asio::post(io_, [this, job = std::move(job)] {
      if (!stopping_) job();
    });
  }

  // ---- Building ----

  std::vector<Root> findFolders() {
    RootOptions options{.hubCache = config_.hubCache.value_or(""),
                        .transformersCache = config_.transformersCache.value_or(""),
                        .datasetsCache = config_.datasetsCache.value_or(""),
                        .roots = config_.roots};
    RootSearch search = findRoots(environment_, options);
    // Used where none of the clients' folders can be written.
    search.roots.push_back({.path = config_.stateDir + "/hub", .origin = "roost's own"});
    makeWritableRoot(search.roots);
    if (sharesPip()) {
      if (config_.pipCache && config_.pipCacheShared) {
        search.roots.insert(search.roots.end() - 1, {.path = *config_.pipCache,
                                                     .layout = Layout::kPip,
                                                     .origin = "pip's cache",
                                                     .write = false,
                                                     .names = config_.pipIndex->origin});
      }
      search.roots.insert(search.roots.end() - 1, {.path = pipFolder(),
                                                   .origin = "roost's own, of the pip index",
                                                   .names = config_.pipIndex->origin});
    }
    gatherScopes(search.roots);
    ResolvedRoots resolved = resolveRoots(search.roots);
    for (const auto* notes : {&search.notes, &resolved.notes}) {
      for (const std::string& text : *notes) note(text, "", "");
    }
    for (const Root& root : resolved.roots) {
      if (root.config.layout == Layout::kRepresentations) watched_.push_back(root);
    }
    for (const Root& root : watched_) spdlog::info("representations in {}", root.config.path);
    std::erase_if(resolved.roots, [](const Root& root) {
      return !isReadable(root.config.layout) && !root.config.names;
    });
    for (const Root& root : resolved.roots) {
      const bool hub = root.config.layout == Layout::kHub;
      if (!hub && !root.exists) continue;  // most nodes have none
      spdlog::info("folder {} ({}{}){}", root.config.path, root.config.origin,
                   hub ? "" : absl::StrCat(", ", layoutName(root.config.layout), " layout"),
                   root.exists ? "" : ", not there yet");
    }
    return resolved.roots;
  }

  // What a tree's scope is on this machine. As long as the agent runs: it is asked once.
  void gatherScopes(std::vector<RootConfig>& roots) {
    const Machine machine = thisMachine(processEnvironment());
    std::erase_if(roots, [&](RootConfig& root) {
      if (root.layout != Layout::kTree) return false;
      root.scope = withGathered(root.scope, [&] { return gatheredScope(machine, root.python); });
      const auto scope = TreeScope::parse(root.scope);
      if (scope.ok()) {
        root.scope = scope->text();
        spdlog::info("tree {} of the scope {} in {}", root.tree, root.scope, root.path);
        return false;
      }
      note(absl::StrCat("the tree ", root.path, " is not shared"), scope.status().message(), "");
      return true;
    });
  }

  absl::Status buildSwarm() {
    if (!config_.swarm) return absl::OkStatus();
    ROOST_ASSIGN_OR_RETURN(
        swarms_, Swarms::open(*config_.swarm, config_.swarmOutside,
                              {.io = io_,
                               .pool = pool_,
                               .pages = pages_,
                               .folders = *folders_,
                               .report = [this](const std::string& text) { note(text, "", ""); },
                               .uploads = &serveCounters_.uploads,
                               .downloads = &downloads_}));
    spdlog::info("swarm: BitTorrent on {}, port {}{}", config_.swarm->host, swarms_->lane().port(),
                 config_.swarmOutside ? ", for clients outside the cluster too" : "");
    return absl::OkStatus();
  }

  // Where others find this node's swarm.
  std::vector<Address> swarmAddresses() const {
    if (!swarms_) return {};
    const uint16_t port = swarms_->lane().port();
    const std::string& host = config_.swarm->host;
    if (host != "0.0.0.0" && host != "::") return {Address{host, port}};
    std::vector<Address> addresses;
    for (const Address& address : core_->self().addresses) {
      addresses.push_back({address.host, port});
    }
    return addresses;
  }

  // Members may connect, whoever else wants to.
  void letMembersIn() {
    if (!swarms_) return;
    std::set<std::string> hosts;
    for (const NodeView& node : core_->nodes()) {
      for (const Address& address : node.info.addresses) hosts.insert(address.host);
    }
    if (hosts == swarmHosts_) return;
    swarmHosts_ = hosts;
    swarms_->lane().allow({hosts.begin(), hosts.end()});
  }

  // Files of the pip index are kept and shared; otherwise they pass through.
  bool sharesPip() const { return config_.pipIndex && config_.pipIndex->shares(config_.pipShare); }
  std::string pipFolder() const { return config_.stateDir + "/pip"; }

  absl::Status buildPip() {
    if (!config_.pipIndex) return absl::OkStatus();
    pip_ = std::make_unique<PipIndex>(*config_.pipIndex, config_.caFile, &downloads_);
    spdlog::info("pip index {} ({}){}", config_.pipIndex->origin.url(), config_.pipIndex->from,
                 sharesPip() ? "" : ", for this node alone");
    if (!sharesPip()) return absl::OkStatus();
    std::error_code error;
    std::filesystem::create_directories(pipFolder(), error);
    if (error) return errnoStatus(error.value(), "cannot make", pipFolder());
    ROOST_ASSIGN_OR_RETURN(HubPublisher publisher,
                           HubPublisher::open(pipFolder(), identity_.id(), reservations_));
    pipPublisher_ = std::make_shared<const HubPublisher>(std::move(publisher));
    return absl::OkStatus();
  }

  void trimPip() {
    if (std::exchange(trimmingPip_, true)) return;
    const absl::Status submitted = pool_.submit(
        {"pip space", WorkPriority::kIdle, pipFolder()},
        [this, folder = pipFolder(), most = config_.pipSpace] {
          const auto freed = trimPipFiles(folder, most, absl::Now() - kPipFilesStay);
          onLoop([this, freed] {
            trimmingPip_ = false;
            if (freed.ok() && *freed > 0) {
              spdlog::info(
                  "{} bytes of files of the pip index were deleted: nobody read them for "
                  "the longest time",
                  *freed);
            }
          });
        });
    if (!submitted.ok()) trimmingPip_ = false;
  }

  // Removes what a killed agent left behind. Journals before any writer opens; temporaries, which
  // take a look at every repo, in idle time: those that are in use are locked.
  absl::Status tidy(const std::vector<Root>& roots) {
    const std::string partials = partialFolder();
    ROOST_RETURN_IF_ERROR(removeOrphanJournals(partials, identity_.id()).status());
    for (const Root& root : roots) {
      if (!root.exists || !root.config.write) continue;
      ROOST_RETURN_IF_ERROR(
          pool_.submit({"tidy", WorkPriority::kIdle, root.config.path},
                       [config = root.config, node = identity_.id(), partials] {
                         if (takesFinished(config)) {
                           removeStaleStaging(config.path, node, partials, kLeftoverAge);
                         } else {
                           removeLeftovers(config.path, node, partials, kLeftoverAge);
                         }
                       }));
    }
    return absl::OkStatus();
  }

  std::string partialFolder() const { return config_.stateDir + "/partial"; }

  absl::StatusOr<MemberInfo> describeSelf(const std::vector<Root>& roots) {
    MemberInfo self{.id = identity_.id(), .epoch = identity_.epoch(), .name = config_.name};
    ROOST_ASSIGN_OR_RETURN(self.addresses, advertisedAddresses(config_.advertise, config_.listen));
    self.zone = config_.zone;
    self.instance = absl::Uniform<uint64_t>(random_);
    if (config_.hub) self.features |= kFeatureAsksHub;
    self.features |= kFeatureRepresentations;
    if (sharesPip()) self.features |= kFeatureSharesPip;
    if (config_.swarm) self.features |= kFeatureSwarm;
    std::vector<RootGround> grounds;
    for (const Root& root : roots) grounds.push_back(groundOf(root.config));
    self.stores = storesOf(grounds);
    return self;
  }

  void buildLane(size_t number) {
    lanes_.push_back(std::make_unique<Lane>(absl::StrCat("lane-", number)));
    Lane& lane = *lanes_.back();
    lane.thread.post([this, &lane] {
      lane.client = std::make_unique<BulkClient>(lane.thread.io(), identity_.id(),
                                                 identity_.epoch(), tls_.get());
      lane.server = std::make_unique<BulkServer>(lane.thread.io(), tls_.get(), pool_, *this,
                                                 serveCounters_, *pages_);
    });
  }

  PeerLinks::Handlers linkHandlers() {
    return {
        .judge = [this](const MemberInfo& peer,
                        bool dialled) { return core_->judge(peer, dialled); },
        .up =
            [this](const MemberInfo& peer, std::optional<Address> dialled) {
              spdlog::info("linked with {} ({})", peer.name, peer.id.shortHex());
              apply(LinkUp{peer, std::move(dialled)});
            },
        .down =
            [this](const NodeId& peer) {
              spdlog::info("the link with {} ended", nameOf(*core_, peer));
              apply(LinkDown{peer});
              for (const auto& lane : lanes_) {
                lane->thread.post([&lane = *lane, peer] {
                  if (lane.client) lane.client->forget(peer);
                });
              }
            },
        .dialFailed =
            [this](const Address& address, const absl::Status& why) {
              spdlog::debug("cannot reach {}: {}", address.toString(), why.ToString());
              if (absl::IsUnauthenticated(why)) {
                note(absl::StrCat("cannot join ", address.toString()), why.message(),
                     "Give all agents the same cluster key.");
              } else if (absl::IsFailedPrecondition(why) || absl::IsInternal(why)) {
                note(absl::StrCat("refused by ", address.toString()), why.message(), "");
              }
              apply(DialFailed{address, why});
            },
        .asked = [this](const NodeId& peer, AskId ask,
                        Request request) { answer(peer, ask, std::move(request)); },
        .report = [this](const std::string& text) { note(text, "", ""); },
    };
  }

  Folders::Seams folderSeams(const std::vector<Root>& roots) {
    return {.io = io_,
            .pool = pool_,
            .index = *index_,
            .reservations = reservations_,
            .self = identity_.id(),
            .origin = origin(),
            .roots = roots,
            .changed = [this](std::vector<AdvertChange> changes) { advertise(changes); },
            .settled = [this] { ready(); },
            .report = [this](const std::string& text) { note(text, "", ""); }};
  }

  // Saved, then told: after a crash no number is given twice.
  void advertise(const std::vector<AdvertChange>& changes) {
    const LogPosition position{logId_, changes.back().sequence};
    savedAdverts_->add(identity_.id(), false, changes, position, [this, changes] {
      apply(LocalChanged{changes});
      tellSummarySoon();
    });
  }

  std::vector<BulkLane> bulkLanes() const {
    std::vector<BulkLane> lanes;
    for (const auto& lane : lanes_) lanes.push_back({&lane->thread, &lane->client});
    return lanes;
  }

  PeerCall peerCall() {
    return [this](const NodeId& peer, const Request& request, PeerAnswer answer) {
      links_->call(peer, request, std::move(answer));
    };
  }

  std::vector<Address> addressesOf(const NodeId& node) const {
    const auto view = core_->node(node);
    return view ? view->info.addresses : std::vector<Address>();
  }

  absl::StatusOr<uint64_t> representationsQuota() const {
    if (config_.representationsQuota) return *config_.representationsQuota;
    ROOST_ASSIGN_OR_RETURN(const uint64_t disk, diskBytes(config_.stateDir));
    return std::min(kRepresentationsQuotaDefault, disk / 10);
  }

  Representations::Seams representationSeams(uint64_t quota) {
    return {.io = io_,
            .pool = pool_,
            .index = *index_,
            .reservations = reservations_,
            .root = config_.stateDir + "/representations",
            .quota = quota,
            .watched = watched_,
            .core = *core_,
            .lanes = bulkLanes(),
            .addressesOf = [this](const NodeId& node) { return addressesOf(node); },
            .call = peerCall(),
            .changed =
                [this](std::vector<std::variant<Advert, AdvertKey>> changes) {
                  std::vector<AdvertChange> numbered;
                  for (auto& change : changes) {
                    numbered.push_back({folders_->inventory().nextSequence(), std::move(change)});
                  }
                  advertise(numbered);
                },
            .report = [this](const std::string& text) { note(text, "", ""); }};
  }

  Transfers::Seams transferSeams() {
    return {.io = io_,
            .pool = pool_,
            .reservations = reservations_,
            .self = identity_.id(),
            .partialFolder = partialFolder(),
            .memory = std::make_shared<MemoryRoom>(kPiecesInMemoryMax),
            .pages = pages_,
            .lanes = bulkLanes(),
            .hub = hub_ ? &hub_->lane : nullptr,
            .plain = pip_ ? &pip_->lane : nullptr,
            .swarm = swarms_ ? &swarms_->lane() : nullptr,
            .linkOnly = config_.linkOnly,
            .swarmLearnt =
                [this](const BlobInfo& blob, std::shared_ptr<const HashTree> tree) {
                  swarms_->learn(blob, std::move(tree));
                },
            .swarmWrong = [this](const BlobInfo& blob) { swarms_->ban(blob.id); },
            .addressesOf = [this](const NodeId& node) { return addressesOf(node); },
            .publisherOf = [this](const BlobSite& site) { return publisherOf(site); },
            .tokenFor =
                [this](const RepoId& repo) {
                  return hubEndpoint_ ? hubEndpoint_->tokenFor(repo) : TokenSource();
                },
            .tell = [this](Event event) { apply(event); },
            .landed =
                [this](const LandedBlob& blob) {
                  if (!blob.fromHub) {
                    savedBytes_ += blob.blob.size;
                    addSavedBytes(*index_, blob.blob.size);
                    tellSummarySoon();
                  }
                  folders_->landed(blob);
                  readings_->landed(blob.blob.id);
                  hubEndpoint_->landed(blob);
                  if (blob.site.url.empty()) return;
                  endpointMetrics_.pipBytes(blob.fromHub ? EndpointMetrics::PipSource::kIndex
                                                         : EndpointMetrics::PipSource::kPeers,
                                            blob.blob.size);
                  trimPip();
                }};
  }

  absl::StatusOr<std::shared_ptr<const HubPublisher>> publisherOf(const BlobSite& site) const {
    if (site.url.empty()) return folders_->publisher(site);
    if (pipPublisher_) return pipPublisher_;
    return absl::FailedPreconditionError("this node keeps no files of a pip index");
  }

  // Its number; 0: it was not accepted.
  uint64_t takeOrder(JobOrder order) {
    const AskId ask{++lastAsk_};
    apply(JobOrdered{ask, std::move(order)});
    const auto it = accepted_.find(ask);
    if (it == accepted_.end()) return 0;
    const uint64_t id = it->second;
    accepted_.erase(it);
    return id;
  }

  Commands::Seams commandSeams() {
    return {.core = *core_,
            .folders = *folders_,
            .resolver = *resolver_,
            .origin = origin(),
            .now = [] { return absl::Now(); },
            .order = [this](JobOrder order) { return takeOrder(std::move(order)); },
            .cancel = [this](uint64_t id) { apply(JobCancelled{id}); },
            .problems = [this] { return problems(); },
            .endpointUrl = [this] { return urlForClients(endpoint_->address()); },
            .pipIndex = config_.pipIndex ? config_.pipIndex->origin.url() : "",
            .representations = representations_.get(),
            .pip = [this] { return pipCommands_.get(); },
            .torrents = [this] { return torrentCommands_.get(); },
            .limits = {.uploads = &serveCounters_.uploads,
                       .downloads = &downloads_,
                       .limitJob = [this](uint64_t job, uint64_t rate) {
                         apply(JobLimited{job, rate});
                       }}};
  }

  std::vector<NodeId> verifiedHolders(const BlobId& blob) const {
    std::vector<NodeId> nodes;
    for (const HolderView& holder : core_->holders(blob)) {
      const auto node = core_->node(holder.node);
      const bool reachable = node && !node->self && node->state != NodeState::kSuspected &&
                             node->state != NodeState::kGone;
      if (reachable && !holder.unverified) nodes.push_back(holder.node);
    }
    return nodes;
  }

  absl::Status buildEndpoint(const SavedState& saved) {
    pieceLists_ = std::make_unique<PieceLists>(PieceLists::Seams{
        .holders = [this](const BlobId& blob) { return verifiedHolders(blob); },
        .ask = [this](const NodeId& peer, const BlobInfo& blob,
                      auto done) { transfers_->askPieces(peer, blob, std::move(done)); }});
    readings_ = std::make_unique<BlobReadings>(
        BlobReadings::Seams{
            .onLoop = [this](std::function<void()> job) { onLoop(std::move(job)); },
            .apply = [this](Event event) { apply(event); },
            .writer = [this](FetchId fetch) { return transfers_->writer(fetch); },
            .pieceList =
                [this](const BlobInfo& blob, std::function<void(BlobReading::PieceList)> done) {
                  pieceLists_->get(blob, std::move(done));
                },
            .folders = *folders_,
            .index = *index_},
        saved.poisoned);
    for (const auto& [repo, visibility] : saved.visibility) {
      folders_->inventory().setVisibility(repo, visibility);
    }
    if (hub_) proxy_ = std::make_unique<HubProxy>(*config_.hub, hub_->http);
    representationsApi_ =
        std::make_unique<RepresentationsApi>(*representations_, pool_, representations_->work());
    hubEndpoint_ = std::make_unique<HubEndpoint>(
        HubEndpoint::Seams{
            .io = io_,
            .pool = pool_,
            .core = *core_,
            .reservations = reservations_,
            .folders = *folders_,
            .resolver = *resolver_,
            .readings = *readings_,
            .proxy = proxy_.get(),
            .rest = hubRest_,
            .representations = representationsApi_.get(),
            .origin = origin(),
            .agentUrl = absl::StrCat("http://", config_.endpoint.toString()),
            .learnt = [this](const RepoId& repo, Visibility known) { learnt(repo, known); },
            .call = peerCall(),
            .statusJson = [this] { return statusDocument(*core_, problems(), absl::Now()).dump(); },
            .measures = [this] { return measures(); },
            .metrics = endpointMetrics_},
        HubEndpoint::Options{.refTtl = config_.branchTtl,
                             .publish = config_.endpointPublish,
                             .knownSizeMax = config_.knownSizeMax});
    pipEndpoint_ = std::make_unique<PipEndpoint>(
        PipEndpoint::Seams{
            .io = io_,
            .pool = pool_,
            .core = *core_,
            .folders = *folders_,
            .readings = *readings_,
            .index = pip_.get(),
            .origin = config_.pipIndex ? config_.pipIndex->origin : HubOrigin::huggingFace(),
            .call = peerCall(),
            .pagesFolder = config_.stateDir + "/pip-pages",
            .metrics = endpointMetrics_,
            .reservations = reservations_,
            .pipCache = config_.pipCache.value_or("")},
        sharesPip());
    pipCommands_ = std::make_unique<PipCommands>(PipCommands::Seams{
        .core = *core_,
        .pool = pool_,
        .folders = *folders_,
        .endpoint = *pipEndpoint_,
        .index = config_.pipIndex ? std::optional(config_.pipIndex->origin) : std::nullopt,
        .cache = config_.pipCache.value_or("")});
    std::vector<LaneThread*> lanes;
    for (const auto& lane : lanes_) lanes.push_back(&lane->thread);
    endpoint_ = std::make_unique<EndpointServer>(
        io_, std::move(lanes),
        [this](HttpAsk ask, std::function<void(HttpAnswer)> done) {
          if (auto route = pipRoute(ask.target)) {
            pipEndpoint_->handle(std::move(ask), *std::move(route), std::move(done));
          } else {
            hubEndpoint_->handle(std::move(ask), std::move(done));
          }
        },
        [origin = origin()](const std::string& method, const std::string& target) {
          if (pipRoute(target)) return BodyPlan{};
          const HubRoute route = hubRoute(origin, method, target);
          if (route.kind == HubRoute::Kind::kRoost) {
            return RepresentationsApi::bodyPlan(method, route.path);
          }
          return BodyPlan{.flows = route.kind == HubRoute::Kind::kOther};
        });
    ROOST_RETURN_IF_ERROR(endpoint_->listen(config_.endpoint, config_.endpointMayMove));
    if (endpoint_->address().port != config_.endpoint.port) {
      note(absl::StrCat("port ", config_.endpoint.port, " is taken: clients are served on ",
                        endpoint_->address().toString()),
           "another agent of this machine may have it", "`roost env` prints the right address.");
    }
    return absl::OkStatus();
  }

  // What the hub says of a repo is remembered, told to peers, and decides who gets it.
  void learnt(const RepoId& repo, Visibility visibility) {
    if (folders_->inventory().visibilityOf(repo) == visibility) return;
    folders_->setVisibility(repo, visibility);
    saveVisibility(*index_, repo, visibility);
  }

  absl::Status openDoor() {
    boost::system::error_code ec;
    const auto host = asio::ip::make_address(config_.listen.host, ec);
    tcp::endpoint endpoint;
    if (!ec) {
      endpoint = {host, config_.listen.port};
    } else {
      tcp::resolver resolver(io_);
      const auto found =
          resolver.resolve(config_.listen.host, std::to_string(config_.listen.port), ec);
      if (ec || found.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat("cannot listen on ", config_.listen.toString(), ": ", ec.message()));
      }
      endpoint = found.begin()->endpoint();
    }
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    // [::] means all addresses, IPv4 too.
    if (!ec && endpoint.address().is_v6()) {
      acceptor_.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), ec);
    }
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) {
      return absl::InvalidArgumentError(
          sentence(absl::StrCat("cannot listen on ", config_.listen.toString()), ec.message(),
                   "Another program may have the port: choose one with --listen."));
    }
    return absl::OkStatus();
  }

  void restore(SavedState saved) {
    if (!saved.own.empty()) apply(LocalChanged{std::move(saved.own)});
    for (CatalogRestored& peer : saved.peers) apply(std::move(peer));
    for (JobView& job : saved.jobs) apply(JobRestored{AskId{++lastAsk_}, std::move(job)});
    accepted_.clear();
  }

  // ---- The circle: event → core → effects ----

  void apply(const Event& event) {
    if (stopping_) return;
    // An effect that is performed at once may bring the next event: it waits its turn.
    queue_.push_back(event);
    if (applying_) return;
    applying_ = true;
    while (!queue_.empty()) {
      const Event next = std::move(queue_.front());
      queue_.pop_front();
      for (Effect& effect : core_->on(next, absl::Now())) perform(std::move(effect));
    }
    applying_ = false;
    scheduleTick();
  }

  void perform(Effect effect) {
    std::visit(
        Overloaded{
            [&](const Dial& e) { links_->dial(e.address); },
            [&](const Hangup& e) { links_->hangup(e.peer, e.why); },
            [&](const Call& e) {
              links_->call(e.peer, e.request,
                           [this, call = e.call, peer = e.peer](absl::StatusOr<Reply> reply) {
                             if (stopping_) return;
                             if (reply.ok()) hearRest(std::get_if<HeartbeatReply>(&*reply));
                             apply(Answered{call, peer, std::move(reply)});
                           });
            },
            [&](Respond& e) { links_->respond(e.ask, std::move(e.reply)); },
            [&](const OpenWriter& e) { transfers_->perform(e); },
            [&](const ReadPiece& e) { transfers_->perform(e); },
            [&](const ReadSmall& e) { transfers_->perform(e); },
            [&](const HubDownload& e) { transfers_->perform(e); },
            [&](const LimitHub& e) { transfers_->perform(e); },
            [&](const StopHub& e) { transfers_->perform(e); },
            [&](const SwarmAsk& e) { transfers_->perform(e); },
            [&](const SwarmJoin& e) { transfers_->perform(e); },
            [&](const SwarmPeers& e) { transfers_->perform(e); },
            [&](const SwarmPace& e) { transfers_->perform(e); },
            [&](const SwarmLeave& e) { transfers_->perform(e); },
            [&](const FinishBlob& e) { transfers_->perform(e); },
            [&](const RestartBlob& e) {
              if (const auto writer = transfers_->writer(e.fetch)) {
                readings_->begunAgain(writer->blob().id);
                if (e.wrong) readings_->wasWrong(writer->blob().id);
              }
              transfers_->perform(e);
            },
            [&](const CloseWriter& e) { transfers_->perform(e); },
            [&](const AnswerPiece& e) { answerPiece(e); },
            [&](const AnswerReader& e) { readings_->perform(e); },
            [&](const CheckPresent& e) {
              folders_->checkPresent(e, [this](PresenceKnown known) { apply(std::move(known)); });
            },
            [&](const PublishRepo& e) {
              folders_->publish(e, [this](RepoPublished done) { apply(std::move(done)); });
            },
            [&](const JobAccepted& e) { accepted_[e.ask] = e.id; },
            [&](const JobChanged& e) {
              if (!e.structural) return;
              if (const auto job = core_->job(e.id)) saveJob(*index_, *job, identity_.id());
            },
            [&](const SaveCatalog& e) {
              savedAdverts_->add(e.peer, e.reset, e.changes, e.position);
            },
            [&](const Report& e) {
              if (e.level == Report::Level::kWarning) {
                note(e.text, "", "");
              } else {
                spdlog::info("{}", e.text);
              }
            },
        },
        effect);
  }

  // What a peer was told by the hub counts for this node too.
  template <typename Heartbeat>
  void hearRest(const Heartbeat* heartbeat) {
    if (heartbeat != nullptr) hubRest_.heard(heartbeat->summary.hubRest, absl::Now());
  }

  // What a peer asks: listings are the folders' to answer, the hub's words the endpoint's, all else
  // the core's.
  void answer(const NodeId& peer, AskId ask, Request request) {
    if (const auto* listing = std::get_if<ListingRequest>(&request)) {
      asio::co_spawn(io_, answerListing(ask, listing->repo, listing->commit), asio::detached);
      return;
    }
    if (const auto* question = std::get_if<HubQuestionRequest>(&request)) {
      const PeerAnswer reply = [this, ask](absl::StatusOr<Reply> said) {
        if (!stopping_) links_->respond(ask, std::move(said));
      };
      if (!pipEndpoint_->asked(*question, reply)) hubEndpoint_->asked(*question, reply);
      return;
    }
    if (const auto* lease = std::get_if<ComputeLeaseRequest>(&request)) {
      representations_->leaseAsked(*lease, [this, ask](absl::StatusOr<Reply> reply) {
        links_->respond(ask, std::move(reply));
      });
      return;
    }
    hearRest(std::get_if<HeartbeatRequest>(&request));
    apply(Asked{peer, ask, std::move(request)});
  }

  asio::awaitable<void> answerListing(AskId ask, RepoId repo, Commit commit) {
    auto listing = co_await resolver_->listingForPeer(std::move(repo), commit);
    if (!stopping_) links_->respond(ask, ListingReply{std::move(listing)});
  }

  void answerPiece(const AnswerPiece& effect) {
    const auto it = pieceAsks_.find(effect.ask);
    if (it == pieceAsks_.end()) return;
    const auto answer = std::move(it->second);
    pieceAsks_.erase(it);
    std::shared_ptr<const BlobWriter> writer;
    if (effect.from) writer = transfers_->writer(*effect.from);
    ReadOutcome outcome = effect.outcome;
    if (outcome == ReadOutcome::kData && !writer) outcome = ReadOutcome::kGone;
    answer(outcome, std::move(writer));
  }

  void scheduleTick() {
    if (stopping_) return;
    const absl::Time due = core_->nextTick();
    if (due == tickAt_) return;
    tickAt_ = due;
    const absl::Duration delay =
        std::clamp(due - absl::Now(), absl::ZeroDuration(), absl::Seconds(1));
    ticker_.expires_after(absl::ToChronoNanoseconds(delay));
    ticker_.async_wait([this](boost::system::error_code ec) {
      if (ec || stopping_) return;
      tickAt_ = absl::InfinitePast();
      apply(Tick{});
    });
  }

  // ---- Doors ----

  asio::awaitable<void> accept() {
    while (!stopping_) {
      boost::system::error_code ec;
      tcp::socket socket(io_);
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
      if (stopping_) co_return;
      if (ec) {
        // Out of descriptors: the next try would fail as fast.
        asio::steady_timer pause(io_, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
        continue;
      }
      const int open = greeting_ + links_->accepted() + serveCounters_.links;
      if (open >= kPeerConnectionsMax) continue;  // closes it: full
      asio::co_spawn(io_, greet(std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> greet(tcp::socket socket) {
    ++greeting_;
    const auto kind = co_await readPreface(socket);
    --greeting_;
    if (stopping_ || !kind.ok()) co_return;
    if (*kind == LinkKind::kControl) {
      links_->accept(std::move(socket));
      co_return;
    }
    auto detached = DetachedSocket::detach(std::move(socket));
    if (!detached.ok()) co_return;
    Lane& lane = *lanes_[nextLane_++ % lanes_.size()];
    lane.thread.post([&lane, held = std::make_shared<DetachedSocket>(*std::move(detached))] {
      if (lane.server) lane.server->accept(std::move(*held));
    });
  }

  // ---- What others see ----

  void ready() {
    spdlog::info("ready: {} blobs, {} bytes", folders_->inventory().summary().blobs,
                 folders_->inventory().summary().heldBytes);
    tellSummary();
    sd_notify(0, "READY=1");
  }

  NodeState state() const {
    if (!folders_->isSettled()) return NodeState::kStarting;
    if (warming_) return NodeState::kWarming;
    if (folders_->inventory().summary().checkBytesLeft > 0) return NodeState::kChecking;
    return NodeState::kReady;
  }

  // Each second, and soon after what it says has changed: what this node says about itself.
  void tellSummary() {
    if (stopping_) return;
    apply(SummaryChanged{summary()});
    shareStores();
    letMembersIn();
    measureFree();
    tidyMemory();
    savedAdverts_->retry();
    readHostFiles();
    summaryIn(std::chrono::seconds(1));
    summarySoon_ = false;
  }

  void tellSummarySoon() {
    if (std::exchange(summarySoon_, true)) return;
    summaryIn(std::chrono::milliseconds(100));
  }

  void summaryIn(std::chrono::milliseconds delay) {
    summaryTimer_.expires_after(delay);
    summaryTimer_.async_wait([this](boost::system::error_code ec) {
      if (!ec) tellSummary();
    });
  }

  EndpointMetrics::Measures measures() const {
    const InventorySummary held = folders_->inventory().summary();
    const CoreSizes sizes = core_->sizes();
    size_t reachable = 0;
    for (const NodeView& node : core_->nodes()) {
      reachable += node.state != NodeState::kSuspected && node.state != NodeState::kGone ? 1 : 0;
    }
    std::optional<EndpointMetrics::Measures::Swarm> swarm;
    if (swarms_) {
      const SwarmLane& lane = swarms_->lane();
      swarm = {lane.bytesIn(), lane.bytesOut(), lane.torrents(), lane.peers()};
    }
    return {.bytesFromHub = transfers_->bytesFromHub(),
            .bytesFromPeers = transfers_->bytesFromPeers(),
            .bytesCopied = transfers_->bytesCopied(),
            .bytesToPeers = bytesToPeers(),
            .swarm = swarm,
            .blobs = held.blobs,
            .blobBytes = held.heldBytes,
            .readers = sizes.readers,
            .fetches = sizes.fetches,
            .poisoned = readings_->poisonedBlobs(),
            .nodes = reachable,
            .hubRest = hubRest_.left(absl::Now())};
  }

  uint64_t bytesToPeers() const {
    return serveCounters_.bytesOut + (swarms_ ? swarms_->lane().bytesOut() : 0);
  }

  NodeSummary summary() {
    const InventorySummary held = folders_->inventory().summary();
    const absl::Time now = absl::Now();
    const uint64_t in = transfers_->bytesFromPeers();
    const uint64_t out = bytesToPeers();
    NodeSummary summary{.blobs = held.blobs,
                        .heldBytes = held.heldBytes,
                        .freeBytes = freeBytes_,
                        .inRate = inTraffic_.rate(in, now),
                        .outRate = outTraffic_.rate(out, now),
                        .peerBytesIn = in,
                        .peerBytesOut = out,
                        .hubBytes = transfers_->bytesFromHub(),
                        .savedBytes = savedBytes_,
                        .checkBytesLeft = held.checkBytesLeft,
                        .checkBytesTotal = held.checkBytesTotal,
                        .problems = static_cast<uint32_t>(problems().size())};
    summary.hubRest = hubRest_.ownLeft(absl::Now());
    warming_ = core_->sizes().obtains > 0;
    summary.state = state();
    summary.stores = folders_->stores();
    return summary;
  }

  // Of the agents that see one folder only one hashes and advertises what is in it.
  void shareStores() {
    const absl::Time now = absl::Now();
    const std::set<StoreId> followed = followedStores(core_->nodes(), now);
    for (const StoreId& store : core_->self().stores) {
      if (followed.contains(store) == followed_.contains(store)) continue;
      spdlog::info("store {}: {}", store.text(),
                   followed.contains(store) ? "another agent looks after it" : "this agent's");
    }
    followed_ = followed;
    folders_->follow(followed);
    // Hashing waits until those who may do it already have been heard.
    if (config_.join.empty() || now - startedAt_ > kMeetingTime) folders_->mayCheck();
  }

  void tidyMemory() {
    const uint64_t passed =
        transfers_->bytesFromPeers() + transfers_->bytesFromHub() + bytesToPeers();
    // Refused by a busy pool: then more will pass.
    if (freed_.isDue(passed)) {
      (void)pool_.submit({"tidy memory", WorkPriority::kNormal, ""}, giveFreedMemoryBack);
    }
  }

  void measureFree() {
    if (measuring_) return;
    measuring_ = true;
    std::string path = config_.stateDir;
    const Inventory& inventory = folders_->inventory();
    if (inventory.roots() > 0 && inventory.root(RootIndex{0}).exists) {
      path = inventory.root(RootIndex{0}).config.path;
    }
    const absl::Status submitted =
        pool_.submit({"free space", WorkPriority::kNormal, path}, [this, path] {
          const auto free = roost::freeBytes(path);
          onLoop([this, free] {
            measuring_ = false;
            if (free.ok()) freeBytes_ = *free;
          });
        });
    if (!submitted.ok()) measuring_ = false;
  }

  // New lines of --join file:PATH are dialled; who is gone from it goes like any other member.
  void readHostFiles() {
    const absl::Time now = absl::Now();
    if (hostFiles_.empty() || readingHosts_ || now < nextHostRead_) return;
    const absl::Status submitted =
        pool_.submit({"host files", WorkPriority::kNormal, "host files"}, [this] {
          onLoop([this, news = hostFiles_.read()] {
            readingHosts_ = false;
            for (const std::string& text : news.problems) note(text, "", "");
            if (!news.addresses.empty()) apply(SeedsFound{news.addresses});
          });
        });
    readingHosts_ = submitted.ok();
    nextHostRead_ = now + kHostFilePeriod;
  }

  std::vector<Problem> problems() const {
    std::vector<Problem> all = notes_;
    for (const std::string& text : folders_->problems()) all.push_back({text, "", ""});
    for (const std::string& text : representations_->problems()) all.push_back({text, "", ""});
    if (const size_t count = representations_->conflicts().size(); count > 0) {
      all.push_back({absl::StrCat("different values were claimed for ", count,
                                  count == 1 ? " representation" : " representations"),
                     "of each the oldest is used",
                     "`roost ls --type representation` names them. A provenance that leaves "
                     "something out, such as the code's version, is the usual cause."});
    }
    return all;
  }

  void note(absl::string_view what, absl::string_view why, absl::string_view fix) {
    spdlog::warn("{}", sentence(what, why, fix));
    Problem problem{std::string(what), std::string(why), std::string(fix)};
    const bool known = std::any_of(notes_.begin(), notes_.end(),
                                   [&](const Problem& n) { return n.what == problem.what; });
    if (known) return;
    if (notes_.size() >= kProblemsMax) notes_.erase(notes_.begin());
    notes_.push_back(std::move(problem));
  }

  HubOrigin origin() const { return config_.hub.value_or(HubOrigin::huggingFace()); }

  // ---- The end ----

  // Clients see a refused port from here on; what is being answered for them is finished.
  void closeEndpoint() {
    endpoint_->stopAccepting();
    const absl::Time until = absl::Now() + kEndpointDrain;
    drain(until);
  }

  void drain(absl::Time until) {
    if (endpoint_->answering() == 0 || absl::Now() >= until) return stop();
    drainTimer_.expires_after(std::chrono::milliseconds(20));
    drainTimer_.async_wait([this, until](boost::system::error_code ec) {
      if (!ec) drain(until);
    });
  }

  // Close the doors → end what is under way (partials stay) → let the rest run out.
  void stop() {
    if (stopping_) return;
    stopping_ = true;
    watchdog_->stop();
    spdlog::info("stopping");
    sd_notify(0, "STOPPING=1");
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    signals_.cancel(ignored);
    ticker_.cancel();
    summaryTimer_.cancel();
    SocketDeadline::endAll(io_);
    control_->stop();
    hubEndpoint_->stop();
    representationsApi_->stop();
    representations_->stop();
    pipEndpoint_->stop();
    readings_->stop();
    treePulls_->stop();
    resolver_->stop();
    transfers_->stop();
    if (swarms_) swarms_->stop();
    folders_->stop();
    links_->stop();
    hub_.reset();
    pip_.reset();
    for (const auto& lane : lanes_) lane->close();
    pool_.stop(WorkPool::AtStop::kDrain);
    pieceAsks_.clear();
  }

  const AgentConfig& config_;
  Identity identity_;
  const ClientEnvironment environment_;
  absl::BitGen random_;
  std::unique_ptr<TlsContext> tls_;
  WorkPool pool_;
  asio::io_context io_{1};
  KjLoop kj_;
  std::shared_ptr<Reservations> reservations_ = Reservations::create();
  std::unique_ptr<IndexQueue> index_;
  std::unique_ptr<SavedAdverts> savedAdverts_;
  HubRest hubRest_{[this] { onLoop([this] { tellSummarySoon(); }); }};
  RateLimit downloads_;  // from peers, hub and pip index together
  std::unique_ptr<Hub> hub_;
  std::unique_ptr<PipIndex> pip_;
  std::shared_ptr<const HubPublisher> pipPublisher_;  // null: its files are not kept
  ServeCounters serveCounters_;
  const std::shared_ptr<PageCacheRoom> pages_ =
      std::make_shared<PageCacheRoom>(PageCacheRoom::ofThisMachine());
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<PeerLinks> links_;
  std::unique_ptr<Folders> folders_;
  std::unique_ptr<Swarms> swarms_;  // null: it is off
  std::set<std::string> swarmHosts_;
  std::unique_ptr<Transfers> transfers_;
  std::vector<Root> watched_;  // with representations
  std::unique_ptr<Representations> representations_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<TreePulls> treePulls_;
  std::unique_ptr<TorrentCommands> torrentCommands_;
  std::unique_ptr<Commands> commands_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<PieceLists> pieceLists_;
  std::unique_ptr<BlobReadings> readings_;
  std::unique_ptr<HubProxy> proxy_;
  std::unique_ptr<RepresentationsApi> representationsApi_;
  EndpointMetrics endpointMetrics_;
  std::unique_ptr<HubEndpoint> hubEndpoint_;
  std::unique_ptr<PipEndpoint> pipEndpoint_;
  std::unique_ptr<PipCommands> pipCommands_;
  std::unique_ptr<EndpointServer> endpoint_;
  std::unique_ptr<Watchdog> watchdog_;
  asio::signal_set signals_;
  tcp::acceptor acceptor_;
  asio::steady_timer ticker_;
  asio::steady_timer summaryTimer_;
  asio::steady_timer drainTimer_;

  bool stopping_ = false;
  bool applying_ = false;
  std::deque<Event> queue_;
  absl::Time tickAt_ = absl::InfinitePast();
  uint64_t lastAsk_ = 0;
  uint64_t logId_ = 0;  // of this node's advert log
  std::map<AskId, std::function<void(ReadOutcome, std::shared_ptr<const BlobWriter>)>> pieceAsks_;
  std::map<AskId, uint64_t> accepted_;
  size_t nextLane_ = 0;
  int greeting_ = 0;
  const absl::Time startedAt_ = absl::Now();
  std::set<StoreId> followed_;  // stores that another agent looks after
  bool warming_ = false;
  bool trimmingPip_ = false;
  HostFiles hostFiles_{config_.join, config_.listen.port};  // one job at a time has it
  bool readingHosts_ = false;
  absl::Time nextHostRead_ = absl::InfinitePast();
  bool measuring_ = false;
  bool summarySoon_ = false;
  uint64_t freeBytes_ = 0;
  uint64_t savedBytes_ = 0;
  Traffic inTraffic_;
  Traffic outTraffic_;
  FreedMemory freed_;
  std::vector<Problem> notes_;
};

int failed(const absl::Status& status) {
  std::fprintf(stderr, "roost: %s\n", std::string(status.message()).c_str());
  return static_cast<int>(exitCodeOf(status));
}

}  // namespace

int runAgent(const AgentConfig& config) {
  std::signal(SIGPIPE, SIG_IGN);
  keepFreedMemory();
  auto identity = Identity::claim(config.stateDir);
  if (!identity.ok()) return failed(identity.status());
  auto tls = tlsOf(config);
  if (!tls.ok()) return failed(tls.status());
  Agent agent(config, *std::move(identity), *std::move(tls));
  if (const absl::Status built = agent.build(); !built.ok()) return failed(built);
  agent.run();
  return 0;
}

}  // namespace roost
