// Provenance: everything that decided the content of a precomputed representation, and the key that
// it makes. A wrong or missing part is another key.
//
// A JSON object of strings and numbers; fields: docs/reference/representations.md. The key is the
// SHA-256 of the canonical form, which is what Python's
//   json.dumps(p, sort_keys=True, separators=(",", ":"))
// writes: keys sorted by code point, no spaces, ASCII. Numbers stay as they were written.
//
// Threads: any (values only). Errors: kInvalidArgument with what is wrong.
#ifndef ROOST_CACHE_REPRESENTATION_KEYS_H_
#define ROOST_CACHE_REPRESENTATION_KEYS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protocol/representation_key.h"

namespace roost {

class Provenance {
 public:
  static absl::StatusOr<Provenance> parse(absl::string_view json);

  const RepresentationKey& key() const { return key_; }
  const std::string& canonical() const { return canonical_; }  // ASCII, without line breaks
  // For people; `space` is empty where none is said.
  const std::string& kind() const { return kind_; }
  const std::string& model() const { return model_; }
  const std::string& space() const { return space_; }  // the field "namespace"

 private:
  Provenance(const RepresentationKey& key, std::string canonical)
      : key_(key), canonical_(std::move(canonical)) {}
  RepresentationKey key_;
  std::string canonical_;
  std::string kind_, model_, space_;
};

}  // namespace roost

#endif  // ROOST_CACHE_REPRESENTATION_KEYS_H_
