// The addresses of --join: those that are known at the start, and those of host files, which are
// read again when they change.
//
// Threads: seedsOf() any; HostFiles one at a time (jobs of the work pool). Blocking reads.
#ifndef ROOST_NODE_SEEDS_H_
#define ROOST_NODE_SEEDS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "node/addresses.h"

namespace roost {

// Of all entries that are no files. A DNS name stays a name: it is resolved each time it is
// dialled, and any of its addresses leads to all other members.
std::vector<Address> seedsOf(const std::vector<JoinEntry>& join);

class HostFiles {
 public:
  // `port`: of lines that name none.
  HostFiles(const std::vector<JoinEntry>& join, uint16_t port);

  struct News {
    std::vector<Address> addresses;     // of the files that changed, all of them
    std::vector<std::string> problems;  // files that cannot be read, told once a change
  };
  // What was written into the files since the last call; everything at the first.
  News read();
  bool empty() const { return files_.empty(); }

 private:
  struct File {
    std::string path;
    std::string text;   // as read last
    std::string fault;  // why it could not be read then
  };
  std::vector<File> files_;
  uint16_t port_;
};

}  // namespace roost

#endif  // ROOST_NODE_SEEDS_H_
