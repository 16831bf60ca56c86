#include "node/explanation.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "node/documents.h"

namespace roost {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

constexpr size_t kFilesAtOnce = 256;

struct Group {
  Plan plan;
  json files = json::array();
  uint64_t bytes = 0;
};

json documentOf(const Core& core, const std::vector<PlannedSource>& sources) {
  json list = json::array();
  for (const PlannedSource& source : sources) {
    list.push_back({{"name", nameOf(core, source.node)},
                    {"id", source.node.hex()},
                    {"holder", source.holder},
                    {"why", sentenceOf(source.reason)}});
  }
  return list;
}

json documentOf(const Core& core, Group group) {
  json why = json::array();
  for (const Reason& reason : group.plan.reasons) why.push_back(sentenceOf(reason));
  return {{"lane", std::string(laneName(group.plan.lane))},
          {"why", std::move(why)},
          {"at_once", group.plan.atOnce},
          {"sources", documentOf(core, group.plan.sources)},
          {"passed_over", documentOf(core, group.plan.passed)},
          {"bytes", group.bytes},
          {"files", std::move(group.files)}};
}

void add(std::vector<Group>& groups, Plan plan, json file, uint64_t bytes) {
  auto group = std::find_if(groups.begin(), groups.end(),
                            [&](const Group& known) { return known.plan == plan; });
  if (group == groups.end()) {
    groups.push_back({std::move(plan)});
    group = groups.end() - 1;
  }
  group->files.push_back(std::move(file));
  group->bytes += bytes;
}

json documentOf(const Core& core, std::vector<Group> groups) {
  json plans = json::array();
  for (Group& group : groups) plans.push_back(documentOf(core, std::move(group)));
  return plans;
}

}  // namespace

asio::awaitable<json> explanation(const Core& core, const Listing& listing, SourceRule rule) {
  const auto executor = co_await asio::this_coro::executor;
  std::vector<Group> groups;
  for (size_t i = 0; i < listing.files.size(); ++i) {
    if (i % kFilesAtOnce == kFilesAtOnce - 1) co_await asio::post(executor, asio::use_awaitable);
    const FileEntry& file = listing.files[i];
    const BlobSite site{listing.repo, listing.commit, file.path};
    json entry = {
        {"path", file.path.text()}, {"digest", file.blob.id.toString()}, {"bytes", file.blob.size}};
    add(groups, core.plan(file.blob, site, rule), std::move(entry), file.blob.size);
  }
  co_return documentOf(core, std::move(groups));
}

json explanation(const Core& core, const BlobInfo& blob) {
  std::vector<Group> groups;
  add(groups, core.plan(blob, std::nullopt, SourceRule::kAny),
      {{"digest", blob.id.toString()}, {"bytes", blob.size}}, blob.size);
  return documentOf(core, std::move(groups));
}

}  // namespace roost
