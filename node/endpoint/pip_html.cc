#include "node/endpoint/pip_html.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "protocol/utf8.h"

namespace roost {
namespace {

constexpr size_t kAttributesMax = 32;  // of one tag
constexpr absl::string_view kSpaces = " \t\r\n\f";

bool isSpace(char c) {
  return absl::StrContains(kSpaces, c);
}

void skipSpaces(absl::string_view& text) {
  const size_t end = text.find_first_not_of(kSpaces);
  text.remove_prefix(end == absl::string_view::npos ? text.size() : end);
}

// Removes what comes before the first of `ends`, and gives it.
absl::string_view takeUntil(absl::string_view& text, absl::string_view ends) {
  const size_t end = text.find_first_of(ends);
  const absl::string_view taken = text.substr(0, end);
  text.remove_prefix(taken.size());
  return taken;
}

// `name` stands between '&' and ';'.
bool appendEntity(std::string& out, absl::string_view name) {
  static constexpr std::pair<absl::string_view, char> kNamed[] = {
      {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  for (const auto& [known, character] : kNamed) {
    if (name != known) continue;
    out.push_back(character);
    return true;
  }
  if (!absl::ConsumePrefix(&name, "#")) return false;
  const bool hex = absl::ConsumePrefix(&name, "x") || absl::ConsumePrefix(&name, "X");
  uint32_t code = 0;
  const bool isNumber =
      name.size() <= 8 && (hex ? absl::SimpleHexAtoi(name, &code) : absl::SimpleAtoi(name, &code));
  const bool isCharacter = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  if (!isNumber || !isCharacter) return false;
  appendUtf8(code, out);
  return true;
}

}  // namespace

std::string withoutEntities(absl::string_view text) {
  std::string out;
  while (!text.empty()) {
    absl::StrAppend(&out, takeUntil(text, "&"));
    if (text.empty()) break;
    const size_t end = text.substr(0, 12).find(';');
    if (end != absl::string_view::npos && appendEntity(out, text.substr(1, end - 1))) {
      text.remove_prefix(end + 1);
    } else {
      out.push_back('&');
      text.remove_prefix(1);
    }
  }
  return out;
}

std::optional<HtmlTag> HtmlReader::next() {
  while (true) {
    takeUntil(rest_, "<");
    if (rest_.empty()) return std::nullopt;
    if (skipMarkup()) continue;
    if (auto found = tag()) {
      if (found->name == "script" || found->name == "style") {
        skipRawText(found->name);
        continue;
      }
      return found;
    }
  }
}

std::string HtmlReader::text() const {
  return withoutEntities(rest_.substr(0, rest_.find('<')));
}

// Comments, declarations, closing tags.
bool HtmlReader::skipMarkup() {
  const auto skipPast = [this](absl::string_view end) {
    const size_t at = rest_.find(end);
    rest_.remove_prefix(at == absl::string_view::npos ? rest_.size() : at + end.size());
    return true;
  };
  if (absl::StartsWith(rest_, "<!--")) return skipPast("-->");
  const bool other = rest_.size() > 1 && absl::StrContains("!?/", rest_[1]);
  return other && skipPast(">");
}

// At a '<'. None if no tag follows; then only that is gone.
std::optional<HtmlTag> HtmlReader::tag() {
  rest_.remove_prefix(1);
  if (rest_.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(rest_[0]))) {
    return std::nullopt;
  }
  HtmlTag found;
  found.name = absl::AsciiStrToLower(takeUntil(rest_, " \t\r\n\f/>"));
  while (true) {
    while (!rest_.empty() && (isSpace(rest_[0]) || rest_[0] == '/')) rest_.remove_prefix(1);
    if (rest_.empty()) return std::nullopt;  // cut off in the middle of a tag
    if (rest_[0] == '>') {
      rest_.remove_prefix(1);
      return found;
    }
    std::string name(takeUntil(rest_, " \t\r\n\f/>="));
    if (name.empty()) {  // a lone '='
      rest_.remove_prefix(1);
      continue;
    }
    absl::AsciiStrToLower(&name);
    skipSpaces(rest_);
    std::string value;
    if (absl::ConsumePrefix(&rest_, "=")) {
      skipSpaces(rest_);
      if (rest_.empty()) return std::nullopt;
      const char quote = rest_[0];
      if (quote == '"' || quote == '\'') {
        rest_.remove_prefix(1);
        const size_t end = rest_.find(quote);
        if (end == absl::string_view::npos) {
          rest_.remove_prefix(rest_.size());
          return std::nullopt;
        }
        value = withoutEntities(rest_.substr(0, end));
        rest_.remove_prefix(end + 1);
      } else {
        value = withoutEntities(takeUntil(rest_, " \t\r\n\f>"));
      }
    }
    if (found.attributes.size() < kAttributesMax) {
      found.attributes.emplace_back(std::move(name), std::move(value));
    }
  }
}

void HtmlReader::skipRawText(absl::string_view name) {
  while (!rest_.empty()) {
    takeUntil(rest_, "<");
    absl::string_view after = rest_;
    if (absl::ConsumePrefix(&after, "</") && absl::StartsWithIgnoreCase(after, name)) return;
    if (!rest_.empty()) rest_.remove_prefix(1);
  }
}

}  // namespace roost
