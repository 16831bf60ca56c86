#include "node/endpoint/hub_route.h"

#include <string>

#include "gtest/gtest.h"

namespace roost {
namespace {

using Kind = HubRoute::Kind;

const HubOrigin kHub = HubOrigin::huggingFace();
const std::string kCommit(40, 'a');

HubRoute get(const std::string& target) {
  return hubRoute(kHub, "GET", target);
}

TEST(HubRoute, FilesOfAllTypes) {
  const HubRoute model = get("/org/name/resolve/main/sub/config.json");
  ASSERT_EQ(model.kind, Kind::kFile);
  EXPECT_EQ(model.repo->toString(), "org/name");
  EXPECT_EQ(revisionText(*model.revision), "main");
  EXPECT_EQ(model.path, "sub/config.json");
  EXPECT_EQ(get("/gpt2/resolve/" + kCommit + "/a").repo->toString(), "gpt2");
  EXPECT_EQ(get("/datasets/org/name/resolve/main/a").repo->toString(), "datasets/org/name");
  EXPECT_EQ(get("/spaces/org/name/resolve/main/a").repo->toString(), "spaces/org/name");
  EXPECT_EQ(hubRoute(kHub, "HEAD", "/org/name/resolve/main/a").kind, Kind::kFile);
}

TEST(HubRoute, NamesAreDecodedAfterTheyAreSplit) {
  const HubRoute route = get("/org/name/resolve/refs%2Fpr%2F1/a%20b%2Fc/%C3%BC.txt?download=true");
  ASSERT_EQ(route.kind, Kind::kFile);
  EXPECT_EQ(revisionText(*route.revision), "refs/pr/1");
  EXPECT_EQ(route.path, "a b/c/ü.txt");
  EXPECT_TRUE(route.flag("download"));
}

TEST(HubRoute, ApiOfARepo) {
  EXPECT_EQ(get("/api/models/org/name").kind, Kind::kInfo);
  EXPECT_EQ(get("/api/models/gpt2").kind, Kind::kInfo);
  EXPECT_EQ(get("/api/datasets/org/name/revision/main").kind, Kind::kRevision);
  EXPECT_EQ(get("/api/models/org/name/refs").kind, Kind::kRefs);
  EXPECT_EQ(get("/api/models/org/name/xet-read-token/" + kCommit).kind, Kind::kXetToken);
  EXPECT_EQ(get("/api/models/org/name/xet-write-token/main").kind, Kind::kOther);
  const HubRoute tree = get("/api/models/org/name/tree/main/sub/dir?recursive=True&expand=False");
  ASSERT_EQ(tree.kind, Kind::kTree);
  EXPECT_EQ(tree.path, "sub/dir");
  EXPECT_TRUE(tree.flag("recursive"));
  EXPECT_FALSE(tree.flag("expand"));
  EXPECT_EQ(hubRoute(kHub, "POST", "/api/models/org/name/paths-info/main").kind, Kind::kPathsInfo);
}

TEST(HubRoute, AllElseIsTheHubs) {
  for (const char* target :
       {"/api/whoami-v2", "/api/models?search=x", "/org/name", "/org/name/resolve/main",
        "/kernels/org/name/resolve/main/a", "/org/name/resolve/main/../../x", "/api/models",
        "/org/name/resolve/main/%zz", "/org/name/resolve/main/%00", "no-slash",
        "/api/models/org/name/commits/main", "/o/n/resolve/a%20b/x", "/a..b/n/resolve/main/x"}) {
    EXPECT_EQ(get(target).kind, Kind::kOther) << target;
  }
  EXPECT_EQ(hubRoute(kHub, "POST", "/api/models/org/name/commit/main").kind, Kind::kOther);
  EXPECT_EQ(hubRoute(kHub, "POST", "/org/name/resolve/main/a").kind, Kind::kOther);
  EXPECT_EQ(hubRoute(kHub, "DELETE", "/api/models/org/name").kind, Kind::kOther);
}

TEST(HubRoute, RoostsOwnPages) {
  EXPECT_EQ(get("/").kind, Kind::kRoost);
  EXPECT_EQ(get("/livez").path, "livez");
  EXPECT_EQ(get("/roost/v1/status").path, "roost/v1/status");
  EXPECT_EQ(get("/livez/x").kind, Kind::kOther);
}

}  // namespace
}  // namespace roost
