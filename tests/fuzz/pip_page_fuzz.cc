// Pages of an index in both forms: whatever is understood is understood again as it is shown.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "node/endpoint/pip_page.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* type : {"text/html", "application/vnd.pypi.simple.v1+json"}) {
    const auto page = roost::parsePipPage(text, type, "leaf", "https://index.example/simple/leaf/");
    if (!page.ok()) continue;
    const char* url = "https://agent.example/pip/simple/leaf/";
    const auto json = roost::parsePipPage(roost::pipPageJson(*page),
                                          "application/vnd.pypi.simple.v1+json", "leaf", url);
    const auto html = roost::parsePipPage(roost::pipPageHtml(*page), "text/html", "leaf", url);
    if (!json.ok() || json->files.size() != page->files.size()) std::abort();
    if (!html.ok() || html->files.size() != page->files.size()) std::abort();
  }
  (void)roost::pipProjectName(text);
  (void)roost::pipFormOf(text);
  return 0;
}
