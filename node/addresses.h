// Where an agent looks for its first peers (--join), and what it tells others to dial
// (--advertise).
//
// Threads: any (pure). Errors: kInvalidArgument with a sentence.
#ifndef ROOST_NODE_ADDRESSES_H_
#define ROOST_NODE_ADDRESSES_H_

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/environment.h"
#include "protocol/names.h"

namespace roost {

// True for 127.0.0.0/8, ::1 and localhost: what nobody else can reach.
bool isLoopback(absl::string_view host);

// What clients of this node call an endpoint that listens there: an address that means all of the
// node's is none to connect to.
std::string urlForClients(const Address& listens);

// --- Join: one entry of the comma-separated list. ---
struct JoinAddress {  // HOST:PORT
  Address address;
  friend bool operator==(const JoinAddress&, const JoinAddress&) = default;
};
struct JoinDns {  // dns:NAME:PORT, every address that the name has now and later
  Address name;
  friend bool operator==(const JoinDns&, const JoinDns&) = default;
};
struct JoinFile {  // file:PATH, read again when it changes: parseHostFile()
  std::string path;
  friend bool operator==(const JoinFile&, const JoinFile&) = default;
};
struct JoinSlurm {  // slurm, the hosts of this Slurm job
  std::vector<Address> hosts;
  friend bool operator==(const JoinSlurm&, const JoinSlurm&) = default;
};
using JoinEntry = std::variant<JoinAddress, JoinDns, JoinFile, JoinSlurm>;

// `port` is what peers on Slurm nodes listen on (our own). Relative file paths start at `folder`.
absl::StatusOr<std::vector<JoinEntry>> parseJoin(absl::string_view text, uint16_t port,
                                                 absl::string_view folder,
                                                 const Environment& environment);

// A host file: a host, a range such as gpu-[01-16], or either with :PORT, one a line; '#' begins a
// comment.
absl::StatusOr<std::vector<Address>> parseHostFile(absl::string_view text, uint16_t port);

// --- Advertise: one entry. ---
struct AdvertiseAddress {  // ADDR or ADDR:PORT; no port: the listen port
  std::string host;
  std::optional<uint16_t> port;
  friend bool operator==(const AdvertiseAddress&, const AdvertiseAddress&) = default;
};
struct AdvertiseInterface {  // every address of a network interface
  std::string name;
  friend bool operator==(const AdvertiseInterface&, const AdvertiseInterface&) = default;
};
struct AdvertiseNetwork {  // 10.0.0.0/8: every own address in it
  std::string address;
  int prefixBits = 0;
  friend bool operator==(const AdvertiseNetwork&, const AdvertiseNetwork&) = default;
};
using AdvertiseEntry = std::variant<AdvertiseAddress, AdvertiseInterface, AdvertiseNetwork>;

// Entries separated by commas. With '/': a network. An IP address, HOST:PORT or a name with a dot:
// an address. Any other name: an interface.
absl::StatusOr<std::vector<AdvertiseEntry>> parseAdvertise(absl::string_view text);

}  // namespace roost

#endif  // ROOST_NODE_ADDRESSES_H_
