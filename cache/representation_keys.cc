#include "cache/representation_keys.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cache/json_reader.h"
#include "protocol/digest.h"
#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace roost {
namespace {

constexpr absl::string_view kKinds[] = {"embedding", "hidden-states", "attentions", "kv",
                                        "logits",    "tokens",        "custom"};
constexpr absl::string_view kRequired[] = {"kind", "model", "tokenizer", "input", "code"};

struct Field {
  std::string text;  // decoded, or a number as it was written
  bool isString = false;
};

absl::Status refused(absl::string_view why) {
  return absl::InvalidArgumentError(
      sentence("the provenance cannot be used", why, "See docs/reference/representations.md"));
}

// By the bytes of UTF-8, which sort as code points do.
using Fields = std::map<std::string, Field>;

absl::StatusOr<Fields> readFields(absl::string_view text) {
  Fields fields;
  JsonReader reader(text);
  if (!reader.enterObject()) return refused("it is no JSON object");
  std::string name;
  while (reader.nextMember(name)) {
    Field field;
    const char first = reader.next();
    if (first == '"') {
      field.isString = true;
      reader.readString(field.text);
    } else if (first == '-' || (first >= '0' && first <= '9')) {
      absl::string_view written;
      if (reader.readNumber(written)) field.text = std::string(written);
    } else {
      return refused(absl::StrCat("the field ", quoted(name), " is neither a string nor a number"));
    }
    if (!reader.ok()) break;
    if (fields.size() >= kProvenanceFieldsMax) return refused("it has more than 64 fields");
    if (!fields.emplace(name, std::move(field)).second) {
      return refused(absl::StrCat("the field ", quoted(name), " stands twice"));
    }
  }
  if (!reader.atEnd()) return refused(reader.status().message());
  return fields;
}

}  // namespace

absl::StatusOr<Provenance> Provenance::parse(absl::string_view json) {
  if (json.size() > kProvenanceBytesMax) return refused("it is larger than 16 KiB");
  ROOST_ASSIGN_OR_RETURN(const Fields fields, readFields(json));
  for (absl::string_view name : kRequired) {
    const auto it = fields.find(std::string(name));
    if (it == fields.end() || !it->second.isString || it->second.text.empty()) {
      return refused(absl::StrCat("the field \"", name, "\" must be a string that is not empty"));
    }
  }
  const std::string& kind = fields.at("kind").text;
  if (std::find(std::begin(kKinds), std::end(kKinds), kind) == std::end(kKinds)) {
    return refused(
        absl::StrCat("the kind ", quoted(kind), " is none of ", absl::StrJoin(kKinds, ", ")));
  }
  std::string canonical = "{";
  for (const auto& [name, field] : fields) {
    if (canonical.size() > 1) canonical.push_back(',');
    appendJsonString(name, canonical);
    canonical.push_back(':');
    if (field.isString) {
      appendJsonString(field.text, canonical);
    } else {
      canonical += field.text;
    }
  }
  canonical.push_back('}');
  if (canonical.size() > kProvenanceBytesMax) return refused("it is larger than 16 KiB");
  const RepresentationKey key = RepresentationKey::of(digestOf(canonical));
  Provenance result(key, std::move(canonical));
  result.kind_ = kind;
  result.model_ = fields.at("model").text;
  if (const auto it = fields.find("namespace"); it != fields.end()) result.space_ = it->second.text;
  return result;
}

}  // namespace roost
