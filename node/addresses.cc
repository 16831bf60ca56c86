#include "node/addresses.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "node/host_range.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

// 4, 6, or 0 for what is no literal address.
int ipVersion(absl::string_view host) {
  const std::string text(host);
  in6_addr buffer{};
  if (inet_pton(AF_INET, text.c_str(), &buffer) == 1) return 4;
  if (inet_pton(AF_INET6, text.substr(0, text.find('%')).c_str(), &buffer) == 1) return 6;
  return 0;
}

absl::string_view withoutBrackets(absl::string_view host) {
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    return host.substr(1, host.size() - 2);
  }
  return host;
}

std::vector<std::string> nonEmptyParts(absl::string_view text) {
  std::vector<std::string> parts;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (!part.empty()) parts.emplace_back(part);
  }
  return parts;
}

absl::StatusOr<JoinSlurm> slurmHosts(uint16_t port, const Environment& environment) {
  const auto list = lookUp(environment, "SLURM_JOB_NODELIST");
  if (!list) {
    return absl::InvalidArgumentError(
        "not in a Slurm job: SLURM_JOB_NODELIST is not set. Start the agent with srun, or name "
        "the peers with ADDR:PORT, dns:NAME:PORT or file:PATH");
  }
  ROOST_ASSIGN_OR_RETURN(const std::vector<std::string> hosts, expandHostRange(*list));
  JoinSlurm entry;
  for (const std::string& host : hosts) {
    ROOST_ASSIGN_OR_RETURN(Address address, Address::parse(absl::StrCat(host, ":", port)));
    entry.hosts.push_back(std::move(address));
  }
  return entry;
}

absl::StatusOr<JoinEntry> parseJoinEntry(absl::string_view text, uint16_t port,
                                         absl::string_view folder, const Environment& environment) {
  if (text == "slurm") {
    ROOST_ASSIGN_OR_RETURN(JoinSlurm entry, slurmHosts(port, environment));
    return JoinEntry(std::move(entry));
  }
  if (absl::ConsumePrefix(&text, "dns:")) {
    ROOST_ASSIGN_OR_RETURN(Address name, Address::parse(text));
    return JoinEntry(JoinDns{std::move(name)});
  }
  if (absl::ConsumePrefix(&text, "file:")) {
    if (text.empty()) return absl::InvalidArgumentError("file: without a path");
    return JoinEntry(JoinFile{absl::StartsWith(text, "/") ? std::string(text)
                                                          : absl::StrCat(folder, "/", text)});
  }
  if (absl::StartsWith(text, "etcd:")) {
    return absl::InvalidArgumentError(
        "etcd: is not in this version of roost. Use ADDR:PORT, dns:NAME:PORT, file:PATH or slurm");
  }
  ROOST_ASSIGN_OR_RETURN(Address address, Address::parse(text));
  return JoinEntry(JoinAddress{std::move(address)});
}

absl::StatusOr<AdvertiseEntry> parseNetwork(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, '/');
  const int version = ipVersion(parts.first);
  int bits = -1;
  const bool number = absl::SimpleAtoi(parts.second, &bits);
  if (version == 0 || !number || bits < 0 || bits > (version == 4 ? 32 : 128)) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a network: ", quoted(text), ": expected ADDRESS/BITS, as in 10.0.0.0/8"));
  }
  return AdvertiseEntry(AdvertiseNetwork{std::string(parts.first), bits});
}

absl::StatusOr<AdvertiseEntry> parseAdvertiseEntry(absl::string_view text) {
  if (absl::StrContains(text, '/')) return parseNetwork(text);
  if (ipVersion(withoutBrackets(text)) != 0) {
    return AdvertiseEntry(AdvertiseAddress{std::string(withoutBrackets(text)), std::nullopt});
  }
  if (absl::StrContains(text, ':')) {
    ROOST_ASSIGN_OR_RETURN(Address address, Address::parse(text));
    return AdvertiseEntry(AdvertiseAddress{std::move(address.host), address.port});
  }
  ROOST_ASSIGN_OR_RETURN(std::string name, parseNodeName(text));
  if (absl::StrContains(name, '.') || name.size() >= IFNAMSIZ) {
    return AdvertiseEntry(AdvertiseAddress{std::move(name), std::nullopt});
  }
  return AdvertiseEntry(AdvertiseInterface{std::move(name)});
}

}  // namespace

bool isLoopback(absl::string_view host) {
  const std::string text(withoutBrackets(host));
  if (absl::EqualsIgnoreCase(text, "localhost")) return true;
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string urlForClients(const Address& listens) {
  Address address = listens;
  if (address.host == "0.0.0.0") address.host = "127.0.0.1";
  if (address.host == "::") address.host = "::1";
  return absl::StrCat("http://", address.toString());
}

absl::StatusOr<std::vector<JoinEntry>> parseJoin(absl::string_view text, uint16_t port,
                                                 absl::string_view folder,
                                                 const Environment& environment) {
  std::vector<JoinEntry> entries;
  for (const std::string& part : nonEmptyParts(text)) {
    ROOST_ASSIGN_OR_RETURN(JoinEntry entry, parseJoinEntry(part, port, folder, environment));
    entries.push_back(std::move(entry));
  }
  if (entries.size() > kMembersMax) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMembersMax, " entries"));
  }
  return entries;
}

absl::StatusOr<std::vector<Address>> parseHostFile(absl::string_view text, uint16_t port) {
  std::vector<Address> addresses;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const bool hasPort = ipVersion(withoutBrackets(line)) == 0 &&
                         line.rfind(':') != absl::string_view::npos && !absl::EndsWith(line, "]");
    // A bracket at the start is an IPv6 address, elsewhere it is a range.
    std::vector<std::string> hosts = {std::string(line)};
    if (absl::StrContains(line, '[') && !absl::StartsWith(line, "[")) {
      auto expanded = expandHostRange(line);
      if (!expanded.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("line ", number, ": ", expanded.status().message()));
      }
      hosts = *std::move(expanded);
    }
    for (const std::string& host : hosts) {
      const Address plain{std::string(withoutBrackets(host)), port};
      auto address = Address::parse(hasPort ? host : plain.toString());
      if (!address.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("line ", number, ": ", address.status().message()));
      }
      addresses.push_back(*std::move(address));
    }
    if (addresses.size() > kMembersMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": more than ", kMembersMax, " hosts"));
    }
  }
  return addresses;
}

absl::StatusOr<std::vector<AdvertiseEntry>> parseAdvertise(absl::string_view text) {
  std::vector<AdvertiseEntry> entries;
  for (const std::string& part : nonEmptyParts(text)) {
    ROOST_ASSIGN_OR_RETURN(AdvertiseEntry entry, parseAdvertiseEntry(part));
    entries.push_back(std::move(entry));
  }
  if (entries.size() > kAddressesMax) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kAddressesMax, " entries"));
  }
  return entries;
}

}  // namespace roost
