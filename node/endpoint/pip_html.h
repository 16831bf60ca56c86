// The tags of an HTML page, for indexes that know no JSON: names, attributes, and the text after a
// tag. No tree, no repair of what is broken: comments, scripts and styles are skipped, all else
// that does not read as a tag is text.
//
// Threads: any. The page must outlive the reader.
#ifndef ROOST_NODE_ENDPOINT_PIP_HTML_H_
#define ROOST_NODE_ENDPOINT_PIP_HTML_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace roost {

struct HtmlTag {
  std::string name;                                             // in lower case
  std::vector<std::pair<std::string, std::string>> attributes;  // likewise; values without entities

  // The first of that name.
  const std::string* find(absl::string_view lowerName) const {
    for (const auto& [known, value] : attributes) {
      if (known == lowerName) return &value;
    }
    return nullptr;
  }
};

class HtmlReader {
 public:
  explicit HtmlReader(absl::string_view page) : rest_(page) {}

  // The next opening tag; none at the end.
  std::optional<HtmlTag> next();
  // What stands between the tag that was read last and the one that follows it.
  std::string text() const;

 private:
  bool skipMarkup();
  std::optional<HtmlTag> tag();
  void skipRawText(absl::string_view name);

  absl::string_view rest_;
};

// Character references by number, and the five that every page needs by name.
std::string withoutEntities(absl::string_view text);

}  // namespace roost

#endif  // ROOST_NODE_ENDPOINT_PIP_HTML_H_
