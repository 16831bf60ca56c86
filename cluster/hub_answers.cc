#include "cluster/hub_answers.h"

#include "absl/strings/match.h"
#include "protocol/limits.h"

namespace roost {

const HubWord* HubAnswers::find(const std::string& question) const {
  const auto it = kept_.find(question);
  return it == kept_.end() ? nullptr : &it->second.word;
}

void HubAnswers::keep(const std::string& question, HubWord word) {
  drop(question);
  size_t bytes = question.size() + word.body.size();
  for (const auto& [name, value] : word.headers) bytes += name.size() + value.size();
  if (bytes > kHubAnswersBytesMax / 8) return;
  while (!order_.empty() &&
         (kept_.size() >= kHubAnswersCachedMax || bytes_ + bytes > kHubAnswersBytesMax)) {
    drop(std::string(order_.front()));
  }
  bytes_ += bytes;
  const auto place = order_.insert(order_.end(), question);
  kept_.emplace(question, Kept{std::move(word), bytes, place});
}

void HubAnswers::forget(absl::string_view part) {
  for (auto it = order_.begin(); it != order_.end();) {
    const std::string question = *it++;
    if (absl::StrContains(question, part)) drop(question);
  }
}

void HubAnswers::drop(const std::string& question) {
  const auto it = kept_.find(question);
  if (it == kept_.end()) return;
  bytes_ -= it->second.bytes;
  order_.erase(it->second.place);
  kept_.erase(it);
}

}  // namespace roost
