// What the hub says to anybody, asked once for the whole cluster: of each repo one member, its
// envoy (cluster/envoys.h), asks without a token and answers the others from what it knows.
//
// A question that is under way is not asked twice. An envoy that does not answer within
// kEnvoyPatience is passed over, and the hub is asked from here; one that waits for the hub says
// so. While the hub does not answer, what it said before counts, marked stale. Tokens never travel.
//
// A pip index is a hub of another kind (Ways): its projects are the repos. Of it a word that any
// member keeps counts while the index does not answer.
//
// Threads: `loop`. Everything given must outlive this. Memory: that of HubAnswers, and
// kEnvoyFlightsMax questions of peers under way.
#ifndef ROOST_NODE_ENDPOINT_PUBLIC_WORD_H_
#define ROOST_NODE_ENDPOINT_PUBLIC_WORD_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/core.h"
#include "cluster/envoys.h"
#include "cluster/hub_answers.h"
#include "node/endpoint/hub_line.h"
#include "node/loop_timers.h"
#include "node/peer_question.h"
#include "protocol/messages.h"

namespace roost {

class PublicWord {
 public:
  struct Seams {
    boost::asio::io_context& io;
    const Core& core;
    HubLine& hub;
    LoopTimers& timers;
    PeerCall call;
    std::function<std::shared_ptr<void>()> alive;  // kept while a question is under way
  };
  // Which questions these are, and how they are asked.
  struct Ways {
    uint64_t feature =
        kFeatureAsksHub;       // of the members that ask for each other; 0: each for itself
    HttpHeaders headers = {};  // of every question
    // The repo that a peer's question is about; none: it is none of these.
    std::function<std::optional<RepoId>(const HubQuestionRequest&)> admits;
    // What is kept and told of an answer.
    std::function<void(HubWord&)> tidy;
    // For how long a word counts, but no longer than the time to live; null: for that. Then a word
    // that has a validator is asked about by it, instead of asked for anew, and members that keep
    // one are asked for theirs when nobody else answers.
    std::function<absl::Duration(const HubWord&)> lifetime = nullptr;

    static Ways ofHub(const HubOrigin& origin);
  };
  struct Question {
    std::string target;                              // from "/" on
    std::optional<std::string> form = std::nullopt;  // the body of a POST
    std::string formType = {};
  };
  struct Said {
    HttpResult result;   // isOutage() if nobody knows
    bool stale = false;  // the hub did not say so now
    absl::Time at = absl::InfinitePast();
  };

  PublicWord(Seams seams, Ways ways, absl::Duration ttl);

  // `forGood`: what stands under a commit. `otherwise`: there is an answer without the hub, so
  // nobody waits for one that failed a moment ago.
  boost::asio::awaitable<Said> ask(RepoId repo, Question question, bool forGood, bool otherwise);
  // A peer asks this node as its envoy; answered within kEnvoyAnswer.
  void asked(const HubQuestionRequest& request, PeerAnswer answer);
  // Somebody wrote to the repo through this node: what was said before does not count.
  void written(const RepoId& repo);

  // What was said before this process began.
  bool keeps(const Question& question) const { return answers_.find(keyOf(question)) != nullptr; }
  void remember(const Question& question, HubWord word);

 private:
  using Waiter = std::function<void(Said)>;
  struct Flight {
    std::vector<Waiter> waiting;
    std::optional<Said> said;
  };
  using FlightKey = std::pair<bool, std::string>;  // as envoy; the question

  static std::string keyOf(const Question& question);
  static Said saidOf(const HubWord& word, bool stale);
  bool fresh(const HubWord& word, absl::Duration ageMax, absl::Time now) const;
  absl::Duration ageMaxOf(const RepoId& repo, bool forGood, absl::Time now) const;
  void join(bool asEnvoy, const RepoId& repo, const Question& question, absl::Duration ageMax,
            bool otherwise, Waiter waiter);
  static boost::asio::awaitable<void> fly(std::shared_ptr<void> alive, PublicWord* self,
                                          FlightKey key, RepoId repo, Question question,
                                          absl::Duration ageMax, bool otherwise);
  boost::asio::awaitable<std::optional<Said>> askEnvoy(NodeId envoy, Question question,
                                                       absl::Duration ageMax);
  boost::asio::awaitable<Said> askHub(std::string key, Question question, bool otherwise);
  boost::asio::awaitable<std::optional<Said>> askKeepers(Question question);
  boost::asio::awaitable<std::optional<Said>> askKeeper(NodeId keeper, Question question);
  std::vector<NodeId> members() const;
  static void tell(Flight& flight, Said said);

  Seams s_;
  const Ways ways_;
  const absl::Duration ttl_;
  Envoys envoys_;
  HubAnswers answers_;
  std::map<FlightKey, std::shared_ptr<Flight>> flights_;
  size_t asEnvoy_ = 0;  // flights of them
  std::map<RepoId, absl::Time> writtenAt_;
};

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PUBLIC_WORD_H_
