// Stripes: who of several wanters takes what from the holders, and what becomes of the part of one
// that falls behind or goes.
//
// Wanter k of n takes pieces k, k + n, … from the holders and the others from the wanters whose
// they are, so a holder sends each byte about once. If a wanter is out (gone, failing, or slower
// than this node's own stripe by far), each piece of its stripe has a stand-in, the same in the
// eyes of all: who needs the piece asks the stand-in, and being asked it takes the piece from a
// holder. So the stripe is shared out without a word to anybody, and still leaves the holder once.
// Nobody waits for somebody who waits for him: what is promised is taken from a holder.
//
// Who comes late finds most pieces with other wanters already: the registrar says which, with each
// word. What somebody has, or is taking from a holder, is taken from him, whosever stripe it is in;
// what nobody has by the stripes.
//
// Wanters of other zones are left alone, so that each zone takes one copy over the boundary.
#include <algorithm>
#include <utility>

#include "cluster/fetch.h"
#include "protocol/limits.h"

namespace roost {
namespace {

constexpr double kPaceKnown = 4.0 * kPieceBytes;   // of this node's own stripe
constexpr double kPaceJudged = 6.0 * kPieceBytes;  // what a wanter should have sent meanwhile
constexpr double kBehind = 0.4, kBackAgain = 0.7;  // of it: what is slow, and is no longer

// Pieces by which a stripe may be ahead of another one.
constexpr uint64_t kLead = 3;

}  // namespace

void Fetch::refreshStripes() {
  const MemberInfo& self = world_.members.self();
  const std::vector<Sender> before = stripes_;
  for (Source& source : sources_) {
    source.wanter = source.leaseholder = false;
  }
  stripes_.clear();
  mine_ = 0;
  bool listed = false;
  const bool fromLeaseholder =
      grant_.leaseholder && *grant_.leaseholder != self.id && !anyHolder() && !only_;
  if (fromLeaseholder) {
    if (const auto index = sources_.findOrAdd(*grant_.leaseholder)) {
      sources_[*index].leaseholder = true;
    }
  }
  const bool anySource = anyOrigin();
  for (const NodeId& wanter : grant_.wanters) {
    if (fromLeaseholder && wanter == *grant_.leaseholder) continue;
    if (wanter == self.id) {
      listed = true;
      mine_ = static_cast<uint32_t>(stripes_.size());
      stripes_.push_back(kNobody);
      continue;
    }
    const std::optional<Sources::Index> index = sources_.findOrAdd(wanter);
    if (!index) continue;
    const MemberInfo* info = world_.members.find(wanter);
    const bool far = info != nullptr && info->zone != self.zone;
    if (far && anySource) continue;
    sources_[*index].wanter = true;
    stripes_.push_back(*index);
  }
  if (only_ || !listed) {
    stripes_ = {kNobody};
    mine_ = 0;
  }
  restartClasses();
  noteElsewhere();
  if (grants_ == 0 && stripes_.size() == 1 && anyHolder() && count_ > 0 && limit() == count_) {
    cursors_[0] = pick(count_);  // not where the others begin
  }
  if (stripes_ == before) return;
  // Shares are others now, so are the paces that can be expected. When others leave who was slow
  // has to show first that it is no longer: the last pieces would wait for it.
  ownPace_.restart(now_);
  for (Source& source : sources_) {
    source.pace.restart(now_);
    if (stripes_.size() > before.size()) source.slow = false;
  }
}

// ---- Who is out.

// What a stripe comes at, in bytes per second: the median, this node's own among them, which alone
// would say little where there are several holders. 0: not known yet.
double Fetch::usualPace() {
  std::vector<double> rates;
  const auto add = [&](Pace& pace) {
    const double seconds = pace.seconds(now_);
    if (seconds > 0) rates.push_back(pace.bytes() / seconds);
  };
  add(ownPace_);
  for (const Sender owner : stripes_) {
    if (owner != kNobody) add(sources_[owner].pace);
  }
  if (rates.size() < 2 || ownPace_.bytes() < kPaceKnown) return 0;
  if (rates.size() == 2) return (rates[0] + rates[1]) / 2;
  std::nth_element(rates.begin(), rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2),
                   rates.end());
  return rates[rates.size() / 2];
}

bool Fetch::behind(Source& source, double usual) const {
  const double expected = usual * source.pace.seconds(now_);
  if (expected < kPaceJudged) return source.slow;
  return source.pace.bytes() < expected * (source.slow ? kBackAgain : kBehind);
}

bool Fetch::out(Sender owner) const {
  if (owner == kNobody) return false;
  const Source& source = sources_[owner];
  return !usable(source) || source.slow || source.failures > 0 || source.stubborn(now_);
}

void Fetch::watchPace() {
  if (stripes_.size() < 2 || only_ || !anyOrigin()) return;
  const double usual = usualPace();
  for (const Sender owner : stripes_) {
    if (owner != kNobody) sources_[owner].slow = behind(sources_[owner], usual);
  }
  noteElsewhere();
  abandonAsks([&](const Ask& ask) { return !ask.fromOrigin && out(ask.source); });
}

// The pieces, or the classes, are others now.
void Fetch::restartClasses() {
  const size_t classes = std::max<size_t>(1, stripes_.size());
  cursors_.assign(classes, 0);
  missing_.assign(classes, 0);
  for (uint64_t piece = 0; piece < count_; ++piece) missing_[piece % classes] += !have_[piece];
}

// This stripe has come so much further than another that can still be waited for that its reads
// would only take this node's link from that one, which would then be all that is left at the end.
bool Fetch::wellAhead(uint32_t residue) const {
  uint64_t most = 0;
  for (uint32_t other = 0; other < stripes_.size(); ++other) {
    if (other != mine_ && !out(stripes_[other])) most = std::max(most, missing_[other]);
  }
  return missing_[residue] + kLead < most;
}

// ---- Who stands in.

uint32_t Fetch::standIn(uint64_t piece) const {
  const auto classes = static_cast<uint64_t>(stripes_.size());
  const uint64_t own = piece % classes;
  if (classes < 2) return static_cast<uint32_t>(own);
  return static_cast<uint32_t>((own + 1 + piece / classes % (classes - 1)) % classes);
}

bool Fetch::isStandIn(Sender source, uint64_t piece) const {
  if (stripes_.size() < 2 || stripes_[piece % stripes_.size()] == source) return false;
  return stripes_[standIn(piece)] == source;
}

// Of the stripes of those who are out, the next piece that the owner of this class stands in for;
// for this node's own class also those whose stand-in is out itself.
std::optional<uint64_t> Fetch::chooseForAbsent(uint32_t residue) {
  const uint64_t classes = stripes_.size();
  const uint64_t end = limit();
  for (uint32_t absent = 0; absent < classes; ++absent) {
    if (absent == residue || !out(stripes_[absent])) continue;
    for (uint64_t piece = nextOfClass(absent).value_or(end); piece < end; piece += classes) {
      if (!needed(piece)) continue;
      const uint32_t deputy = standIn(piece);
      if (deputy == residue || (residue == mine_ && out(stripes_[deputy]))) return piece;
    }
  }
  return std::nullopt;
}

// What the registrar told of the others with its last word.
void Fetch::learnKnown() {
  for (size_t i = 0; i < grant_.have.size(); ++i) {
    if (grant_.wanters[i] == world_.members.self().id) continue;
    const std::optional<Sources::Index> index = sources_.findOrAdd(grant_.wanters[i]);
    if (!index) continue;
    sources_[*index].known = grant_.have[i];
    sources_[*index].knownScan = 0;
  }
}

// As of the last tick, or the last word of the registrar.
bool Fetch::somebodyHas(uint64_t piece) const {
  return elsewhere_.has(piece, count_);
}

void Fetch::noteElsewhere() {
  elsewhere_ = {};
  for (const Sender owner : stripes_) {
    if (owner != kNobody && !out(owner)) elsewhere_.add(sources_[owner].known);
  }
}

// Of a class, what its owner is known to have, or will be the first to have.
std::optional<uint64_t> Fetch::chooseOf(uint32_t residue, const PieceMap& known) {
  const uint64_t end = limit();
  for (uint64_t piece = nextOfClass(residue).value_or(end); piece < end; piece += stripes_.size()) {
    if (!needed(piece)) continue;
    if (known.has(piece, count_) || !somebodyHas(piece)) return piece;
  }
  return std::nullopt;
}

// Whosever class it is of.
std::optional<uint64_t> Fetch::chooseKnown(Source& source) {
  if (source.known.empty()) return std::nullopt;
  const uint64_t end = limit();
  for (uint64_t& piece = source.knownScan; piece < end; ++piece) {
    if (needed(piece) && source.known.has(piece, count_)) return piece;
  }
  return std::nullopt;
}

// Somebody waits for a piece whose owner it finds to be out, and this node stands in for it.
bool Fetch::takeOver(uint64_t piece, const NodeId& to) {
  if (state_ != State::kRunning || only_ || !anyHolderBut(to) || stripes_.size() < 2) return false;
  if (piece % stripes_.size() == mine_ || standIn(piece) != mine_) return false;
  const Sender owner = stripes_[piece % stripes_.size()];
  if (owner == kNobody || sources_[owner].node == to) return false;
  if (const auto it = asks_.find(piece); it != asks_.end()) {
    for (Ask& ask : it->second) ask.abandoned |= !ask.fromOrigin;
    if (askedLive(piece)) return false;
  }
  takenOver_.insert(piece);
  return true;
}

std::optional<uint64_t> Fetch::chooseTakenOver() {
  while (!takenOver_.empty()) {
    const uint64_t piece = *takenOver_.begin();
    if (needed(piece)) return piece;
    takenOver_.erase(takenOver_.begin());
  }
  return std::nullopt;
}

}  // namespace roost
