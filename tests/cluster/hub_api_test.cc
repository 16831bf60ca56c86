// The hub's API as values, its errors as sentences, its redirects and pauses.
#include "cluster/hub_api.h"

#include <gmock/gmock.h>

#include <atomic>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/hub_urls.h"
#include "tests/cluster/hub_under_test.h"

namespace roost {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kCommit[] = "0123456789abcdef0123456789abcdef01234567";
constexpr char kBlob[] = "89abcdef0123456789abcdef0123456789abcdef";
constexpr char kSha[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

TestAnswer json(const std::string& body) {
  return {200, {{"Content-Type", "application/json"}}, body};
}

TestAnswer error(int status, const std::string& code, const std::string& message = "") {
  TestAnswer answer{status, {}, "{}"};
  if (!code.empty()) answer.headers.emplace_back("X-Error-Code", code);
  if (!message.empty()) answer.headers.emplace_back("X-Error-Message", message);
  return answer;
}

std::string revisionJson() {
  return absl::StrCat(R"({"id":"org/model","sha":")", kCommit,
                      R"(","private":false,"gated":"auto","tags":["a",{"b":[1.5,-2,null]}],)",
                      R"("siblings":[{"rfilename":"config.json"},{"rfilename":"a/ö 1.bin"}]})");
}

std::string gitEntry(const std::string& path) {
  return absl::StrCat(R"({"type":"file","path":")", path, R"(","size":12,"oid":")", kBlob, R"("})");
}

std::string lfsEntry(const std::string& path) {
  return absl::StrCat(R"({"type":"file","path":")", path, R"(","size":5000,"oid":")", kBlob,
                      R"(","lfs":{"oid":")", kSha, R"(","size":5000,"pointerSize":130},)",
                      R"("xetHash":"ff"})");
}

class HubApiTest : public HubTest {
 protected:
  absl::StatusOr<HubRevision> revision(const std::string& hub, const std::string& name,
                                       HubPatience patience = hasty(),
                                       TokenSource source = token()) {
    HubApi api(originOf(hub), http, std::move(source), patience);
    return await<absl::StatusOr<HubRevision>>(
        [&](auto done) { api.revision(repoAt(hub), name, done); });
  }

  absl::StatusOr<Listing> tree(const std::string& hub) {
    HubApi api(originOf(hub), http, token(), hasty());
    return await<absl::StatusOr<Listing>>(
        [&](auto done) { api.tree(repoAt(hub), *Commit::parse(kCommit), done); });
  }
};

TEST_F(HubApiTest, RevisionTellsCommitVisibilityAndFiles) {
  TestHttpServer hub([](const auto&) { return json(revisionJson()); });

  const auto revisionNow = revision(hub.url(), "refs/pr/1");

  ASSERT_TRUE(revisionNow.ok()) << revisionNow.status();
  EXPECT_EQ(revisionNow->commit.hex(), kCommit);
  EXPECT_EQ(revisionNow->visibility, Visibility::kGated);
  ASSERT_EQ(revisionNow->paths.size(), 2u);
  EXPECT_EQ(revisionNow->paths[1].text(), "a/ö 1.bin");
  EXPECT_EQ(hub.requests()[0].target, "/api/models/org/model/revision/refs%2Fpr%2F1");
  EXPECT_EQ(hub.requests()[0].header("authorization"), absl::StrCat("Bearer ", kToken));
  EXPECT_THAT(hub.requests()[0].header("user-agent"), HasSubstr("roost/"));
}

TEST_F(HubApiTest, OriginWithPathPrefixKeepsIt) {
  TestHttpServer hub([](const auto&) { return json(revisionJson()); });

  ASSERT_TRUE(revision(hub.url() + "/mirror/hf", "main").ok());

  EXPECT_EQ(hub.requests()[0].target, "/mirror/hf/api/models/org/model/revision/main");
}

TEST_F(HubApiTest, WithoutTokenNoAuthorizationIsSent) {
  TestHttpServer hub([](const auto&) { return json(revisionJson()); });

  ASSERT_TRUE(revision(hub.url(), "main", hasty(), nullptr).ok());

  EXPECT_EQ(hub.requests()[0].headers.count("authorization"), 0u);
}

TEST_F(HubApiTest, RenamedRepoIsFollowedByItsRelativeRedirect) {
  TestHttpServer hub([](const TestRequest& request) {
    if (absl::StrContains(request.target, "org/model/")) {
      return TestAnswer{307, {{"Location", "/api/models/org/renamed/revision/main"}}, ""};
    }
    return json(revisionJson());
  });

  const auto revisionNow = revision(hub.url(), "main");

  ASSERT_TRUE(revisionNow.ok()) << revisionNow.status();
  EXPECT_EQ(hub.requests()[1].target, "/api/models/org/renamed/revision/main");
  EXPECT_EQ(hub.requests()[1].header("authorization"), absl::StrCat("Bearer ", kToken));
}

TEST_F(HubApiTest, RedirectLoopEnds) {
  TestHttpServer hub([](const TestRequest& request) {
    return TestAnswer{302, {{"Location", request.target}}, ""};
  });

  const auto status = revision(hub.url(), "main").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("redirects"));
  EXPECT_LE(hub.requests().size(), static_cast<size_t>(kHubRedirectsMax) + 1);
}

TEST_F(HubApiTest, RedirectToAnotherOriginIsRefusedAndNotAsked) {
  TestHttpServer other([](const auto&) { return json(revisionJson()); });
  TestHttpServer hub([&](const auto&) {
    return TestAnswer{302, {{"Location", other.url() + "/api?signature=secret"}}, ""};
  });

  const auto status = revision(hub.url(), "main").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr(other.url()));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("signature")));
  EXPECT_TRUE(other.requests().empty());
}

TEST_F(HubApiTest, BusyHubIsAskedAgain) {
  std::atomic<int> asked = 0;
  TestHttpServer hub([&](const auto&) {
    switch (++asked) {
      case 1:
        return error(503, "");
      case 2:
        return TestAnswer{429, {{"Retry-After", "1"}}, ""};
      default:
        return json(revisionJson());
    }
  });

  EXPECT_TRUE(revision(hub.url(), "main").ok());
  EXPECT_EQ(asked, 3);
}

TEST_F(HubApiTest, HubThatStaysBusyIsNamedAfterTheLastTry) {
  TestHttpServer hub([](const auto&) { return error(503, "", "down for repairs"); });

  const auto status = revision(hub.url(), "main").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(hub.url()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("503"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("down for repairs"));
  EXPECT_EQ(hub.requests().size(), static_cast<size_t>(kHubTriesMax));
}

TEST_F(HubApiTest, WaitLongerThanOurPatienceIsNotWaited) {
  TestHttpServer hub([](const auto&) {
    return TestAnswer{429, {{"RateLimit", "\"api\";r=0;t=3000"}}, ""};
  });

  EXPECT_EQ(revision(hub.url(), "main").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(hub.requests().size(), 1u);
}

TEST_F(HubApiTest, WhenTheHubWantsToBeLeftAloneNoOtherQuestionIsAsked) {
  TestHttpServer hub([](const auto&) { return TestAnswer{429, {{"Retry-After", "300"}}, ""}; });
  HubRest rest;
  HubPatience patience = hasty();
  patience.rest = &rest;
  EXPECT_FALSE(revision(hub.url(), "main", patience).ok());

  const auto status = revision(hub.url(), "other", patience).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("wait for another"));
  EXPECT_EQ(hub.requests().size(), 1u);
}

TEST_F(HubApiTest, HubThatNeverAnswersIsUnavailable) {
  TestHttpServer hub([](const auto&) {
    TestAnswer silence;
    silence.hang = true;
    return silence;
  });
  HubPatience patience = hasty();
  patience.tries = 1;

  const auto status = revision(hub.url(), "main", patience).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(hub.url()));
}

TEST_F(HubApiTest, ClosedPortIsUnavailable) {
  std::string url;
  {
    TestHttpServer gone([](const auto&) { return TestAnswer{}; });
    url = gone.url();
  }

  const auto status = revision(url, "main").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(url));
}

TEST_F(HubApiTest, RepoOfAnotherHubIsNeverAskedFor) {
  TestHttpServer hub([](const auto&) { return json(revisionJson()); });
  HubApi api(originOf("https://huggingface.co"), http, token(), hasty());

  const auto result = await<absl::StatusOr<HubRevision>>(
      [&](auto done) { api.revision(repoAt(hub.url()), "main", done); });

  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(hub.requests().empty());
}

struct ErrorCase {
  std::string name;
  int status;
  std::string code;
  bool withToken;
  absl::StatusCode expected;
  std::string says;
};

class HubErrorTest : public HubApiTest, public ::testing::WithParamInterface<ErrorCase> {};

TEST_P(HubErrorTest, BecomesASentence) {
  const ErrorCase& param = GetParam();
  TestHttpServer hub(
      [&](const auto&) { return error(param.status, param.code, absl::StrCat("bad ", kToken)); });

  const auto status =
      revision(hub.url(), "feature", hasty(), param.withToken ? token() : nullptr).status();

  EXPECT_EQ(status.code(), param.expected) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(param.says));
  EXPECT_THAT(std::string(status.message()), HasSubstr("org/model"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(hub.url()));
  if (param.withToken) {
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(kToken)));
  }
  EXPECT_EQ(hub.requests().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    All, HubErrorTest,
    ::testing::Values(
        ErrorCase{"NoRepo", 404, "RepoNotFound", true, absl::StatusCode::kNotFound,
                  "repo org/model was not found on"},
        ErrorCase{"NoRepoAnonymous", 401, "RepoNotFound", false, absl::StatusCode::kNotFound,
                  "HF_TOKEN"},
        ErrorCase{"GatedAnonymous", 401, "GatedRepo", false, absl::StatusCode::kPermissionDenied,
                  "set HF_TOKEN"},
        ErrorCase{"GatedNotGranted", 403, "GatedRepo", true, absl::StatusCode::kPermissionDenied,
                  "Ask for access at"},
        ErrorCase{"BadToken", 401, "", true, absl::StatusCode::kPermissionDenied, "bad [token]"},
        ErrorCase{"NoRevision", 404, "RevisionNotFound", true, absl::StatusCode::kNotFound,
                  "revision \"feature\" of org/model"},
        ErrorCase{"NotAHub", 404, "", true, absl::StatusCode::kNotFound, "without the error code"}),
    [](const auto& test) { return test.param.name; });

TEST_F(HubApiTest, TreeUnitesItsPages) {
  std::string base;
  TestHttpServer hub([&](const TestRequest& request) {
    if (absl::StrContains(request.target, "cursor")) {
      return json(absl::StrCat("[", gitEntry("a.txt"), "]"));
    }
    TestAnswer first = json(absl::StrCat("[", lfsEntry("model.safetensors"),
                                         R"(,{"type":"directory","path":"sub","oid":"00"}])"));
    first.headers.emplace_back(
        "Link", absl::StrCat("<", base, request.target, "&cursor=b,c>; rel=\"next\""));
    return first;
  });
  base = hub.url();

  const auto listing = tree(hub.url());

  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_TRUE(listing->complete);
  ASSERT_EQ(listing->files.size(), 2u);
  EXPECT_EQ(listing->files[0].path.text(), "a.txt");
  EXPECT_EQ(listing->files[0].blob, (BlobInfo{*BlobId::parseHex(kBlob), 12}));
  EXPECT_FALSE(listing->files[0].pointer.has_value());
  EXPECT_EQ(listing->files[1].blob, (BlobInfo{*BlobId::parseHex(kSha), 5000}));
  EXPECT_TRUE(listing->files[1].pointer.has_value());
  EXPECT_EQ(hub.requests()[0].target,
            absl::StrCat("/api/models/org/model/tree/", kCommit, "?recursive=true&expand=false"));
}

TEST_F(HubApiTest, NextPageAtAnotherOriginIsRefusedAndNotAsked) {
  TestHttpServer other([](const auto&) { return json("[]"); });
  TestHttpServer hub([&](const auto&) {
    TestAnswer page = json(absl::StrCat("[", gitEntry("a.txt"), "]"));
    page.headers.emplace_back("Link", absl::StrCat("<", other.url(), "/next>; rel=\"next\""));
    return page;
  });

  const auto status = tree(hub.url()).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr(other.url()));
  EXPECT_TRUE(other.requests().empty());
}

TEST_F(HubApiTest, PathThatLeavesTheRepoIsRefusedByName) {
  TestHttpServer hub(
      [](const auto&) { return json(absl::StrCat("[", gitEntry("../../etc/passwd"), "]")); });

  const auto status = tree(hub.url()).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("../../etc/passwd"));
}

TEST_F(HubApiTest, PathThatStandsTwiceIsRefusedByName) {
  TestHttpServer hub([](const auto&) {
    return json(absl::StrCat("[", gitEntry("same"), ",", gitEntry("same"), "]"));
  });

  EXPECT_THAT(std::string(tree(hub.url()).status().message()), HasSubstr("\"same\""));
}

TEST_F(HubApiTest, AnswerOverItsLimitEndsTheRequest) {
  TestHttpServer hub([](const auto&) { return json(std::string(5000, ' ')); });
  HttpRequest request;
  request.url = hub.url();
  request.bodyBytesMax = 1000;

  const auto result =
      await<HttpResult>([&](auto done) { http.start(std::move(request), std::move(done)); });

  EXPECT_EQ(result.status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(result.status.message()), HasSubstr("larger than 1000"));
}

TEST_F(HubApiTest, CredentialNeverGoesToAnotherOrigin) {
  TestHttpServer other([](const auto&) { return TestAnswer{}; });
  HttpRequest request;
  request.url = other.url();
  request.credential = HttpCredential{*Token::parse(kToken), *webOrigin("http://127.0.0.1:1")};

  await<HttpResult>([&](auto done) { http.start(std::move(request), std::move(done)); });

  ASSERT_EQ(other.requests().size(), 1u);
  EXPECT_FALSE(sawToken(other));
}

TEST_F(HubApiTest, FullQueueSaysBusy) {
  TestHttpServer hub([](const auto&) {
    TestAnswer silence;
    silence.hang = true;
    return silence;
  });
  HttpClient::Options options;
  options.transfersMax = 1;
  options.queueMax = 0;
  HttpClient full(options);
  HttpRequest request;
  request.url = hub.url();

  const auto result =
      await<HttpResult>([&](auto done) { full.start(std::move(request), std::move(done)); });

  EXPECT_EQ(result.status.code(), absl::StatusCode::kAborted);
}

TEST(HubUrls, TokensAreBoundToSchemeHostAndPort) {
  EXPECT_EQ(*webOrigin("https://Hub.example/x?y"), "https://hub.example:443");
  EXPECT_NE(*webOrigin("https://hub.example"), *webOrigin("http://hub.example"));
  EXPECT_NE(*webOrigin("https://hub.example"), *webOrigin("https://hub.example:444"));
  EXPECT_NE(*webOrigin("https://hub.example"), *webOrigin("https://hub.example.evil"));
  EXPECT_FALSE(webOrigin("file:///etc/passwd").ok());
  EXPECT_FALSE(webOrigin("https://hub.example@evil.example/").ok());
}

TEST(HubUrls, RedirectsGoNeitherDownToHttpNorToOtherSchemes) {
  EXPECT_EQ(*followed("https://h/a/b", "/c?d"), "https://h/c?d");
  EXPECT_EQ(*followed("https://h/a/b", "//other/c"), "https://other/c");
  EXPECT_FALSE(followed("https://h/a", "http://h/a").ok());
  EXPECT_FALSE(followed("https://h/a", "file:///etc/passwd").ok());
  EXPECT_FALSE(followed("https://h/a", "https://user:word@h/a").ok());
  EXPECT_FALSE(followed("https://h/a", "").ok());
}

TEST(HubUrls, PathsAreQuotedByteByByte) {
  const RepoId repo = *RepoId::make(HubOrigin::huggingFace(), RepoType::kDataset, "org/data");
  EXPECT_EQ(resolveUrl(repo, *Commit::parse(kCommit), *RelativePath::parse("a b/ö#?%.txt")),
            absl::StrCat("https://huggingface.co/datasets/org/data/resolve/", kCommit,
                         "/a%20b/%C3%B6%23%3F%25.txt"));
}

TEST(HubUrls, NextLinkIsFoundAmongOthers) {
  EXPECT_EQ(nextLink(R"(<http://h/p?a=1,2;3>; rel="prev", <http://h/n>; rel="next")"),
            "http://h/n");
  EXPECT_EQ(nextLink(R"(<http://h/p>; rel="prev")"), std::nullopt);
  EXPECT_EQ(nextLink("<unclosed"), std::nullopt);
}

TEST(HubUrls, QueryAndUserAreNotShown) {
  EXPECT_EQ(urlForPeople("https://u:p@h:1/file@2?Signature=s"), "https://h:1/file@2");
}

}  // namespace
}  // namespace roost
