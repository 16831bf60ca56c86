#include "cache/wheel_name.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "absl/strings/str_cat.h"
#include "cache/pip_cache.h"
#include "cache/unique_fd.h"
#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

constexpr char kText[] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

std::string number(uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return bytes;
}

std::string deflated(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string input = text, out(text.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

struct Zip {
  std::string path = "leaf-1.0.dist-info/WHEEL";
  std::string packed = kText;
  uint64_t bytes = sizeof(kText) - 1;
  uint16_t method = 0;
  std::string before = {};  // entries of the directory that come first

  std::string text() const {
    const std::string head = absl::StrCat(std::string("PK\x03\x04", 4), std::string(22, '\0'),
                                          number(path.size(), 2), number(0, 2), path);
    const std::string entry =
        absl::StrCat(std::string("PK\x01\x02", 4), std::string(6, '\0'), number(method, 2),
                     std::string(8, '\0'), number(packed.size(), 4), number(bytes, 4),
                     number(path.size(), 2), std::string(12, '\0'), number(0, 4), path);
    return absl::StrCat(head, packed, before, entry, std::string("PK\x05\x06", 4),
                        std::string(18, '\0'));
  }
};

class WheelNames : public ::testing::Test {
 protected:
  std::optional<WheelName> nameOf(const std::string& content) {
    const std::string path = folder_.write("wheel", content);
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return wheelNameOf(fd.get(), content.size());
  }
  TempFolder folder_;
};

TEST_F(WheelNames, AreOfItsFolderAndItsTags) {
  EXPECT_EQ(nameOf(Zip{}.text()), (WheelName{"leaf", "1.0", "leaf-1.0-py3-none-any.whl"}));
}

TEST_F(WheelNames, ThePackedTextIsRead) {
  const std::string packed = deflated(kText);
  EXPECT_EQ(nameOf(Zip{.packed = packed, .method = 8}.text()),
            (WheelName{"leaf", "1.0", "leaf-1.0-py3-none-any.whl"}));
}

TEST_F(WheelNames, WhatCannotBeReadOfItLeavesTheVersion) {
  const WheelName without{"leaf", "1.0", ""};
  const std::string packed = deflated(kText);
  EXPECT_EQ(nameOf(Zip{.packed = "no deflate", .method = 8}.text()), without);
  EXPECT_EQ(nameOf(Zip{.packed = packed, .bytes = 1, .method = 8}.text()), without);
  EXPECT_EQ(nameOf(Zip{.packed = packed, .bytes = 1 << 30, .method = 8}.text()), without);
  EXPECT_EQ(nameOf(Zip{.method = 12}.text()), without);
  EXPECT_EQ(nameOf(Zip{.packed = "Tag: ../../etc-none-any\n"}.text()), without);
}

TEST_F(WheelNames, OnlyAWheelHasOne) {
  EXPECT_EQ(nameOf(""), std::nullopt);
  EXPECT_EQ(nameOf("Metadata-Version: 2.1\n"), std::nullopt);
  EXPECT_EQ(nameOf(Zip{.path = "leaf/setup.py"}.text()), std::nullopt);
  EXPECT_EQ(nameOf(Zip{.path = "leaf.dist-info/WHEEL"}.text()), std::nullopt);
  EXPECT_EQ(nameOf(Zip{.path = "../leaf-1.0.dist-info/WHEEL"}.text()), std::nullopt);
  EXPECT_EQ(nameOf(Zip{.path = "le\naf-1.0.dist-info/WHEEL"}.text()), std::nullopt);
}

TEST_F(WheelNames, EveryCutOfItIsSafe) {
  const std::string whole = Zip{.packed = deflated(kText), .method = 8}.text();
  for (size_t length = 0; length < whole.size(); ++length) {
    (void)nameOf(whole.substr(0, length));
    (void)nameOf(absl::StrCat(std::string("PK\x03\x04", 4), whole.substr(length)));
  }
}

TEST_F(WheelNames, TheDirectoryMayBeLongerThanWhatIsLookedAt) {
  Zip zip;
  zip.before = std::string(2 * kPipTailBytes, 'x');
  EXPECT_EQ(nameOf(zip.text()), (WheelName{"leaf", "1.0", "leaf-1.0-py3-none-any.whl"}));
}

TEST(WheelTags, AreJoinedInTheirOrder) {
  EXPECT_EQ(wheelTags("Build: 1\nTag: py2-none-any\nTag: py3-none-any\n"), "-1-py2.py3-none-any");
  EXPECT_EQ(wheelTags("Tag: cp311-cp311-manylinux_2_17_x86_64\r\n"
                      "Tag: cp311-cp311-manylinux2014_x86_64\r\n"),
            "-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64");
  EXPECT_EQ(wheelTags("Wheel-Version: 1.0\n"), "");
  EXPECT_EQ(wheelTags("Tag: py3-none\n"), "");
}

}  // namespace
}  // namespace roost
