#include "cache/roots.h"

#include <sys/types.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cache/file_system.h"
#include "protocol/errors.h"
#include "protocol/names.h"

namespace roost {
namespace {

constexpr std::pair<Layout, absl::string_view> kLayoutNames[] = {
    {Layout::kHub, "hub"}, {Layout::kFlat, "flat"}, {Layout::kDatasets, "datasets"},
    {Layout::kPip, "pip"}, {Layout::kTree, "tree"}, {Layout::kRepresentations, "representations"},
};

// Removes "//", "." and trailing slashes. ".." stays: only the file system knows what it means.
std::string tidy(absl::string_view path) {
  std::vector<absl::string_view> segments;
  for (absl::string_view segment : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (segment != ".") segments.push_back(segment);
  }
  return absl::StrCat("/", absl::StrJoin(segments, "/"));
}

// What is said of a root now, and of `before` what nobody says now.
RootConfig said(RootConfig now, const RootConfig& before) {
  if (!now.show) now.show = before.show;
  return now;
}

class Search {
 public:
  explicit Search(const ClientEnvironment& environment)
      : environment_(environment), home_(tidy(environment.huggingFaceHome())) {}

  // False: it was refused, and noted.
  bool add(RootConfig root) {
    const auto refuse = [&](absl::string_view why, absl::string_view todo) {
      found_.notes.push_back(sentence(
          absl::StrCat(root.origin, " = ", quoted(root.path), " is not watched"), why, todo));
      return false;
    };
    if (!absl::StartsWith(root.path, "/")) {
      return refuse("it is relative to the working folder of each client", "Give an absolute path");
    }
    root.path = tidy(root.path);
    if (root.path == home_ || root.path == "/") {
      return refuse(root.path == "/" ? "it is the whole file system"
                                     : "it is the Hugging Face home, which holds tokens",
                    absl::StrCat("Use a folder of its own, such as ", joinPath(home_, "hub")));
    }
    if (root.layout == Layout::kTree && absl::StartsWith(home_, root.path + "/")) {
      return refuse("the Hugging Face home lies in it, which holds tokens",
                    "Name the folder of the cache itself");
    }
    const auto same =
        std::find_if(found_.roots.begin(), found_.roots.end(), [&](const RootConfig& other) {
          return other.path == root.path && other.layout == root.layout;
        });
    if (root.layout == Layout::kFlat) root.write = false;
    if (same == found_.roots.end()) {
      found_.roots.push_back(std::move(root));
    } else {
      *same = said(std::move(root), *same);
    }
    return true;
  }

  // The first of `names` that is set.
  std::optional<RootConfig> fromVariables(const std::vector<absl::string_view>& names,
                                          bool expanded) {
    for (absl::string_view name : names) {
      if (environment_.isEmpty(name)) {
        found_.notes.push_back(sentence(absl::StrCat(name, " is ignored"),
                                        "it is set to nothing, and Python clients then use their "
                                        "working folder",
                                        "Unset it or give an absolute path"));
      }
      if (const auto value = environment_.get(name)) {
        RootConfig root;
        root.path = expanded ? environment_.expand(*value) : *value;
        root.origin = std::string(name);
        return root;
      }
    }
    return std::nullopt;
  }

  RootConfig inHome(absl::string_view folder) const {
    RootConfig root;
    root.path = environment_.expand(joinPath(environment_.huggingFaceHome(), folder));
    root.origin = environment_.get("HF_HOME")          ? "HF_HOME"
                  : environment_.get("XDG_CACHE_HOME") ? "XDG_CACHE_HOME"
                                                       : "default";
    return root;
  }

  RootSearch take() && { return std::move(found_); }

 private:
  const ClientEnvironment& environment_;
  std::string home_;
  RootSearch found_;
};

RootConfig optionRoot(const ClientEnvironment& environment, absl::string_view path,
                      absl::string_view option) {
  RootConfig root;
  root.path = environment.expand(path);
  root.origin = std::string(option);
  return root;
}

// Where transformers before 4.22 put its files: the Hugging Face home since 3.5, before that
// torch's.
std::vector<RootConfig> formerDefaults(const ClientEnvironment& environment) {
  std::vector<RootConfig> roots(2);
  roots[0].path = environment.expand(joinPath(environment.huggingFaceHome(), "transformers"));
  const std::string caches = environment.get("XDG_CACHE_HOME").value_or("~/.cache");
  const std::string torch = environment.get("TORCH_HOME").value_or(joinPath(caches, "torch"));
  roots[1].path = environment.expand(joinPath(torch, "transformers"));
  for (RootConfig& root : roots) root.origin = "transformers before 4.22";
  return roots;
}

}  // namespace

absl::string_view layoutName(Layout layout) {
  for (const auto& [value, name] : kLayoutNames) {
    if (value == layout) return name;
  }
  return "hub";
}

absl::StatusOr<Layout> parseLayout(absl::string_view name) {
  for (const auto& [value, known] : kLayoutNames) {
    if (known == name) return value;
  }
  return absl::InvalidArgumentError(
      sentence(absl::StrCat("unknown layout ", quoted(name)), "",
               "Use hub, flat, datasets, pip, tree or representations"));
}

absl::StatusOr<ShowHere> parseShowHere(absl::string_view name) {
  if (name == "no") return ShowHere::kNo;
  if (name == "link") return ShowHere::kLink;
  if (name == "copy") return ShowHere::kCopy;
  return absl::InvalidArgumentError(
      sentence(absl::StrCat("unknown show ", quoted(name)), "", "Use no, link or copy"));
}

absl::StatusOr<RootVisibility> parseRootVisibility(absl::string_view name) {
  if (name == "ask") return RootVisibility::kAsk;
  if (name == "public") return RootVisibility::kPublic;
  if (name == "private") return RootVisibility::kPrivate;
  return absl::InvalidArgumentError(sentence(absl::StrCat("unknown visibility ", quoted(name)), "",
                                             "Use ask, public or private"));
}

RootSearch findRoots(const ClientEnvironment& environment, const RootOptions& options) {
  Search search(environment);
  if (!options.hubCache.empty()) {
    search.add(optionRoot(environment, options.hubCache, "--hub-cache"));
  } else {
    const auto named = search.fromVariables({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}, true);
    search.add(named ? *named : search.inHome("hub"));
    if (named && environment.get("HF_HOME")) search.add(search.inHome("hub"));
  }
  // These three and LLAMA_CACHE are used as they stand: no "~", no "$NAME" (transformers 4
  // utils/hub.py, llama.cpp hf-cache.cpp).
  std::vector<RootConfig> flat;
  auto transformers =
      options.transformersCache.empty()
          ? search.fromVariables({"TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE",
                                  "PYTORCH_PRETRAINED_BERT_CACHE"},
                                 false)
          : optionRoot(environment, options.transformersCache, "--transformers-cache");
  if (transformers) {
    transformers->show = ShowHere::kLink;
    if (search.add(*transformers)) flat.push_back(*transformers);
  } else {
    flat = formerDefaults(environment);
  }
  if (const auto root = search.fromVariables({"LLAMA_CACHE"}, false)) search.add(*root);
  for (RootConfig& root : flat) {
    root.layout = Layout::kFlat;
    root.show = std::nullopt;
    search.add(std::move(root));
  }
  auto datasets = options.datasetsCache.empty()
                      ? search.fromVariables({"HF_DATASETS_CACHE"}, true)
                      : optionRoot(environment, options.datasetsCache, "--datasets-cache");
  if (!datasets) datasets = search.inHome("datasets");
  datasets->layout = Layout::kDatasets;
  search.add(*std::move(datasets));
  for (RootConfig root : options.roots) {
    root.path = environment.expand(root.path);
    search.add(std::move(root));
  }
  return std::move(search).take();
}

ResolvedRoots resolveRoots(const std::vector<RootConfig>& configs) {
  ResolvedRoots resolved;
  // Of resolved.roots; {0, 0}: does not exist.
  std::vector<std::tuple<dev_t, ino_t, Layout>> identities;
  for (const RootConfig& config : configs) {
    Root root;
    root.config = config;
    root.realPath = config.path;
    const auto real = realFolder(config.path);
    if (!real.ok()) {
      if (!absl::IsNotFound(real.status())) {
        resolved.notes.push_back(
            sentence(absl::StrCat("cannot watch ", config.path, " (", config.origin, ")"),
                     real.status().message(), "Make it a folder that this user can read"));
      }
      identities.emplace_back(0, 0, config.layout);
      resolved.roots.push_back(std::move(root));
      continue;
    }
    const std::tuple<dev_t, ino_t, Layout> identity{real->device, real->inode, config.layout};
    const auto same = std::find(identities.begin(), identities.end(), identity);
    if (same != identities.end()) {
      Root& first = resolved.roots[static_cast<size_t>(same - identities.begin())];
      const std::string path = first.config.path;
      first.config = said(config, first.config);
      first.config.path = path;
      if (config.store) first.store = config.store;
      continue;
    }
    root.realPath = real->path;
    root.exists = true;
    root.polled = real->kind != FileSystemKind::kLocal;
    root.store = config.store ? config.store : storeIdOf(*real);
    identities.push_back(identity);
    resolved.roots.push_back(std::move(root));
  }
  return resolved;
}

}  // namespace roost
