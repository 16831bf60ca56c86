// What programs put as representations: provenance, safetensors headers, bundles' JSON. The first
// byte chooses. What is accepted is bounded, and its canonical form stands for itself.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "cache/json_reader.h"
#include "cache/representation_keys.h"
#include "cache/safetensors.h"
#include "protocol/limits.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void provenance(absl::string_view text) {
  const auto parsed = roost::Provenance::parse(text);
  if (!parsed.ok()) return;
  require(parsed->canonical().size() <= roost::kProvenanceBytesMax);
  for (char c : parsed->canonical()) require(c >= 0x20 && c < 0x7f);
  const auto again = roost::Provenance::parse(parsed->canonical());
  require(again.ok() && again->canonical() == parsed->canonical() && again->key() == parsed->key());
}

void safetensors(absl::string_view text) {
  const auto form = roost::checkSafetensors(text);
  if (!form.ok()) return;
  require(text.size() >= roost::kSafetensorsLengthBytes + 2);
  require(!form->provenance || form->provenance->size() <= roost::kProvenanceBytesMax);
}

void json(absl::string_view text) {
  roost::JsonReader reader(text);
  absl::string_view written;
  if (!reader.skip(&written) || !reader.atEnd()) return;
  require(!written.empty() && written.size() <= text.size());
  roost::JsonReader again(written);
  require(again.skip() && again.atEnd());
}

void quote(absl::string_view text) {
  std::string quoted;
  roost::appendJsonString(text, quoted);
  roost::JsonReader reader(quoted);
  std::string read;
  require(reader.readString(read) && reader.atEnd());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      provenance(text);
      break;
    case 1:
      safetensors(text);
      break;
    case 2:
      json(text);
      break;
    default:
      quote(text);
  }
  return 0;
}
