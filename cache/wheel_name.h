// What a wheel says of itself: its project, its version, and the name that its file has at an index
// (PEP 427), of the directory at the end of the zip and of the WHEEL file in it. For people: an
// index may write the same name in another way, and what a file says of itself proves nothing.
//
// Threads: any; blocks. All of it is hostile: at most kPipTailBytes and kWheelTextBytesMax are
// read.
#ifndef ROOST_CACHE_WHEEL_NAME_H_
#define ROOST_CACHE_WHEEL_NAME_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace roost {

inline constexpr size_t kWheelTextBytesMax = 64 << 10;  // of a WHEEL file, which has 1 kB

struct WheelName {
  std::string project;  // as in the file: "my_leaf"
  std::string version;
  std::string file;  // "my_leaf-1.0-py3-none-any.whl"; empty: its tags cannot be read
  friend bool operator==(const WheelName&, const WheelName&) = default;
};

// Of an open file of that size; none: it is no wheel.
std::optional<WheelName> wheelNameOf(int fd, uint64_t size);

// The text of a WHEEL file as the end of a file's name: "-1-py2.py3-none-any" with a build number
// of 1. Empty: it has no tags, or they cannot stand in a name.
std::string wheelTags(absl::string_view text);

}  // namespace roost

#endif  // ROOST_CACHE_WHEEL_NAME_H_
