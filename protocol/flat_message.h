// One Cap'n Proto message as plain bytes, for rows of the index.
//
// Threads: any. Errors: kInvalidArgument for bytes that are no message; what lies in a message is
// checked by who reads it. Readers throw kj::Exception on a malformed pointer: see readFlat().
#ifndef ROOST_PROTOCOL_FLAT_MESSAGE_H_
#define ROOST_PROTOCOL_FLAT_MESSAGE_H_

#include <capnp/serialize.h>

#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "protocol/limits.h"

namespace roost {

inline std::string toFlat(capnp::MessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

// Calls `read` with the root of the message; what it returns (a Status or a StatusOr) is the
// result. A pointer out of bounds becomes an error here.
template <typename Root, typename Read>
auto readFlat(absl::string_view bytes, Read read)
    -> decltype(read(std::declval<typename Root::Reader>())) {
  try {
    // Readers need the alignment of a word, which bytes of a database row do not promise.
    auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
    if (words.size() == 0) return absl::InvalidArgumentError("an empty message");
    std::memcpy(words.begin(), bytes.data(), words.asBytes().size());
    capnp::ReaderOptions options;
    options.traversalLimitInWords = kMessageBytesMax / sizeof(capnp::word);
    capnp::FlatArrayMessageReader message(words, options);
    return read(message.getRoot<Root>());
  } catch (const kj::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("malformed message: ", error.getDescription().cStr()));
  }
}

}  // namespace roost

#endif  // ROOST_PROTOCOL_FLAT_MESSAGE_H_
