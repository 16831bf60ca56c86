// Reading of documents that an agent sent, perhaps one of another version: what is missing or of
// another type is zero, empty or none, and text is safe to print.
//
// Threads: any (pure).
#ifndef ROOST_NODE_CLI_DOCUMENT_H_
#define ROOST_NODE_CLI_DOCUMENT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace roost {

// Control characters become '?': names of files and nodes come from others, and a terminal obeys
// what it is sent.
std::string printable(absl::string_view text);

std::string textAt(const nlohmann::json& document, const char* key);
uint64_t numberAt(const nlohmann::json& document, const char* key);
std::optional<double> secondsAt(const nlohmann::json& document, const char* key);
bool flagAt(const nlohmann::json& document, const char* key);
// An empty array, or object, where there is none.
const nlohmann::json& listAt(const nlohmann::json& document, const char* key);
const nlohmann::json& objectAt(const nlohmann::json& document, const char* key);
std::vector<std::string> textsAt(const nlohmann::json& document, const char* key);

// For --json: indented, or one line; never throws.
std::string dumped(const nlohmann::json& document, bool indented = true);

}  // namespace roost

#endif  // ROOST_NODE_CLI_DOCUMENT_H_
