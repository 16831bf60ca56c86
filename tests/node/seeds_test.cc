#include "node/seeds.h"

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HostFilesTest : public ::testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(path_) << text; }

  TempFolder folder_;
  const std::string path_ = folder_ / "hosts";
  HostFiles files_{{JoinEntry(JoinFile{path_})}, 8376};
};

TEST(Seeds, AreAllEntriesThatAreNoFiles) {
  const Address one{"one", 1};
  const Address two{"two", 2};
  const Address three{"three", 3};
  EXPECT_THAT(seedsOf({JoinAddress{one}, JoinFile{"/hosts"}, JoinDns{two}, JoinSlurm{{three}}}),
              ElementsAre(one, two, three));
}

TEST_F(HostFilesTest, AreReadAgainWhenTheyChange) {
  write("gpu-[1-2]\n");
  EXPECT_THAT(files_.read().addresses, ElementsAre(Address{"gpu-1", 8376}, Address{"gpu-2", 8376}));
  EXPECT_THAT(files_.read().addresses, IsEmpty());
  write("gpu-3:9\n");
  EXPECT_THAT(files_.read().addresses, ElementsAre(Address{"gpu-3", 9}));
}

TEST_F(HostFilesTest, AMissingFileIsToldOnceAndReadWhenItComes) {
  EXPECT_THAT(files_.read().problems, ElementsAre(HasSubstr(path_)));
  EXPECT_THAT(files_.read().problems, IsEmpty());
  write("gpu-1\n");
  EXPECT_THAT(files_.read().addresses, ElementsAre(Address{"gpu-1", 8376}));
}

TEST_F(HostFilesTest, ABadLineIsNamed) {
  write("gpu-1\ngpu 2\n");
  const HostFiles::News news = files_.read();
  EXPECT_THAT(news.problems, ElementsAre(HasSubstr("line 2")));
  EXPECT_THAT(news.addresses, IsEmpty());
}

TEST_F(HostFilesTest, AHugeFileIsNoHostFile) {
  write(std::string(2 << 20, '#'));
  EXPECT_THAT(files_.read().problems, ElementsAre(HasSubstr("larger")));
}

}  // namespace
}  // namespace roost
