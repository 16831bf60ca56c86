// The hub's JSON answers: made from a manifest where the hub is not asked, and cleaned of Xet where
// it was. Clients that see a xetHash get the bytes from Xet's servers, past this agent.
//
// Threads: any (pure).
#ifndef ROOST_NODE_ENDPOINT_HUB_DOCUMENTS_H_
#define ROOST_NODE_ENDPOINT_HUB_DOCUMENTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"

namespace roost {

// GET /api/TYPEs/ID[/revision/REV]
std::string infoDocument(const Listing& manifest);
// GET …/tree/COMMIT[/folder]; kNotFound if the folder is not there.
absl::StatusOr<std::string> treeDocument(const Listing& manifest, absl::string_view folder,
                                         bool recursive);
// POST …/paths-info/COMMIT; `body` is the request's, JSON or a form.
absl::StatusOr<std::string> pathsInfoDocument(const Listing& manifest, absl::string_view body);
// GET …/refs
std::string refsDocument(const std::vector<RefState>& refs);

// The same JSON without any "xetHash"; as it is if there is none.
std::string withoutXet(std::string json);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_HUB_DOCUMENTS_H_
