#include "protocol/messages.h"

namespace roost {

AdvertKey keyOf(const Advert& advert) {
  if (const auto* blob = std::get_if<BlobAdvert>(&advert)) return blob->blob.id;
  if (const auto* repo = std::get_if<RepoAdvert>(&advert)) return RepoKey{repo->repo, repo->commit};
  if (const auto* value = std::get_if<RepresentationAdvert>(&advert)) return value->key;
  const auto& ref = std::get<RefAdvert>(advert);
  return RefKey{ref.repo, ref.state.ref};
}

AdvertKey keyOf(const AdvertChange& change) {
  if (const auto* advert = std::get_if<Advert>(&change.what)) return keyOf(*advert);
  return std::get<AdvertKey>(change.what);
}

}  // namespace roost
