#include "cache/representation_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "cache/json_reader.h"
#include "protocol/limits.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

std::string with(absl::string_view more) {
  return absl::StrCat(R"({"kind":"embedding","model":"m","tokenizer":"t","input":"i","code":"c")",
                      more.empty() ? "" : ",", more, "}");
}

std::string canonical(absl::string_view more) {
  const auto provenance = Provenance::parse(with(more));
  return provenance.ok() ? provenance->canonical() : std::string(provenance.status().message());
}

constexpr char kPlain[] =
    R"({"code":"c","input":"i","kind":"embedding","model":"m","tokenizer":"t"})";

TEST(Provenance, HasTheKeyThatPythonMakes) {
  // hashlib.sha256(json.dumps(p, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
  const auto provenance = Provenance::parse(with(""));
  ASSERT_TRUE(provenance.ok()) << provenance.status();
  EXPECT_EQ(provenance->canonical(), kPlain);
  EXPECT_EQ(provenance->key().hex(),
            "6da419384b49733f58537b7fefa2b8a91439206a43765791bbe843b575731db5");
}

TEST(Provenance, IsTheSameHoweverItWasWritten) {
  EXPECT_EQ(Provenance::parse(" {\n \"tokenizer\" : \"t\" ,\"model\":\"\\u006d\",\"input\":\"i\","
                              "\"code\":\"c\",\"kind\":\"embedding\" }\t")
                ->canonical(),
            kPlain);
}

TEST(Provenance, WritesTextAsPythonDoes) {
  EXPECT_THAT(canonical(R"("z":"\u007f\u001f\/\u2028é😀\b\f\n\r\t\"\\")"),
              HasSubstr(R"("z":"\u007f\u001f/\u2028\u00e9\ud83d\ude00\b\f\n\r\t\"\\"})"));
  EXPECT_THAT(canonical(R"("z":"\uD83D\uDE00")"), HasSubstr(R"("z":"\ud83d\ude00"})"));
}

TEST(Provenance, SortsByCodePointNotByUtf16) {
  // U+FFFF is a greater UTF-16 unit than the surrogates of U+1F600, and a smaller code point.
  EXPECT_THAT(canonical(R"("😀":1,"￿":2,"A":3,"":4)"),
              ::testing::MatchesRegex(R"(\{"":4,"A":3,"code".*"\\uffff":2,"\\ud83d\\ude00":1\})"));
}

TEST(Provenance, KeepsNumbersAsTheyWereWritten) {
  for (const char* number : {"0", "-0", "1.0", "1e16", "1E+16", "0.1", "12345678901234567890123"}) {
    EXPECT_THAT(canonical(absl::StrCat("\"z\":", number)),
                HasSubstr(absl::StrCat("\"z\":", number, "}")));
  }
}

TEST(Provenance, RefusesWhatIsNoObjectOfStringsAndNumbers) {
  for (const char* more : {"\"z\":true",
                           "\"z\":null",
                           "\"z\":[]",
                           "\"z\":{}",
                           "\"z\":NaN",
                           "\"z\":01",
                           "\"z\":1.",
                           "\"z\":+1",
                           "\"z\":\"\\ud800\"",
                           "\"z\":\"\\udc00\"",
                           "\"z\":\"\\x\"",
                           "\"z\":\"\n\"",
                           "\"z\":\"\xff\"",
                           "\"z\":\"\xc0\x80\"",
                           "\"z\":\"\xed\xa0\x80\"",
                           "\"z\":1,\"z\":1",
                           "\"kind\":\"kv\"",
                           "\"z\":1,",
                           "z:1",
                           "\"z\" 1",
                           "\"z\":Infinity"}) {
    EXPECT_FALSE(Provenance::parse(with(more)).ok()) << more;
  }
  for (const char* text : {"", "[]", "1", "\"a\"", "{", "{}", "null"}) {
    EXPECT_FALSE(Provenance::parse(text).ok()) << text;
  }
  EXPECT_FALSE(Provenance::parse(with("") + "x").ok());
}

TEST(Provenance, NeedsItsFiveFieldsAndAKnownKind) {
  for (const char* field : {"kind", "model", "tokenizer", "input", "code"}) {
    const std::string text = with("");
    const size_t at = text.find(absl::StrCat("\"", field, "\":\""));
    const size_t value = at + std::string(field).size() + 4;
    std::string empty = text;
    empty.erase(value, text.find('"', value) - value);
    EXPECT_FALSE(Provenance::parse(empty).ok()) << empty;
    std::string other = text;
    other.replace(at, 2, "\"x");
    EXPECT_FALSE(Provenance::parse(other).ok()) << other;
  }
  std::string unknown = with("");
  unknown.replace(unknown.find("embedding"), 9, "pickle");
  EXPECT_THAT(Provenance::parse(unknown).status().message(), HasSubstr("hidden-states"));
}

TEST(Provenance, IsBounded) {
  std::string fields;
  for (int i = 0; i < 59; ++i) absl::StrAppend(&fields, i == 0 ? "" : ",", "\"f", i, "\":1");
  EXPECT_TRUE(Provenance::parse(with(fields)).ok());
  EXPECT_FALSE(Provenance::parse(with(fields + ",\"more\":1")).ok());
  EXPECT_FALSE(
      Provenance::parse(with("\"z\":\"" + std::string(kProvenanceBytesMax, 'x') + "\"")).ok());
  // Short as UTF-8, long as ASCII.
  std::string accents;
  for (size_t i = 0; i < kProvenanceBytesMax / 4; ++i) accents += "é";
  EXPECT_FALSE(Provenance::parse(with("\"z\":\"" + accents + "\"")).ok());
}

TEST(JsonReader, SkipsWhatItIsNotAskedForAndSaysHowItWasWritten) {
  JsonReader reader(R"( {"a": [1, {"b": "\u0041]"}, []] , "c":2})");
  std::string name;
  absl::string_view written;
  ASSERT_TRUE(reader.enterObject() && reader.nextMember(name) && reader.skip(&written));
  EXPECT_EQ(written, R"([1, {"b": "\u0041]"}, []])");
  uint64_t number = 0;
  ASSERT_TRUE(reader.nextMember(name) && reader.readUnsigned(number));
  EXPECT_EQ(name, "c");
  EXPECT_FALSE(reader.nextMember(name));
  EXPECT_TRUE(reader.atEnd());
}

TEST(JsonReader, DoesNotRecurse) {
  const std::string deep(1'000'000, '[');
  JsonReader reader(deep);
  EXPECT_FALSE(reader.skip());
  EXPECT_THAT(reader.status().message(), HasSubstr("too deep"));
}

TEST(JsonReader, WhatIsNoUtf8IsWrittenAsNoCharacter) {
  for (const absl::string_view text :
       {"\xff", "\xed\x2f\xff", "\xed\xa0\x80", "\xc3", "\xe0\x80\x80", "\xf4\x90\x80\x80"}) {
    std::string written;
    appendJsonString(text, written);
    JsonReader reader(written);
    std::string read;
    ASSERT_TRUE(reader.readString(read) && reader.atEnd()) << written;
    EXPECT_THAT(read, HasSubstr("\xef\xbf\xbd"));
  }
  std::string written;
  appendJsonString("\xc3\xa4\xf0\x9f\x90\x93", written);
  EXPECT_EQ(written, R"("\u00e4\ud83d\udc13")");
}

}  // namespace
}  // namespace roost
