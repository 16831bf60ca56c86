// What `roost verify` does: hashes every file that this node shows of a repo.
//
// Threads: `loop`; hashing is CopyChecks' business. What is given must outlive the coroutine.
#ifndef ROOST_NODE_REPO_CHECK_H_
#define ROOST_NODE_REPO_CHECK_H_

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "cache/inventory.h"
#include "protocol/names.h"

namespace roost {

class CopyChecks;

// What `verify` found of a repo on this node.
struct VerifiedRepo {
  struct Wrong {
    std::string path, expected, found;
  };
  uint64_t filesOk = 0;
  uint64_t bytesOk = 0;
  std::vector<Wrong> wrong;
  std::vector<std::string> missing;  // paths that the manifest has and this node does not
};

// Each content once, of all commits. Nothing at all if the repo is not here.
boost::asio::awaitable<VerifiedRepo> checkRepo(const Inventory& inventory, CopyChecks& checks,
                                               RepoId repo);

}  // namespace roost

#endif  // ROOST_NODE_REPO_CHECK_H_
