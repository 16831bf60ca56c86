// libtorrent's disk, as roost has it. Nothing of it is a file of its own:
//   - a complete blob is read where it lies (LocalBlob, with its checks), piece by piece;
//   - one that arrives is read from its BlobWriter, or from memory until it is written;
//   - received blocks are gathered into pieces in memory, checked against the hash tree, and handed
//     on (SwarmBlob::deliver): the blob's writer is who writes them.
// Bounded: SwarmShelf::room pieces exist at once; a peer whose block finds no room is disconnected.
// While waitingMax whole pieces wait for the disk, peers wait.
//
// Threads: made, called and destroyed by libtorrent on its network thread, which owns all state.
// Reads and hashes are jobs of the work pool; they carry values, and post what came of them.
#ifndef ROOST_CLUSTER_SWARM_DISK_H_
#define ROOST_CLUSTER_SWARM_DISK_H_

#include <functional>
#include <memory>

#include "cluster/swarm_blob.h"

// The only header that includes libtorrent; used by swarm_disk.cc and swarm_lane.cc alone.
#include <libtorrent/disk_interface.hpp>
#include <libtorrent/session_params.hpp>

namespace roost {

// For session_params. A torrent's save path is the key under which its blob lies in the shelf.
libtorrent::disk_io_constructor_type swarmDisk(std::shared_ptr<SwarmShelf> shelf);

}  // namespace roost

#endif  // ROOST_CLUSTER_SWARM_DISK_H_
