#include "protocol/made_etag.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace roost {
namespace {

TEST(MadeEtag, ThirtyTwoDigitsStayAsTheyAre) {
  const std::string md5(32, 'a');
  EXPECT_EQ(MadeEtag::of(md5).hex(), md5);
  EXPECT_EQ(MadeEtag::of("W/\"" + std::string(32, 'A') + "\"").hex(), md5);
}

TEST(MadeEtag, AnythingElseBecomesThirtyTwoDigitsThatAreItsOwn) {
  std::set<std::string> made;
  const std::vector<std::string> etags = {"",    "version-7.gz",       "d41d8cd98f00b204-12",
                                          "abc", std::string(40, 'a'), std::string(64, 'a')};
  for (const std::string& etag : etags) {
    EXPECT_EQ(MadeEtag::of(etag), MadeEtag::of("\"" + etag + "\""));
    EXPECT_TRUE(MadeEtag::parseHex(MadeEtag::of(etag).hex()).ok());
    made.insert(MadeEtag::of(etag).hex());
  }
  EXPECT_EQ(made.size(), etags.size());
}

TEST(MadeEtag, OnlyItsOwnFormIsParsed) {
  for (const std::string& text : {std::string(31, 'a'), std::string(34, 'a'), std::string(32, 'A'),
                                  std::string(32, 'g'), std::string(40, 'a'), std::string()}) {
    EXPECT_FALSE(MadeEtag::parseHex(text).ok()) << text;
  }
}

}  // namespace
}  // namespace roost
