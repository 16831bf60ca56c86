#include "node/endpoint/representation_bundle.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace roost {
namespace {

std::string body(const std::string& header, const std::string& values) {
  std::string bytes;
  for (size_t i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>((header.size() >> (8 * i)) & 0xff));
  }
  return bytes + header + values;
}

TEST(RepresentationBundle, GivesTheEntriesAsTheyWereWritten) {
  const std::string text = body(
      R"({"entries":[{"provenance": {"x" : 1.50},"offset":3,"size":2},{"size":3,"offset":0}]})",
      "abcde");
  const auto entries = parseBundle(text);
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ((*entries)[0].provenance, R"({"x" : 1.50})");
  EXPECT_EQ((*entries)[0].value, "de");
  EXPECT_EQ((*entries)[1].provenance, "");
  EXPECT_EQ((*entries)[1].value, "abc");
}

TEST(RepresentationBundle, RefusesWhatIsNone) {
  for (const std::string& text :
       {std::string(), std::string(7, '\0'), std::string(8, '\xff'), body("{}", ""),
        body("{\"entries\":{}}", ""), body("{\"entries\":[1]}", ""),
        body("{\"entries\":[{\"offset\":0}]}", ""),
        body("{\"entries\":[{\"offset\":0,\"size\":2}]}", "a"),
        body("{\"entries\":[{\"offset\":18446744073709551615,\"size\":2}]}", "a"),
        body("{\"entries\":[{\"offset\":0,\"size\":1},{\"offset\":0,\"size\":1}]}", "a"),
        body("{\"entries\":[{\"provenance\":\"x\",\"offset\":0,\"size\":1}]}", "a")}) {
    EXPECT_FALSE(parseBundle(text).ok()) << text;
  }
}

TEST(RepresentationBundle, KeysAreBounded) {
  std::string keys;
  for (size_t i = 0; i < kRepresentationKeysMax; ++i) {
    absl::StrAppend(&keys, "\"", std::string(64, 'a'), "\",");
  }
  EXPECT_TRUE(parseKeys(absl::StrCat("{\"keys\":[", keys.substr(0, keys.size() - 1), "]}")).ok());
  EXPECT_FALSE(
      parseKeys(absl::StrCat("{\"keys\":[", keys, "\"", std::string(64, 'a'), "\"]}")).ok());
}

TEST(RepresentationBundle, ALeaseHasAHolderAndATime) {
  const auto lease = parseLease(R"({"keys":[],"holder":"x","seconds":1.5,"release":true})");
  ASSERT_TRUE(lease.ok());
  EXPECT_EQ(lease->duration, absl::Seconds(1.5));
  EXPECT_TRUE(lease->release);
  EXPECT_EQ(parseLease(R"({"keys":[],"holder":"x","seconds":1e300})")->duration, kComputeLeaseMax);
  EXPECT_FALSE(parseLease(R"({"keys":[]})").ok());
  EXPECT_FALSE(parseLease(R"({"keys":[],"holder":""})").ok());
  EXPECT_FALSE(parseLease(R"({"keys":[],"holder":"x","seconds":0})").ok());
  EXPECT_FALSE(parseLease(R"({"keys":[],"holder":"x","release":1})").ok());
}

}  // namespace
}  // namespace roost
