// A folder of a test's own, gone at its end; and small files in it.
#ifndef ROOST_TESTS_CACHE_TEMP_FOLDER_H_
#define ROOST_TESTS_CACHE_TEMP_FOLDER_H_

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cache/hasher.h"
#include "gtest/gtest.h"
#include "protocol/blob_id.h"

namespace roost {

class TempFolder {
 public:
  explicit TempFolder(const std::string& in = ::testing::TempDir()) {
    std::string name = in + "/roost-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = path_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

 private:
  std::string path_;
};

inline std::string contentOf(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(text).str();
}

// How much of a file is in the page cache. Nullopt: it has no disk (tmpfs). Not by reading without
// waiting: that begins to read ahead.
inline std::optional<uint64_t> cachedBytes(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct statfs system {};
  if (fd < 0 || ::fstatfs(fd, &system) != 0) throw std::runtime_error("cannot open " + path);
  const size_t size = std::filesystem::file_size(path);
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident((size + page - 1) / page);
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (mapped == MAP_FAILED || ::mincore(mapped, size, resident.data()) != 0) {
    throw std::runtime_error("cannot map " + path);
  }
  ::munmap(mapped, size);
  if (system.f_type == TMPFS_MAGIC) return std::nullopt;
  return page * static_cast<size_t>(std::count_if(resident.begin(), resident.end(),
                                                  [](unsigned char is) { return is & 1; }));
}

// Equal for equal seeds, without any pattern that a wrong offset could hide in.
inline std::vector<uint8_t> randomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> bytes(size);
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = random();
    for (size_t i = at; i < size && i < at + 8; ++i, word >>= 8) {
      bytes[i] = static_cast<uint8_t>(word);
    }
  }
  return bytes;
}

inline BlobHashes hashesOf(const std::vector<uint8_t>& content,
                           HashAlgorithm algorithm = HashAlgorithm::kSha256) {
  BlobHasher hasher(algorithm, content.size());
  hasher.update(content);
  return hasher.finish();
}

inline BlobInfo infoOf(const std::vector<uint8_t>& content,
                       HashAlgorithm algorithm = HashAlgorithm::kSha256) {
  return {hashesOf(content, algorithm).id, content.size()};
}

inline std::string textOf(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace roost

#endif  // ROOST_TESTS_CACHE_TEMP_FOLDER_H_
