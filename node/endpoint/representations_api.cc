#include "node/endpoint/representations_api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "cache/json_reader.h"
#include "node/endpoint/blob_body.h"
#include "node/endpoint/file_head.h"
#include "node/endpoint/hub_failures.h"
#include "node/endpoint/representation_bundle.h"
#include "node/endpoint/upload_pipe.h"
#include "node/on_worker.h"
#include "protocol/digest.h"
#include "protocol/errors.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::string_view kPrefix = "roost/v1/representations/";
constexpr char kProvenanceHeader[] = "x-roost-provenance";
constexpr int kRetryMs = 250;
const WorkSpec kWork{"representations", WorkPriority::kReaderWaits, ""};

HttpAnswer jsonAnswer(int status, std::string body) {
  HttpAnswer answer{.status = status};
  answer.headers = {{"Content-Type", kJsonType}, {"Cache-Control", "no-store"}};
  answer.body = std::move(body);
  return answer;
}

HttpAnswer refusalOf(const absl::Status& status) {
  int code = 500;
  if (absl::IsInvalidArgument(status)) code = 400;
  if (absl::IsOutOfRange(status)) code = 413;
  if (absl::IsResourceExhausted(status)) code = 507;
  if (absl::IsCancelled(status) || absl::IsAborted(status)) code = 503;
  const char* word = "RepresentationNotFound";
  if (absl::IsNotFound(status)) return failure(404, word, status.message());
  return failure(code, "", status.message());
}

absl::Status otherKey() {
  return absl::InvalidArgumentError(
      sentence("the key is not that of the provenance",
               "it is the SHA-256 of the provenance as canonical JSON",
               "See docs/reference/representations.md"));
}

BlobId idOf(absl::string_view value) {
  return BlobId::sha256(digestOf(value));
}

using ProvenancePtr = std::shared_ptr<const Provenance>;

// What the value says of itself, if it does, must be what was said of it.
absl::StatusOr<ProvenancePtr> provenanceOf(absl::string_view said, const Safetensors& form) {
  ProvenancePtr provenance;
  if (!said.empty()) {
    ROOST_ASSIGN_OR_RETURN(Provenance parsed, Provenance::parse(said));
    provenance = std::make_shared<const Provenance>(std::move(parsed));
  }
  if (form.provenance) {
    ROOST_ASSIGN_OR_RETURN(Provenance parsed, Provenance::parse(*form.provenance));
    if (provenance && parsed.key() != provenance->key()) {
      return absl::InvalidArgumentError("the value carries another provenance than was said");
    }
    provenance = std::make_shared<const Provenance>(std::move(parsed));
  }
  if (!provenance) {
    return absl::InvalidArgumentError(
        sentence("the value has no provenance", "",
                 "Send it in X-Roost-Provenance, or write it into the file as roost.provenance"));
  }
  return provenance;
}

void appendResult(const RepresentationKey& key, const Representations::Put& put, std::string& to) {
  absl::StrAppend(&to, "{\"key\":\"", key.hex(), "\"");
  if (!put.status.ok()) {
    to += ",\"error\":";
    appendJsonString(put.status.message(), to);
  } else {
    absl::StrAppend(&to, ",\"sha256\":\"", put.value.hex(),
                    "\",\"stored\":", put.kept ? "false" : "true");
    if (put.kept) {
      absl::StrAppend(&to, ",\"conflict\":{\"kept\":\"", put.kept->hex(), "\",\"refused\":\"",
                      put.value.hex(), "\"}");
    }
  }
  to.push_back('}');
}

// For the body of a file that is here.
class Reading final : public BlobReading {
 public:
  Reading(std::shared_ptr<LoopWork> work, Representations& all, const RepresentationKey& key)
      : work_(std::move(work)), all_(all), key_(key) {}
  void piece(uint64_t, std::function<void(Piece)> done) override { done(Piece(nullptr)); }
  void verified(std::function<void(Piece)> done) override { done(Piece(nullptr)); }
  void pieceList(std::function<void(PieceList)> done) override { done(nullptr); }
  void open(std::function<void(std::shared_ptr<const LocalBlob>)> done) override { done(nullptr); }
  void poison(std::function<void()> done) override { done(); }
  void foundBad(const absl::Status& why) override {
    work_->post([&all = all_, key = key_, why] { all.foundBad(key, why); });
  }

 private:
  const std::shared_ptr<LoopWork> work_;
  Representations& all_;
  const RepresentationKey key_;
};

}  // namespace

bool RepresentationsApi::answers(absl::string_view path) {
  return absl::StartsWith(path, kPrefix);
}

BodyPlan RepresentationsApi::bodyPlan(absl::string_view method, absl::string_view path) {
  if (!absl::ConsumePrefix(&path, kPrefix)) return {};
  if (method == "PUT") return {.flows = true};
  if (path == "put") return {.flows = false, .bytesMax = kRepresentationBundleBytesMax};
  return {};
}

asio::awaitable<HttpAnswer> RepresentationsApi::answer(HttpAsk ask, std::string path) {
  absl::string_view what = path;
  absl::ConsumePrefix(&what, kPrefix);
  if (ask.method == "POST" && what == "get") co_return co_await getMany(std::move(ask));
  if (ask.method == "POST" && what == "put") co_return co_await putMany(std::move(ask));
  if (ask.method == "POST" && what == "lease") co_return co_await lease(std::move(ask));
  const auto key = RepresentationKey::parse(what);
  if (!key.ok()) co_return refusalOf(key.status());
  if (ask.method == "PUT") co_return co_await put(std::move(ask), *key);
  if (ask.method == "GET" || ask.method == "HEAD") co_return co_await get(std::move(ask), *key);
  HttpAnswer answer = failure(405, "", "a representation is got by GET and HEAD, and kept by PUT");
  answer.headers.emplace_back("Allow", "GET, HEAD, PUT");
  co_return answer;
}

// ---- One

asio::awaitable<HttpAnswer> RepresentationsApi::get(HttpAsk ask, RepresentationKey key) {
  const bool headOnly = ask.method == "HEAD";
  const auto got = co_await all_.get(key, headOnly);
  if (!got.ok()) co_return refusalOf(got.status());
  const uint64_t size = got->claim.blob.size;
  const std::string etag = absl::StrCat("\"", got->claim.blob.id.hex(), "\"");
  HttpAnswer answer;
  answer.headers = {{"ETag", etag},
                    {"X-Roost-Provenance", got->provenance},
                    {"X-Roost-Producer", all_.nameOf(got->claim.producer)},
                    {"X-Roost-Created", absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ",
                                                         got->claim.created, absl::UTCTimeZone())},
                    {"Accept-Ranges", "bytes"},
                    {"Content-Type", "application/octet-stream"},
                    {"Cache-Control", "no-store"}};
  answer.length = size;
  if (hasAlready(ask, etag, answer)) co_return answer;
  const ByteRange range = askedRange(ask, etag, size);
  putRange(range, size, answer);
  if (range.kind == ByteRange::Kind::kUnsatisfiable) co_return answer;
  if (got->value) {
    answer.body = got->value->substr(range.first, range.end - range.first);
  } else if (got->file) {
    const auto reading = std::make_shared<Reading>(work_, all_, key);
    answer.stream =
        localBody({got->claim.blob, range.first, range.end}, got->file, true, reading, pool_);
  }
  co_return answer;
}

// A body on its way to the disk: read on work threads as it comes.
struct RepresentationsApi::Saving : std::enable_shared_from_this<Saving> {
  std::shared_ptr<UploadSource> source;
  Representations::Writer writer;
  uint64_t most = 0;
  std::function<void(absl::Status)> done;
  std::vector<char> buffer = std::vector<char>(kUploadChunkBytes * 4);

  // Until nothing is there for the moment: then the source calls for more.
  void takeAll() {
    while (done) {
      const HttpUpload::Read read = source->read(buffer.data(), buffer.size());
      switch (read.has) {
        case HttpUpload::Has::kWait:
          return;
        case HttpUpload::Has::kEnd:
          return end(absl::OkStatus());
        case HttpUpload::Has::kStop:
          return end(absl::CancelledError("the client went away"));
        case HttpUpload::Has::kBytes:
          break;
      }
      if (writer->bytes() + read.size > most) {
        return end(absl::OutOfRangeError(
            sentence("the value is not kept", "it is larger than representations_quota", "")));
      }
      const absl::Status written =
          writer->write({reinterpret_cast<const uint8_t*>(buffer.data()), read.size});
      if (!written.ok()) return end(written);
    }
  }
  void end(absl::Status status) {
    source->abandon();
    std::exchange(done, nullptr)(std::move(status));
  }
};

asio::awaitable<absl::Status> RepresentationsApi::save(std::shared_ptr<UploadSource> source,
                                                       Representations::Writer writer) {
  std::erase_if(uploads_, [](const auto& weak) { return weak.expired(); });
  uploads_.push_back(source);
  const auto saving = std::make_shared<Saving>();
  saving->source = source;
  saving->writer = std::move(writer);
  saving->most = all_.quota();
  const std::function<void(std::function<void(absl::Status)>)> start =
      [&](std::function<void(absl::Status)> done) {
        saving->done = std::move(done);
        const auto go = [work = work_, saving] {
          work->post([work, saving] { work->submit(kWork, [saving] { saving->takeAll(); }); });
        };
        source->onMore(go);
        go();
      };
  const absl::Status dropped = absl::CancelledError("the agent is stopping");
  const absl::Status result = co_await awaitCallback<absl::Status>(start, dropped);
  co_return result;
}

void RepresentationsApi::stop() {
  for (const auto& weak : uploads_) {
    if (const auto source = weak.lock()) source->abandon();
  }
}

asio::awaitable<HttpAnswer> RepresentationsApi::put(HttpAsk ask, RepresentationKey key) {
  const std::string* header = ask.find(kProvenanceHeader);
  const std::string said = header == nullptr ? "" : *header;
  if (!said.empty()) {
    const auto parsed = Provenance::parse(said);
    if (!parsed.ok()) co_return refusalOf(parsed.status());
    if (parsed->key() != key) co_return refusalOf(otherKey());
  }
  const std::optional<uint64_t> length =
      ask.upload ? ask.upload->length : std::optional<uint64_t>(0);
  const auto writer = co_await all_.openWriter(key, length);
  if (!writer.ok()) co_return refusalOf(writer.status());
  if (ask.upload) {
    const absl::Status saved = co_await save(ask.upload, *writer);
    if (!saved.ok()) co_return refusalOf(saved);
  }
  struct Checked {
    ProvenancePtr provenance;
    BlobHashes hashes;
  };
  using Result = absl::StatusOr<Checked>;
  const std::function<Result()> check = [writer = *writer, said, key]() -> Result {
    ROOST_ASSIGN_OR_RETURN(BlobHashes hashes, writer->finish());
    ROOST_ASSIGN_OR_RETURN(const Safetensors form, writer->check());
    ROOST_ASSIGN_OR_RETURN(ProvenancePtr provenance, provenanceOf(said, form));
    if (provenance->key() != key) return otherKey();
    return Checked{std::move(provenance), std::move(hashes)};
  };
  const auto checked = co_await onWorker<Result>(work_, kWork, check);
  if (!checked) co_return failure(503, "", "the agent is stopping");
  if (!checked->ok()) co_return refusalOf(checked->status());
  Checked& found = **checked;
  const Representations::Put put =
      co_await all_.put(found.provenance, *writer, std::move(found.hashes));
  if (!put.status.ok()) co_return refusalOf(put.status);
  std::string body;
  appendResult(key, put, body);
  co_return jsonAnswer(put.known || put.kept ? 200 : 201, std::move(body));
}

// ---- Many

asio::awaitable<HttpAnswer> RepresentationsApi::getMany(HttpAsk ask) {
  auto keys = parseKeys(ask.body);
  if (!keys.ok()) co_return refusalOf(keys.status());
  const auto got = std::make_shared<Representations::GotMany>();
  *got = co_await all_.getMany(*std::move(keys));
  const std::function<std::string()> write = [got] { return bundleOf(*got); };
  const auto bundle = co_await onWorker<std::string>(work_, kWork, write);
  if (!bundle) co_return failure(503, "", "the agent is stopping");
  HttpAnswer answer;
  answer.headers = {{"Content-Type", "application/octet-stream"}, {"Cache-Control", "no-store"}};
  answer.body = std::move(*bundle);
  co_return answer;
}

asio::awaitable<HttpAnswer> RepresentationsApi::putMany(HttpAsk ask) {
  const std::shared_ptr<void> turn = co_await all_.turn();
  using Prepared = std::vector<absl::StatusOr<NewRepresentation>>;
  const auto body = std::make_shared<const std::string>(std::move(ask.body));
  const RepresentationClaim now = all_.claimOf({BlobId::sha256({}), 0});
  const std::function<absl::StatusOr<Prepared>()> prepare = [body,
                                                             now]() -> absl::StatusOr<Prepared> {
    ROOST_ASSIGN_OR_RETURN(const std::vector<BundleEntry> entries, parseBundle(*body));
    Prepared prepared;
    for (const BundleEntry& entry : entries) {
      const auto form = checkSafetensors(entry.value);
      if (!form.ok()) {
        prepared.emplace_back(form.status());
        continue;
      }
      auto provenance = provenanceOf(entry.provenance, *form);
      if (!provenance.ok()) {
        prepared.emplace_back(provenance.status());
        continue;
      }
      RepresentationClaim claim = now;
      claim.blob = {idOf(entry.value), entry.value.size()};
      prepared.emplace_back(NewRepresentation{claim, *std::move(provenance),
                                              std::make_shared<const std::string>(entry.value)});
    }
    return prepared;
  };
  const auto prepared = co_await onWorker<absl::StatusOr<Prepared>>(work_, kWork, prepare);
  if (!prepared) co_return failure(503, "", "the agent is stopping");
  if (!prepared->ok()) co_return refusalOf(prepared->status());
  std::vector<NewRepresentation> values;
  for (const auto& one : **prepared) {
    if (one.ok()) values.push_back(*one);
  }
  const std::vector<Representations::Put> put = co_await all_.putMany(std::move(values));
  std::string answer = "{\"results\":[";
  size_t next = 0;
  for (size_t i = 0; i < (*prepared)->size(); ++i) {
    if (i > 0) answer.push_back(',');
    const auto& one = (**prepared)[i];
    if (one.ok()) {
      appendResult(one->provenance->key(), put[next++], answer);
      continue;
    }
    answer += "{\"error\":";
    appendJsonString(one.status().message(), answer);
    answer.push_back('}');
  }
  answer += "]}";
  co_return jsonAnswer(200, std::move(answer));
}

// ---- Compute once

asio::awaitable<HttpAnswer> RepresentationsApi::lease(HttpAsk ask) {
  auto request = parseLease(ask.body);
  if (!request.ok()) co_return refusalOf(request.status());
  const Representations::Leases leases = co_await all_.lease(*std::move(request));
  std::string body = "{\"present\":";
  appendKeys(leases.present, body);
  body += ",\"granted\":";
  appendKeys(leases.granted, body);
  body += ",\"others\":";
  appendKeys(leases.others, body);
  absl::StrAppend(&body, ",\"retry_after_ms\":", kRetryMs, "}");
  co_return jsonAnswer(200, std::move(body));
}

}  // namespace roost
