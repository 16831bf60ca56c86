#include "node/cli/document.h"

namespace roost {
namespace {

const nlohmann::json* found(const nlohmann::json& document, const char* key) {
  if (!document.is_object()) return nullptr;
  const auto at = document.find(key);
  return at == document.end() ? nullptr : &*at;
}

}  // namespace

std::string printable(absl::string_view text) {
  std::string safe;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<uint8_t>(text[i + 1]) : uint8_t{0};
    if (byte < 0x20 || byte == 0x7f) {
      safe += '?';
    } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080–U+009F, as C1 controls
      safe += '?';
      ++i;
    } else {
      safe += text[i];
    }
  }
  return safe;
}

std::string textAt(const nlohmann::json& document, const char* key) {
  const auto* value = found(document, key);
  if (value == nullptr || !value->is_string()) return "";
  return printable(value->get_ref<const std::string&>());
}

uint64_t numberAt(const nlohmann::json& document, const char* key) {
  const auto* value = found(document, key);
  if (value == nullptr || !value->is_number_integer()) return 0;
  if (value->is_number_unsigned()) return value->get<uint64_t>();
  return value->get<int64_t>() < 0 ? 0 : static_cast<uint64_t>(value->get<int64_t>());
}

std::optional<double> secondsAt(const nlohmann::json& document, const char* key) {
  const auto* value = found(document, key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->get<double>();
}

bool flagAt(const nlohmann::json& document, const char* key) {
  const auto* value = found(document, key);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

const nlohmann::json& listAt(const nlohmann::json& document, const char* key) {
  static const nlohmann::json empty = nlohmann::json::array();
  const auto* value = found(document, key);
  return value != nullptr && value->is_array() ? *value : empty;
}

const nlohmann::json& objectAt(const nlohmann::json& document, const char* key) {
  static const nlohmann::json empty = nlohmann::json::object();
  const auto* value = found(document, key);
  return value != nullptr && value->is_object() ? *value : empty;
}

std::vector<std::string> textsAt(const nlohmann::json& document, const char* key) {
  std::vector<std::string> texts;
  for (const auto& element : listAt(document, key)) {
    if (element.is_string()) texts.push_back(printable(element.get_ref<const std::string&>()));
  }
  return texts;
}

std::string dumped(const nlohmann::json& document, bool indented) {
  return document.dump(indented ? 2 : -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace roost
