#include "node/pip_commands.h"

#include <fcntl.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/unique_fd.h"
#include "node/await_callback.h"
#include "node/command_arguments.h"
#include "node/documents.h"
#include "node/endpoint/pip_page.h"
#include "node/pip_requirement.h"
#include "protocol/errors.h"

namespace roost {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

absl::StatusOr<PipOrder> orderIn(const json& arguments) {
  ROOST_ASSIGN_OR_RETURN(const std::string text, textIn(arguments, "repo"));
  PipOrder order;
  ROOST_ASSIGN_OR_RETURN(order.what, parsePipRequirement(text));
  ROOST_ASSIGN_OR_RETURN(order.include, textsIn(arguments, "include"));
  ROOST_ASSIGN_OR_RETURN(order.exclude, textsIn(arguments, "exclude"));
  ROOST_ASSIGN_OR_RETURN(order.files, textsIn(arguments, "files"));
  return order;
}

const char* fromText(PipBrought::From from) {
  switch (from) {
    case PipBrought::From::kCache:
      return "cache";
    case PipBrought::From::kHere:
      return "here";
    case PipBrought::From::kPeers:
      return "peers";
    case PipBrought::From::kIndex:
      break;
  }
  return "index";
}

std::optional<WheelName> nameIn(const LocalCopy& copy) {
  const UniqueFd fd(::open(copy.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return fd ? wheelNameOf(fd.get(), copy.blob.size) : std::nullopt;
}

}  // namespace

json PipCommands::namesOfNodes(const std::vector<NodeId>& nodes) const {
  json names = json::array();
  for (const NodeId& id : nodes) names.push_back(nameOf(s_.core, id));
  std::sort(names.begin(), names.end());
  return names;
}

json PipCommands::document(const PipWheel& wheel) const {
  json document = {{"type", kPipType},
                   {"project", wheel.project},
                   {"version", wheel.version},
                   {"file", wheel.file.name},
                   {"digest", wheel.file.sha256->toString()},
                   {"nodes", wheel.holders.size()},
                   {"holders", namesOfNodes(wheel.holders)}};
  if (wheel.file.size) document["bytes"] = *wheel.file.size;
  return document;
}

asio::awaitable<PipCommands::Document> PipCommands::ls() {
  std::vector<LocalCopy> copies;
  if (s_.index) copies = s_.folders.inventory().copiesOf(*s_.index);
  names_ = co_await namesOf(copies);
  using Key = std::tuple<std::string, std::string, std::string, std::string>;
  std::map<Key, json> wheels;
  for (const LocalCopy& copy : copies) {
    const auto found = names_.find(copy.blob.id);
    if (found == names_.end() || !found->second) continue;
    const WheelName& name = *found->second;
    PipWheel wheel{pipProjectName(name.project).value_or(name.project), name.version, {}, {}};
    wheel.file.name = name.file;
    wheel.file.sha256 = copy.blob.id;
    wheel.file.size = copy.blob.size;
    for (const HolderView& holder : s_.core.holders(copy.blob.id)) {
      wheel.holders.push_back(holder.node);
    }
    json& listed = wheels[{wheel.project, name.version, name.file, copy.blob.id.toString()}];
    listed = document(wheel);
    listed["path"] = copy.path;
  }
  json list = json::array();
  for (auto& [key, wheel] : wheels) list.push_back(std::move(wheel));
  co_return json{{"schema", "roost.wheels.1"}, {"wheels", std::move(list)}};
}

// A file is opened once: what it is called does not change while its content does not.
asio::awaitable<PipCommands::Names> PipCommands::namesOf(std::vector<LocalCopy> copies) {
  Names names;
  auto unknown = std::make_shared<std::vector<LocalCopy>>();
  for (LocalCopy& copy : copies) {
    const auto known = names_.find(copy.blob.id);
    if (known != names_.end()) {
      names.insert(*known);
    } else {
      unknown->push_back(std::move(copy));
    }
  }
  if (unknown->empty()) co_return names;
  const std::function<void(std::function<void(Names)>)> start =
      [&](std::function<void(Names)> done) {
        (void)s_.pool.submit({"wheel names", WorkPriority::kReaderWaits, s_.cache},
                             [unknown, done] {
                               Names found;
                               for (const LocalCopy& copy : *unknown) {
                                 found.emplace(copy.blob.id, nameIn(copy));
                               }
                               done(std::move(found));
                             });
      };
  const Names none;
  Names found = co_await awaitCallback<Names>(start, none);
  names.merge(found);
  co_return names;
}

asio::awaitable<PipCommands::Document> PipCommands::where(json arguments) {
  ROOST_CO_ASSIGN_OR_RETURN(PipOrder order, orderIn(arguments));
  const std::string query = order.what.toString();
  const std::string project = order.what.project;
  const absl::StatusOr<std::vector<PipWheel>> wheels =
      co_await s_.endpoint.findWheels(std::move(order));
  if (!wheels.ok()) co_return wheels.status();
  std::map<NodeId, json> nodes;
  for (const PipWheel& wheel : *wheels) {
    for (const NodeId& id : wheel.holders) {
      json& node = nodes[id];
      if (node.is_null()) {
        node = {{"name", nameOf(s_.core, id)},
                {"id", id.hex()},
                {"files", 0},
                {"bytes", 0},
                {"wheels", json::array()}};
      }
      node["wheels"].push_back(wheel.file.name);
      node["files"] = node["wheels"].size();
      node["bytes"] = node["bytes"].get<uint64_t>() +
                      wheel.file.size.value_or(s_.core.sizeOf(*wheel.file.sha256).value_or(0));
    }
  }
  json list = json::array();
  for (auto& [id, node] : nodes) list.push_back(std::move(node));
  co_return json{{"schema", "roost.where.1"},
                 {"query", query},
                 {"project", project},
                 {"nodes", std::move(list)},
                 {"refs", json::array()}};
}

asio::awaitable<PipCommands::Document> PipCommands::warm(json arguments) {
  ROOST_CO_ASSIGN_OR_RETURN(PipOrder order, orderIn(arguments));
  const bool dryRun = arguments.value("dry_run", false);
  const std::string query = order.what.toString();
  const absl::StatusOr<std::vector<PipWheel>> wheels =
      co_await s_.endpoint.findWheels(std::move(order));
  if (!wheels.ok()) co_return wheels.status();
  json list = json::array();
  size_t failed = 0;
  absl::Status why;
  for (const PipWheel& wheel : *wheels) {
    json entry = document(wheel);
    if (!dryRun) {
      const absl::StatusOr<PipBrought> brought = co_await s_.endpoint.bringWheel(wheel);
      entry["state"] = brought.ok() ? "done" : "failed";
      entry["message"] = std::string(brought.status().message());
      if (brought.ok()) {
        entry["from"] = fromText(brought->from);
        entry["bytes"] = brought->bytes;
      } else {
        ++failed;
        why = brought.status();
      }
    }
    list.push_back(std::move(entry));
  }
  if (failed == wheels->size()) {
    co_return absl::Status(why.code(), sentence(absl::StrCat("cannot bring ", query,
                                                             " into pip's "
                                                             "cache"),
                                                why.message(), ""));
  }
  co_return json{{"schema", "roost.wheels.1"},
                 {"query", query},
                 {"cache", s_.cache},
                 {"exit_code", static_cast<int>(failed == 0 ? ExitCode::kOk : ExitCode::kPartial)},
                 {"wheels", std::move(list)}};
}

}  // namespace roost
