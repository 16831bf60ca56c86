// Those on this node who read blobs while they arrive: clients of the endpoint. A reader asks for
// pieces as it comes to them; the fetch behind it brings those first, if nobody else wants the
// blob (otherwise each wanter takes its stripe, and all go on at the same pace).
//
// Threads: one (the core's). Memory: kReadersMax readers, one waiting piece each.
#ifndef ROOST_CLUSTER_READERS_H_
#define ROOST_CLUSTER_READERS_H_

#include <cstddef>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "cluster/fetches.h"
#include "cluster/members.h"

namespace roost {

class Readers {
 public:
  Readers(Fetches& fetches, const Members& members) : fetches_(fetches), members_(members) {}

  void on(Turn& turn, const ReaderBegan& event);
  void on(Turn& turn, const PieceWanted& event);
  void on(Turn& turn, const ReaderGone& event);
  void fetchEnded(const Fetches::Ended& ended);

  size_t size() const { return readers_.size(); }

 private:
  struct Reader {
    BlobId blob;
    bool ended = false;
    absl::Status result{};  // of the fetch, once it ended
  };
  // Readers are owners of fetches like obtains; their numbers are those that no job reaches.
  ObtainKey ownerOf(ReaderId reader) const;

  Fetches& fetches_;
  const Members& members_;
  absl::btree_map<ReaderId, Reader> readers_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_READERS_H_
