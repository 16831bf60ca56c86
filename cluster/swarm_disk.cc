#include "cluster/swarm_disk.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/disk_buffer_holder.hpp>
#include <libtorrent/disk_observer.hpp>
#include <libtorrent/file_storage.hpp>
#include <libtorrent/operations.hpp>
#include <libtorrent/peer_request.hpp>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "cache/piece_hash.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;
namespace lt = libtorrent;

namespace {

using Bytes = std::vector<uint8_t>;
using Error = lt::storage_error;

Error errorOf(boost::system::errc::errc_t code, lt::operation_t operation) {
  return {boost::system::errc::make_error_code(code), operation};
}
// Ends this one request or piece, and says nothing of the torrent.
Error aborted(lt::operation_t operation) {
  return {lt::error_code(asio::error::operation_aborted), operation};
}

// The way to the network thread from threads that may outlive it.
class Bridge {
 public:
  explicit Bridge(lt::io_context& io) : io_(&io) {}
  void post(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    if (io_ != nullptr) asio::post(*io_, std::move(job));
  }
  void close() {
    const std::lock_guard lock(mutex_);
    io_ = nullptr;
  }

 private:
  std::mutex mutex_;
  lt::io_context* io_;
};

// Counts pieces that were handed on and not let go; says when half of the room is free again.
class Waiting {
 public:
  Waiting(size_t most, std::function<void()> half) : half_(most / 2), onHalf_(std::move(half)) {}
  size_t count() const { return count_; }
  void begin() { ++count_; }
  void end() {
    if (--count_ == half_) onHalf_();
  }

 private:
  const size_t half_;
  const std::function<void()> onHalf_;
  std::atomic<size_t> count_{0};
};

class SwarmDisk final : public lt::disk_interface, public lt::buffer_allocator_interface {
 public:
  SwarmDisk(lt::io_context& io, std::shared_ptr<SwarmShelf> shelf)
      : io_(io),
        shelf_(std::move(shelf)),
        bridge_(std::make_shared<Bridge>(io)),
        waiting_(std::make_shared<Waiting>(shelf_->waitingMax, [this, bridge = bridge_] {
          bridge->post([this] { releaseHeld(); });
        })) {
    const std::lock_guard lock(shelf_->mutex);
    shelf_->onClose = [this, bridge = bridge_] { bridge->post([this] { answerAll(); }); };
  }

  lt::storage_holder new_torrent(const lt::storage_params& params,
                                 const std::shared_ptr<void>& torrent) override {
    const lt::storage_index_t index{++lastIndex_};
    slots_[index] =
        std::make_shared<Slot>(Slot{.blob = shelf_->take(params.path), .torrent = torrent});
    return {index, *this};
  }

  void remove_torrent(lt::storage_index_t index) override {
    // What was read and what waits refers to the slot by index: it is not found any more.
    const auto node = slots_.extract(index);
    if (node) {
      for (const auto& [piece, waiting] : std::exchange(node.mapped()->reading, {})) {
        for (const WhenRead& then : waiting) then(nullptr);
      }
    }
    std::erase_if(recent_, [&](const Read& read) { return read.key.first == index; });
  }

  void async_read(lt::storage_index_t index, const lt::peer_request& request,
                  std::function<void(lt::disk_buffer_holder, const Error&)> handler,
                  lt::disk_job_flags_t) override {
    const auto slot = slotOf(index);
    if (!slot || shelf_->closed || request.length <= 0 || request.length > lt::default_block_size) {
      return fail(handler, aborted(lt::operation_t::file_read));
    }
    slot->blob->used();
    const uint64_t size = slot->blob->blob().size;
    const uint64_t offset =
        static_cast<uint64_t>(static_cast<int>(request.piece)) * swarmPieceBytes(size) +
        static_cast<uint64_t>(request.start);
    const auto length = static_cast<size_t>(request.length);
    const Asked asked{offset % kPieceBytes, length, std::move(handler)};
    // Blocks are aligned; whoever asks across the end of one of our pieces is no client.
    if (asked.offset + length > kPieceBytes || offset >= size) {
      return fail(asked.handler,
                  errorOf(boost::system::errc::invalid_argument, lt::operation_t::file_read));
    }
    const uint64_t piece = offset / kPieceBytes;
    if (const auto inMemory = inMemoryOf(*slot, piece)) {
      return answer(asked, inMemory->span());
    }
    const Key key{index, piece};
    if (const auto read = recentOf(key)) return answer(asked, *read);
    read(key, slot, [this, asked](const std::shared_ptr<const Bytes>& bytes) {
      // Of what is not here the peers are told so.
      bytes ? answer(asked, *bytes) : fail(asked.handler, aborted(lt::operation_t::file_read));
    });
  }

  bool async_write(lt::storage_index_t index, const lt::peer_request& request, const char* bytes,
                   std::shared_ptr<lt::disk_observer> observer,
                   std::function<void(const Error&)> handler, lt::disk_job_flags_t) override {
    const auto slot = slotOf(index);
    const auto piece = static_cast<uint64_t>(static_cast<int>(request.piece));
    if (slot && slot->blob->kept(piece)) {  // it lies where it belongs
      post([handler] { handler(Error()); });
      return false;
    }
    if (!slot || !slot->blob->receiving()) {
      post([handler] { handler(aborted(lt::operation_t::file_write)); });
      return false;
    }
    charge(*slot->blob, static_cast<uint64_t>(request.length));
    auto& gathering = slot->gathering[piece];
    if (!gathering) {
      const uint64_t size = pieceBytes(slot->blob->blob().size, piece);
      gathering = shelf_->room->take(piece, size);
      if (!gathering) {
        slot->gathering.erase(piece);
        post([handler] {
          handler(errorOf(boost::system::errc::not_enough_memory, lt::operation_t::file_write));
        });
        return false;
      }
      gathering->bytes.resize(size);
    }
    const auto start = static_cast<size_t>(request.start);
    const auto length = static_cast<size_t>(request.length);
    // What lies behind the end of the blob is padding.
    const size_t room = gathering->bytes.size();
    std::memcpy(gathering->bytes.data() + std::min(start, room), bytes,
                std::min(length, room - std::min(start, room)));
    if (shelf_->closed || waiting_->count() < shelf_->waitingMax) {
      post([handler] { handler(Error()); });
      return false;
    }
    // The block is in memory, but the peer is not told: it reads no further.
    held_.push_back({std::move(handler), std::move(observer)});
    return true;
  }

  void async_hash(
      lt::storage_index_t index, lt::piece_index_t number, lt::span<lt::sha256_hash> hashes,
      lt::disk_job_flags_t,
      std::function<void(lt::piece_index_t, const lt::sha1_hash&, const Error&)> handler) override {
    const auto slot = slotOf(index);
    const auto piece = static_cast<uint64_t>(static_cast<int>(number));
    // Moved, never copied: `hashes` lies in what the handler holds.
    const auto done = std::make_shared<decltype(handler)>(std::move(handler));
    const auto none = [this, number, done] {
      post([number, done] { (*done)(number, {}, aborted(lt::operation_t::file_read)); });
    };
    if (!slot) return none();
    const auto told = [hashes, number, done](const std::vector<Sha256>& blocks) {
      lt::span<lt::sha256_hash> room = hashes;
      for (size_t i = 0; i < blocks.size() && i < static_cast<size_t>(room.size()); ++i) {
        room[static_cast<std::ptrdiff_t>(i)] =
            lt::sha256_hash(reinterpret_cast<const char*>(blocks[i].data()));
      }
      (*done)(number, {}, Error());
    };
    if (slot->blob->kept(piece)) {
      slot->gathering.erase(piece);  // it was on its way here too
      return read({index, piece}, slot, [this, none, told](const auto& bytes) {
        if (!bytes) return none();
        onWorker("swarm hash", [bytes, told]() -> Then {
          return [told, blocks = blockHashes(*bytes)] { told(blocks); };
        });
      });
    }
    const auto found = slot->gathering.find(piece);
    if (found == slot->gathering.end()) return none();
    const std::shared_ptr<const DownloadedPiece> bytes = found->second;
    onWorker("swarm hash", [this, slot, piece, bytes, told]() -> Then {
      const auto blocks = blockHashes(bytes->span());
      const SwarmBlob& blob = *slot->blob;
      const bool right = pieceRoot(blob.blob().size, piece, blocks) == blob.pieceHash(piece);
      return [this, slot, piece, bytes, told, blocks, right] {
        if (right) landed(*slot, piece, bytes);
        told(blocks);
      };
    });
  }

  void async_hash2(lt::storage_index_t index, lt::piece_index_t number, int offset,
                   lt::disk_job_flags_t,
                   std::function<void(lt::piece_index_t, const lt::sha256_hash&, const Error&)>
                       handler) override {
    const auto slot = slotOf(index);
    const auto piece =
        slot ? inMemoryOf(*slot, static_cast<uint64_t>(static_cast<int>(number))) : nullptr;
    lt::sha256_hash hash;
    Error error = aborted(lt::operation_t::file_read);
    if (piece && offset >= 0 && static_cast<size_t>(offset) < piece->bytes.size()) {
      const auto block = piece->span().subspan(static_cast<size_t>(offset), kSwarmBlockBytes);
      hash = lt::sha256_hash(reinterpret_cast<const char*>(blockHashes(block).front().data()));
      error = Error();
    }
    post([handler, number, hash, error] { handler(number, hash, error); });
  }

  void async_clear_piece(lt::storage_index_t index, lt::piece_index_t number,
                         std::function<void(lt::piece_index_t)> handler) override {
    if (const auto slot = slotOf(index)) {
      slot->gathering.erase(static_cast<uint64_t>(static_cast<int>(number)));
    }
    post([handler, number] { handler(number); });
  }

  // What is here was said when the torrent was added; there are no files to look at.
  void async_check_files(lt::storage_index_t, const lt::add_torrent_params*,
                         lt::aux::vector<std::string, lt::file_index_t>,
                         std::function<void(lt::status_t, const Error&)> handler) override {
    post([handler] { handler(lt::status_t::no_error, Error()); });
  }

  void async_release_files(lt::storage_index_t, std::function<void()> handler) override {
    if (handler) post(std::move(handler));
  }
  void async_stop_torrent(lt::storage_index_t index, std::function<void()> handler) override {
    if (const auto slot = slotOf(index)) slot->gathering.clear();
    if (handler) post(std::move(handler));
  }
  void async_delete_files(lt::storage_index_t, lt::remove_flags_t,
                          std::function<void(const Error&)> handler) override {
    post([handler] { handler(Error()); });
  }
  void async_move_storage(
      lt::storage_index_t, std::string path, lt::move_flags_t,
      std::function<void(lt::status_t, const std::string&, const Error&)> handler) override {
    post([handler, path = std::move(path)] {
      handler(lt::status_t::fatal_disk_error, path, aborted(lt::operation_t::file_rename));
    });
  }
  void async_rename_file(
      lt::storage_index_t, lt::file_index_t file, std::string name,
      std::function<void(const std::string&, lt::file_index_t, const Error&)> handler) override {
    post([handler, file, name = std::move(name)] {
      handler(name, file, aborted(lt::operation_t::file_rename));
    });
  }
  void async_set_file_priority(
      lt::storage_index_t, lt::aux::vector<lt::download_priority_t, lt::file_index_t> priorities,
      std::function<void(const Error&, lt::aux::vector<lt::download_priority_t, lt::file_index_t>)>
          handler) override {
    post([handler, priorities = std::move(priorities)] { handler(Error(), priorities); });
  }

  void update_stats_counters(lt::counters&) const override {}
  std::vector<lt::open_file_state> get_status(lt::storage_index_t) const override { return {}; }
  void submit_jobs() override {}
  void settings_updated() override {}

  void abort(bool) override {
    answerAll();
    bridge_->close();
  }

  void free_disk_buffer(char* buffer) override { delete[] buffer; }

 private:
  using Key = std::pair<lt::storage_index_t, uint64_t>;  // torrent, piece of ours
  using Then = std::function<void()>;
  struct Asked {
    uint64_t offset;  // in the piece
    size_t length;
    std::function<void(lt::disk_buffer_holder, const Error&)> handler;
  };
  using WhenRead = std::function<void(const std::shared_ptr<const Bytes>&)>;  // null: it failed
  struct Slot {
    std::shared_ptr<SwarmBlob> blob;
    std::shared_ptr<void> torrent;  // outlives what is under way, as libtorrent asks
    std::shared_ptr<const LocalBlob> local = nullptr;
    std::map<uint64_t, std::shared_ptr<DownloadedPiece>> gathering = {};
    std::map<uint64_t, std::weak_ptr<const DownloadedPiece>> landed = {};  // until they are written
    std::map<uint64_t, std::vector<WhenRead>> reading = {};
  };
  struct Read {
    Key key;
    std::shared_ptr<const Bytes> bytes;
  };
  struct Held {
    std::function<void(const Error&)> handler;
    std::shared_ptr<lt::disk_observer> observer;
  };

  std::shared_ptr<Slot> slotOf(lt::storage_index_t index) const {
    const auto it = slots_.find(index);
    return it == slots_.end() || !it->second->blob ? nullptr : it->second;
  }

  template <typename Job>
  void post(Job job) {
    asio::post(io_, std::move(job));
  }

  template <typename Handler>
  void fail(const Handler& handler, const Error& error) {
    post([handler, error] { handler(lt::disk_buffer_holder(), error); });
  }

  void answer(const Asked& asked, absl::Span<const uint8_t> piece) {
    // libtorrent fills the last piece of a v2 torrent up with zeros, on both sides of a connection.
    const auto bytes = piece.subspan(std::min<size_t>(asked.offset, piece.size()), asked.length);
    auto* buffer = new char[asked.length];
    if (!bytes.empty()) std::memcpy(buffer, bytes.data(), bytes.size());
    std::memset(buffer + bytes.size(), 0, asked.length - bytes.size());
    shelf_->bytesOut += bytes.size();
    shelf_->uploads.took(bytes.size(), absl::Now());
    post([this, handler = asked.handler, buffer, length = static_cast<int>(asked.length)] {
      handler(lt::disk_buffer_holder(*this, buffer, length), Error());
    });
  }

  // Of blocks as they come: a piece may take long.
  void charge(const SwarmBlob& blob, uint64_t bytes) {
    const absl::Time now = absl::Now();
    shelf_->downloads.took(bytes, now);
    if (const auto pace = blob.pace()) pace->take(bytes, now);
  }

  // Half a piece too: libtorrent reads what failed its check, to find out who sent it.
  static std::shared_ptr<const DownloadedPiece> inMemoryOf(Slot& slot, uint64_t piece) {
    if (const auto it = slot.gathering.find(piece); it != slot.gathering.end()) return it->second;
    const auto it = slot.landed.find(piece);
    if (it == slot.landed.end()) return nullptr;
    auto bytes = it->second.lock();
    if (!bytes) slot.landed.erase(it);
    return bytes;
  }

  std::shared_ptr<const Bytes> recentOf(const Key& key) {
    for (auto it = recent_.begin(); it != recent_.end(); ++it) {
      if (it->key != key) continue;
      recent_.splice(recent_.begin(), recent_, it);
      return it->bytes;
    }
    return nullptr;
  }

  // ---- Work that blocks: the job's answer runs here, on the network thread.

  template <typename Job>
  void onWorker(const char* name, Job job) {
    auto run = [&io = io_, work = asio::make_work_guard(io_), job = std::move(job)]() mutable {
      Then then = job();
      // What the job holds and the guard are let go on the network thread: until then there is one,
      // and a torrent ends there.
      asio::post(
          io, [work = std::move(work), job = std::move(job), then = std::move(then)] { then(); });
    };
    auto shared = std::make_shared<decltype(run)>(std::move(run));
    const absl::Status submitted =
        shelf_->pool.submit({name, WorkPriority::kReaderWaits, ""}, [shared] { (*shared)(); });
    if (!submitted.ok()) (*shared)();  // the pool is full: then the peers wait
  }

  void read(const Key& key, const std::shared_ptr<Slot>& slot, WhenRead then) {
    auto& waiting = slot->reading[key.second];
    waiting.push_back(std::move(then));
    if (waiting.size() > 1) return;
    if (slot->local) return readLocal(key, slot, slot->local);
    if (slot->blob->writer()) {
      return onWorker("swarm read", [this, key, slot]() -> Then {
        std::shared_ptr<Bytes> bytes;
        if (const auto writer = slot->blob->writer()) {
          bytes = std::make_shared<Bytes>(pieceBytes(slot->blob->blob().size, key.second));
          const auto got = writer->readPiece(key.second, absl::MakeSpan(*bytes));
          if (!got.ok() || *got != bytes->size()) bytes = nullptr;
        }
        return [this, key, slot, bytes] {
          // It may have been completed since.
          bytes ? wasRead(key, *slot, bytes) : open(key, slot);
        };
      });
    }
    open(key, slot);
  }

  void open(const Key& key, const std::shared_ptr<Slot>& slot) {
    // Weak: this may be let go on another thread, or when the session is no more.
    shelf_->open(slot->blob->blob().id, [this, bridge = bridge_, key, weak = std::weak_ptr(slot)](
                                            std::shared_ptr<const LocalBlob> local) {
      bridge->post([this, key, weak, local = std::move(local)] {
        const auto held = weak.lock();
        if (!held) return;
        held->local = local;
        local ? readLocal(key, held, local) : tellReaders(*held, key.second, nullptr);
      });
    });
  }

  void readLocal(const Key& key, const std::shared_ptr<Slot>& slot,
                 const std::shared_ptr<const LocalBlob>& local) {
    onWorker("swarm read", [this, key, slot, local]() -> Then {
      auto bytes = std::make_shared<Bytes>(pieceBytes(local->blob().size, key.second));
      const absl::Status status =
          local->read(key.second * kPieceBytes, absl::MakeSpan(*bytes),
                      !shelf_->pages || shelf_->pages->take(bytes->size(), absl::Now()));
      if (!status.ok()) shelf_->foundBad(local->blob().id, status);
      return [this, key, slot, bytes, good = status.ok()] {
        if (good) return wasRead(key, *slot, bytes);
        slot->local = nullptr;
        tellReaders(*slot, key.second, nullptr);
      };
    });
  }

  void wasRead(const Key& key, Slot& slot, const std::shared_ptr<const Bytes>& bytes) {
    if (slots_.contains(key.first)) recent_.push_front({key, bytes});
    if (recent_.size() > kSwarmReadsKeptMax) recent_.pop_back();
    tellReaders(slot, key.second, bytes);
  }

  void tellReaders(Slot& slot, uint64_t piece, const std::shared_ptr<const Bytes>& bytes) {
    const auto waiting = slot.reading.extract(piece);
    if (waiting.empty()) return;
    for (const WhenRead& then : waiting.mapped()) then(bytes);
  }

  // ---- A piece that was right.

  void landed(Slot& slot, uint64_t piece, const std::shared_ptr<const DownloadedPiece>& bytes) {
    slot.gathering.erase(piece);
    std::erase_if(slot.landed, [](const auto& one) { return one.second.expired(); });
    slot.landed[piece] = bytes;
    shelf_->bytesIn += bytes->bytes.size();
    waiting_->begin();
    slot.blob->deliver(
        {bytes.get(), [held = std::shared_ptr(bytes), waiting = waiting_](auto*) mutable {
           held.reset();  // its room first
           waiting->end();
         }});
  }

  // Whoever waits for an answer from outside is told no: it may never come. Jobs that run end by
  // themselves, and the network thread waits for them.
  void answerAll() {
    for (auto& [index, slot] : slots_) {
      for (auto& [piece, waiting] : std::exchange(slot->reading, {})) {
        for (const WhenRead& then : waiting) then(nullptr);
      }
    }
    releaseHeld();
  }

  void releaseHeld() {
    for (Held& held : std::exchange(held_, {})) {
      post([held = std::move(held)] {
        held.handler(Error());
        held.observer->on_disk();
      });
    }
  }

  lt::io_context& io_;
  const std::shared_ptr<SwarmShelf> shelf_;
  const std::shared_ptr<Bridge> bridge_;
  const std::shared_ptr<Waiting> waiting_;
  uint32_t lastIndex_ = 0;
  std::map<lt::storage_index_t, std::shared_ptr<Slot>> slots_;
  std::list<Read> recent_;  // newest first
  std::vector<Held> held_;
};

}  // namespace

lt::disk_io_constructor_type swarmDisk(std::shared_ptr<SwarmShelf> shelf) {
  return
      [shelf = std::move(shelf)](lt::io_context& io, const lt::settings_interface&, lt::counters&) {
        return std::make_unique<SwarmDisk>(io, shelf);
      };
}

}  // namespace roost
