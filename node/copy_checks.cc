#include "node/copy_checks.h"

#include <fcntl.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "cache/hasher.h"
#include "cache/scan_trust.h"
#include "cache/unique_fd.h"
#include "node/await_callback.h"
#include "protocol/errors.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr size_t kChecksMax = 2;  // idle threads

CheckOutcome failed(const VerifyJob& job, absl::Status why) {
  return {std::move(why), {job.stamp, job.expected.id, {}}, {}, false};
}

// Not if the file system's clock is ahead: it would be hashed again and again.
bool willSettle(const FileStamp& stamp) {
  return stamp.settledFrom() <= absl::Now() + kSettleTime;
}

CheckOutcome hashCopy(const VerifyJob& job, const std::atomic<bool>& cancelled, bool background) {
  const UniqueFd fd(::open(job.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return failed(job, errnoStatus(errno, "cannot open", job.path));
  auto hashed = hashFile(fd.get(), job.path, job.expected,
                         {.cancelled = &cancelled, .leavePageCacheAlone = background});
  if (!hashed.ok()) return failed(job, hashed.status());
  return {absl::OkStatus(),
          {hashed->stamp, hashed->hashes.id, hashed->hashes.sha256,
           !hashed->settled && willSettle(hashed->stamp)},
          std::move(hashed->hashes.pieces),
          hashed->settled};
}

void remember(Index& index, const VerifyJob& job, const CheckOutcome& outcome) {
  if (!outcome.status.ok()) return;
  const TrustRecord record = recordOf(job, outcome.copy, absl::Now());
  // A file that was still changing when hashing began proves nothing about its stamp, unless it is
  // wrong: then it is looked at again when the stamp changes.
  if (!outcome.settled && !record.wrong) return;
  (void)index.rememberTrust(record, outcome.pieces);
}

WorkSpec specOf(const VerifyJob& job, bool background) {
  return {"hash", background ? WorkPriority::kIdle : WorkPriority::kNormal, job.path};
}

}  // namespace

void CopyChecks::allow() {
  allowed_ = true;
  next();
}

void CopyChecks::next() {
  while (allowed_ && running_ < kChecksMax) {
    const std::optional<VerifyJob> job = s_.inventory.nextToVerify(absl::Now());
    if (!job) return;
    ++running_;
    start(*job, true, [this, work = s_.work, job = *job](CheckOutcome outcome) {
      work->post([this, job, outcome = std::move(outcome)] {
        ended(job, outcome);
        --running_;
        next();
      });
    });
  }
}

// `then` is called on a work thread.
void CopyChecks::start(const VerifyJob& job, bool background, const Then& then) {
  s_.work->submit(
      specOf(job, background), [job, background, then, cancelled = cancelled_, &index = s_.index] {
        auto outcome = std::make_shared<CheckOutcome>(hashCopy(job, *cancelled, background));
        const absl::Status submitted = index.submit([job, outcome, then](Index& known) {
          remember(known, job, *outcome);
          then(std::move(*outcome));
        });
        if (!submitted.ok()) then(std::move(*outcome));
      });
}

void CopyChecks::ended(const VerifyJob& job, const CheckOutcome& outcome) {
  if (outcome.status.ok()) {
    s_.inventory.checked(job.copy, outcome.copy);
  } else {
    s_.inventory.checkFailed(job.copy, outcome.status);
  }
  s_.changed();
}

asio::awaitable<CheckOutcome> CopyChecks::check(LocalCopy copy) {
  const VerifyJob job{copy.id, copy.path, copy.blob, true, copy.stamp, {}};
  // Named, not a temporary: GCC 12 loses track of temporaries that live across a co_await.
  const std::function<void(Then)> begin = [this, job](Then done) {
    start(job, false, [this, work = s_.work, job, done](CheckOutcome outcome) {
      work->post([this, job, done, outcome = std::move(outcome)] {
        ended(job, outcome);
        done(outcome);
      });
    });
  };
  CheckOutcome outcome = co_await await(job, begin);
  co_return outcome;
}

asio::awaitable<CheckOutcome> CopyChecks::hash(std::string path, BlobInfo expected) {
  const VerifyJob job{{}, std::move(path), expected, true, {}, {}};
  const std::function<void(Then)> begin = [this, job](Then done) {
    s_.work->submit(specOf(job, false), [job, done, cancelled = cancelled_] {
      done(hashCopy(job, *cancelled, false));
    });
  };
  CheckOutcome outcome = co_await await(job, begin);
  co_return outcome;
}

asio::awaitable<CheckOutcome> CopyChecks::await(VerifyJob job, std::function<void(Then)> begin) {
  const CheckOutcome dropped = failed(job, absl::CancelledError("the agent is stopping"));
  CheckOutcome outcome = co_await awaitCallback<CheckOutcome>(begin, dropped);
  co_return outcome;
}

}  // namespace roost
