#include "node/seeds.h"

#include <cerrno>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

absl::StatusOr<std::string> textOf(const std::string& path) {
  errno = 0;
  std::ifstream in(path);
  if (!in) return errnoStatus(errno, "cannot read", path);
  std::string text(kHostFileBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kHostFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("larger than ", kHostFileBytesMax, " bytes: not a host file"));
  }
  return text;
}

}  // namespace

std::vector<Address> seedsOf(const std::vector<JoinEntry>& join) {
  std::vector<Address> seeds;
  for (const JoinEntry& entry : join) {
    if (const auto* address = std::get_if<JoinAddress>(&entry)) seeds.push_back(address->address);
    if (const auto* dns = std::get_if<JoinDns>(&entry)) seeds.push_back(dns->name);
    if (const auto* slurm = std::get_if<JoinSlurm>(&entry)) {
      seeds.insert(seeds.end(), slurm->hosts.begin(), slurm->hosts.end());
    }
  }
  return seeds;
}

HostFiles::HostFiles(const std::vector<JoinEntry>& join, uint16_t port) : port_(port) {
  for (const JoinEntry& entry : join) {
    if (const auto* file = std::get_if<JoinFile>(&entry)) files_.push_back({file->path, "", ""});
  }
}

HostFiles::News HostFiles::read() {
  News news;
  for (File& file : files_) {
    const auto fails = [&](const absl::Status& why) {
      const std::string fault = absl::StrCat("host file ", file.path, ": ", why.message());
      if (fault != file.fault) news.problems.push_back(fault);
      file.fault = fault;
    };
    const auto text = textOf(file.path);
    if (!text.ok()) {
      fails(text.status());
      continue;
    }
    if (*text == file.text && file.fault.empty()) continue;
    file.text = *text;
    const auto hosts = parseHostFile(*text, port_);
    if (!hosts.ok()) {
      fails(hosts.status());
      continue;
    }
    file.fault.clear();
    news.addresses.insert(news.addresses.end(), hosts->begin(), hosts->end());
  }
  return news;
}

}  // namespace roost
