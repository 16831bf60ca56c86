#include "cluster/swarm_lane.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/extensions/smart_ban.hpp>
#include <libtorrent/extensions/ut_metadata.hpp>
#include <libtorrent/ip_filter.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/session_stats.hpp>
#include <libtorrent/settings_pack.hpp>
#include <libtorrent/torrent_handle.hpp>
#include <libtorrent/torrent_info.hpp>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cluster/swarm_disk.h"
#include "cluster/torrent_file.h"
#include "protocol/errors.h"

namespace roost {

namespace asio = boost::asio;
namespace lt = libtorrent;

namespace {

// libtorrent does much once a tick, such as connecting: while something is received it is short.
constexpr int kTickBusyMs = 20;
constexpr int kTickIdleMs = 100;
constexpr absl::Duration kListenPatience = absl::Seconds(10);

// docs/internals/cluster.md#the-swarm-lane says why of those that matter.
lt::settings_pack settingsOf(const SwarmLane::Options& options) {
  using set = lt::settings_pack;
  lt::settings_pack s;
  s.set_str(set::listen_interfaces, options.listen.toString());
  s.set_bool(set::listen_system_port_fallback, false);
  s.set_int(set::max_retry_port_bind, 0);
  s.set_str(set::user_agent, "roost/" ROOST_VERSION);
  // No discovery, no other transport.
  for (const int off :
       {set::enable_dht, set::enable_lsd, set::enable_upnp, set::enable_natpmp,
        set::enable_outgoing_utp, set::enable_incoming_utp, set::enable_ip_notifier}) {
    s.set_bool(off, false);
  }
  s.set_int(set::out_enc_policy, set::pe_disabled);
  s.set_int(set::in_enc_policy, options.outside ? set::pe_enabled : set::pe_disabled);
  s.set_bool(set::allow_multiple_connections_per_ip, options.manyPerAddress);
  s.set_int(set::alert_mask, lt::alert_category::error | lt::alert_category::status);
  // Nobody is choked, nothing is rationed: members want each other to finish.
  s.set_int(set::unchoke_slots_limit, -1);
  s.set_int(set::mixed_mode_algorithm, set::prefer_tcp);
  s.set_bool(set::rate_limit_ip_overhead, false);
  s.set_int(set::connections_limit, kSwarmConnectionsMax);
  s.set_int(set::active_limit, -1);
  s.set_int(set::request_queue_time, 2);
  s.set_int(set::max_out_request_queue, kSwarmRequestsPerPeerMax);
  s.set_int(set::max_allowed_in_request_queue, 2 * kSwarmRequestsPerPeerMax);
  s.set_bool(set::auto_sequential, false);  // it would undo the stripes
  s.set_bool(set::close_redundant_connections, true);
  // A peer that is not in the swarm yet is asked again soon.
  s.set_bool(set::smooth_connects, false);
  s.set_int(set::connection_speed, 500);
  s.set_int(set::min_reconnect_time, 1);
  s.set_int(set::max_failcount, 1'000);
  s.set_int(set::tick_interval, kTickIdleMs);
  return s;
}

lt::ip_filter everybody(uint32_t flags) {
  lt::ip_filter filter;
  filter.add_rule(lt::make_address("0.0.0.0"), lt::make_address("255.255.255.255"), flags);
  filter.add_rule(lt::make_address("::"),
                  lt::make_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), flags);
  return filter;
}

lt::ip_filter nobody() {
  return everybody(lt::ip_filter::blocked);
}

}  // namespace

// Its own thread is the one that calls the session, which may wait for the network thread; the map
// of torrents is this thread's.
class SwarmLane::Work {
 public:
  Work(const Options& options, Seams seams)
      : options_(options),
        seams_(std::move(seams)),
        shelf_(std::make_shared<SwarmShelf>(seams_.pool, seams_.pages, seams_.open, seams_.foundBad,
                                            seams_.uploads, seams_.downloads, options.piecesHeldMax,
                                            options.piecesWaitingMax)),
        sweep_(io_),
        resolver_(io_) {}

  ~Work() {
    if (!thread_.joinable()) return;
    asio::post(io_, [this] { shut(); });
    thread_.join();
  }

  absl::Status open() {
    lt::session_params params(settingsOf(options_), {});
    params.disk_io_constructor = swarmDisk(shelf_);
    if (!options_.outside) params.ip_filter = nobody();
    session_ = std::make_unique<lt::session>(std::move(params));
    // Private networks are no exception from limits, which they are by default.
    session_->set_peer_class_filter(everybody(1U << uint32_t{lt::session::global_peer_class_id}));
    // Not ut_pex: peers are ours to name.
    session_->add_extension(&lt::create_ut_metadata_plugin);
    session_->add_extension(&lt::create_smart_ban_plugin);
    ROOST_RETURN_IF_ERROR(listening());
    session_->set_alert_notify([this] { asio::post(io_, [this] { readAlerts(); }); });
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "swarm");
      sweep();
      io_.run();
    });
    return absl::OkStatus();
  }

  uint16_t port() const { return port_; }
  size_t torrents() const { return torrentCount_; }
  size_t peers() const { return peerCount_; }
  const SwarmShelf& shelf() const { return *shelf_; }

  // ---- Any thread.

  SwarmId start(Order order, OnPiece onPiece, Done done) {
    std::vector<bool> present(pieceCount(order.blob.size));
    for (const uint64_t piece : order.present) {
      if (piece < present.size()) present[piece] = true;
    }
    auto blob =
        std::make_shared<SwarmBlob>(order.blob, order.tree, order.writer, present,
                                    std::move(onPiece), std::move(order.seen), std::move(done));
    blob->setPace(std::move(order.pace));
    SwarmId id{};
    {
      const std::lock_guard lock(mutex_);
      id = SwarmId{++lastId_};
      started_[id] = blob;
    }
    post([this, blob, order = std::move(order), present = std::move(present)] {
      if (order.blob.size == 0 || order.blob.size > kSwarmBlobBytesMax) {
        return blob->end(absl::InvalidArgumentError("not a blob for a swarm"));
      }
      if (isBanned(order.tree->root)) return blob->end(bannedError());
      remove(order.blob.id);  // a torrent that only gave what is here no more
      add(blob, present, order.peers);
    });
    return id;
  }

  void have(SwarmId id, uint64_t piece) {
    const std::shared_ptr<SwarmBlob> blob = started(id);
    if (!blob || !blob->keep(piece)) return;
    post([this, blob, piece] {
      Torrent* torrent = torrentOf(blob);
      if (torrent == nullptr) return;
      torrent->late.push_back(lt::piece_index_t{static_cast<int>(piece)});
      addLate(*torrent);
    });
  }

  void setPace(SwarmId id, std::shared_ptr<RateLimit> pace) {
    if (const auto blob = started(id)) blob->setPace(std::move(pace));
  }

  void stop(SwarmId id) {
    std::shared_ptr<SwarmBlob> blob;
    {
      const std::lock_guard lock(mutex_);
      const auto it = started_.find(id);
      if (it == started_.end()) return;
      blob = std::move(it->second);
      started_.erase(it);
    }
    blob->end(absl::CancelledError("stopped"));
    post([this, blob] {
      if (torrentOf(blob) != nullptr && !blob->whole()) remove(blob->blob().id);
    });
  }

  void connect(const BlobId& blob, std::vector<Address> peers) {
    post([this, blob, peers = std::move(peers)] {
      const auto it = torrents_.find(blob);
      if (it == torrents_.end()) return;
      connectTo(it->second.blob, peers);
    });
  }

  void seed(const BlobInfo& info, std::shared_ptr<const HashTree> tree, bool kept) {
    post([this, info, kept, tree = std::move(tree)] {
      if (kept) kept_.insert(info.id);
      const auto it = torrents_.find(info.id);
      if (it != torrents_.end()) return it->second.blob->used();
      if (info.size == 0 || isBanned(tree->root)) return;
      add(std::make_shared<SwarmBlob>(info, tree),
          std::vector<bool>(swarmPieceCount(info.size), true), {});
    });
  }

  void ban(const Sha256& root) {
    {
      const std::lock_guard lock(mutex_);
      if (!banned_.insert(root).second) return;
      bannedOrder_.push_back(root);
      if (bannedOrder_.size() > kSwarmBannedMax) {
        banned_.erase(bannedOrder_.front());
        bannedOrder_.pop_front();
      }
    }
    post([this, root] {
      std::vector<std::shared_ptr<SwarmBlob>> wrong;
      for (const auto& [id, torrent] : torrents_) {
        if (torrent.blob->tree().root == root) wrong.push_back(torrent.blob);
      }
      for (const auto& blob : wrong) {
        blob->end(bannedError());
        remove(blob->blob().id);
      }
    });
  }

  bool isBanned(const Sha256& root) const {
    const std::lock_guard lock(mutex_);
    return banned_.contains(root);
  }

  void allow(std::vector<std::string> hosts) {
    if (options_.outside) return;
    post([this, hosts = std::move(hosts)] {
      std::map<std::string, std::vector<asio::ip::address>> allowed;
      std::vector<std::string> names;
      for (const std::string& host : hosts) {
        boost::system::error_code ec;
        const auto literal = asio::ip::make_address(host, ec);
        if (ec) names.push_back(host);
        allowed[host] = ec ? std::move(allowed_[host]) : std::vector{literal};
      }
      allowed_ = std::move(allowed);
      filter();
      for (const std::string& host : names) {
        resolve({host, 1}, [this, host](const auto& endpoints) {
          const auto it = allowed_.find(host);
          if (it == allowed_.end()) return;
          it->second.clear();
          for (const auto& endpoint : endpoints) it->second.push_back(endpoint.address());
          filter();
        });
      }
    });
  }

 private:
  struct Torrent {
    std::shared_ptr<SwarmBlob> blob;
    lt::torrent_handle handle;
    std::string key;
    bool ready = false;                        // libtorrent takes pieces
    std::vector<lt::piece_index_t> late = {};  // came otherwise, and libtorrent was not told
    int limit = 0;                             // as it was set last
  };

  static absl::Status bannedError() {
    return absl::DataLossError("this hash tree was found to be of other content");
  }

  void post(std::function<void()> job) {
    asio::post(io_, [this, job = std::move(job)] {
      if (session_) job();
    });
  }

  std::shared_ptr<SwarmBlob> started(SwarmId id) const {
    const std::lock_guard lock(mutex_);
    const auto it = started_.find(id);
    return it == started_.end() ? nullptr : it->second;
  }

  // ---- Its thread.

  // Null: the blob's torrent is gone, or another one.
  Torrent* torrentOf(const std::shared_ptr<SwarmBlob>& blob) {
    const auto it = torrents_.find(blob->blob().id);
    return it == torrents_.end() || it->second.blob != blob ? nullptr : &it->second;
  }
  Torrent* torrentOf(const lt::torrent_handle& handle) {
    for (auto& [id, torrent] : torrents_) {
      if (torrent.handle == handle) return &torrent;
    }
    return nullptr;
  }

  // The bytes are where they belong, and the disk side takes none: libtorrent has them hashed, and
  // tells the peers.
  static void addLate(Torrent& torrent) {
    static const std::vector<char> nothing(kPieceBytes);
    if (!torrent.ready) return;
    for (const lt::piece_index_t piece : std::exchange(torrent.late, {})) {
      torrent.handle.add_piece(piece, nothing.data());
    }
  }

  void add(const std::shared_ptr<SwarmBlob>& blob, const std::vector<bool>& present,
           const std::vector<Address>& peers) {
    if (!makeRoom()) {
      return blob->end(absl::UnavailableError("too many blobs are in the swarm at once"));
    }
    const std::string bytes = torrentFile(blob->blob(), blob->tree());
    lt::error_code ec;
    lt::add_torrent_params params;
    params.ti = std::make_shared<lt::torrent_info>(
        lt::span<const char>(bytes.data(), static_cast<std::ptrdiff_t>(bytes.size())), ec,
        lt::from_span);
    if (ec) return blob->end(absl::InvalidArgumentError(ec.message()));
    const std::string key = absl::StrCat("/", ++lastKey_);
    params.save_path = key;
    params.flags &= ~(lt::torrent_flags::paused | lt::torrent_flags::auto_managed);
    params.flags |= lt::torrent_flags::disable_dht | lt::torrent_flags::disable_lsd |
                    lt::torrent_flags::disable_pex;
    params.have_pieces.resize(static_cast<int>(present.size()));
    for (size_t i = 0; i < present.size(); ++i) {
      if (present[i]) params.have_pieces.set_bit(lt::piece_index_t{static_cast<int>(i)});
    }
    shelf_->put(key, blob);
    const lt::torrent_handle handle = session_->add_torrent(std::move(params), ec);
    if (ec) {
      shelf_->take(key);
      return blob->end(absl::UnavailableError(ec.message()));
    }
    torrents_[blob->blob().id] = {blob, handle, key};
    connectTo(blob, peers);
    changed();
    keepLimits(absl::Now());
  }

  void remove(const BlobId& id) {
    const auto it = torrents_.find(id);
    if (it == torrents_.end()) return;
    session_->remove_torrent(it->second.handle);
    shelf_->take(it->second.key);
    it->second.blob->end(absl::CancelledError("removed"));
    torrents_.erase(it);
    changed();
  }

  // The one that nobody has used for longest gives way.
  bool makeRoom() {
    if (torrents_.size() < kSwarmTorrentsMax) return true;
    const Torrent* oldest = nullptr;
    for (const auto& [id, torrent] : torrents_) {
      if (torrent.blob->receiving() || kept_.contains(id)) continue;
      if (oldest == nullptr || torrent.blob->usedAt() < oldest->blob->usedAt()) oldest = &torrent;
    }
    if (oldest == nullptr) return false;
    remove(BlobId(oldest->blob->blob().id));
    return true;
  }

  void changed() {
    torrentCount_ = torrents_.size();
    bool busy = false;
    for (const auto& [id, torrent] : torrents_) busy = busy || torrent.blob->receiving();
    if (busy == busy_) return;
    busy_ = busy;
    lt::settings_pack settings;
    settings.set_int(lt::settings_pack::tick_interval, busy ? kTickBusyMs : kTickIdleMs);
    session_->apply_settings(std::move(settings));
  }

  // What is looked at now and then.
  void sweep() {
    const absl::Time now = absl::Now();
    std::vector<BlobId> idle;
    for (const auto& [id, torrent] : torrents_) {
      if (!torrent.blob->receiving() && !kept_.contains(id) &&
          now - torrent.blob->usedAt() > options_.idle) {
        idle.push_back(id);
      }
    }
    for (const BlobId& id : idle) remove(id);
    changed();
    for (auto& [id, torrent] : torrents_) {
      if (torrent.ready && torrent.blob->receiving()) look(torrent);
    }
    keepLimits(now);
    if (torrents_.empty()) {
      peerCount_ = 0;
    } else {
      session_->post_session_stats();
    }
    sweep_.expires_after(absl::ToChronoNanoseconds(kSwarmSwept));
    sweep_.async_wait([this](boost::system::error_code ec) {
      if (!ec && session_) sweep();
    });
  }

  static void look(Torrent& torrent) {
    std::vector<int> peers;  // by piece: how many have it
    torrent.handle.piece_availability(peers);
    std::vector<bool> seen(pieceCount(torrent.blob->blob().size));
    for (size_t i = 0; i < std::min(peers.size(), seen.size()); ++i) seen[i] = peers[i] > 0;
    torrent.blob->see(std::move(seen));
  }

  static int rateOf(uint64_t bytesPerSecond) {
    return static_cast<int>(std::min<uint64_t>(bytesPerSecond, std::numeric_limits<int>::max()));
  }

  void keepLimits(absl::Time now) {
    const int upload = rateOf(shelf_->uploads.rate(now));
    const int download = rateOf(shelf_->downloads.rate(now));
    if (std::pair(upload, download) != std::exchange(limits_, {upload, download})) {
      lt::settings_pack settings;
      settings.set_int(lt::settings_pack::upload_rate_limit, upload);
      settings.set_int(lt::settings_pack::download_rate_limit, download);
      session_->apply_settings(std::move(settings));
    }
    // Blobs of one job share its pace.
    std::map<RateLimit*, uint64_t> sharing;
    for (const auto& [id, torrent] : torrents_) {
      if (torrent.blob->receiving()) ++sharing[torrent.blob->pace().get()];
    }
    for (auto& [id, torrent] : torrents_) {
      if (!torrent.blob->receiving()) continue;
      const auto pace = torrent.blob->pace();
      const int limit = pace == nullptr || pace->rate() == 0
                            ? 0
                            : rateOf(std::max<uint64_t>(1, pace->rate() / sharing[pace.get()]));
      if (limit != std::exchange(torrent.limit, limit)) torrent.handle.set_download_limit(limit);
    }
  }

  void connectTo(const std::shared_ptr<SwarmBlob>& blob, const std::vector<Address>& peers) {
    for (const Address& address : peers) {
      if (address.port == 0) continue;
      resolve(address, [this, blob](const auto& endpoints) {
        const Torrent* torrent = torrentOf(blob);
        if (torrent == nullptr) return;
        for (const auto& endpoint : endpoints) torrent->handle.connect_peer(endpoint);
      });
    }
  }

  // A literal address at once; for a name nothing here waits.
  void resolve(const Address& address,
               std::function<void(const std::vector<asio::ip::tcp::endpoint>&)> then) {
    boost::system::error_code ec;
    const auto literal = asio::ip::make_address(address.host, ec);
    if (!ec) return then({{literal, address.port}});
    resolver_.async_resolve(
        address.host, std::to_string(address.port),
        [this, then = std::move(then)](const boost::system::error_code& failed, const auto& found) {
          if (failed || !session_) return;
          then({found.begin(), found.end()});
        });
  }

  void filter() {
    lt::ip_filter filter = nobody();
    for (const auto& [host, addresses] : allowed_) {
      for (const auto& address : addresses) filter.add_rule(address, address, 0);
    }
    session_->set_ip_filter(filter);
  }

  absl::Status listening() {
    const absl::Time until = absl::Now() + kListenPatience;
    std::string why = "no answer from the system";
    while (absl::Now() < until) {
      if (session_->wait_for_alert(std::chrono::milliseconds(100)) == nullptr) continue;
      std::vector<lt::alert*> alerts;
      session_->pop_alerts(&alerts);
      for (const lt::alert* alert : alerts) {
        if (const auto* heard = lt::alert_cast<lt::listen_succeeded_alert>(alert)) {
          if (heard->socket_type != lt::socket_type_t::tcp) continue;
          port_ = static_cast<uint16_t>(heard->port);
          return absl::OkStatus();
        }
        if (const auto* failed = lt::alert_cast<lt::listen_failed_alert>(alert)) {
          return cannotListen(failed->error.message());
        }
      }
    }
    return cannotListen(why);
  }

  absl::Status cannotListen(const std::string& why) const {
    return absl::InvalidArgumentError(
        sentence(absl::StrCat("cannot listen for the swarm on ", options_.listen.toString()), why,
                 "Another program may have the port: choose one with --swarm."));
  }

  void readAlerts() {
    if (!session_) return;
    std::vector<lt::alert*> alerts;
    session_->pop_alerts(&alerts);
    for (const lt::alert* alert : alerts) {
      if (const auto* failed = lt::alert_cast<lt::torrent_error_alert>(alert)) {
        if (Torrent* torrent = torrentOf(failed->handle)) {
          const auto blob = torrent->blob;
          blob->end(absl::UnavailableError(failed->error.message()));
          remove(blob->blob().id);
        }
      } else if (const auto* checked = lt::alert_cast<lt::torrent_checked_alert>(alert)) {
        if (Torrent* torrent = torrentOf(checked->handle)) {
          torrent->ready = true;
          addLate(*torrent);
        }
      } else if (const auto* stats = lt::alert_cast<lt::session_stats_alert>(alert)) {
        static const int peers = lt::find_metric_idx("peer.num_peers_connected");
        peerCount_ = static_cast<size_t>(stats->counters()[peers]);
      } else if (const auto* lost = lt::alert_cast<lt::listen_failed_alert>(alert)) {
        seams_.report(cannotListen(lost->error.message()).ToString());
      } else if (const auto* broken = lt::alert_cast<lt::session_error_alert>(alert)) {
        seams_.report(sentence("the swarm lane has stopped", broken->error.message(),
                               "Start the agent again."));
      }
    }
  }

  void shut() {
    sweep_.cancel();
    resolver_.cancel();
    session_->set_alert_notify([] {});
    for (const auto& [id, torrent] : torrents_) {
      torrent.blob->end(absl::CancelledError("stopping"));
    }
    torrents_.clear();
    shelf_->close();
    session_.reset();  // waits for its thread
    guard_.reset();
  }

  const Options options_;
  Seams seams_;
  std::shared_ptr<SwarmShelf> shelf_;
  uint16_t port_ = 0;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
  std::thread thread_;

  mutable std::mutex mutex_;  // of the next four
  uint64_t lastId_ = 0;
  std::map<SwarmId, std::shared_ptr<SwarmBlob>> started_;
  std::set<Sha256> banned_;
  std::deque<Sha256> bannedOrder_;

  // Its thread's.
  std::unique_ptr<lt::session> session_;
  asio::steady_timer sweep_;
  asio::ip::tcp::resolver resolver_;
  std::map<std::string, std::vector<asio::ip::address>> allowed_;  // by host, as last resolved
  std::map<BlobId, Torrent> torrents_;
  std::set<BlobId> kept_;
  uint64_t lastKey_ = 0;
  bool busy_ = false;
  std::pair<int, int> limits_;  // upload, download: as they were set last
  std::atomic<size_t> torrentCount_{0};
  std::atomic<size_t> peerCount_{0};
};

absl::StatusOr<std::unique_ptr<SwarmLane>> SwarmLane::open(const Options& options, Seams seams) {
  auto work = std::make_shared<Work>(options, std::move(seams));
  ROOST_RETURN_IF_ERROR(work->open());
  return std::unique_ptr<SwarmLane>(new SwarmLane(std::move(work)));
}
SwarmLane::SwarmLane(std::shared_ptr<Work> work) : work_(std::move(work)) {}
SwarmLane::~SwarmLane() = default;
uint16_t SwarmLane::port() const {
  return work_->port();
}
SwarmId SwarmLane::start(Order order, OnPiece onPiece, Done done) {
  return work_->start(std::move(order), std::move(onPiece), std::move(done));
}
void SwarmLane::have(SwarmId id, uint64_t piece) {
  work_->have(id, piece);
}
void SwarmLane::setPace(SwarmId id, std::shared_ptr<RateLimit> pace) {
  work_->setPace(id, std::move(pace));
}
void SwarmLane::connect(const BlobId& blob, std::vector<Address> peers) {
  work_->connect(blob, std::move(peers));
}
void SwarmLane::stop(SwarmId id) {
  work_->stop(id);
}
void SwarmLane::seed(const BlobInfo& blob, std::shared_ptr<const HashTree> tree, bool kept) {
  work_->seed(blob, std::move(tree), kept);
}
void SwarmLane::ban(const Sha256& root) {
  work_->ban(root);
}
bool SwarmLane::isBanned(const Sha256& root) const {
  return work_->isBanned(root);
}
void SwarmLane::allow(std::vector<std::string> hosts) {
  work_->allow(std::move(hosts));
}
size_t SwarmLane::torrents() const {
  return work_->torrents();
}
size_t SwarmLane::peers() const {
  return work_->peers();
}
uint64_t SwarmLane::bytesIn() const {
  return work_->shelf().bytesIn;
}
uint64_t SwarmLane::bytesOut() const {
  return work_->shelf().bytesOut;
}

}  // namespace roost
