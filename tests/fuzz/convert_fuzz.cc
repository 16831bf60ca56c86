// Bytes as a message of each kind that a peer may send: conversion refuses or accepts, and what it
// accepts survives the way back.
#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "protocol/convert.h"
#include "protocol/limits.h"

namespace {

template <typename Wire>
void tryAs(kj::ArrayPtr<const capnp::word> words) try {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = 1 << 16;
  options.nestingLimit = 32;
  capnp::FlatArrayMessageReader message(words, options);
  const auto value = roost::fromWire(message.getRoot<Wire>());
  if (!value.ok()) return;
  capnp::MallocMessageBuilder back;
  auto root = back.initRoot<Wire>();
  roost::toWire(*value, root);
  const auto again = roost::fromWire(root.asReader());
  if (!again.ok() || !(*again == *value)) std::abort();
} catch (const kj::Exception&) {
  // A malformed message is refused by Cap'n Proto itself.
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > 1 << 16) return 0;
  auto words = kj::heapArray<capnp::word>(size / sizeof(capnp::word) + 1);
  std::memset(words.begin(), 0, words.asBytes().size());
  std::memcpy(words.begin(), data + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      tryAs<roost::wire::Listing>(words);
      break;
    case 1:
      tryAs<roost::wire::MemberInfo>(words);
      break;
    case 2:
      tryAs<roost::wire::AdvertPage>(words);
      break;
    case 3:
      tryAs<roost::wire::Obtain>(words);
      break;
    case 4:
      tryAs<roost::wire::Want>(words);
      break;
    case 5:
      tryAs<roost::wire::Grant>(words);
      break;
    case 6:
      tryAs<roost::wire::ObtainProgress>(words);
      break;
    case 7:
      tryAs<roost::wire::NodeSummary>(words);
      break;
  }
  return 0;
}
