#include "cluster/hub_plan.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

absl::Status otherContent(const HubSubject& subject, absl::string_view why) {
  return absl::DataLossError(sentence(
      absl::StrCat(subject.repo.origin().url(), " has other content for ", subject.toString()), why,
      ""));
}

std::optional<uint64_t> number(absl::string_view text) {
  uint64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? std::optional<uint64_t>(value) : std::nullopt;
}

struct ContentRange {
  uint64_t first = 0, last = 0;
  std::optional<uint64_t> total;
};

// "bytes 0-99/1000" or "bytes 0-99/*".
std::optional<ContentRange> parseContentRange(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "bytes ")) return std::nullopt;
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == absl::string_view::npos || slash == absl::string_view::npos || dash > slash) {
    return std::nullopt;
  }
  const auto first = number(text.substr(0, dash));
  const auto last = number(text.substr(dash + 1, slash - dash - 1));
  const absl::string_view total = text.substr(slash + 1);
  if (!first || !last || *last < *first) return std::nullopt;
  if (total != "*" && !number(total)) return std::nullopt;
  return ContentRange{*first, *last, number(total)};
}

// W/"abc" → abc
absl::string_view etagText(absl::string_view etag) {
  absl::ConsumePrefix(&etag, "W/");
  absl::ConsumePrefix(&etag, "\"");
  absl::ConsumeSuffix(&etag, "\"");
  return etag;
}

std::string sizes(uint64_t expected, uint64_t said) {
  return absl::StrCat("expected ", expected, " bytes, the hub says ", said);
}

}  // namespace

HubPlan::HubPlan(uint64_t size, const std::vector<uint64_t>& pieces, uint64_t rangeBytes,
                 int connections)
    : size_(size),
      rangeBytes_(std::max(rangeBytes, kPieceBytes)),
      connections_(static_cast<uint64_t>(std::max(connections, 1))),
      missing_(pieceCount(size)),
      outstanding_(pieces.size()) {
  for (uint64_t piece : pieces) {
    missing_[piece] = true;
    const uint64_t first = piece * kPieceBytes;
    const uint64_t end = pieceEnd(first);
    if (!todo_.empty() && todo_.back().end == first) {
      todo_.back().end = end;
    } else {
      todo_.push_back({first, end, nullptr});
    }
  }
}

uint64_t HubPlan::pieceEnd(uint64_t offset) const {
  return std::min((offset / kPieceBytes + 1) * kPieceBytes, size_);
}

// Guided self-scheduling (Polychronopoulos and Kuck, 1987): a part of an even share of what is
// left.
uint64_t HubPlan::rangeNow() const {
  if (rangeBytes_ >= size_) return rangeBytes_;  // one request, be it whole
  const uint64_t share = outstanding_ / (2 * connections_) * kPieceBytes;
  const uint64_t most = std::min(rangeBytes_, std::max(share, kHubRangeBytesMin));
  // Near the limit the ranges are small, so that all connections have something to do.
  return limit_ >= size_ ? most : std::min(most, kLimitedRangeBytes);
}

HubStretch HubPlan::take() {
  HubStretch& front = todo_.front();
  const uint64_t most = rangeNow();
  const uint64_t end = std::min({front.end, limit_, pieceEnd(front.next) + most - kPieceBytes});
  if (end < front.end) {
    HubStretch stretch{front.next, end, std::move(front.partial)};
    front = {end, front.end, nullptr};
    return stretch;
  }
  HubStretch stretch = std::move(front);
  todo_.pop_front();
  return stretch;
}

void HubPlan::giveBack(HubStretch&& stretch) {
  if (stretch.next >= stretch.end) return;
  const auto behind = std::find_if(todo_.begin(), todo_.end(), [&](const HubStretch& other) {
    return other.next > stretch.next;
  });
  todo_.insert(behind, std::move(stretch));
}

bool HubPlan::cutShort(HubStretch& stretch) {
  const uint64_t end = pieceEnd(stretch.next);
  if (end >= stretch.end) return false;
  giveBack({end, stretch.end, nullptr});
  stretch.end = end;
  return true;
}

void HubPlan::setLimit(uint64_t piece) {
  limit_ = piece > size_ / kPieceBytes ? UINT64_MAX : piece * kPieceBytes;
}

void HubPlan::forgetPartial(HubStretch& stretch) {
  if (!stretch.partial) return;
  stretch.next -= stretch.partial->bytes.size();
  stretch.partial.reset();
}

void HubPlan::restartWhole() {
  todo_.clear();
  todo_.push_back({0, size_, nullptr});
  limit_ = UINT64_MAX;
  rangeBytes_ = std::max(size_, kPieceBytes);
}

void HubPlan::setRange(uint64_t bytes) {
  rangeBytes_ = std::max(bytes, kPieceBytes);
}

size_t HubPlan::feed(HubStretch& stretch, absl::string_view bytes, HubRoom& room,
                     const std::function<void(std::shared_ptr<DownloadedPiece>)>& deliver) {
  size_t taken = 0;
  while (taken < bytes.size() && stretch.next < stretch.end) {
    const uint64_t index = stretch.next / kPieceBytes;
    const uint64_t end = pieceEnd(stretch.next);
    const size_t part = std::min<size_t>(bytes.size() - taken, end - stretch.next);
    if (missing_[index]) {
      if (!stretch.partial) stretch.partial = room.take(index, end - stretch.next);
      if (!stretch.partial) return taken;
      stretch.partial->bytes.append(bytes.data() + taken, part);
    }
    taken += part;
    stretch.next += part;
    if (stretch.next == end && missing_[index]) {
      missing_[index] = false;
      --outstanding_;
      deliver(std::move(stretch.partial));
      stretch.partial.reset();
    }
  }
  return taken;
}

absl::StatusOr<HubAnswer> judgeAnswer(const HttpHead& head, const HubStretch& asked,
                                      const BlobInfo& blob, const HubSubject& subject) {
  const auto strange = [&](absl::string_view why) {
    return absl::UnavailableError(sentence(
        absl::StrCat("wrong answer for ", subject.toString(), " of ", subject.repo.origin().url()),
        why, ""));
  };
  const std::string* encoding = head.find("content-encoding");
  if (head.status == 200 || head.status == 206) {
    if (encoding != nullptr && *encoding != "identity") return strange("it is compressed");
  }
  if (head.status == 200) {
    const std::string* length = head.find("content-length");
    const auto said = length == nullptr ? std::nullopt : number(*length);
    if (said && *said != blob.size) return otherContent(subject, sizes(blob.size, *said));
    return HubAnswer::kWhole;
  }
  if (head.status == 206) {
    const std::string* text = head.find("content-range");
    const auto range = text == nullptr ? std::nullopt : parseContentRange(*text);
    if (!range) return strange("206 without a usable Content-Range");
    if (range->total && *range->total != blob.size) {
      return otherContent(subject, sizes(blob.size, *range->total));
    }
    if (range->first != asked.next || range->last >= asked.end) {
      return strange(absl::StrCat("bytes ", range->first, "-", range->last, " instead of ",
                                  asked.next, "-", asked.end - 1));
    }
    return HubAnswer::kRange;
  }
  if (head.status == 416) {
    return otherContent(subject, absl::StrCat("it has no byte ", asked.next, " (HTTP 416)"));
  }
  return HubAnswer::kStatus;
}

absl::Status judgeMetadata(const std::string* etag, const std::string* size, const BlobInfo& blob,
                           const HubSubject& subject) {
  if (etag != nullptr) {
    const auto id = BlobId::parseHex(etagText(*etag));
    // Another algorithm says nothing: some mirrors send a hash of their own as ETag.
    if (id.ok() && id->algorithm() == blob.id.algorithm() && *id != blob.id) {
      return otherContent(subject, absl::StrCat("expected ", blob.id.toString(), ", the hub says ",
                                                id->toString()));
    }
  }
  if (size != nullptr) {
    const auto said = number(*size);
    if (said && *said != blob.size) return otherContent(subject, sizes(blob.size, *said));
  }
  return absl::OkStatus();
}

}  // namespace roost
