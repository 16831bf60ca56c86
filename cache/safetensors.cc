#include "cache/safetensors.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/file_io.h"
#include "cache/json_reader.h"
#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {
namespace {

struct DataType {
  absl::string_view name;
  uint64_t bits;
};
constexpr DataType kDataTypes[] = {
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64}};

using Extent = std::pair<uint64_t, uint64_t>;  // first byte, one behind the last

absl::Status refused(absl::string_view why) {
  return absl::InvalidArgumentError(
      sentence("the value is no safetensors file", why, "Write it with safetensors.save"));
}

// False if the product does not fit: a file that claims so much is hostile.
bool multiply(uint64_t& product, uint64_t by) {
  return !__builtin_mul_overflow(product, by, &product);
}

// A list of whole numbers; false if the reader failed.
bool readNumbers(JsonReader& reader, std::vector<uint64_t>& numbers) {
  numbers.clear();
  if (!reader.enterArray()) return false;
  while (reader.nextElement()) {
    uint64_t number = 0;
    if (!reader.readUnsigned(number)) return false;
    numbers.push_back(number);
  }
  return reader.ok();
}

absl::StatusOr<Extent> readTensor(JsonReader& reader, const std::string& name) {
  std::string type;
  std::optional<std::vector<uint64_t>> shape;
  std::optional<std::vector<uint64_t>> offsets;
  std::vector<uint64_t> numbers;
  std::string member;
  reader.enterObject();
  while (reader.nextMember(member)) {
    const bool again = (member == "dtype" && !type.empty()) || (member == "shape" && shape) ||
                       (member == "data_offsets" && offsets);
    if (again) return refused(absl::StrCat("the tensor ", quoted(name), " says something twice"));
    if (member == "dtype") {
      if (!reader.readString(type)) break;
    } else if (member == "shape") {
      if (!readNumbers(reader, numbers)) break;
      shape = numbers;
    } else if (member == "data_offsets") {
      if (!readNumbers(reader, numbers)) break;
      offsets = numbers;
    } else if (!reader.skip()) {
      break;
    }
  }
  if (!reader.ok()) return refused(reader.status().message());
  if (!shape || !offsets || offsets->size() != 2) {
    return refused(absl::StrCat("the tensor ", quoted(name), " has no shape or no offsets"));
  }
  const auto known = std::find_if(std::begin(kDataTypes), std::end(kDataTypes),
                                  [&](const DataType& one) { return one.name == type; });
  if (known == std::end(kDataTypes)) {
    return refused(absl::StrCat("the data type ", quoted(type), " is unknown"));
  }
  const Extent extent{(*offsets)[0], (*offsets)[1]};
  uint64_t bits = known->bits;
  const bool fits = std::all_of(shape->begin(), shape->end(),
                                [&](uint64_t length) { return multiply(bits, length); });
  if (!fits || bits % 8 != 0 || extent.second < extent.first ||
      extent.second - extent.first != bits / 8) {
    return refused(absl::StrCat("the tensor ", quoted(name), " has not the size of its shape"));
  }
  return extent;
}

absl::Status readMetadata(JsonReader& reader, Safetensors& result) {
  std::string name;
  std::string value;
  reader.enterObject();
  while (reader.nextMember(name)) {
    if (!reader.readString(value)) break;
    if (name != "roost.provenance") continue;
    if (result.provenance) return refused("it has two provenances");
    if (value.size() > kProvenanceBytesMax) return refused("its provenance is larger than 16 KiB");
    result.provenance = value;
  }
  return reader.ok() ? absl::OkStatus() : refused(reader.status().message());
}

}  // namespace

absl::StatusOr<uint64_t> safetensorsHeaderBytes(absl::string_view first, uint64_t fileBytes) {
  if (first.size() < kSafetensorsLengthBytes) return refused("it is too short");
  uint64_t length = 0;
  for (size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
    length |= uint64_t{static_cast<uint8_t>(first[i])} << (8 * i);
  }
  if (length > kSafetensorsHeaderBytesMax) return refused("its header is larger than 16 MiB");
  if (fileBytes < kSafetensorsLengthBytes || length > fileBytes - kSafetensorsLengthBytes) {
    return refused("its header is longer than the file");
  }
  return length;
}

absl::StatusOr<Safetensors> checkSafetensorsHeader(absl::string_view header, uint64_t dataBytes) {
  if (header.empty() || header.front() != '{') return refused("its header is no JSON object");
  Safetensors result;
  JsonReader reader(header);
  std::set<std::string> names;
  std::vector<Extent> extents;
  std::string name;
  reader.enterObject();
  while (reader.nextMember(name)) {
    if (!names.insert(name).second) {
      return refused(absl::StrCat("the name ", quoted(name), " stands twice"));
    }
    if (reader.next() != '{') return refused(absl::StrCat(quoted(name), " is no object"));
    if (name == "__metadata__") {
      ROOST_RETURN_IF_ERROR(readMetadata(reader, result));
    } else {
      ROOST_ASSIGN_OR_RETURN(const Extent extent, readTensor(reader, name));
      extents.push_back(extent);
    }
  }
  if (!reader.atEnd()) return refused(reader.status().message());
  std::sort(extents.begin(), extents.end());
  uint64_t end = 0;
  for (const Extent& extent : extents) {
    if (extent.first != end) return refused("its tensors overlap or leave a gap");
    end = extent.second;
  }
  if (end != dataBytes) return refused("its tensors do not end where the file does");
  return result;
}

absl::StatusOr<Safetensors> checkSafetensors(absl::string_view file) {
  ROOST_ASSIGN_OR_RETURN(const uint64_t length, safetensorsHeaderBytes(file, file.size()));
  return checkSafetensorsHeader(file.substr(kSafetensorsLengthBytes, length),
                                file.size() - kSafetensorsLengthBytes - length);
}

absl::StatusOr<Safetensors> readSafetensors(int fd, const std::string& name, uint64_t fileBytes) {
  const auto read = [&](uint64_t offset, std::string& bytes) {
    return readFully(fd, name, offset, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  };
  std::string first(std::min<uint64_t>(fileBytes, kSafetensorsLengthBytes), '\0');
  ROOST_RETURN_IF_ERROR(read(0, first));
  ROOST_ASSIGN_OR_RETURN(const uint64_t length, safetensorsHeaderBytes(first, fileBytes));
  std::string header(length, '\0');
  ROOST_RETURN_IF_ERROR(read(kSafetensorsLengthBytes, header));
  return checkSafetensorsHeader(header, fileBytes - kSafetensorsLengthBytes - length);
}

}  // namespace roost
