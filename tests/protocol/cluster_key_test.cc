#include "protocol/cluster_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace roost {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class KeyFile : public ::testing::Test {
 protected:
  KeyFile() {
    std::string name = ::testing::TempDir() + "/key-XXXXXX";
    close(mkstemp(name.data()));
    name_ = name;
  }
  ~KeyFile() override { unlink(name_.c_str()); }
  void write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(name_) << text;
    chmod(name_.c_str(), mode);
  }
  std::string name_;
};

TEST(ClusterKey, isReadBackFromItsText) {
  const ClusterKey key = ClusterKey::generate();
  EXPECT_THAT(key.secretText(), StartsWith("roost-key-1:"));
  EXPECT_EQ(key.secretText().size(), 12u + 43u);
  EXPECT_EQ(ClusterKey::parse(key.secretText()).value(), key);
  EXPECT_EQ(ClusterKey::parse(absl::StrCat("  ", key.secretText(), "\n")).value(), key);
}

TEST(ClusterKey, isNewEachTime) {
  EXPECT_FALSE(ClusterKey::generate() == ClusterKey::generate());
}

TEST(ClusterKey, refusesWhatIsNotAKeyAndDoesNotQuoteIt) {
  const std::string good = ClusterKey::generate().secretText();
  const std::string tooLong = absl::StrCat(good, "A");
  const std::string tooShort = good.substr(0, good.size() - 1);
  for (const std::string& bad :
       {std::string(), std::string("secret"), std::string("roost-key-1:"), tooLong, tooShort,
        absl::StrCat(good, "="), absl::StrCat("roost-key-2:", good.substr(12)), good.substr(12),
        absl::StrCat("roost-key-1:", std::string(43, '*')),
        absl::StrCat("roost-key-1:", std::string(42, 'A'), "B")}) {
    const auto key = ClusterKey::parse(bad);
    EXPECT_EQ(key.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    if (bad.size() > 20) {
      EXPECT_THAT(std::string(key.status().message()), Not(HasSubstr(bad.substr(12, 8))));
    }
  }
}

TEST(ClusterKey, itsIdentityTellsKeysApartAndNothingOfTheKey) {
  const ClusterKey key = ClusterKey::generate();
  const ClusterKey other = ClusterKey::generate();
  EXPECT_EQ(key.identity(), ClusterKey::parse(key.secretText())->identity());
  EXPECT_NE(key.identity(), other.identity());
  EXPECT_THAT(key.secretText(), Not(HasSubstr(key.identity().substr(8))));
}

TEST_F(KeyFile, hasOneKeyOrTwo) {
  const ClusterKey one = ClusterKey::generate();
  const ClusterKey two = ClusterKey::generate();
  write(absl::StrCat("# the key of the lab\n\n", one.secretText(), "\n"));
  const auto single = ClusterKeys::load(name_);
  ASSERT_TRUE(single.ok()) << single.status();
  EXPECT_EQ(single->current, one);
  EXPECT_FALSE(single->accepted.has_value());

  write(absl::StrCat(two.secretText(), "\n", one.secretText()));
  const auto both = ClusterKeys::load(name_);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->current, two);
  EXPECT_EQ(*both->accepted, one);
}

TEST_F(KeyFile, thatOthersCanReadIsRefusedWithTheCommandThatMendsIt) {
  for (mode_t mode : {0640, 0604, 0620, 0602, 0644}) {
    write(ClusterKey::generate().secretText(), mode);
    const auto keys = ClusterKeys::load(name_);
    EXPECT_EQ(keys.status().code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(keys.status().message()), HasSubstr("chmod 600 " + name_));
  }
}

TEST_F(KeyFile, withoutAKeyOrWithThreeIsRefusedByName) {
  const std::string key = ClusterKey::generate().secretText();
  for (const std::string& text :
       {std::string(), std::string("# nothing\n"), std::string("hunter2\n"),
        absl::StrCat(key, "\n", key, "\n", key), std::string(100'000, 'x')}) {
    write(text);
    const auto keys = ClusterKeys::load(name_);
    EXPECT_EQ(keys.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(keys.status().message()), StartsWith(name_));
  }
}

TEST_F(KeyFile, thatIsNotThereOrNoFileIsRefused) {
  EXPECT_EQ(ClusterKeys::load(name_ + "-not").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ClusterKeys::load("/").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace roost
