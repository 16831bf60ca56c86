#include "node/endpoint/blob_readings.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {

// What a body holds. Everything is done on `loop`.
class BlobReadings::Reading final : public BlobReading {
 public:
  Reading(BlobReadings& readings, const BlobInfo& blob, std::optional<ReaderId> reader,
          bool resumed)
      : readings_(readings),
        onLoop_(readings.s_.onLoop),
        alive_(readings.alive_),
        blob_(blob),
        reader_(reader),
        resumed_(resumed),
        attempt_(std::make_shared<Attempt>(blob.id)) {
    if (reader_) readings_.attempts_.insert(attempt_);
  }
  ~Reading() override {
    if (!reader_) return;
    post([readings = &readings_, reader = *reader_, attempt = attempt_] {
      readings->attempts_.erase(attempt);
      readings->s_.apply(ReaderGone{reader});
    });
  }

  void piece(uint64_t piece, std::function<void(Piece)> done) override {
    post([readings = &readings_, reader = reader_, attempt = attempt_, piece,
          done = std::move(done)]() mutable {
      if (!reader) return done(Piece(nullptr));
      readings->askPiece(*reader, piece, [attempt, done = std::move(done)](Piece writer) {
        attempt->given |= writer.ok() && *writer != nullptr;
        done(std::move(writer));
      });
    });
  }
  void verified(std::function<void(Piece)> done) override {
    post([readings = &readings_, reader = reader_, resumed = resumed_, blob = blob_,
          done = std::move(done)]() mutable {
      if (!reader) {
        return readings->s_.folders.whenVerified(blob.id, [done = std::move(done)](absl::Status s) {
          done(s.ok() ? Piece(nullptr) : Piece(std::move(s)));
        });
      }
      readings->askPiece(*reader, pieceCount(blob.size),
                         [readings, resumed, blob, done = std::move(done)](Piece end) {
                           // The beginning that the client has may be of the wrong bytes.
                           const bool doubtful = resumed && readings->poisoned(blob.id);
                           if (end.ok() && doubtful) {
                             end = absl::DataLossError("what went out before may be wrong");
                           }
                           done(std::move(end));
                         });
    });
  }
  bool begunAgain() const override { return attempt_->isOver; }
  void pieceList(std::function<void(PieceList)> done) override {
    post([readings = &readings_, blob = blob_, done = std::move(done)]() mutable {
      readings->s_.pieceList(blob, std::move(done));
    });
  }
  void open(std::function<void(std::shared_ptr<const LocalBlob>)> done) override {
    post([readings = &readings_, blob = blob_, done = std::move(done)]() mutable {
      readings->s_.folders.open(blob.id, std::move(done));
    });
  }
  void poison(std::function<void()> done) override {
    post([readings = &readings_, blob = blob_, done = std::move(done)]() mutable {
      readings->poison(blob.id, std::move(done));
    });
  }
  void foundBad(const absl::Status& why) override {
    post([readings = &readings_, blob = blob_, why] {
      readings->s_.folders.foundBad(blob.id, why);
    });
  }

 private:
  void post(std::function<void()> job) {
    onLoop_([alive = alive_, job = std::move(job)] {
      if (*alive) job();
    });
  }
  BlobReadings& readings_;  // used on `loop` only, while it is alive
  const std::function<void(std::function<void()>)> onLoop_;
  const std::shared_ptr<const bool> alive_;
  const BlobInfo blob_;
  const std::optional<ReaderId> reader_;
  const bool resumed_;
  const std::shared_ptr<Attempt> attempt_;
};

BlobReadings::BlobReadings(Seams seams, std::set<BlobId> poisoned)
    : s_(std::move(seams)), poisoned_(std::move(poisoned)) {}

std::string BlobReadings::poisonKey(const BlobId& blob) {
  return absl::StrCat(kPoisonPrefix, blob.toString());
}

std::shared_ptr<BlobReading> BlobReadings::arriving(const BlobInfo& blob, const BlobSite& site,
                                                    bool resumed) {
  const ReaderId reader{++lastReader_};
  auto reading = std::make_shared<Reading>(*this, blob, reader, resumed);
  s_.apply(ReaderBegan{reader, blob, site});
  return reading;
}

std::shared_ptr<BlobReading> BlobReadings::local(const BlobInfo& blob) {
  return std::make_shared<Reading>(*this, blob, std::nullopt, false);
}

void BlobReadings::askPiece(ReaderId reader, uint64_t piece,
                            std::function<void(BlobReading::Piece)> done) {
  const AskId ask{++lastAsk_};
  asks_.emplace(ask, std::move(done));
  s_.apply(PieceWanted{reader, ask, piece});
}

void BlobReadings::perform(const AnswerReader& effect) {
  const auto found = asks_.extract(effect.ask);
  if (!found) return;
  if (!effect.status.ok()) return found.mapped()(effect.status);
  if (!effect.from) return found.mapped()(BlobReading::Piece(nullptr));
  auto writer = s_.writer(*effect.from);
  if (writer == nullptr) {
    return found.mapped()(absl::AbortedError("the fetch has just ended"));
  }
  found.mapped()(BlobReading::Piece(std::move(writer)));
}

void BlobReadings::streaming(const BlobId& blob, std::function<void()> done) {
  if (poisoned_.contains(blob) || !streamed_.insert(blob).second) return done();
  mark(blob, std::move(done));
}

void BlobReadings::begunAgain(const BlobId& blob) {
  for (const auto& attempt : attempts_) {
    if (attempt->blob == blob && attempt->given) attempt->isOver = true;
  }
}

void BlobReadings::wasWrong(const BlobId& blob) {
  if (streamed_.erase(blob) != 0) poisoned_.insert(blob);  // it is marked already
}

void BlobReadings::landed(const BlobId& blob) {
  if (streamed_.erase(blob) != 0) unmark(blob);
}

void BlobReadings::poison(const BlobId& blob, std::function<void()> done) {
  streamed_.erase(blob);
  poisoned_.insert(blob);
  mark(blob, std::move(done));
}

void BlobReadings::mark(const BlobId& blob, std::function<void()> done) {
  const absl::Status submitted = s_.index.submit([key = poisonKey(blob), done](Index& index) {
    (void)index.setValue(key, "1");
    done();
  });
  if (!submitted.ok()) done();
}

void BlobReadings::unmark(const BlobId& blob) {
  (void)s_.index.submit([key = poisonKey(blob)](Index& index) { (void)index.dropValue(key); });
}

void BlobReadings::stop() {
  *alive_ = false;
  asks_.clear();
}

}  // namespace roost
