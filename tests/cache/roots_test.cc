#include "cache/roots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cache/file_system.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Variables = std::map<std::string, std::string, std::less<>>;

ClientEnvironment environmentOf(Variables variables) {
  ClientEnvironment environment;
  environment.variables = std::move(variables);
  environment.homeOf = [](absl::string_view user) -> std::optional<std::string> {
    if (user.empty()) return "/passwd/home";
    if (user == "ann") return "/home/ann/";
    return std::nullopt;
  };
  return environment;
}

std::vector<std::string> pathsOf(const RootSearch& found, Layout layout = Layout::kHub) {
  std::vector<std::string> paths;
  for (const RootConfig& root : found.roots) {
    if (root.layout == layout) paths.push_back(root.path);
  }
  return paths;
}

const RootConfig& rootAt(const RootSearch& found, const std::string& path,
                         Layout layout = Layout::kHub) {
  for (const RootConfig& root : found.roots) {
    if (root.path == path && root.layout == layout) return root;
  }
  ADD_FAILURE() << path << " is not found";
  return found.roots.front();
}

struct Line {
  const char* says;
  Variables variables;
  std::vector<std::string> paths;
  std::string origin;  // of the first
};

class Precedence : public ::testing::TestWithParam<Line> {};

TEST_P(Precedence, IsTheClients) {
  const Line& line = GetParam();
  const RootSearch found = findRoots(environmentOf(line.variables), {});
  EXPECT_EQ(pathsOf(found), line.paths) << line.says;
  ASSERT_FALSE(found.roots.empty());
  EXPECT_EQ(found.roots.front().origin, line.origin) << line.says;
}

INSTANTIATE_TEST_SUITE_P(
    HubCache, Precedence,
    ::testing::Values(
        Line{"nothing set", {{"HOME", "/h"}}, {"/h/.cache/huggingface/hub"}, "default"},
        Line{"no HOME: the password database",
             {},
             {"/passwd/home/.cache/huggingface/hub"},
             "default"},
        Line{"XDG_CACHE_HOME",
             {{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}},
             {"/x/huggingface/hub"},
             "XDG_CACHE_HOME"},
        Line{"HF_HOME beats XDG_CACHE_HOME",
             {{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}, {"HF_HOME", "/hf"}},
             {"/hf/hub"},
             "HF_HOME"},
        Line{"HUGGINGFACE_HUB_CACHE beats the homes",
             {{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}, {"HUGGINGFACE_HUB_CACHE", "/old"}},
             {"/old"},
             "HUGGINGFACE_HUB_CACHE"},
        Line{"HF_HUB_CACHE beats HUGGINGFACE_HUB_CACHE",
             {{"HOME", "/h"}, {"HF_HUB_CACHE", "/new"}, {"HUGGINGFACE_HUB_CACHE", "/old"}},
             {"/new"},
             "HF_HUB_CACHE"},
        Line{"Rust hf-hub 0.5 knows only HF_HOME",
             {{"HOME", "/h"}, {"HF_HUB_CACHE", "/new"}, {"HF_HOME", "/hf"}},
             {"/new", "/hf/hub"},
             "HF_HUB_CACHE"},
        Line{"an empty variable counts as not set",
             {{"HOME", "/h"}, {"HF_HUB_CACHE", ""}, {"HF_HOME", ""}, {"XDG_CACHE_HOME", ""}},
             {"/h/.cache/huggingface/hub"},
             "default"}));

INSTANTIATE_TEST_SUITE_P(
    Expansion, Precedence,
    ::testing::Values(
        Line{"~", {{"HOME", "/h/"}, {"HF_HUB_CACHE", "~/c"}}, {"/h/c"}, "HF_HUB_CACHE"},
        Line{
            "~user", {{"HOME", "/h"}, {"HF_HUB_CACHE", "~ann/c"}}, {"/home/ann/c"}, "HF_HUB_CACHE"},
        Line{"$NAME and ${NAME}",
             {{"HOME", "/h"}, {"A", "/a"}, {"B_1", "b"}, {"HF_HUB_CACHE", "$A/${B_1}/$B_1"}},
             {"/a/b/b"},
             "HF_HUB_CACHE"},
        Line{"unknown variables stay",
             {{"HOME", "/h"}, {"HF_HUB_CACHE", "/c/$NO/${NO}/$/${"}},
             {"/c/$NO/${NO}/$/${"},
             "HF_HUB_CACHE"},
        Line{"what a variable holds is not expanded again",
             {{"HOME", "/h"}, {"A", "$B"}, {"B", "/no"}, {"HF_HUB_CACHE", "/c/$A"}},
             {"/c/$B"},
             "HF_HUB_CACHE"},
        Line{"~ in HF_HOME", {{"HOME", "/h"}, {"HF_HOME", "~/hf"}}, {"/h/hf/hub"}, "HF_HOME"},
        Line{"$ in XDG_CACHE_HOME",
             {{"HOME", "/h"}, {"XDG_CACHE_HOME", "$HOME/x"}},
             {"/h/x/huggingface/hub"},
             "XDG_CACHE_HOME"},
        Line{"slashes and dots are tidied",
             {{"HOME", "/h"}, {"HF_HUB_CACHE", "//c/./d//"}},
             {"/c/d"},
             "HF_HUB_CACHE"}));

INSTANTIATE_TEST_SUITE_P(
    OtherClients, Precedence,
    ::testing::Values(
        Line{"TRANSFORMERS_CACHE is a further root",
             {{"HOME", "/h"},
              {"HF_HUB_CACHE", "/c"},
              {"TRANSFORMERS_CACHE", "/t"},
              {"PYTORCH_TRANSFORMERS_CACHE", "/p"},
              {"PYTORCH_PRETRAINED_BERT_CACHE", "/b"}},
             {"/c", "/t"},
             "HF_HUB_CACHE"},
        Line{"then PYTORCH_TRANSFORMERS_CACHE",
             {{"HF_HUB_CACHE", "/c"},
              {"PYTORCH_TRANSFORMERS_CACHE", "/p"},
              {"PYTORCH_PRETRAINED_BERT_CACHE", "/b"}},
             {"/c", "/p"},
             "HF_HUB_CACHE"},
        Line{"then PYTORCH_PRETRAINED_BERT_CACHE",
             {{"HF_HUB_CACHE", "/c"}, {"PYTORCH_PRETRAINED_BERT_CACHE", "/b"}},
             {"/c", "/b"},
             "HF_HUB_CACHE"},
        Line{"LLAMA_CACHE is a further root",
             {{"HF_HUB_CACHE", "/c"}, {"LLAMA_CACHE", "/l"}},
             {"/c", "/l"},
             "HF_HUB_CACHE"},
        Line{"one folder under two names is one root",
             {{"HF_HUB_CACHE", "/c"}, {"TRANSFORMERS_CACHE", "/c/"}, {"LLAMA_CACHE", "/c"}},
             {"/c"},
             "LLAMA_CACHE"}));

TEST(Roots, OptionsTakeThePlaceOfVariables) {
  RootOptions options;
  options.hubCache = "~/mine";
  options.transformersCache = "/t2";
  const RootSearch found = findRoots(environmentOf({{"HOME", "/h"},
                                                    {"HF_HOME", "/hf"},
                                                    {"HF_HUB_CACHE", "/c"},
                                                    {"TRANSFORMERS_CACHE", "/t"}}),
                                     options);
  EXPECT_THAT(pathsOf(found), ElementsAre("/h/mine", "/t2"));
  EXPECT_EQ(found.roots[0].origin, "--hub-cache");
}

TEST(Roots, ModelsThatArriveAreShownInTheTransformersCacheToo) {
  const RootSearch found = findRoots(
      environmentOf({{"HF_HUB_CACHE", "/c"}, {"TRANSFORMERS_CACHE", "/t"}, {"LLAMA_CACHE", "/l"}}),
      {});
  EXPECT_EQ(rootAt(found, "/t").show, ShowHere::kLink);
  EXPECT_EQ(rootAt(found, "/c").show, std::nullopt);
  EXPECT_EQ(rootAt(found, "/l").show, std::nullopt);
}

TEST(Roots, TheOperatorDecidesWhatIsShownWhere) {
  RootConfig copied{.path = "/t", .origin = "[[root]]", .show = ShowHere::kCopy};
  RootConfig silent{.path = "/t", .origin = "[[root]]", .visibility = RootVisibility::kPublic};
  const ClientEnvironment environment = environmentOf({{"TRANSFORMERS_CACHE", "/t"}});
  RootOptions options;
  options.roots = {copied};
  EXPECT_EQ(rootAt(findRoots(environment, options), "/t").show, ShowHere::kCopy);
  options.roots = {silent};
  EXPECT_EQ(rootAt(findRoots(environment, options), "/t").show, ShowHere::kLink)
      << "nothing was said of it";
}

TEST(Roots, TheTransformersCacheMayHoldTheFlatLayoutToo) {
  const RootSearch found = findRoots(
      environmentOf({{"HF_HUB_CACHE", "/c"}, {"PYTORCH_PRETRAINED_BERT_CACHE", "/b"}}), {});
  EXPECT_THAT(pathsOf(found), ElementsAre("/c", "/b"));
  EXPECT_THAT(pathsOf(found, Layout::kFlat), ElementsAre("/b"));
  EXPECT_FALSE(rootAt(found, "/b", Layout::kFlat).write);
  EXPECT_TRUE(rootAt(found, "/b").write);
}

TEST(Roots, OldTransformersHadDefaultsOfTheirOwn) {
  EXPECT_THAT(pathsOf(findRoots(environmentOf({{"HOME", "/h"}}), {}), Layout::kFlat),
              ElementsAre("/h/.cache/huggingface/transformers", "/h/.cache/torch/transformers"));
  EXPECT_THAT(pathsOf(findRoots(environmentOf({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}), {}),
                      Layout::kFlat),
              ElementsAre("/x/huggingface/transformers", "/x/torch/transformers"));
  EXPECT_THAT(pathsOf(findRoots(environmentOf({{"HF_HOME", "/hf"}, {"TORCH_HOME", "/t"}}), {}),
                      Layout::kFlat),
              ElementsAre("/hf/transformers", "/t/transformers"));
}

TEST(Roots, TheDatasetsCacheIsTheLibrarys) {
  const auto pathsIn = [](Variables variables, const std::string& option = "") {
    RootOptions options;
    options.datasetsCache = option;
    return pathsOf(findRoots(environmentOf(std::move(variables)), options), Layout::kDatasets);
  };
  EXPECT_THAT(pathsIn({{"HOME", "/h"}}), ElementsAre("/h/.cache/huggingface/datasets"));
  EXPECT_THAT(pathsIn({{"HF_HOME", "/hf"}}), ElementsAre("/hf/datasets"));
  EXPECT_THAT(pathsIn({{"HOME", "/h"}, {"HF_HOME", "/hf"}, {"HF_DATASETS_CACHE", "~/d"}}),
              ElementsAre("/h/d"));
  EXPECT_THAT(pathsIn({{"HF_DATASETS_CACHE", "/d"}}, "/mine"), ElementsAre("/mine"));
}

TEST(Roots, AFolderMayHaveTwoLayoutsByWord) {
  RootOptions options;
  options.hubCache = "/c";
  options.transformersCache = "/t";
  options.roots = {{.path = "/old", .layout = Layout::kFlat, .origin = "--root"},
                   {.path = "/old", .layout = Layout::kHub, .origin = "--root"}};
  const RootSearch found = findRoots(environmentOf({}), options);
  EXPECT_THAT(pathsOf(found), ElementsAre("/c", "/t", "/old"));
  EXPECT_THAT(pathsOf(found, Layout::kFlat), ElementsAre("/t", "/old"));
  EXPECT_FALSE(rootAt(found, "/old", Layout::kFlat).write);
}

TEST(Roots, WhatTheOperatorSaysOfAFolderHolds) {
  RootConfig configured;
  configured.path = "/c/";
  configured.origin = "[[root]]";
  configured.visibility = RootVisibility::kPublic;
  configured.write = false;
  RootOptions options;
  options.roots = {configured};
  const RootSearch found =
      findRoots(environmentOf({{"HF_HUB_CACHE", "/c"}, {"LLAMA_CACHE", "/l"}}), options);
  ASSERT_THAT(pathsOf(found), ElementsAre("/c", "/l"));
  EXPECT_EQ(found.roots[0].visibility, RootVisibility::kPublic);
  EXPECT_FALSE(found.roots[0].write);
}

TEST(Roots, TheHuggingFaceHomeItselfIsNeverWatched) {
  const RootSearch found =
      findRoots(environmentOf({{"HF_HOME", "/hf"}, {"TRANSFORMERS_CACHE", "/hf/"}}), {});
  EXPECT_THAT(pathsOf(found), ElementsAre("/hf/hub"));
  EXPECT_THAT(found.notes, ElementsAre(HasSubstr("holds tokens")));
}

TEST(Roots, ARelativePathIsEachClientsOwn) {
  const RootSearch found =
      findRoots(environmentOf({{"HF_HUB_CACHE", "cache"}, {"TRANSFORMERS_CACHE", "~/t"}}), {});
  EXPECT_THAT(pathsOf(found), IsEmpty());
  EXPECT_THAT(found.notes, ElementsAre(HasSubstr("HF_HUB_CACHE"), HasSubstr("TRANSFORMERS_CACHE")));
}

TEST(Roots, AnEmptyVariableIsToldOf) {
  EXPECT_THAT(findRoots(environmentOf({{"HF_HUB_CACHE", ""}}), {}).notes,
              ElementsAre(HasSubstr("HF_HUB_CACHE is ignored")));
}

TEST(Roots, LayoutsAreReadByName) {
  EXPECT_EQ(*parseLayout("representations"), Layout::kRepresentations);
  EXPECT_EQ(layoutName(Layout::kPip), "pip");
  EXPECT_FALSE(parseLayout("hubs").ok());
  EXPECT_FALSE(parseRootVisibility("maybe").ok());
  EXPECT_EQ(*parseShowHere("copy"), ShowHere::kCopy);
  EXPECT_FALSE(parseShowHere("yes").ok());
}

class ResolvedRootsTest : public ::testing::Test {
 protected:
  ResolvedRootsTest() {
    std::string pattern = ::testing::TempDir() + "roost-roots-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~ResolvedRootsTest() override { std::filesystem::remove_all(folder_); }
  RootConfig at(const std::string& name) const {
    RootConfig root;
    root.path = folder_ / name;
    root.origin = "test";
    return root;
  }
  std::filesystem::path folder_;
};

TEST_F(ResolvedRootsTest, OneFolderUnderTwoPathsIsOneRoot) {
  std::filesystem::create_directory(folder_ / "a");
  std::filesystem::create_directory_symlink("a", folder_ / "b");
  RootConfig readOnly = at("b");
  readOnly.write = false;
  const ResolvedRoots resolved = resolveRoots({at("a"), readOnly});
  ASSERT_EQ(resolved.roots.size(), 1u);
  EXPECT_EQ(resolved.roots[0].config.path, at("a").path);
  EXPECT_FALSE(resolved.roots[0].config.write);
}

TEST_F(ResolvedRootsTest, OneFolderOfTwoLayoutsIsTwoRoots) {
  std::filesystem::create_directory(folder_ / "a");
  RootConfig flat = at("a");
  flat.layout = Layout::kFlat;
  const ResolvedRoots resolved = resolveRoots({at("a"), flat});
  ASSERT_EQ(resolved.roots.size(), 2u);
  EXPECT_EQ(resolved.roots[0].store, resolved.roots[1].store);
}

TEST_F(ResolvedRootsTest, AFolderThatIsNotThereYetKeepsItsPlace) {
  std::filesystem::create_directory(folder_ / "b");
  const ResolvedRoots resolved = resolveRoots({at("later"), at("b")});
  ASSERT_EQ(resolved.roots.size(), 2u);
  EXPECT_FALSE(resolved.roots[0].exists);
  EXPECT_TRUE(resolved.roots[1].exists);
  EXPECT_THAT(resolved.notes, IsEmpty());
}

TEST_F(ResolvedRootsTest, AFileIsNoRoot) {
  std::ofstream(folder_ / "file") << "x";
  const ResolvedRoots resolved = resolveRoots({at("file")});
  EXPECT_FALSE(resolved.roots[0].exists);
  EXPECT_THAT(resolved.notes, ElementsAre(HasSubstr("is not a folder")));
}

TEST_F(ResolvedRootsTest, TheSameFolderHasTheSameStoreAndOthersHaveOthers) {
  std::filesystem::create_directory(folder_ / "a");
  std::filesystem::create_directory(folder_ / "b");
  std::filesystem::create_directory_symlink("a", folder_ / "link");
  const auto a = resolveRoots({at("a")}).roots[0].store;
  ASSERT_TRUE(a.has_value());
  EXPECT_EQ(a, resolveRoots({at("link")}).roots[0].store);
  EXPECT_NE(a, resolveRoots({at("b")}).roots[0].store);
}

TEST_F(ResolvedRootsTest, TheOperatorNamesTheStore) {
  RootConfig named = at("");
  named.store = *StoreId::parse("scratch");
  EXPECT_EQ(resolveRoots({named}).roots[0].store, *StoreId::parse("scratch"));
}

TEST(FileSystems, NetworkOnesAreKnown) {
  EXPECT_EQ(fileSystemKindOf(0x6969), FileSystemKind::kShared);
  EXPECT_EQ(fileSystemKindOf(0xff534d42), FileSystemKind::kShared);
  EXPECT_EQ(fileSystemKindOf(0x65735546), FileSystemKind::kUserSpace);
  EXPECT_EQ(fileSystemKindOf(0xef53), FileSystemKind::kLocal);
}

TEST(FileSystems, ASharedFolderIsNamedWithoutTheMachine) {
  RealFolder folder;
  folder.kind = FileSystemKind::kShared;
  folder.fileSystemId = 7;
  folder.inode = 42;
  const auto shared = storeIdOf(folder);
  ASSERT_TRUE(shared.has_value());
  EXPECT_THAT(shared->text(), ::testing::StartsWith("shared:"));
  folder.kind = FileSystemKind::kLocal;
  EXPECT_THAT(storeIdOf(folder)->text(), ::testing::StartsWith("local:"));
}

TEST(FileSystems, ASharedFolderThatCannotBeToldApartHasNoName) {
  RealFolder folder;
  folder.kind = FileSystemKind::kShared;  // no mount source under device 0, no file-system id
  folder.inode = 2;
  EXPECT_FALSE(storeIdOf(folder).has_value());
}

}  // namespace
}  // namespace roost
