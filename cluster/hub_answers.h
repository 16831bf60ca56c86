// What the hub said to anybody, remembered by question: the oldest goes when there is no room.
//
// Threads: one (`loop`). Memory: kHubAnswersCachedMax answers, kHubAnswersBytesMax in all.
#ifndef ROOST_CLUSTER_HUB_ANSWERS_H_
#define ROOST_CLUSTER_HUB_ANSWERS_H_

#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace roost {

struct HubWord {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  absl::Time at;  // when the hub said so
};

class HubAnswers {
 public:
  // Null: never asked, or forgotten. Valid until the next call.
  const HubWord* find(const std::string& question) const;
  // One that takes more than an eighth of the room is not kept.
  void keep(const std::string& question, HubWord word);
  // All questions with this in them.
  void forget(absl::string_view part);

 private:
  struct Kept {
    HubWord word;
    size_t bytes;
    std::list<std::string>::iterator place;
  };
  void drop(const std::string& question);

  std::map<std::string, Kept> kept_;
  std::list<std::string> order_;  // oldest first
  size_t bytes_ = 0;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_HUB_ANSWERS_H_
