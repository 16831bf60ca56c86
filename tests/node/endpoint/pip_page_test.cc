#include "node/endpoint/pip_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "node/endpoint/pip_html.h"
#include "node/endpoint/pip_route.h"

namespace roost {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Optional;
using ::testing::SizeIs;

constexpr char kUrl[] = "https://index.example/simple/leaf/";
constexpr char kJson[] = "application/vnd.pypi.simple.v1+json";
const std::string kHash(64, 'a');
const std::string kOther(64, 'b');

PipPage html(const std::string& body) {
  return parsePipPage(body, "text/html; charset=UTF-8", "leaf", kUrl).value();
}
PipPage json(const std::string& files) {
  return parsePipPage(
             absl::StrCat(R"({"meta":{"api-version":"1.1"},"name":"leaf","files":[)", files, "]}"),
             kJson, "leaf", kUrl)
      .value();
}
std::string entry(const std::string& more) {
  return absl::StrCat(
      R"({"filename":"leaf-1.0.tar.gz","url":"leaf-1.0.tar.gz","hashes":{"sha256":")", kHash, "\"}",
      more, "}");
}

TEST(PipProjectName, IsNormalisedOrNone) {
  EXPECT_THAT(pipProjectName("My__Leaf.-x"), Optional(Eq("my-leaf-x")));
  for (const char* wrong : {"", "-a", "a.", "..", "a/b", "a b", "\xc3\xa4"}) {
    EXPECT_FALSE(pipProjectName(wrong)) << wrong;
  }
  EXPECT_FALSE(pipProjectName(std::string(97, 'a')));
}

TEST(PipPageJson, HasWhatIsSaidOfAFile) {
  const PipPage page = json(entry(absl::StrCat(
      R"(,"size":7,"requires-python":">=3","yanked":"bad","upload-time":"2026-01-01T00:00:00Z",)",
      R"("core-metadata":{"sha256":")", kOther, "\"}")));
  ASSERT_THAT(page.files, SizeIs(1));
  const PipFile& file = page.files[0];
  EXPECT_EQ(file.url, "https://index.example/simple/leaf/leaf-1.0.tar.gz");
  EXPECT_EQ(file.sha256->hex(), kHash);
  EXPECT_THAT(file.size, Optional(7u));
  EXPECT_EQ(file.requiresPython, ">=3");
  EXPECT_THAT(file.yanked, Optional(Eq("bad")));
  EXPECT_EQ(file.metadata->hex(), kOther);
  EXPECT_EQ(file.uploadTime, "2026-01-01T00:00:00Z");
}

TEST(PipPageJson, MetadataWithoutAHashIsNotBelieved) {
  EXPECT_FALSE(json(entry(R"(,"core-metadata":true)")).files[0].metadata);
}

TEST(PipPageJson, LeavesOutFilesThatCannotBeUsed) {
  for (const char* wrong : {
           R"(7)",
           R"({"filename":"a.whl"})",
           R"({"filename":"../a.whl","url":"a.whl"})",
           R"({"filename":".a","url":"a.whl"})",
           R"({"filename":"a b","url":"a.whl"})",
           R"({"filename":"a.whl.metadata","url":"a.whl.metadata"})",
           R"({"filename":"a.whl","url":"file:///etc/passwd"})",
           R"({"filename":"a.whl","url":"http://index.example/a.whl"})",  // down from https
           R"({"filename":"a.whl","url":"https://user:password@index.example/a.whl"})",
       }) {
    EXPECT_THAT(json(wrong).files, IsEmpty()) << wrong;
  }
}

TEST(PipPageJson, RefusesWhatIsNoPage) {
  for (const char* wrong :
       {"", "[]", "{", R"({"files":[]})", R"({"meta":{"api-version":"2.0"},"files":[]})",
        R"({"meta":{"api-version":"1.0"}})"}) {
    EXPECT_FALSE(parsePipPage(wrong, kJson, "leaf", kUrl).ok()) << wrong;
  }
  EXPECT_FALSE(parsePipPage("<a>", "image/png", "leaf", kUrl).ok());
}

TEST(PipPageHtml, HasWhatIsSaidOfAFile) {
  const PipPage page = html(absl::StrCat(
      "<!DOCTYPE html><html><!-- <a href=\"no.whl\">no.whl</a> --><body>\n"
      "<A HREF='../../p/leaf-1.0.whl#sha256=",
      kHash, "' data-requires-python=\"&gt;=3.8\" data-yanked data-core-metadata=\"sha256=", kOther,
      "\">\n leaf-1.0.whl </a><br>"));
  ASSERT_THAT(page.files, SizeIs(1));
  const PipFile& file = page.files[0];
  EXPECT_EQ(file.name, "leaf-1.0.whl");
  EXPECT_EQ(file.url, "https://index.example/p/leaf-1.0.whl");
  EXPECT_EQ(file.sha256->hex(), kHash);
  EXPECT_EQ(file.requiresPython, ">=3.8");
  EXPECT_THAT(file.yanked, Optional(Eq("")));
  EXPECT_EQ(file.metadata->hex(), kOther);
}

TEST(PipPageHtml, FollowsABase) {
  const PipPage page = html("<base href=\"https://cdn.example/x/\"><a href=\"y/a-1.whl\">a</a>");
  EXPECT_EQ(page.files[0].url, "https://cdn.example/x/y/a-1.whl");
}

TEST(PipPageHtml, TakesTheNameOfTheAddressIfTheTextIsNone) {
  EXPECT_EQ(html("<a href=\"a%2Bcu-1.whl#sha256=x\">click here</a>").files[0].name, "a+cu-1.whl");
}

TEST(PipPageHtml, AnotherHashIsPassedOn) {
  const PipPage page = html("<a href=\"a.whl#md5=0cc175b9c0f1b6a831c399e269772661\">a.whl</a>");
  EXPECT_FALSE(page.files[0].sha256);
  EXPECT_THAT(pipPageHtml(page),
              HasSubstr("../../files/leaf/-/a.whl#md5=0cc175b9c0f1b6a831c399e269772661"));
}

TEST(PipPage, IsTheSameAfterItWasShown) {
  PipPage page = json(entry(R"(,"size":7,"requires-python":"<4,>=3","yanked":"\"<&>'")"));
  page.versions = {"1.0"};
  const std::string url = "http://127.0.0.1:8377/pip/simple/leaf/";
  for (const auto& again : {parsePipPage(pipPageJson(page), kJson, "leaf", url),
                            parsePipPage(pipPageHtml(page), "text/html", "leaf", url)}) {
    ASSERT_TRUE(again.ok());
    ASSERT_THAT(again->files, SizeIs(1));
    const PipFile& file = again->files[0];
    EXPECT_EQ(file.url,
              absl::StrCat("http://127.0.0.1:8377/pip/files/leaf/", kHash, "/leaf-1.0.tar.gz"));
    EXPECT_EQ(file.sha256, page.files[0].sha256);
    EXPECT_EQ(file.yanked, page.files[0].yanked);
    EXPECT_EQ(file.requiresPython, page.files[0].requiresPython);
  }
}

TEST(PipPage, SaysThatItIsOfVersion11OnlyWithAllSizes) {
  PipPage page = json(entry(R"(,"size":7)"));
  page.versions = {"1.0"};
  EXPECT_THAT(pipPageJson(page), HasSubstr("\"api-version\":\"1.1\""));
  page.files[0].size = std::nullopt;
  EXPECT_THAT(pipPageJson(page), HasSubstr("\"api-version\":\"1.0\""));
}

TEST(PipForm, IsTheOneThatTheClientLikesBest) {
  EXPECT_EQ(pipFormOf("").form, PipForm::kHtml);
  EXPECT_EQ(pipFormOf("*/*").form, PipForm::kHtml);
  EXPECT_EQ(pipFormOf(absl::StrCat(kJson,
                                   ", application/vnd.pypi.simple.v1+html; q=0.1, "
                                   "text/html; q=0.01"))
                .form,
            PipForm::kJson);
  EXPECT_EQ(pipFormOf(absl::StrCat("text/html, ", kJson, ";q=0.2")).form, PipForm::kHtml);
  EXPECT_EQ(pipFormOf(absl::StrCat(kJson, ";q=0")).form, PipForm::kHtml);
}

TEST(HtmlReader, EndsWithWhatIsCutOff) {
  for (const char* cut : {"<a href=\"x", "<a href=", "<a ", "<", "<!--", "<script>x", "</a"}) {
    HtmlReader reader(cut);
    EXPECT_FALSE(reader.next()) << cut;
  }
}

TEST(HtmlReader, KnowsCharacterReferences) {
  EXPECT_EQ(withoutEntities("&lt;&#62;&#x26;&quot;&apos;&nope;&#0;&#xd800;&"),
            "<>&\"'&nope;&#0;&#xd800;&");
}

TEST(PipRoute, LeavesTheHubItsOwn) {
  for (const char* hub : {"/pip/simple/resolve/main/x", "/pip/files/resolve/main/x", "/pip",
                          "/pip/", "/api/models/pip/simple", "/pip/simple/../x", "/pipx/simple/"}) {
    EXPECT_FALSE(pipRoute(hub)) << hub;
  }
}

TEST(PipRoute, TellsFilesFromTheirMetadata) {
  const auto file = pipRoute(absl::StrCat("/pip/files/leaf/", kHash, "/a%2Bb.whl.metadata"));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->name, "a+b.whl");
  EXPECT_TRUE(file->metadata);
  EXPECT_FALSE(pipRoute(absl::StrCat("/pip/files/leaf/", kHash.substr(1), "/a.whl")));
  EXPECT_FALSE(pipRoute(absl::StrCat("/pip/files/Leaf/", kHash, "/a.whl")));
}

TEST(PipRoute, MovesOtherSpellings) {
  EXPECT_TRUE(pipRoute("/pip/simple/leaf/")->exact);
  EXPECT_FALSE(pipRoute("/pip/simple/leaf")->exact);
  EXPECT_FALSE(pipRoute("/pip/simple/Leaf/")->exact);
  EXPECT_EQ(pipRoute("/pip/simple/Le_af")->project, "le-af");
}

}  // namespace
}  // namespace roost
