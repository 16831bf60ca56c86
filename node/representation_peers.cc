#include "node/representation_peers.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <deque>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/on_worker.h"
#include "protocol/digest.h"
#include "protocol/limits.h"
#include "protocol/signal.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr size_t kWindow = 3;  // answers of 4 MiB from one holder at once: it allows for 16
constexpr uint64_t kPieceWindow = 8;
constexpr size_t kHoldersAsked = 3;  // for one small value
constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kLaneBusyPause = absl::Milliseconds(50);
constexpr int kBusyMax = 200;

void shortHexOf(std::string* out, const NodeId& node) {
  out->append(node.shortHex());
}

absl::string_view textOf(absl::Span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

// What the askers of one round share.
struct RepresentationPeers::SmallRound {
  explicit SmallRound(const asio::any_io_executor& executor) : changed(executor) {}
  std::shared_ptr<const std::vector<WantedRepresentation>> wanted;
  std::vector<Value> values;                                 // of all
  std::map<NodeId, std::deque<std::vector<size_t>>> slices;  // what to ask of whom: indices
  size_t asking = 0;                                         // coroutines that are not done
  Signal changed;
};

// A link of its own for each holder: its answers come one after the other anyway.
const BulkLane& RepresentationPeers::laneOf(const NodeId& holder) const {
  return s_.lanes[holder.bytes()[15] % s_.lanes.size()];
}

asio::awaitable<RepresentationPeers::SmallAnswers> RepresentationPeers::askSmall(
    NodeId holder, std::vector<BlobId> ids) {
  const BulkLane& lane = laneOf(holder);
  const PeerTarget peer{holder, s_.addressesOf(holder)};
  const std::function<void(std::function<void(SmallAnswers)>)> start =
      [&](std::function<void(SmallAnswers)> done) {
        lane.thread->post([client = lane.client, peer, ids, done = std::move(done)] {
          if (*client) (*client)->readSmall(peer, ids, kPatience, done);
        });
      };
  const SmallAnswers dropped = absl::CancelledError("the agent is stopping");
  co_return co_await awaitCallback<SmallAnswers>(start, dropped);
}

asio::awaitable<void> RepresentationPeers::takeSlices(std::shared_ptr<SmallRound> round,
                                                      NodeId holder) {
  auto& waiting = round->slices[holder];
  int busy = 0;
  while (!waiting.empty()) {
    std::vector<size_t> slice = std::move(waiting.front());
    waiting.pop_front();
    std::vector<BlobId> ids;
    for (size_t index : slice) ids.push_back((*round->wanted)[index].claim.blob.id);
    const auto answers = std::make_shared<SmallAnswers>();
    *answers = co_await askSmall(holder, std::move(ids));
    if (absl::IsAborted(answers->status()) && ++busy < kBusyMax) {
      waiting.push_front(std::move(slice));
      co_await s_.timers.sleep(kLaneBusyPause);
      continue;
    }
    if (!answers->ok()) {  // the others would wait as long for nothing
      waiting.clear();
      break;
    }
    const std::function<std::vector<Value>()> check = [answers, slice, wanted = round->wanted] {
      std::vector<Value> values;
      for (size_t i = 0; i < slice.size(); ++i) {
        const ReadAnswer& answer = (**answers)[i];
        const absl::string_view bytes = textOf(answer.data.bytes);
        const bool right = answer.outcome == ReadOutcome::kData &&
                           BlobId::sha256(digestOf(bytes)) == (*wanted)[slice[i]].claim.blob.id;
        values.push_back(right ? std::make_shared<const std::string>(bytes) : nullptr);
      }
      (*answers)->clear();  // their memory goes home
      return values;
    };
    const WorkSpec spec{"representations", WorkPriority::kReaderWaits, ""};
    const auto values = co_await onWorker<std::vector<Value>>(s_.work, spec, check);
    if (!values) break;
    for (size_t i = 0; i < slice.size(); ++i) {
      if (!(*values)[i]) continue;
      round->values[slice[i]] = std::move((*values)[i]);
    }
  }
  --round->asking;
  round->changed.notify();
}

asio::awaitable<std::vector<RepresentationPeers::Value>> RepresentationPeers::small(
    std::vector<WantedRepresentation> wanted) {
  const auto executor = co_await asio::this_coro::executor;
  const auto round = std::make_shared<SmallRound>(executor);
  round->values.resize(wanted.size());
  round->wanted = std::make_shared<const std::vector<WantedRepresentation>>(std::move(wanted));
  const auto& all = *round->wanted;
  for (size_t turn = 0; turn < kHoldersAsked && !s_.lanes.empty(); ++turn) {
    std::map<NodeId, uint64_t> bytes;  // of the slice that is being filled
    round->slices.clear();
    for (size_t i = 0; i < all.size(); ++i) {
      if (round->values[i] || turn >= all[i].holders.size()) continue;
      // Keys spread over their holders.
      const NodeId& holder =
          all[i].holders[(all[i].key.bytes()[31] + turn) % all[i].holders.size()];
      auto& slices = round->slices[holder];
      uint64_t& filled = bytes[holder];
      const uint64_t size = all[i].claim.blob.size;
      if (slices.empty() || slices.back().size() >= kInlineIdsMax ||
          filled + size > kInlineAnswerBytesMax) {
        slices.emplace_back();
        filled = 0;
      }
      slices.back().push_back(i);
      filled += size;
    }
    if (round->slices.empty()) break;
    std::vector<NodeId> holders;
    for (const auto& [holder, slices] : round->slices) {
      const size_t askers = std::min(kWindow, slices.size());
      for (size_t i = 0; i < askers; ++i) holders.push_back(holder);
    }
    round->asking = holders.size();
    for (const NodeId& holder : holders) {
      asio::co_spawn(executor, takeSlices(round, holder), asio::detached);
    }
    while (round->asking > 0) co_await round->changed.wait();
  }
  co_return std::move(round->values);
}

asio::awaitable<std::vector<RepresentationPeers::ProvenancePtr>> RepresentationPeers::provenances(
    std::vector<WantedRepresentation> wanted) {
  std::vector<ProvenancePtr> result(wanted.size());
  std::map<NodeId, std::vector<std::vector<size_t>>> slices;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].holders.empty()) continue;
    auto& list = slices[wanted[i].holders.front()];
    if (list.empty() || list.back().size() >= kProvenancesAskedMax) list.emplace_back();
    list.back().push_back(i);
  }
  using Texts = absl::StatusOr<std::vector<std::string>>;
  for (const auto& [holder, list] : slices) {
    const BulkLane& lane = laneOf(holder);
    const PeerTarget peer{holder, s_.addressesOf(holder)};
    for (const auto& slice : list) {
      std::vector<RepresentationKey> keys;
      for (size_t index : slice) keys.push_back(wanted[index].key);
      const std::function<void(std::function<void(Texts)>)> start =
          [&](std::function<void(Texts)> done) {
            lane.thread->post([client = lane.client, peer, keys, done = std::move(done)] {
              if (*client) (*client)->provenances(peer, keys, kPatience, done);
            });
          };
      const Texts dropped = absl::CancelledError("the agent is stopping");
      const Texts texts = co_await awaitCallback<Texts>(start, dropped);
      if (!texts.ok()) break;
      const std::function<std::vector<ProvenancePtr>()> parse = [texts, keys] {
        std::vector<ProvenancePtr> right(keys.size());
        for (size_t i = 0; i < keys.size(); ++i) {
          auto parsed = Provenance::parse((*texts)[i]);
          if (!parsed.ok() || parsed->key() != keys[i]) continue;
          right[i] = std::make_shared<const Provenance>(*std::move(parsed));
        }
        return right;
      };
      const WorkSpec spec{"representations", WorkPriority::kReaderWaits, ""};
      const auto right = co_await onWorker<std::vector<ProvenancePtr>>(s_.work, spec, parse);
      if (!right) co_return result;
      for (size_t i = 0; i < slice.size(); ++i) result[slice[i]] = (*right)[i];
    }
  }
  co_return result;
}

// ---- Large values

struct RepresentationPeers::Pieces {
  explicit Pieces(const asio::any_io_executor& executor) : changed(executor) {}
  std::vector<NodeId> holders;
  std::map<uint64_t, absl::StatusOr<ReadAnswer>> came;
  size_t asking = 0;
  Signal changed;
};

asio::awaitable<absl::StatusOr<ReadAnswer>> RepresentationPeers::askPiece(NodeId holder,
                                                                          BlobInfo blob,
                                                                          uint64_t piece) {
  using Answer = absl::StatusOr<ReadAnswer>;
  const BulkLane& lane = laneOf(holder);
  const PeerTarget peer{holder, s_.addressesOf(holder)};
  const ReadQuestion question{blob.id, piece * kPieceBytes,
                              static_cast<uint32_t>(pieceBytes(blob.size, piece))};
  const std::function<void(std::function<void(Answer)>)> start =
      [&](std::function<void(Answer)> done) {
        lane.thread->post([client = lane.client, peer, question, done = std::move(done)] {
          if (*client) (*client)->read(peer, question, kPatience, done);
        });
      };
  const Answer dropped = absl::CancelledError("the agent is stopping");
  co_return co_await awaitCallback<Answer>(start, dropped);
}

asio::awaitable<void> RepresentationPeers::takePiece(std::shared_ptr<Pieces> pieces, BlobInfo blob,
                                                     uint64_t piece) {
  absl::StatusOr<ReadAnswer> answer = absl::NotFoundError("no node has it");
  const auto isBusy = [&] { return answer.ok() && answer->outcome == ReadOutcome::kBusy; };
  const auto isThere = [&] { return answer.ok() && answer->outcome == ReadOutcome::kData; };
  const std::vector<NodeId> order = pieces->holders;
  for (size_t turn = 0; turn < order.size() && !isThere(); ++turn) {
    const NodeId holder = order[(piece + turn) % order.size()];
    answer = co_await askPiece(holder, blob, piece);
    for (int busy = 0; isBusy() && busy < kBusyMax; ++busy) {
      co_await s_.timers.sleep(kLaneBusyPause);
      answer = co_await askPiece(holder, blob, piece);
    }
    // Whoever fails once is not asked for the pieces that are left.
    if (!isThere() && pieces->holders.size() > 1) std::erase(pieces->holders, holder);
  }
  pieces->came.emplace(piece, std::move(answer));
  --pieces->asking;
  pieces->changed.notify();
}

asio::awaitable<absl::StatusOr<BlobHashes>> RepresentationPeers::large(RepresentationClaim claim,
                                                                       std::vector<NodeId> holders,
                                                                       Writer writer) {
  if (s_.lanes.empty()) co_return absl::UnavailableError("there is no lane");
  const auto executor = co_await asio::this_coro::executor;
  const auto pieces = std::make_shared<Pieces>(executor);
  pieces->holders = holders;
  const uint64_t count = pieceCount(claim.blob.size);
  const WorkSpec spec{"representations", WorkPriority::kReaderWaits, ""};
  uint64_t asked = 0;
  for (uint64_t next = 0; next < count; ++next) {
    while (asked < std::min(count, next + kPieceWindow)) {
      ++pieces->asking;
      asio::co_spawn(executor, takePiece(pieces, claim.blob, asked++), asio::detached);
    }
    while (!pieces->came.contains(next)) co_await pieces->changed.wait();
    const auto answer = std::make_shared<absl::StatusOr<ReadAnswer>>(
        std::move(pieces->came.extract(next).mapped()));
    if (!answer->ok()) co_return answer->status();
    if ((*answer)->outcome != ReadOutcome::kData) {
      co_return absl::NotFoundError("the node does not hold it any more");
    }
    const std::function<absl::Status()> write = [answer, writer] {
      const absl::Status status = writer->write((*answer)->data.bytes);
      (*answer)->data = {};
      return status;
    };
    const auto written = co_await onWorker<absl::Status>(s_.work, spec, write);
    if (!written) co_return absl::CancelledError("the agent is stopping");
    if (!written->ok()) co_return *written;
  }
  using Hashes = absl::StatusOr<BlobHashes>;
  const std::function<Hashes()> finish = [writer] { return writer->finish(); };
  const auto hashes = co_await onWorker<Hashes>(s_.work, spec, finish);
  if (!hashes) co_return absl::CancelledError("the agent is stopping");
  if (hashes->ok() && (*hashes)->id != claim.blob.id) {
    co_return absl::DataLossError(absl::StrCat(holders.size() == 1 ? "node " : "one of the nodes ",
                                               absl::StrJoin(holders, ", ", shortHexOf),
                                               " sent another value than it claims to have"));
  }
  co_return *hashes;
}

}  // namespace roost
