#include "protocol/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

const HubOrigin kHub = HubOrigin::huggingFace();

std::string repeated(const std::string& part, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += part;
  return text;
}

// What no name of any kind may be.
std::vector<std::string> hostile() {
  return {"",
          ".",
          "..",
          "/",
          "//",
          "../x",
          "a/../b",
          "a/..",
          "/etc/passwd",
          "a//b",
          "a/",
          "./a",
          "a/./b",
          "a\\b",
          "..\\x",
          std::string("a\0b", 3),
          std::string(1, '\0'),
          "a\nb",
          "a\x7f",
          "a\x1b[31m",
          std::string(5000, 'a'),
          "\xc0\xae\xc0\xae/x",
          "\xc0\xaf",
          "\xe0\x80\xaf",
          "\xed\xa0\x80",
          "\xf4\x90\x80\x80",
          "\xff",
          "\xc3"};
}

TEST(HubOrigin, isBroughtToOneForm) {
  const std::pair<const char*, const char*> forms[] = {
      {"https://huggingface.co", "https://huggingface.co"},
      {"HTTPS://HuggingFace.CO/", "https://huggingface.co"},
      {"https://huggingface.co:443", "https://huggingface.co"},
      {"http://hub:80/", "http://hub"},
      {"http://hub:8080/a/b//", "http://hub:8080/a/b"},
      {"https://hub:80", "https://hub:80"},
      {"http://[::1]:9000", "http://[::1]:9000"},
      {"http://[FE80::1]", "http://[fe80::1]"}};
  for (const auto& [text, url] : forms) {
    const auto origin = HubOrigin::parse(text);
    ASSERT_TRUE(origin.ok()) << origin.status();
    EXPECT_EQ(origin->url(), url);
  }
}

TEST(HubOrigin, refusesWhatIsNotAPlainUrl) {
  for (const char* bad : {"huggingface.co",     "ftp://hub",          "file:///etc",
                          "https://",           "https://:443",       "https://hub:0",
                          "https://hub:65536",  "https://hub:x",      "https://user:secret@hub",
                          "https://hub/a/../b", "https://hub/%2e%2e", "https://hub/a b",
                          "https://hub?x=1",    "https://hub/#a",     "https://hub/a//b",
                          "http://[::1",        "http://[]",          "http://[::1]x",
                          "http://h\nost",      "http://hub:",        "http://hub:+80",
                          "http://hub: 80"}) {
    EXPECT_FALSE(HubOrigin::parse(bad).ok()) << bad;
  }
  for (const std::string& bad : hostile()) EXPECT_FALSE(HubOrigin::parse(bad).ok()) << bad;
}

TEST(RepoId, hasOneOrTwoSegments) {
  for (const char* good : {"gpt2", "org/name", "Org-1/Na.me_2", "_x/y_", "a/b"}) {
    const auto repo = RepoId::make(kHub, RepoType::kModel, good);
    ASSERT_TRUE(repo.ok()) << repo.status();
    EXPECT_EQ(repo->name(), good);
    EXPECT_EQ(RepoId::ofFolder(kHub, repo->folder()).value(), *repo);
  }
}

TEST(RepoId, refusesEverythingElse) {
  for (const char* bad : {"a/b/c", "a--b", "a/b--c", "a--b/c", "a..b", "-a", "a-", ".a", "a.",
                          "a/-b", "a/b.git", "a b", "a/b?", "a:b", "é", "a/", "/a", "models/a/b"}) {
    EXPECT_FALSE(RepoId::make(kHub, RepoType::kModel, bad).ok()) << bad;
  }
  for (const std::string& bad : hostile()) {
    EXPECT_FALSE(RepoId::make(kHub, RepoType::kDataset, bad).ok()) << bad;
    EXPECT_FALSE(RepoId::ofFolder(kHub, bad).ok()) << bad;
  }
  EXPECT_TRUE(RepoId::make(kHub, RepoType::kModel, std::string(96, 'a')).ok());
  EXPECT_FALSE(RepoId::make(kHub, RepoType::kModel, std::string(97, 'a')).ok());
}

TEST(RepoId, isReadFromAFolderOnlyIfThatMeansOneRepo) {
  EXPECT_EQ(RepoId::ofFolder(kHub, "datasets--org--name")->toString(), "datasets/org/name");
  EXPECT_EQ(RepoId::ofFolder(kHub, "models--gpt2")->name(), "gpt2");
  for (const char* bad :
       {"models", "models--", "models----a", "models--a--", "models--a--b--c", "model--a--b",
        "Models--a", "models-a", "--a", "models--a---b", "models--..--b", "models--a/b", ".locks",
        "models--a.--b", "spaces--a--.git", "dataset-caches--a--b"}) {
    EXPECT_FALSE(RepoId::ofFolder(kHub, bad).ok()) << bad;
  }
}

TEST(RepoId, theSameNameElsewhereIsAnotherRepo) {
  const HubOrigin other = HubOrigin::parse("http://hub").value();
  EXPECT_NE(RepoId::make(kHub, RepoType::kModel, "a/b").value(),
            RepoId::make(other, RepoType::kModel, "a/b").value());
  EXPECT_NE(RepoId::make(kHub, RepoType::kModel, "a/b").value(),
            RepoId::make(kHub, RepoType::kSpace, "a/b").value());
}

TEST(RepoType, isNamedInTwoWays) {
  EXPECT_EQ(parseRepoType("datasets").value(), RepoType::kDataset);
  EXPECT_EQ(parseRepoType("space").value(), RepoType::kSpace);
  EXPECT_EQ(parseRepoType("dataset-cache").value(), RepoType::kDatasetCache);
  for (const char* bad : {"", "Model", "modelss", "models/"}) EXPECT_FALSE(parseRepoType(bad).ok());
}

TEST(Commit, isFortyLowerCaseDigits) {
  EXPECT_TRUE(Commit::parse(std::string(40, 'f')).ok());
  for (const std::string& bad : {std::string(39, 'f'), std::string(41, 'f'), std::string(40, 'F'),
                                 std::string(40, 'g'), std::string(39, 'f') + '\0'}) {
    EXPECT_FALSE(Commit::parse(bad).ok()) << bad;
  }
}

TEST(RefName, mayHaveSegments) {
  for (const char* good : {"main", "v1.0", "refs/pr/1", "feature/a+b=c@d"}) {
    EXPECT_TRUE(RefName::parse(good).ok()) << good;
  }
}

TEST(RefName, refusesWhatCouldLeaveItsFolderOrMeanSomethingElse) {
  for (const std::string& bad :
       {std::string(40, 'a'), std::string("a.lock"), std::string("a.tmp"), std::string(".hidden"),
        std::string("a/.b"), std::string("a..b"), std::string("a b"), std::string("a~1"),
        std::string("a^"), std::string("a:b"), std::string("é"), std::string(256, 'a'),
        std::string("1/2/3/4/5/6/7/8/9")}) {
    EXPECT_FALSE(RefName::parse(bad).ok()) << bad;
  }
  for (const std::string& bad : hostile()) EXPECT_FALSE(RefName::parse(bad).ok()) << bad;
}

TEST(RelativePath, takesWhatReposHave) {
  for (const std::string& good :
       {std::string("config.json"), std::string("a/b/c.safetensors"), std::string(".gitattributes"),
        std::string("ünïcode/文件 (1).txt"), std::string("a..b"), std::string("...x"),
        std::string(255, 'a'), repeated("a/", kPathDepthMax - 1) + "a"}) {
    const auto path = RelativePath::parse(good);
    EXPECT_TRUE(path.ok()) << path.status();
  }
  EXPECT_EQ(RelativePath::parse("a/b/c")->depth(), 3u);
}

TEST(RelativePath, refusesWhatCouldLeaveItsFolder) {
  for (const std::string& bad : hostile()) EXPECT_FALSE(RelativePath::parse(bad).ok()) << bad;
  EXPECT_FALSE(RelativePath::parse(std::string(256, 'a')).ok());
  EXPECT_FALSE(RelativePath::parse(repeated("a/", kPathDepthMax) + "a").ok());
  EXPECT_FALSE(
      RelativePath::parse(repeated(std::string(200, 'a') + "/", 5) + "aaaaaaaaaaaaaaaaaaaaaa")
          .ok());
}

TEST(NodeName, isALabel) {
  EXPECT_TRUE(parseNodeName("gpu-01.rack_2").ok());
  EXPECT_FALSE(parseNodeName(std::string(65, 'a')).ok());
  for (const char* bad : {"", "a b", "a/b", "é", "a\n", ".", "..", ".a"}) {
    EXPECT_FALSE(parseNodeName(bad).ok()) << bad;
  }
}

TEST(Address, hasAHostAndAPort) {
  const std::pair<const char*, const char*> forms[] = {{"127.0.0.1:8376", "127.0.0.1"},
                                                       {"node-1.lab:1", "node-1.lab"},
                                                       {"[::1]:65535", "::1"},
                                                       {"[fe80::1%eth0]:8376", "fe80::1%eth0"}};
  for (const auto& [text, host] : forms) {
    const auto address = Address::parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->host, host);
    EXPECT_EQ(address->toString(), text);
  }
}

TEST(Address, refusesEverythingElse) {
  for (const char* bad :
       {"",           ":",         "host",         "host:",    ":80",         "host:0",
        "host:65536", "host:-1",   "host:+1",      "host: 1",  "host:1 ",     "host:0x50",
        "::1:80",     "[::1]",     "[::1]80",      "[]:80",    "[::1:80",     "::1]:80",
        "ho st:80",   "host/x:80", "user@host:80", "a:b:80",   "[a]b:80",     "[host]:80",
        "[%]:80",     "[a%b]:80",  "[::1%]:80",    "[::g]:80", "[1.2.3.4]:80"}) {
    EXPECT_FALSE(Address::parse(bad).ok()) << bad;
  }
  EXPECT_FALSE(Address::parse(std::string("host\0:80", 8)).ok());
  EXPECT_FALSE(Address::parse(std::string("[::1\0]:80", 9)).ok());
  EXPECT_FALSE(Address::parse(std::string(300, 'a') + ":80").ok());
}

TEST(Quoted, showsNothingThatATerminalObeys) {
  EXPECT_EQ(roost::quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(roost::quoted(std::string("\x1b[31m\0", 6)), "\"\\x1b[31m\\x00\"");
  EXPECT_LT(roost::quoted(std::string(1000, 'a')).size(), 90u);
}

TEST(Errors, nameWhatWasRefused) {
  EXPECT_THAT(std::string(RelativePath::parse("../x").status().message()), HasSubstr("\"../x\""));
  EXPECT_EQ(RelativePath::parse("../x").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(GlobMatches, crossesSlashesAsClientsDo) {
  EXPECT_TRUE(globMatches("*.json", "a/b.json"));
  EXPECT_TRUE(globMatches("a/?.[jx]*", "a/b.json"));
  EXPECT_FALSE(globMatches("*.json", "a.jsonl"));
  EXPECT_TRUE(globMatches("*", ".hidden"));
}

}  // namespace
}  // namespace roost
