#include "node/endpoint/public_word.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "node/endpoint/hub_documents.h"
#include "node/endpoint/hub_failures.h"
#include "node/endpoint/hub_route.h"
#include "protocol/limits.h"

namespace roost {

namespace asio = boost::asio;

namespace {

constexpr absl::Duration kKeepersPatience = absl::Seconds(4);  // for all that are asked in turn

HttpHeaders validatorsOf(const HubWord& word) {
  HttpHeaders conditions;
  for (const auto& [name, value] : word.headers) {
    if (name == "etag") conditions.emplace_back("If-None-Match", value);
    if (name == "last-modified") conditions.emplace_back("If-Modified-Since", value);
  }
  return conditions;
}

}  // namespace

PublicWord::Ways PublicWord::Ways::ofHub(const HubOrigin& origin) {
  return {.admits = [origin](const HubQuestionRequest& request) -> std::optional<RepoId> {
            const HubRoute route = hubRoute(origin, request.form ? "POST" : "GET", request.target);
            const bool metadata =
                route.kind == HubRoute::Kind::kInfo || route.kind == HubRoute::Kind::kRevision ||
                route.kind == HubRoute::Kind::kTree || route.kind == HubRoute::Kind::kPathsInfo ||
                route.kind == HubRoute::Kind::kRefs;
            return metadata ? route.repo : std::nullopt;
          },
          .tidy = [](HubWord& word) { word.body = withoutXet(std::move(word.body)); }};
}

PublicWord::PublicWord(Seams seams, Ways ways, absl::Duration ttl)
    : s_(std::move(seams)), ways_(std::move(ways)), ttl_(ttl), envoys_(s_.core.self().id) {}

std::vector<NodeId> PublicWord::members() const {
  if (ways_.feature == 0) return {s_.core.self().id};
  return s_.core.membersWith(ways_.feature);
}

void PublicWord::remember(const Question& question, HubWord word) {
  answers_.keep(keyOf(question), std::move(word));
}

std::string PublicWord::keyOf(const Question& question) {
  return absl::StrCat(question.target, " ", question.formType, " ", question.form.value_or(""));
}

PublicWord::Said PublicWord::saidOf(const HubWord& word, bool stale) {
  return {{absl::OkStatus(), {word.status, word.headers}, word.body}, stale, word.at};
}

// A refusal may be one for a moment only, whatever it is of.
bool PublicWord::fresh(const HubWord& word, absl::Duration ageMax, absl::Time now) const {
  const absl::Duration ttl = ways_.lifetime ? std::min(ttl_, ways_.lifetime(word)) : ttl_;
  const bool forGood = word.status == 200 && !ways_.lifetime;
  return now - word.at < (forGood ? ageMax : std::min(ageMax, ttl));
}

absl::Duration PublicWord::ageMaxOf(const RepoId& repo, bool forGood, absl::Time now) const {
  if (forGood) return absl::InfiniteDuration();
  const auto written = writtenAt_.find(repo);
  return written == writtenAt_.end() ? ttl_ : std::min(ttl_, now - written->second);
}

void PublicWord::written(const RepoId& repo) {
  const absl::Time now = absl::Now();
  std::erase_if(writtenAt_, [&](const auto& entry) { return now - entry.second > ttl_; });
  writtenAt_.insert_or_assign(repo, now);
}

asio::awaitable<PublicWord::Said> PublicWord::ask(RepoId repo, Question question, bool forGood,
                                                  bool otherwise) {
  const absl::Time now = absl::Now();
  const absl::Duration ageMax = ageMaxOf(repo, forGood, now);
  const HubWord* kept = answers_.find(keyOf(question));
  if (kept != nullptr && fresh(*kept, ageMax, now)) co_return saidOf(*kept, false);
  if (otherwise && !s_.hub.open()) {
    if (kept != nullptr) co_return saidOf(*kept, true);
    Said nobody;  // GCC 12: no braced list in a co_return
    nobody.result.status = absl::UnavailableError("the hub failed a moment ago");
    co_return nobody;
  }
  const NodeId self = s_.core.self().id;
  const bool asEnvoy = envoys_.envoyOf(repo, members(), now) == self;
  const std::function<void(Waiter)> start = [&](Waiter done) {
    join(asEnvoy, repo, question, ageMax, otherwise, std::move(done));
  };
  const Said dropped{{absl::UnavailableError("the agent is stopping"), {}, {}}};
  co_return co_await awaitCallback<Said>(start, dropped);
}

void PublicWord::join(bool asEnvoy, const RepoId& repo, const Question& question,
                      absl::Duration ageMax, bool otherwise, Waiter waiter) {
  const FlightKey key{asEnvoy, keyOf(question)};
  const auto known = flights_.find(key);
  if (known != flights_.end() && !known->second->said) {
    known->second->waiting.push_back(std::move(waiter));
    return;
  }
  if (known != flights_.end()) {
    // It has an answer, and still looks whether the hub has a newer one.
    waiter(*known->second->said);
    return;
  }
  const auto flight = std::make_shared<Flight>();
  flight->waiting.push_back(std::move(waiter));
  flights_.emplace(key, flight);
  if (asEnvoy) ++asEnvoy_;
  asio::co_spawn(s_.io, fly(s_.alive(), this, key, repo, question, ageMax, otherwise),
                 asio::detached);
}

void PublicWord::tell(Flight& flight, Said said) {
  for (Waiter& waiter : std::exchange(flight.waiting, {})) waiter(said);
  flight.said = std::move(said);
}

// The first keeps `self`.
asio::awaitable<void> PublicWord::fly(std::shared_ptr<void>, PublicWord* self, FlightKey key,
                                      RepoId repo, Question question, absl::Duration ageMax,
                                      bool otherwise) {
  const std::shared_ptr<Flight> flight = self->flights_.at(key);
  const bool asEnvoy = key.first;
  std::optional<Said> told;
  const NodeId envoy = self->envoys_.envoyOf(repo, self->members(), absl::Now());
  if (!asEnvoy && envoy != self->s_.core.self().id) {
    told = co_await self->askEnvoy(envoy, question, ageMax);
    if (told && isOutage(told->result)) {  // it waited for the hub for as long as a client does
      self->s_.hub.failed("the hub did not answer in time");
      const HubWord* kept = self->answers_.find(key.second);
      if (kept != nullptr) {
        told = saidOf(*kept, true);
      } else if (std::optional<Said> other = co_await self->askKeepers(question)) {
        told = std::move(other);
      }
      tell(*flight, *told);
      self->flights_.erase(key);
      co_return;
    }
    if (told) {
      const HttpResult& result = told->result;
      const HubWord* kept = self->answers_.find(key.second);
      if (kept == nullptr || kept->at < told->at) {
        self->answers_.keep(key.second,
                            {result.head.status, result.head.headers, result.body, told->at});
      }
      tell(*flight, *told);
    }
  }
  // An envoy that the hub does not answer may be alone with that: nobody waits for this question,
  // and if it is answered somebody else is the envoy.
  if (!told || told->stale) {
    const HubWord* kept = self->answers_.find(key.second);
    Said own = co_await self->askHub(key.second, question, kept != nullptr || otherwise);
    if (told && !isOutage(own.result)) self->envoys_.failed(envoy, absl::Now());
    if (!told) {
      kept = self->answers_.find(key.second);
      if (isOutage(own.result)) {
        if (kept != nullptr) {
          own = saidOf(*kept, true);
        } else if (std::optional<Said> other = co_await self->askKeepers(question)) {
          own = *std::move(other);
        }
      }
      tell(*flight, std::move(own));
    }
  }
  self->flights_.erase(key);
  if (asEnvoy) --self->asEnvoy_;
}

asio::awaitable<PublicWord::Said> PublicWord::askHub(std::string key, Question question,
                                                     bool otherwise) {
  HubProxy::Question asked{.target = question.target};
  asked.headers = ways_.headers;
  const HubWord* kept = ways_.lifetime ? answers_.find(key) : nullptr;
  std::optional<HubWord> before;
  if (kept != nullptr && kept->status == 200) {
    before = *kept;
    for (auto& condition : validatorsOf(*kept)) asked.headers.push_back(std::move(condition));
  }
  if (question.form) {
    asked.verb = "POST";
    asked.upload = *question.form;
    asked.headers.emplace_back("Content-Type", question.formType);
  }
  Said said;              // GCC 12: no braced list around co_await
  said.at = absl::Now();  // what is written while the hub is asked may not be in its word
  said.result = co_await s_.hub.ask(std::move(asked), otherwise);
  if (isOutage(said.result)) co_return said;
  HubWord word{said.result.head.status, said.result.head.headers, std::move(said.result.body),
               said.at};
  ways_.tidy(word);
  const bool unchanged = word.status == 304 && before;
  if (unchanged) {
    // It says again how long it counts; the rest is as it was.
    std::swap(word.body, before->body);
    word.status = 200;
    for (auto& header : before->headers) {
      const bool again = std::any_of(word.headers.begin(), word.headers.end(),
                                     [&](const auto& h) { return h.first == header.first; });
      if (!again) word.headers.push_back(std::move(header));
    }
  }
  said = saidOf(word, false);
  // A word that nobody can use takes no place of one that counts while the index is down.
  const bool counts = !ways_.lifetime || word.status == 200 || word.status == 404;
  if (counts) answers_.keep(key, std::move(word));
  co_return said;
}

// Whoever keeps a word, however old: nobody can ask the index.
asio::awaitable<std::optional<PublicWord::Said>> PublicWord::askKeepers(Question question) {
  if (!ways_.lifetime) co_return std::nullopt;
  const absl::Time until = absl::Now() + kKeepersPatience;
  const std::vector<NodeId> all = members();
  for (const NodeId& member : all) {
    if (member == s_.core.self().id || absl::Now() >= until) continue;
    std::optional<Said> said = co_await askKeeper(member, question);
    if (said) co_return said;
  }
  co_return std::nullopt;
}

asio::awaitable<std::optional<PublicWord::Said>> PublicWord::askKeeper(NodeId keeper,
                                                                       Question question) {
  const Request request = HubQuestionRequest{s_.hub.origin(), question.target, question.form,
                                             question.formType, absl::InfiniteDuration()};
  absl::StatusOr<Reply> reply =
      co_await askPeer(s_.call, s_.timers, keeper, request, kEnvoyPatience);
  auto* told = reply.ok() ? std::get_if<HubQuestionReply>(&*reply) : nullptr;
  if (told == nullptr || told->outcome != HubOutcome::kAnswer || told->status != 200) {
    co_return std::nullopt;
  }
  HubWord word{told->status, std::move(told->headers), std::move(told->body),
               absl::Now() - told->age};
  ways_.tidy(word);
  Said said = saidOf(word, true);
  answers_.keep(keyOf(question), std::move(word));
  co_return said;
}

// None: it cannot say, or not in time.
asio::awaitable<std::optional<PublicWord::Said>> PublicWord::askEnvoy(NodeId envoy,
                                                                      Question question,
                                                                      absl::Duration ageMax) {
  HubQuestionRequest asked{s_.hub.origin(), question.target, question.form, question.formType,
                           ageMax};
  const absl::Time began = absl::Now();
  const absl::Time until = began + kEndpointAnswerTimeout - absl::Seconds(1);
  while (absl::Now() < until) {
    // What the hub said since this began counts in any case.
    asked.ageMax = ageMax + (absl::Now() - began);
    const Request request = asked;
    absl::StatusOr<Reply> reply =
        co_await askPeer(s_.call, s_.timers, envoy, request, kEnvoyPatience);
    auto* word = reply.ok() ? std::get_if<HubQuestionReply>(&*reply) : nullptr;
    if (word == nullptr || word->outcome == HubOutcome::kUnable) {
      if (word != nullptr && word->rest > absl::ZeroDuration()) {
        s_.hub.rest().heard(word->rest, absl::Now());
      } else {
        envoys_.failed(envoy, absl::Now());
      }
      co_return std::nullopt;
    }
    if (word->outcome == HubOutcome::kAsking) {
      co_await s_.timers.sleep(kEnvoyPause);
      continue;
    }
    HubWord told{word->status, std::move(word->headers), std::move(word->body),
                 absl::Now() - word->age};
    ways_.tidy(told);
    Said said = saidOf(told, word->stale);
    if (isOutage(said.result)) co_return std::nullopt;  // nothing that an envoy may say
    co_return said;
  }
  co_return Said{{absl::UnavailableError("the hub did not answer in time"), {}, {}}};
}

void PublicWord::asked(const HubQuestionRequest& request, PeerAnswer answer) {
  const auto unable = [&](absl::Duration rest) {
    HubQuestionReply reply;
    reply.rest = rest;
    answer(reply);
  };
  const std::optional<RepoId> repo = ways_.admits(request);
  if (!repo) {
    answer(absl::InvalidArgumentError("that is no question about a repo"));
    return;
  }
  const bool ours = request.origin == s_.hub.origin() && ways_.feature != 0;
  if (!s_.hub.exists() || !ours) return unable(absl::ZeroDuration());
  const auto replyOf = [](const Said& said) {
    HubQuestionReply reply;
    reply.outcome = HubOutcome::kAnswer;
    reply.status = static_cast<uint16_t>(said.result.head.status);
    reply.headers = said.result.head.headers;
    reply.body = said.result.body;
    reply.age = std::max(absl::Now() - said.at, absl::ZeroDuration());
    reply.stale = said.stale;
    return reply;
  };
  const Question question{request.target, request.form, request.formType};
  const absl::Time now = absl::Now();
  const HubWord* kept = answers_.find(keyOf(question));
  if (kept != nullptr && fresh(*kept, request.ageMax, now)) {
    answer(replyOf(saidOf(*kept, false)));
    return;
  }
  if (ways_.lifetime && request.ageMax == absl::InfiniteDuration()) {  // of a keeper
    if (kept == nullptr || kept->body.size() > kMessageBytesMax / 2) {
      return unable(absl::ZeroDuration());
    }
    answer(replyOf(saidOf(*kept, true)));
    return;
  }
  if (asEnvoy_ >= kEnvoyFlightsMax) return unable(absl::ZeroDuration());
  // What comes first: the hub's word, or the time by which the peer wants to hear something.
  const auto once = std::make_shared<PeerAnswer>(std::move(answer));
  join(true, *repo, question, request.ageMax, false, [this, once, replyOf](Said said) {
    if (!*once) return;
    const PeerAnswer reply = std::exchange(*once, nullptr);
    const bool travels = said.result.body.size() <= kMessageBytesMax / 2 &&
                         said.result.head.headers.size() <= kHubHeadersMax;
    if (!isOutage(said.result) && travels) return reply(replyOf(said));
    HubQuestionReply unknown;
    unknown.rest = s_.hub.rest().saidLeft(absl::Now());
    reply(unknown);
  });
  s_.timers.after(kEnvoyAnswer, [once] {
    if (!*once) return;
    HubQuestionReply asking;
    asking.outcome = HubOutcome::kAsking;
    std::exchange(*once, nullptr)(asking);
  });
}

}  // namespace roost
