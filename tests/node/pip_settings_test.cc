#include "node/pip_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace roost {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

FileReader files(std::map<std::string, std::string> all) {
  return [all = std::move(all)](const std::string& path) -> absl::StatusOr<std::string> {
    const auto found = all.find(path);
    if (found == all.end()) return absl::NotFoundError(path);
    return found->second;
  };
}

TEST(PipIndexSetting, KeepsUserAndPasswordApart) {
  const auto setting = parsePipIndex("https://me:s%2Fx@index.example/a/simple/", "--pip-index");
  ASSERT_TRUE(setting.ok());
  EXPECT_EQ(setting->origin.url(), "https://index.example/a/simple");
  EXPECT_EQ(setting->basic->reveal(), "bWU6cy94");  // me:s/x
}

TEST(PipIndexSetting, AnErrorRepeatsNoPassword) {
  const auto setting = parsePipIndex("ftp://me:secret@index.example/simple", "--pip-index");
  EXPECT_THAT(setting.status().message(), Not(HasSubstr("secret")));
  EXPECT_FALSE(setting.ok());
}

TEST(PipIndexSetting, APrivateOneIsSharedOnlyIfSaidSo) {
  const auto open = parsePipIndex("https://index.example/simple", "x").value();
  const auto secret = parsePipIndex("https://me@index.example/simple", "x").value();
  EXPECT_TRUE(open.shares(PipShare::kPublic));
  EXPECT_FALSE(secret.shares(PipShare::kPublic));
  EXPECT_TRUE(secret.shares(PipShare::kCluster));
  EXPECT_FALSE(open.shares(PipShare::kNone));
}

TEST(PipSetting, IsReadAsPipReadsIt) {
  const auto reader = files({{"/etc/pip.conf", "[global]\nindex-url = https://machine/simple\n"},
                             {"/home/u/.config/pip/pip.conf",
                              "# mine\n[install]\nindex_url: https://user/simple ; x\n"}});
  const Environment user{{"HOME", "/home/u"}};
  EXPECT_EQ(pipSetting(user, reader, "index-url")->from, "/home/u/.config/pip/pip.conf");
  EXPECT_EQ(pipSetting({}, reader, "index-url")->value, "https://machine/simple");
  EXPECT_EQ(pipSetting({{"PIP_INDEX_URL", "https://variable/simple"}}, reader, "index-url")->value,
            "https://variable/simple");
  EXPECT_FALSE(pipSetting({{"PIP_CONFIG_FILE", "/dev/null"}}, reader, "index-url"));
}

TEST(BuiltInPipIndex, IsThatOfThePipOnThePath) {
  const auto reader = files({{"/opt/py/lib/python3.11/site-packages/pip/_internal/models/index.py",
                              "PyPI = PackageIndex(\n    \"https://index.example/\", x)\n"}});
  EXPECT_EQ(builtInPipIndex({{"PATH", "/sbin:/opt/py/bin"}}, reader)->value,
            "https://index.example/simple");
  EXPECT_FALSE(builtInPipIndex({{"PATH", "/usr/bin"}}, reader));
}

TEST(PipCacheFolder, FollowsThePrecedence) {
  EXPECT_EQ(pipCacheFolder({{"PIP_CACHE_DIR", "/c"}, {"HOME", "/h"}}, files({})), "/c");
  EXPECT_EQ(pipCacheFolder({{"XDG_CACHE_HOME", "/x"}, {"HOME", "/h"}}, files({})), "/x/pip");
  EXPECT_EQ(pipCacheFolder({{"HOME", "/h"}}, files({})), "/h/.cache/pip");
}

}  // namespace
}  // namespace roost
