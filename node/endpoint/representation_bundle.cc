#include "node/endpoint/representation_bundle.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/json_reader.h"
#include "cache/safetensors.h"
#include "protocol/errors.h"
#include "protocol/limits.h"

namespace roost {
namespace {

absl::Status refused(absl::string_view why) {
  return absl::InvalidArgumentError(
      sentence("the body cannot be used", why, "See docs/reference/representations.md"));
}

// The header's bytes say where; the values follow it.
absl::StatusOr<BundleEntry> readEntry(JsonReader& reader, absl::string_view values) {
  BundleEntry entry;
  uint64_t offset = 0;
  uint64_t size = 0;
  bool hasOffset = false;
  bool hasSize = false;
  std::string name;
  reader.enterObject();
  while (reader.nextMember(name)) {
    if (name == "provenance") {
      if (reader.next() != '{') return refused("a provenance is no object");
      reader.skip(&entry.provenance);
    } else if (name == "offset") {
      hasOffset = reader.readUnsigned(offset);
    } else if (name == "size") {
      hasSize = reader.readUnsigned(size);
    } else {
      reader.skip();
    }
  }
  if (!reader.ok()) return refused(reader.status().message());
  if (!hasOffset || !hasSize) return refused("an entry has no offset or no size");
  if (offset > values.size() || size > values.size() - offset) {
    return refused("an entry lies behind the end of the body");
  }
  entry.value = values.substr(offset, size);
  return entry;
}

absl::Status readKeys(JsonReader& reader, std::vector<RepresentationKey>& keys) {
  std::string text;
  reader.enterArray();
  while (reader.nextElement()) {
    if (keys.size() >= kRepresentationKeysMax) {
      return refused(absl::StrCat("more than ", kRepresentationKeysMax, " keys"));
    }
    if (!reader.readString(text)) break;
    ROOST_ASSIGN_OR_RETURN(const RepresentationKey key, RepresentationKey::parse(text));
    keys.push_back(key);
  }
  return reader.ok() ? absl::OkStatus() : refused(reader.status().message());
}

}  // namespace

absl::StatusOr<std::vector<BundleEntry>> parseBundle(absl::string_view body) {
  if (body.size() < kSafetensorsLengthBytes) return refused("it is too short for a bundle");
  uint64_t length = 0;
  for (size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
    length |= uint64_t{static_cast<uint8_t>(body[i])} << (8 * i);
  }
  body.remove_prefix(kSafetensorsLengthBytes);
  if (length > body.size()) return refused("its header is longer than the body");
  const absl::string_view values = body.substr(length);
  JsonReader reader(body.substr(0, length));
  std::vector<BundleEntry> entries;
  uint64_t bytes = 0;
  bool found = false;
  std::string name;
  reader.enterObject();
  while (reader.nextMember(name)) {
    if (name != "entries" || found) {
      reader.skip();
      continue;
    }
    found = true;
    reader.enterArray();
    while (reader.nextElement()) {
      if (entries.size() >= kRepresentationKeysMax) {
        return refused(absl::StrCat("more than ", kRepresentationKeysMax, " entries"));
      }
      if (reader.next() != '{') return refused("an entry is no object");
      ROOST_ASSIGN_OR_RETURN(const BundleEntry entry, readEntry(reader, values));
      bytes += entry.value.size();
      if (bytes > values.size()) return refused("its entries overlap");
      entries.push_back(entry);
    }
  }
  if (!reader.atEnd()) return refused(reader.status().message());
  if (!found) return refused("it has no entries");
  return entries;
}

void appendKeys(absl::Span<const RepresentationKey> keys, std::string& to) {
  to.push_back('[');
  for (size_t i = 0; i < keys.size(); ++i) {
    absl::StrAppend(&to, i == 0 ? "\"" : ",\"", keys[i].hex(), "\"");
  }
  to.push_back(']');
}

std::string bundleOf(const Representations::GotMany& got) {
  std::string header = "{\"entries\":[";
  uint64_t offset = 0;
  for (const auto& [key, value] : got.values) {
    absl::StrAppend(&header, offset == 0 && header.back() == '[' ? "" : ",", "{\"key\":\"",
                    key.hex(), "\",\"offset\":", offset, ",\"size\":", value->size(), "}");
    offset += value->size();
  }
  header += "],\"missing\":";
  appendKeys(got.missing, header);
  header += ",\"left\":";
  appendKeys(got.left, header);
  header.push_back('}');
  std::string bundle;
  bundle.reserve(kSafetensorsLengthBytes + header.size() + offset);
  for (size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
    bundle.push_back(static_cast<char>((uint64_t{header.size()} >> (8 * i)) & 0xff));
  }
  bundle += header;
  for (const auto& [key, value] : got.values) bundle += *value;
  return bundle;
}

absl::StatusOr<std::vector<RepresentationKey>> parseKeys(absl::string_view json) {
  std::vector<RepresentationKey> keys;
  JsonReader reader(json);
  bool found = false;
  std::string name;
  reader.enterObject();
  while (reader.nextMember(name)) {
    if (name == "keys" && !found) {
      found = true;
      ROOST_RETURN_IF_ERROR(readKeys(reader, keys));
    } else {
      reader.skip();
    }
  }
  if (!reader.atEnd()) return refused(reader.status().message());
  if (!found) return refused("it has no keys");
  return keys;
}

absl::StatusOr<ComputeLeaseRequest> parseLease(absl::string_view json) {
  ComputeLeaseRequest request{"", absl::Seconds(120), false, {}};
  JsonReader reader(json);
  std::string name;
  bool found = false;
  reader.enterObject();
  while (reader.nextMember(name)) {
    if (name == "keys" && !found) {
      found = true;
      ROOST_RETURN_IF_ERROR(readKeys(reader, request.keys));
    } else if (name == "holder") {
      reader.readString(request.holder);
    } else if (name == "seconds") {
      absl::string_view written;
      double seconds = 0;
      if (!reader.readNumber(written)) break;
      if (!absl::SimpleAtod(written, &seconds) || seconds <= 0) {
        return refused("seconds is no time");
      }
      request.duration = std::min(absl::Seconds(seconds), kComputeLeaseMax);
    } else if (name == "release") {
      absl::string_view written;
      if (!reader.skip(&written)) break;
      if (written != "true" && written != "false") return refused("release is true or false");
      request.release = written == "true";
    } else {
      reader.skip();
    }
  }
  if (!reader.atEnd()) return refused(reader.status().message());
  if (!found) return refused("it has no keys");
  if (request.holder.empty() || request.holder.size() > kComputeHolderBytesMax) {
    return refused(
        absl::StrCat("holder is missing, or longer than ", kComputeHolderBytesMax, " bytes"));
  }
  return request;
}

}  // namespace roost
