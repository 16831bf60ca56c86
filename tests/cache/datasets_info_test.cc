#include "cache/datasets_info.h"

#include "gtest/gtest.h"

namespace roost {
namespace {

// As datasets 5.2 writes it.
const std::string kInfo = R"({"features": {"n": {"dtype": "int64", "_type": "Value"}},
  "builder_name": "parquet", "dataset_name": "rows", "splits": {
  "train": {"name": "train", "num_examples": 3, "shard_lengths": [2, 1], "dataset_name": "rows"},
  "test": {"name": "test", "num_examples": 3, "dataset_name": "rows"}}})";
const std::set<std::string> kAll = {"dataset_info.json", "rows-test.arrow",
                                    "rows-train-00000-of-00002.arrow",
                                    "rows-train-00001-of-00002.arrow"};

TEST(DatasetsInfoTest, EveryFileOfEverySplitIsThere) {
  EXPECT_TRUE(hasAllSplits(kInfo, kAll));

  for (const std::string& name : kAll) {
    std::set<std::string> some = kAll;
    some.erase(name);
    EXPECT_EQ(hasAllSplits(kInfo, some), name == "dataset_info.json") << name;
  }
}

TEST(DatasetsInfoTest, ItMaySayNothingOfFiles) {
  for (const char* info :
       {"{}", R"({"splits": null, "dataset_name": "rows"})", R"({"splits": {"train": {}}})",
        R"({"splits": {"train": {}}, "dataset_name": 7})"}) {
    EXPECT_TRUE(hasAllSplits(info, {"a.arrow"})) << info;
  }
}

TEST(DatasetsInfoTest, WhatIsNoInfoIsOfNoFinishedDirectory) {
  for (const char* info : {"", "{", "[]", R"({"splits": {"train": {}}, "dataset_name": "rows")"}) {
    EXPECT_FALSE(hasAllSplits(info, {"rows-train.arrow"})) << info;
  }
}

TEST(DatasetsInfoTest, StrangeNumbersAndNamesAreNoMoreThanFilesThatAreNotThere) {
  for (const char* split : {R"("../x": {})", R"("train": {"shard_lengths": [1, 1, 1, 1, 1, 1]})",
                            R"("train": {"shard_lengths": [[], null]})", R"("": 7)"}) {
    const std::string info = std::string(R"({"dataset_name": "rows", "splits": {)") + split + "}}";
    EXPECT_FALSE(hasAllSplits(info, {"rows-train.arrow"})) << split;
  }
}

}  // namespace
}  // namespace roost
