#include "cache/representation_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/cache/temp_folder.h"

namespace roost {
namespace {

namespace fs = std::filesystem;
using ::testing::SizeIs;

constexpr char kProvenance[] =
    R"({"kind":"embedding","model":"m","tokenizer":"t","input":"i","code":"c"})";

std::string safetensors(const std::string& data) {
  std::string header = R"({"__metadata__":{"roost.provenance":")";
  for (const char* c = kProvenance; *c != '\0'; ++c) {
    if (*c == '"') header += '\\';
    header += *c;
  }
  header += R"("},"a":{"dtype":"U8","shape":[)" + std::to_string(data.size()) +
            R"(],"data_offsets":[0,)" + std::to_string(data.size()) + "]}}";
  std::string bytes;
  for (size_t i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>((header.size() >> (8 * i)) & 0xff));
  }
  return bytes + header + data;
}

absl::Span<const uint8_t> bytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class RepresentationFiles : public ::testing::Test {
 protected:
  const RepresentationKey key = Provenance::parse(kProvenance)->key();
  TempFolder folder;
  SafeDir root = *SafeDir::openRoot(folder.path());
  const std::string path = ownRepresentationPath(folder.path(), key);
};

TEST_F(RepresentationFiles, ASmallValueIsReadAsItWasWritten) {
  const std::string value = safetensors("abc");
  writeRepresentation(root, key, "what was there before", nullptr).value();
  const FileStamp stamp = writeRepresentation(root, key, value, nullptr).value();
  const auto found = examineRepresentation(path, nullptr);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->provenance.key(), key);
  EXPECT_EQ(readRepresentation(path, {found->file.hashes.id, value.size()}, stamp).value(), value);
}

TEST_F(RepresentationFiles, AValueThatChangedIsNotRead) {
  const std::string value = safetensors("abc");
  const FileStamp stamp = writeRepresentation(root, key, value, nullptr).value();
  const BlobInfo blob{examineRepresentation(path, nullptr)->file.hashes.id, value.size()};
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file << 'X' << std::flush;
  const FileStamp now = *FileStamp::ofPath(path);
  EXPECT_TRUE(absl::IsDataLoss(readRepresentation(path, blob, now).status()));
  fs::remove(path);
  EXPECT_TRUE(absl::IsNotFound(readRepresentation(path, blob, stamp).status()));
}

TEST_F(RepresentationFiles, AValueInPartsHasItsNameOnlyWhenItIsPublished) {
  const std::string value = safetensors(std::string(3 << 20, 'x'));
  for (const std::optional<uint64_t> size :
       {std::optional<uint64_t>(value.size()), std::optional<uint64_t>()}) {
    auto writer = RepresentationWriter::open(root, key, size, nullptr).value();
    ASSERT_TRUE(writer->write(bytesOf(value.substr(0, 1000))).ok());
    ASSERT_TRUE(writer->write(bytesOf(value.substr(1000))).ok());
    EXPECT_FALSE(fs::exists(path));
    const BlobHashes hashes = writer->finish().value();
    EXPECT_TRUE(writer->check()->provenance.has_value());
    ASSERT_TRUE(writer->publish().ok());
    EXPECT_EQ(examineRepresentation(path, nullptr)->file.hashes.id, hashes.id);
    EXPECT_THAT(hashes.pieces, SizeIs(4));
    removeRepresentation(root, key);
  }
}

TEST_F(RepresentationFiles, AValueThatIsGivenUpLeavesNothing) {
  {
    auto writer = RepresentationWriter::open(root, key, 10, nullptr).value();
    ASSERT_TRUE(writer->write(bytesOf("12345")).ok());
    EXPECT_FALSE(writer->write(bytesOf("123456")).ok());
    EXPECT_FALSE(writer->finish().ok());
  }
  EXPECT_TRUE(fs::is_empty(fs::path(path).parent_path()));
}

TEST_F(RepresentationFiles, WhatAKilledWriterLeftIsRemovedAtTheNextStart) {
  writeRepresentation(root, key, safetensors("abc"), nullptr).value();
  const fs::path own = fs::path(path).parent_path();
  std::ofstream(own / (key.hex() + ".1.roost-part")) << "half";
  const auto files = listOwnRepresentations(root);
  ASSERT_THAT(files, SizeIs(1));
  EXPECT_EQ(files[0].key, key);
  EXPECT_EQ(std::distance(fs::directory_iterator(own), fs::directory_iterator()), 1);
}

TEST_F(RepresentationFiles, LinksAndUnfinishedNamesAreNotListed) {
  const fs::path at(folder.path());
  fs::create_directories(at / "deep");
  for (const char* name :
       {"a.safetensors", "deep/b.safetensors", ".c.safetensors", "d.tmp.safetensors", "e.txt"}) {
    std::ofstream(at / name) << "x";
  }
  fs::create_symlink(at / "a.safetensors", at / "link.safetensors");
  fs::create_directory_symlink(at, at / "loop");
  RepresentationListing listing;
  listRepresentations(folder.path(), {}, listing);
  EXPECT_THAT(listing.files, SizeIs(2));
  EXPECT_THAT(listing.folders, SizeIs(2));
  RepresentationListing again;
  listRepresentations(folder.path(), {{at / "deep", 1}}, again);
  EXPECT_THAT(again.files, SizeIs(1)) << "a known folder is looked at by itself";
  EXPECT_THAT(again.folders, SizeIs(1));
}

}  // namespace
}  // namespace roost
