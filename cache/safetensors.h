// The form of a safetensors file: 8 bytes length of a JSON header (little endian), the header, the
// tensors one after the other to the end of the file.
// https://github.com/huggingface/safetensors#format
//
// Checked as its own library does before it loads one: known data types, sizes that follow from the
// shapes, no gaps and no overlaps. Whatever it holds is numbers; no pickle gets in.
//
// Threads: any; readSafetensors() blocks. Errors: kInvalidArgument with what is wrong; those of
// reading.
#ifndef ROOST_CACHE_SAFETENSORS_H_
#define ROOST_CACHE_SAFETENSORS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace roost {

inline constexpr size_t kSafetensorsLengthBytes = 8;  // before the header

struct Safetensors {
  // The metadata "roost.provenance", as it stands there.
  std::optional<std::string> provenance;
};

// How long the header is, from the first 8 bytes of a file.
absl::StatusOr<uint64_t> safetensorsHeaderBytes(absl::string_view first, uint64_t fileBytes);
// Of the header alone; `dataBytes` follow it in the file.
absl::StatusOr<Safetensors> checkSafetensorsHeader(absl::string_view header, uint64_t dataBytes);
// Of a whole file in memory.
absl::StatusOr<Safetensors> checkSafetensors(absl::string_view file);
// Of an open file; reads the header only. `name` is for error texts.
absl::StatusOr<Safetensors> readSafetensors(int fd, const std::string& name, uint64_t fileBytes);

}  // namespace roost

#endif  // ROOST_CACHE_SAFETENSORS_H_
