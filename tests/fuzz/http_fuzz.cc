// What clients of the endpoint put into a request line and a Range header is either a route with
// names that passed their grammar, or left to the hub.
#include <cstdint>
#include <cstdlib>

#include "node/endpoint/byte_range.h"
#include "node/endpoint/hub_route.h"

namespace roost {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void checkRoute(absl::string_view method, absl::string_view target) {
  const HubRoute route = hubRoute(HubOrigin::huggingFace(), method, target);
  using Kind = HubRoute::Kind;
  switch (route.kind) {
    case Kind::kFile:
      require(route.repo && route.revision && RelativePath::parse(route.path).ok());
      break;
    case Kind::kTree:
      require(route.path.empty() || RelativePath::parse(route.path).ok());
      [[fallthrough]];
    case Kind::kRevision:
    case Kind::kPathsInfo:
      require(route.repo && route.revision);
      break;
    case Kind::kInfo:
    case Kind::kRefs:
    case Kind::kXetToken:
      require(route.repo.has_value());
      break;
    case Kind::kHarnesses:
    case Kind::kTelemetry:
    case Kind::kRoost:
    case Kind::kOther:
      break;
  }
}

void checkRange(absl::string_view text) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{100}, UINT64_MAX / 2}) {
    const ByteRange range = byteRange(text, size);
    require(range.first <= range.end && range.end <= size);
    if (range.kind == ByteRange::Kind::kPart) require(range.first < range.end);
  }
}

}  // namespace
}  // namespace roost

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  for (const char* method : {"GET", "POST"}) roost::checkRoute(method, text);
  roost::checkRange(text);
  return 0;
}
