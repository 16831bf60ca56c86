#include "node/endpoint/pip_pages.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "cache/file_io.h"
#include "cache/piece_hash.h"
#include "cache/unique_fd.h"
#include "node/await_callback.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

constexpr char kAccept[] =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.1";
constexpr char kFileSuffix[] = ".page";

const std::string* headerOf(const HubWord& word, absl::string_view name) {
  for (const auto& [known, value] : word.headers) {
    if (known == name) return &value;
  }
  return nullptr;
}

void tidy(HubWord& word) {
  std::erase_if(word.headers, [](const auto& header) {
    return header.first != "content-type" && header.first != "etag" &&
           header.first != "last-modified" && header.first != "cache-control";
  });
}

// As long as the index says that it counts.
absl::Duration lifetime(const HubWord& word) {
  absl::Duration said = kPipPageTtl;
  if (const std::string* control = headerOf(word, "cache-control")) {
    for (absl::string_view part : absl::StrSplit(absl::AsciiStrToLower(*control), ',')) {
      part = absl::StripAsciiWhitespace(part);
      int64_t seconds = 0;
      if (part == "no-cache" || part == "no-store") said = absl::ZeroDuration();
      if (absl::ConsumePrefix(&part, "max-age=") && absl::SimpleAtoi(part, &seconds)) {
        said = absl::Seconds(std::max<int64_t>(seconds, 0));
      }
    }
  }
  return word.status == 200 ? std::min(said, kPipPageTtlMax) : std::min(said, kPipRefusalTtl);
}

// "/numpy/"
std::optional<std::string> projectOf(absl::string_view target) {
  if (!absl::ConsumePrefix(&target, "/") || !absl::ConsumeSuffix(&target, "/")) return std::nullopt;
  const auto name = pipProjectName(target);
  if (!name || *name != target) return std::nullopt;
  return name;
}

absl::StatusOr<std::shared_ptr<const PipShown>> shownOf(const std::string& project,
                                                        const PublicWord::Said& said,
                                                        const std::string& url) {
  const std::string* type = said.result.head.find("content-type");
  ROOST_ASSIGN_OR_RETURN(
      PipPage page,
      parsePipPage(said.result.body, type == nullptr ? "text/html" : *type, project, url));
  return pipShown(std::move(page));
}

// What is kept on the disk: a line of JSON, and the page as the index sent it.
std::string savedText(const HubOrigin& origin, const PublicWord::Said& said) {
  const json head{{"origin", origin.url()},
                  {"at", absl::ToUnixMillis(said.at)},
                  {"bytes", said.result.body.size()},
                  {"headers", said.result.head.headers}};
  return absl::StrCat(head.dump(-1, ' ', false, json::error_handler_t::replace), "\n",
                      said.result.body);
}

std::optional<HubWord> wordOf(const HubOrigin& origin, absl::string_view text) {
  const size_t end = text.find('\n');
  if (end == absl::string_view::npos) return std::nullopt;
  const json head = json::parse(text.substr(0, end), nullptr, false);
  if (!head.is_object() || head.value("origin", json()) != origin.url()) return std::nullopt;
  const json at = head.value("at", json());
  const json headers = head.value("headers", json());
  if (head.value("bytes", json()) != text.size() - end - 1) return std::nullopt;  // torn
  if (!at.is_number_integer() || !headers.is_array()) return std::nullopt;
  HubWord word{200, {}, std::string(text.substr(end + 1)), absl::FromUnixMillis(at.get<int64_t>())};
  // A clock that was wrong: the index is asked.
  if (word.at > absl::Now()) word.at = absl::InfinitePast();
  for (const json& header : headers) {
    if (!header.is_array() || header.size() != 2 || !header[0].is_string() ||
        !header[1].is_string()) {
      return std::nullopt;
    }
    word.headers.emplace_back(header[0].get<std::string>(), header[1].get<std::string>());
  }
  return word;
}

absl::StatusOr<std::string> readPage(const std::string& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return errnoStatus(errno, "cannot open", file);
  return readSmallFile(fd.get(), file, kPipPageBytesMax + (1 << 16));
}

// Not synced: after a crash of the machine a torn page is none, and the index is asked.
void writePage(const std::string& file, const std::string& text) {
  const std::string temporary = absl::StrCat(file, ".tmp");
  UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return;
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const absl::Status written = writeFully(fd.get(), temporary, 0, {bytes, text.size()});
  if (!written.ok() || ::rename(temporary.c_str(), file.c_str()) != 0) {
    ::unlink(temporary.c_str());
  }
}

}  // namespace

std::shared_ptr<const PipShown> pipShown(PipPage page) {
  auto shown = std::make_shared<PipShown>();
  shown->json = pipPageJson(page);
  shown->html = pipPageHtml(page);
  shown->page = std::move(page);
  const auto* bytes = reinterpret_cast<const uint8_t*>(shown->json.data());
  const PieceHash hash = pieceHash({bytes, shown->json.size()});
  shown->etag = hexOf({hash.data(), hash.size()});
  return shown;
}

PublicWord::Ways PipPages::ways(const HubOrigin& origin, bool shares) {
  return {.feature = shares ? kFeatureSharesPip : 0,
          .headers = {{"Accept", kAccept}},
          .admits = [origin](const HubQuestionRequest& request) -> std::optional<RepoId> {
            const auto project = projectOf(request.target);
            if (request.form || !project) return std::nullopt;
            auto repo = RepoId::make(origin, RepoType::kModel, *project);
            if (!repo.ok()) return std::nullopt;
            return *std::move(repo);
          },
          .tidy = tidy,
          .lifetime = lifetime};
}

PipPages::PipPages(Seams seams, bool shares, std::string folder)
    : s_(std::move(seams)),
      folder_(std::move(folder)),
      word_({s_.io, s_.core, s_.index, s_.timers, s_.call, s_.alive},
            ways(s_.index.origin(), shares), kPipPageTtlMax) {}

PublicWord::Question PipPages::questionOf(const std::string& project) {
  return {.target = absl::StrCat("/", project, "/")};
}

RepoId PipPages::repoOf(const std::string& project) const {
  return *RepoId::make(s_.index.origin(), RepoType::kModel, project);  // normalised names fit
}

std::string PipPages::fileOf(const std::string& project) const {
  return absl::StrCat(folder_, "/", project, kFileSuffix);
}

asio::awaitable<OrAnswer<PipPages::Found>> PipPages::find(std::string project) {
  co_await recall(project);
  const RepoId repo = repoOf(project);
  const PublicWord::Question question = questionOf(project);
  PublicWord::Said said = co_await word_.ask(repo, question, false, false);
  const HttpHead head = said.result.head;
  if (isOutage(said.result)) {
    const absl::string_view why = said.result.status.ok() ? absl::string_view("it has an error")
                                                          : said.result.status.message();
    HttpAnswer answer =
        failure(503, "",
                sentence(absl::StrCat("the pip index cannot be asked for ", project), why,
                         "No node keeps its page. Try again later"));
    co_return answer;
  }
  if (head.status == 404) {
    HttpAnswer answer = failure(404, "", absl::StrCat("the pip index knows no project ", project));
    co_return answer;
  }
  if (head.status != 200) {
    HttpAnswer answer = failure(502, "",
                                sentence(absl::StrCat("the pip index refuses ", project),
                                         absl::StrCat("HTTP ", head.status),
                                         "Look at the user and password in --pip-index"));
    co_return answer;
  }
  const absl::Time at = said.at;
  const bool stale = said.stale;
  absl::StatusOr<Shown> shown = co_await show(project, std::move(said));
  if (!shown.ok()) {
    HttpAnswer answer =
        failure(502, "",
                sentence(absl::StrCat("the pip index's page of ", project, " cannot be understood"),
                         shown.status().message(), ""));
    co_return answer;
  }
  const HubWord word{head.status, head.headers, "", at};
  const absl::Duration counts =
      stale ? absl::ZeroDuration()
            : std::max(absl::ZeroDuration(), at + lifetime(word) - absl::Now());
  Found found{*std::move(shown), stale, counts};
  co_return found;
}

PipPages::Shown PipPages::known(const std::string& project) const {
  const auto kept = shown_.find(project);
  return kept == shown_.end() ? nullptr : kept->second.shown;
}

// Parses where nobody waits for the loop.
asio::awaitable<absl::StatusOr<PipPages::Shown>> PipPages::show(std::string project,
                                                                PublicWord::Said said) {
  const auto kept = shown_.find(project);
  if (kept != shown_.end() && kept->second.at == said.at) co_return kept->second.shown;
  const absl::Time at = said.at;
  const bool fresh = !said.stale;
  const std::string url = absl::StrCat(s_.index.origin().url(), questionOf(project).target);
  const auto held = std::make_shared<const PublicWord::Said>(std::move(said));
  using Result = absl::StatusOr<Shown>;
  const std::function<void(std::function<void(Result)>)> start =
      [&](std::function<void(Result)> done) {
        (void)s_.pool.submit({"pip page", WorkPriority::kReaderWaits, ""},
                             [project, held, url, done] { done(shownOf(project, *held, url)); });
      };
  const Result dropped = absl::UnavailableError("the agent is busy or stopping");
  Result shown = co_await awaitCallback<Result>(start, dropped);
  if (shown.ok()) {
    const auto before = shown_.find(project);
    const bool same = before != shown_.end() && before->second.shown->etag == (*shown)->etag;
    keep(project, at, *shown);
    if (fresh && !same) save(project, held);
  }
  co_return shown;
}

void PipPages::keep(const std::string& project, absl::Time at, Shown shown) {
  if (const auto known = shown_.find(project); known != shown_.end()) {
    shownBytes_ -= known->second.bytes;
    order_.erase(known->second.place);
    shown_.erase(known);
  }
  const size_t bytes = 2 * (shown->json.size() + shown->html.size());  // with the page itself
  order_.push_back(project);
  shown_.emplace(project, Kept{at, std::move(shown), bytes, std::prev(order_.end())});
  shownBytes_ += bytes;
  while (shownBytes_ > kPipShownBytesMax && order_.size() > 1) {
    const auto oldest = shown_.find(order_.front());
    shownBytes_ -= oldest->second.bytes;
    shown_.erase(oldest);
    order_.pop_front();
  }
}

// ---- On the disk

void PipPages::save(const std::string& project, std::shared_ptr<const PublicWord::Said> said) {
  (void)s_.pool.submit({"pip page", WorkPriority::kNormal, folder_},
                       [folder = folder_, file = fileOf(project), origin = s_.index.origin(),
                        said = std::move(said)] {
                         std::error_code ignored;
                         std::filesystem::create_directories(folder, ignored);
                         writePage(file, savedText(origin, *said));
                       });
}

asio::awaitable<void> PipPages::recall(std::string project) {
  const PublicWord::Question question = questionOf(project);
  if (word_.keeps(question)) co_return;
  using Result = std::optional<HubWord>;
  const std::function<void(std::function<void(Result)>)> start =
      [&](std::function<void(Result)> done) {
        (void)s_.pool.submit({"pip page", WorkPriority::kReaderWaits, folder_},
                             [file = fileOf(project), origin = s_.index.origin(), done] {
                               const auto text = readPage(file);
                               done(text.ok() ? wordOf(origin, *text) : std::nullopt);
                             });
      };
  const Result none;
  Result word = co_await awaitCallback<Result>(start, none);
  if (word && !word_.keeps(question)) word_.remember(question, *std::move(word));
}

// ---- Peers

void PipPages::asked(const HubQuestionRequest& question, PeerAnswer answer) {
  const auto project = projectOf(question.target);
  if (!project) {
    answer(absl::InvalidArgumentError("that is no question about a project"));
    return;
  }
  asio::co_spawn(s_.io, answerPeer(s_.alive(), this, *project, question, std::move(answer)),
                 asio::detached);
}

// The first keeps `self`.
asio::awaitable<void> PipPages::answerPeer(std::shared_ptr<void>, PipPages* self,
                                           std::string project, HubQuestionRequest question,
                                           PeerAnswer answer) {
  co_await self->recall(project);
  self->word_.asked(question, std::move(answer));
}

}  // namespace roost
