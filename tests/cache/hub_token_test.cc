#include "cache/hub_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <type_traits>

namespace roost {
namespace {

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
static_assert(!Printable<Token>, "a token must not be printable");
static_assert(!std::is_convertible_v<Token, std::string>);

class TokenTest : public ::testing::Test {
 protected:
  TokenTest() {
    std::string pattern = ::testing::TempDir() + "roost-token-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    environment_.variables["HF_HOME"] = folder_;
  }
  ~TokenTest() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  std::string found() {
    const auto token = findToken(environment_);
    if (!token.ok()) return std::string(token.status().message());
    return token->has_value() ? (*token)->reveal() : "none";
  }
  std::filesystem::path folder_;
  ClientEnvironment environment_;
};

TEST_F(TokenTest, NoPlaceHasOne) {
  EXPECT_EQ(found(), "none");
}

TEST_F(TokenTest, PlacesInTheirOrder) {
  write("token", "hf_home\n");
  EXPECT_EQ(found(), "hf_home");
  write("other", "hf_other");
  environment_.variables["HF_TOKEN_PATH"] = folder_ / "other";
  EXPECT_EQ(found(), "hf_other");
  environment_.variables["HUGGING_FACE_HUB_TOKEN"] = "hf_old";
  EXPECT_EQ(found(), "hf_old");
  environment_.variables["HF_TOKEN"] = " hf_new\r\n";
  EXPECT_EQ(found(), "hf_new");
  environment_.variables["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "yes";
  EXPECT_EQ(found(), "none");
}

TEST_F(TokenTest, ABlankVariableSendsOnToTheFile) {
  write("token", "hf_home");
  environment_.variables["HF_TOKEN"] = " \n";
  EXPECT_EQ(found(), "hf_home");
}

TEST_F(TokenTest, WhatCannotGoIntoAHeaderIsRefusedAndNotRepeated) {
  for (const std::string& bad :
       {std::string("hf_secret x"), std::string("hf_secret\x01"), std::string(5000, 'a')}) {
    environment_.variables["HF_TOKEN"] = bad;
    EXPECT_THAT(found(), ::testing::HasSubstr("HF_TOKEN has no usable token"));
    EXPECT_THAT(found(), ::testing::Not(::testing::HasSubstr("secret")));
  }
}

TEST_F(TokenTest, AFolderOrFifoInPlaceOfTheFileIsToldOf) {
  std::filesystem::create_directory(folder_ / "token");
  EXPECT_THAT(found(), ::testing::HasSubstr("is not a file"));
  std::filesystem::remove(folder_ / "token");
  ASSERT_EQ(mkfifo((folder_ / "token").c_str(), 0600), 0);
  EXPECT_THAT(found(), ::testing::HasSubstr("is not a file"));
}

}  // namespace
}  // namespace roost
