#include "node/config_file.h"

#include <toml++/toml.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/spelling.h"
#include "protocol/errors.h"
#include "protocol/names.h"

namespace roost {
namespace {

absl::Status refused(const std::string& file, const toml::source_region& where,
                     absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", where.begin.line, ": ", why));
}

absl::Status unknownKey(const std::string& file, const toml::key& key,
                        const std::vector<std::string>& known) {
  const std::string name(key.str());
  if (const auto likely = likelyWord(name, known)) {
    return refused(
        file, key.source(),
        absl::StrCat("unknown key ", roost::quoted(name), ". Did you mean ", *likely, "?"));
  }
  return refused(file, key.source(),
                 absl::StrCat("unknown key ", roost::quoted(name), ". The nearest is ",
                              nearestWord(name, known).value_or(""), "; known are ",
                              absl::StrJoin(known, ", ")));
}

bool isKnown(const toml::key& key, const std::vector<std::string>& known) {
  return std::find(known.begin(), known.end(), std::string(key.str())) != known.end();
}

// A string, or an array of strings joined with commas.
absl::StatusOr<std::string> textValue(const std::string& file, const toml::key& key,
                                      const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* array = node.as_array(); array != nullptr && !array->is_array_of_tables()) {
    std::vector<std::string> parts;
    for (const toml::node& element : *array) {
      const auto* text = element.as_string();
      if (text == nullptr) {
        return refused(file, element.source(),
                       absl::StrCat(std::string(key.str()), ": expected strings in the array"));
      }
      parts.push_back(text->get());
    }
    return absl::StrJoin(parts, ",");
  }
  return refused(file, node.source(),
                 absl::StrCat(std::string(key.str()), ": expected a string, as in ",
                              std::string(key.str()), " = \"…\""));
}

absl::StatusOr<std::string> flagValue(const std::string& file, const toml::key& key,
                                      const toml::node& node) {
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  return refused(file, node.source(),
                 absl::StrCat(std::string(key.str()), ": expected true or false"));
}

// [endpoint] with address and publish, or endpoint.publish = …: the same as the keys endpoint and
// endpoint_publish.
absl::Status endpointTable(const std::string& file, const toml::table& table, ConfigFile& result) {
  for (const auto& [key, node] : table) {
    if (key.str() == "address") {
      ROOST_ASSIGN_OR_RETURN(result.values["endpoint"], textValue(file, key, node));
    } else if (key.str() == "publish") {
      ROOST_ASSIGN_OR_RETURN(result.values["endpoint_publish"], flagValue(file, key, node));
    } else {
      return unknownKey(file, key, {"address", "publish"});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ConfigFile::Root> rootTable(const std::string& file, const toml::table& table,
                                           const std::vector<std::string>& known) {
  ConfigFile::Root root;
  root.line = static_cast<int>(table.source().begin.line);
  for (const auto& [key, node] : table) {
    if (!isKnown(key, known)) return unknownKey(file, key, known);
    if (key.str() == "write" || key.str() == "pull") {
      ROOST_ASSIGN_OR_RETURN(const std::string flag, flagValue(file, key, node));
      (key.str() == "write" ? root.write : root.pull) = flag == "true";
      continue;
    }
    ROOST_ASSIGN_OR_RETURN(root.values[std::string(key.str())], textValue(file, key, node));
  }
  return root;
}

absl::StatusOr<std::vector<ConfigFile::Root>> rootTables(const std::string& file,
                                                         const toml::node& node,
                                                         const std::vector<std::string>& known) {
  const toml::array* tables = node.as_array();
  if (tables == nullptr || !tables->is_array_of_tables()) {
    return refused(file, node.source(), "root: expected a table of tables: write [[root]]");
  }
  std::vector<ConfigFile::Root> roots;
  for (const toml::node& table : *tables) {
    ROOST_ASSIGN_OR_RETURN(ConfigFile::Root root, rootTable(file, *table.as_table(), known));
    roots.push_back(std::move(root));
  }
  return roots;
}

}  // namespace

absl::StatusOr<ConfigFile> parseConfigFile(absl::string_view text, const std::string& name,
                                           const std::vector<std::string>& keys,
                                           const std::vector<std::string>& rootKeys) {
  toml::table table;
  try {
    table = toml::parse(std::string_view(text.data(), text.size()));
  } catch (const toml::parse_error& error) {
    return refused(name, error.source(), std::string(error.description()));
  }
  std::vector<std::string> known = keys;
  known.push_back("root");
  ConfigFile result;
  for (const auto& [key, node] : table) {
    if (!isKnown(key, known)) return unknownKey(name, key, known);
    if (key.str() == "root") {
      ROOST_ASSIGN_OR_RETURN(result.roots, rootTables(name, node, rootKeys));
      continue;
    }
    if (key.str() == "endpoint" && node.is_table()) {
      ROOST_RETURN_IF_ERROR(endpointTable(name, *node.as_table(), result));
      continue;
    }
    const bool isFlag = key.str() == "endpoint_publish";
    ROOST_ASSIGN_OR_RETURN(result.values[std::string(key.str())],
                           isFlag ? flagValue(name, key, node) : textValue(name, key, node));
  }
  return result;
}

}  // namespace roost
