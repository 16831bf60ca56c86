#include "cluster/torrent_file.h"

#include "absl/strings/str_cat.h"
#include "cluster/hub_urls.h"
#include "protocol/digest.h"

namespace roost {
namespace {

std::string text(absl::string_view value) {
  return absl::StrCat(value.size(), ":", value);
}

absl::string_view view(const Sha256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace

// Keys of a bencoded dictionary are sorted.
std::string torrentInfo(const BlobInfo& blob, const Sha256& root) {
  const std::string name = text(blob.id.hex());
  const std::string file = absl::StrCat("d", text("length"), "i", blob.size, "e",
                                        text("pieces root"), text(view(root)), "e");
  return absl::StrCat("d", text("file tree"), "d", name, "d", text(""), file, "e", "e",
                      text("meta version"), "i2e", text("name"), name, text("piece length"), "i",
                      swarmPieceBytes(blob.size), "e", "e");
}

Sha256 torrentInfoHash(const BlobInfo& blob, const Sha256& root) {
  return digestOf(torrentInfo(blob, root));
}

std::string torrentFile(const BlobInfo& blob, const HashTree& tree, absl::string_view comment) {
  std::string file = "d";
  if (!comment.empty()) absl::StrAppend(&file, text("comment"), text(comment));
  absl::StrAppend(&file, text("info"), torrentInfo(blob, tree.root), text("piece layers"), "d");
  if (!tree.layer.empty()) {
    absl::StrAppend(&file, text(view(tree.root)), tree.layer.size() * sizeof(Sha256), ":");
    for (const Sha256& hash : tree.layer) absl::StrAppend(&file, view(hash));
  }
  return file += "ee";
}

std::string magnetLink(const BlobInfo& blob, const Sha256& root, absl::string_view name,
                       absl::Span<const Address> peers) {
  // 12: SHA-256, 20: its 32 bytes (multihash).
  std::string link = absl::StrCat("magnet:?xt=urn:btmh:1220", hexOf(torrentInfoHash(blob, root)),
                                  "&dn=", percentEncoded(name), "&xl=", blob.size);
  for (const Address& peer : peers) absl::StrAppend(&link, "&x.pe=", peer.toString());
  return link;
}

}  // namespace roost
