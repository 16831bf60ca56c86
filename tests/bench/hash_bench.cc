// How fast hashFile() is beside OpenSSL alone: SHA-256 + XXH3 + reading, in turn, medians.
// usage: hash_bench [FILE] [MEGABYTES]
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "cache/file_io.h"
#include "cache/hasher.h"
#include "cache/unique_fd.h"

namespace {

constexpr int kRounds = 7;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double megabytesPerSecond(uint64_t bytes, absl::Duration took) {
  return static_cast<double>(bytes) / 1e6 / absl::ToDoubleSeconds(took);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = argc > 1 ? argv[1] : "/dev/shm/roost-hash-bench";
  const uint64_t size = (argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 512) << 20;
  const roost::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::vector<uint8_t> content(size);
  for (size_t i = 0; i < size; ++i) content[i] = static_cast<uint8_t>((i * 2654435761u) >> 13);
  if (!fd || !roost::writeFully(fd.get(), path, 0, content).ok()) {
    std::fprintf(stderr, "cannot write %s\n", path.c_str());
    return 1;
  }
  const roost::BlobInfo blob{roost::BlobId::sha256({}), size};
  std::vector<double> evp, file, background;
  for (int round = 0; round < kRounds; ++round) {
    absl::Time began = absl::Now();
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_Digest(content.data(), content.size(), digest, nullptr, EVP_sha256(), nullptr);
    evp.push_back(megabytesPerSecond(size, absl::Now() - began));

    began = absl::Now();
    if (!roost::hashFile(fd.get(), path, blob, {}).ok()) return 1;
    file.push_back(megabytesPerSecond(size, absl::Now() - began));

    began = absl::Now();
    if (!roost::hashFile(fd.get(), path, blob, {.leavePageCacheAlone = true}).ok()) return 1;
    background.push_back(megabytesPerSecond(size, absl::Now() - began));
  }
  ::unlink(path.c_str());
  double load[1] = {0};
  ::getloadavg(load, 1);
  std::printf("%s, %llu MiB, median of %d, load average %.1f\n", path.c_str(),
              static_cast<unsigned long long>(size >> 20), kRounds, load[0]);
  std::printf("OpenSSL SHA-256 of memory    %7.0f MB/s\n", median(evp));
  std::printf("hashFile                     %7.0f MB/s  %.2f x\n", median(file),
              median(file) / median(evp));
  std::printf("hashFile in the background   %7.0f MB/s  %.2f x\n", median(background),
              median(background) / median(evp));
  return 0;
}
