#include "cache/datasets_info.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace roost {
namespace {

size_t shardsOf(const nlohmann::json& split) {
  if (!split.is_object()) return 1;
  const auto lengths = split.find("shard_lengths");
  if (lengths == split.end() || !lengths->is_array()) return 1;
  return std::max<size_t>(lengths->size(), 1);
}

}  // namespace

bool hasAllSplits(absl::string_view info, const std::set<std::string>& names) {
  const auto json = nlohmann::json::parse(info, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  const auto splits = json.find("splits"), dataset = json.find("dataset_name");
  const bool says =
      splits != json.end() && splits->is_object() && dataset != json.end() && dataset->is_string();
  if (!says) return true;
  for (const auto& [name, split] : splits->items()) {
    const std::string prefix = absl::StrCat(dataset->get<std::string>(), "-", name);
    const size_t shards = shardsOf(split);
    if (shards > names.size()) return false;
    if (shards == 1 && !names.contains(absl::StrCat(prefix, ".arrow"))) return false;
    for (size_t i = 0; shards > 1 && i < shards; ++i) {
      if (!names.contains(absl::StrFormat("%s-%05d-of-%05d.arrow", prefix, i, shards))) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace roost
