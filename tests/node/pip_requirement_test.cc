#include "node/pip_requirement.h"

#include <gtest/gtest.h>

namespace roost {
namespace {

TEST(PipRequirement, IsANameOrANameAndAVersion) {
  EXPECT_EQ(parsePipRequirement("My_Leaf").value().toString(), "my-leaf");
  EXPECT_EQ(parsePipRequirement("torch==2.0+cu118").value().toString(), "torch==2.0+cu118");
  for (const char* other : {"", "==1.0", "leaf==", "leaf>=1.0", "leaf[extra]", "leaf==1.0,<2",
                            "../leaf", "org/model", "leaf==../1", "leaf ==1.0"}) {
    EXPECT_EQ(parsePipRequirement(other).status().code(), absl::StatusCode::kInvalidArgument)
        << other;
  }
}

TEST(VersionOfWheel, IsInTheNameOfItsFile) {
  EXPECT_EQ(versionOfWheel("my_leaf-1.0-py3-none-any.whl"), "1.0");
  EXPECT_EQ(versionOfWheel("torch-2.0+cu118-1-cp311-cp311-linux_x86_64.whl"), "2.0+cu118");
  for (const char* other :
       {"leaf-1.0.tar.gz", "leaf-1.0.whl", "leaf--py3-none-any.whl", ".whl", "a-b-c-d-e-f-g.whl"}) {
    EXPECT_EQ(versionOfWheel(other), std::nullopt) << other;
  }
}

TEST(IsVersion, KnowsTheWaysToWriteOne) {
  EXPECT_TRUE(isVersion("1.0", "1.0.0"));
  EXPECT_TRUE(isVersion("V1", "1.0"));
  EXPECT_TRUE(isVersion("1.0RC1", "1.0rc1"));
  EXPECT_TRUE(isVersion("2.0", "2.0+cu118"));
  EXPECT_TRUE(isVersion("2.0+cu-118", "2.0+cu_118"));
  EXPECT_FALSE(isVersion("1.0", "1.10"));
  EXPECT_FALSE(isVersion("1.0", "1.0.1"));
  EXPECT_FALSE(isVersion("2.0+cu118", "2.0"));
  EXPECT_FALSE(isVersion("2.0+cu118", "2.0+cpu"));
}

}  // namespace
}  // namespace roost
