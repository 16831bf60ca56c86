#include "cache/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "protocol/limits.h"

namespace roost {
namespace {

using ::testing::HasSubstr;

std::string file(const std::string& header, size_t dataBytes) {
  std::string bytes;
  for (size_t i = 0; i < 8; ++i)
    bytes.push_back(static_cast<char>((header.size() >> (8 * i)) & 0xff));
  return bytes + header + std::string(dataBytes, 'x');
}

constexpr char kOne[] = R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})";

TEST(Safetensors, AFileOfTensorsIsOne) {
  EXPECT_TRUE(checkSafetensors(file(kOne, 24)).ok());
  EXPECT_TRUE(checkSafetensors(file("{}", 0)).ok());
  EXPECT_TRUE(checkSafetensors(file("{}     ", 0)).ok());  // padded
  EXPECT_TRUE(checkSafetensors(file(R"({"b":{"dtype":"U8","shape":[0],"data_offsets":[4,4]},)"
                                    R"("a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
                                    R"("s":{"dtype":"I64","shape":[],"data_offsets":[4,12]}})",
                                    12))
                  .ok());
}

TEST(Safetensors, SaysItsProvenance) {
  const auto form = checkSafetensors(
      file(R"({"__metadata__":{"format":"pt","roost.provenance":"{\"kind\":\"kv\"}"}})", 0));
  ASSERT_TRUE(form.ok()) << form.status();
  EXPECT_EQ(form->provenance, R"({"kind":"kv"})");
  EXPECT_FALSE(checkSafetensors(file(kOne, 24))->provenance.has_value());
}

TEST(Safetensors, RefusesWhatIsNone) {
  const auto refuses = [](const std::string& header, size_t dataBytes) {
    const auto form = checkSafetensors(file(header, dataBytes));
    EXPECT_EQ(form.status().code(), absl::StatusCode::kInvalidArgument) << header;
  };
  refuses(kOne, 23);  // cut short
  refuses(kOne, 25);  // something behind the end
  refuses("[]", 0);
  refuses(" {}", 0);
  refuses("{", 0);
  refuses(R"({"a":1})", 0);
  refuses(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}})", 20);
  refuses(R"({"a":{"dtype":"O","shape":[3],"data_offsets":[0,24]}})", 24);
  refuses(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8);
  refuses(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8);
  refuses(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8);
  refuses(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8);
  refuses(R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8);
  refuses(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1);
  // Products that turn around.
  refuses(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0);
  // A gap, an overlap, one name for two.
  refuses(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
          R"("b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
          5);
  refuses(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
          R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
          3);
  refuses(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
          R"("a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
          4);
  refuses(R"({"__metadata__":{"n":1}})", 0);
  refuses(R"({"__metadata__":{"roost.provenance":"a","roost.provenance":"b"}})", 0);
  refuses(std::string("{\"a\":\0}", 7), 0);
}

TEST(Safetensors, IsNoPickle) {
  EXPECT_FALSE(checkSafetensors("\x80\x04\x95\x0a").ok());
  EXPECT_FALSE(checkSafetensors("").ok());
  EXPECT_FALSE(checkSafetensors(std::string(4096, '\x80')).ok());
}

TEST(Safetensors, AHeaderThatClaimsTooMuchIsNotRead) {
  std::string huge = file("{}", 0);
  huge[7] = '\x7f';
  EXPECT_THAT(checkSafetensors(huge).status().message(), HasSubstr("16 MiB"));
  huge = file("{}", 0);
  huge[0] = 3;
  EXPECT_THAT(checkSafetensors(huge).status().message(), HasSubstr("longer than the file"));
}

}  // namespace
}  // namespace roost
