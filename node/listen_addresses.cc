#include "node/listen_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <boost/asio/ip/address.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

struct Own {
  std::string interface;
  boost::asio::ip::address address;
};

std::vector<Own> ownAddresses() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> release(first, freeifaddrs);
  std::vector<Own> all;
  for (const ifaddrs* i = first; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || (i->ifa_flags & IFF_UP) == 0) continue;
    char text[INET6_ADDRSTRLEN];
    const void* bytes = nullptr;
    if (i->ifa_addr->sa_family == AF_INET) {
      bytes = &reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr;
    } else if (i->ifa_addr->sa_family == AF_INET6) {
      bytes = &reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr;
    }
    if (bytes == nullptr ||
        inet_ntop(i->ifa_addr->sa_family, bytes, text, sizeof text) == nullptr) {
      continue;
    }
    boost::system::error_code ec;
    const auto address = boost::asio::ip::make_address(text, ec);
    // A link-local address means nothing without its interface.
    if (ec || (address.is_v6() && address.to_v6().is_link_local())) continue;
    all.push_back({i->ifa_name, address});
  }
  return all;
}

bool inNetwork(const boost::asio::ip::address& address, const AdvertiseNetwork& network) {
  boost::system::error_code ec;
  const auto base = boost::asio::ip::make_address(network.address, ec);
  if (ec || base.is_v4() != address.is_v4()) return false;
  const auto bitsEqual = [&](const auto& a, const auto& b) {
    for (int bit = 0; bit < network.prefixBits; ++bit) {
      const auto byte = static_cast<size_t>(bit / 8);
      if (byte >= a.size()) return true;
      const int mask = 0x80 >> (bit % 8);
      if ((a[byte] & mask) != (b[byte] & mask)) return false;
    }
    return true;
  };
  return base.is_v4() ? bitsEqual(base.to_v4().to_bytes(), address.to_v4().to_bytes())
                      : bitsEqual(base.to_v6().to_bytes(), address.to_v6().to_bytes());
}

}  // namespace

absl::StatusOr<std::vector<Address>> advertisedAddresses(const std::vector<AdvertiseEntry>& entries,
                                                         const Address& listen) {
  if (entries.empty()) return std::vector<Address>(1, listen);
  const std::vector<Own> own = ownAddresses();
  std::vector<Address> result;
  for (const AdvertiseEntry& entry : entries) {
    const size_t before = result.size();
    std::string name;
    if (const auto* address = std::get_if<AdvertiseAddress>(&entry)) {
      result.push_back({address->host, address->port.value_or(listen.port)});
    } else if (const auto* interface = std::get_if<AdvertiseInterface>(&entry)) {
      name = absl::StrCat("interface ", interface->name);
      for (const Own& one : own) {
        if (one.interface == interface->name) {
          result.push_back({one.address.to_string(), listen.port});
        }
      }
    } else if (const auto* network = std::get_if<AdvertiseNetwork>(&entry)) {
      name = absl::StrCat("network ", network->address, "/", network->prefixBits);
      for (const Own& one : own) {
        if (inNetwork(one.address, *network)) {
          result.push_back({one.address.to_string(), listen.port});
        }
      }
    }
    if (result.size() == before) {
      return absl::InvalidArgumentError(sentence(absl::StrCat("--advertise: ", name),
                                                 "this machine has no such address",
                                                 "`ip address` lists those it has."));
    }
  }
  if (result.size() > kAddressesMax) result.resize(kAddressesMax);
  return result;
}

}  // namespace roost
