#include "cache/json_reader.h"

#include <cstdint>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "protocol/limits.h"
#include "protocol/utf8.h"

namespace roost {
namespace {

struct Character {
  uint32_t code = 0;
  size_t length = 0;  // bytes
};

// The length of the sequence that begins with this byte; 0: none does.
size_t sequenceLength(uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

// With which the text begins; none: what is there is no UTF-8.
std::optional<Character> firstCharacter(absl::string_view text) {
  const auto byte = [text](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(text[i]));
  };
  const size_t length = sequenceLength(static_cast<uint8_t>(text[0]));
  if (length == 0 || length > text.size()) return std::nullopt;
  if (length == 1) return Character{byte(0), 1};
  uint32_t code = byte(0) & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return std::nullopt;
    code = (code << 6) | (byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (overlong || surrogate || code > 0x10ffff) return std::nullopt;
  return Character{code, length};
}

void appendEscaped(uint32_t unit, std::string& to) {
  absl::StrAppend(&to, "\\u", absl::Hex(unit, absl::kZeroPad4));
}

}  // namespace

bool JsonReader::fail(absl::string_view why) {
  if (why_.empty()) why_ = absl::StrCat(why, " at byte ", at_);
  return false;
}

absl::Status JsonReader::status() const {
  return ok() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrCat("not JSON: ", why_));
}

void JsonReader::skipSpaces() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
    ++at_;
  }
}

char JsonReader::next() {
  skipSpaces();
  return ok() && at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::enter(char open) {
  if (next() != open) return fail(absl::StrCat("no ", std::string(1, open)));
  ++at_;
  first_ = true;
  return true;
}

// To the next value within the brackets; false at the closing one.
bool JsonReader::more(char close) {
  const bool first = first_;
  first_ = false;
  if (next() == close) {
    ++at_;
    return false;
  }
  if (first) return ok();
  if (next() != ',') return fail("no comma");
  ++at_;
  return true;
}

bool JsonReader::nextMember(std::string& name) {
  if (!more('}')) return false;
  if (!readString(name)) return false;
  if (next() != ':') return fail("no colon");
  ++at_;
  return true;
}

bool JsonReader::nextElement() {
  return more(']');
}

bool JsonReader::copyUtf8(std::string& value) {
  const std::optional<Character> character = firstCharacter(text_.substr(at_));
  if (!character) return fail("no UTF-8");
  value.append(text_.data() + at_, character->length);
  at_ += character->length;
  return true;
}

bool JsonReader::readHex4(uint32_t& code) {
  if (at_ + 4 > text_.size()) return fail("half an escape");
  code = 0;
  for (size_t i = 0; i < 4; ++i) {
    const auto c = static_cast<unsigned char>(text_[at_ + i]);
    if (!absl::ascii_isxdigit(c)) return fail("no hex digit");
    code =
        code * 16 + static_cast<uint32_t>(absl::ascii_isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  at_ += 4;
  return true;
}

bool JsonReader::readEscape(std::string& value) {
  ++at_;
  if (at_ >= text_.size()) return fail("half an escape");
  const char kind = text_[at_++];
  static constexpr absl::string_view kNames = "\"\\/bfnrt";
  static constexpr absl::string_view kValues = "\"\\/\b\f\n\r\t";
  if (const size_t which = kNames.find(kind); which != absl::string_view::npos) {
    value.push_back(kValues[which]);
    return true;
  }
  uint32_t code = 0;
  if (kind != 'u') return fail("unknown escape");
  if (!readHex4(code)) return false;
  if (code >= 0xdc00 && code <= 0xdfff) return fail("half a surrogate pair");
  if (code >= 0xd800 && code <= 0xdbff) {
    uint32_t low = 0;
    if (!absl::StartsWith(text_.substr(at_), "\\u")) return fail("half a surrogate pair");
    at_ += 2;
    if (!readHex4(low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return fail("half a surrogate pair");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  appendUtf8(code, value);
  return true;
}

bool JsonReader::readString(std::string& value) {
  value.clear();
  if (next() != '"') return fail("no string");
  ++at_;
  while (at_ < text_.size()) {
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') {
      ++at_;
      return true;
    }
    if (c < 0x20) return fail("a control character");
    if (!(c == '\\' ? readEscape(value) : copyUtf8(value))) return false;
  }
  return fail("a string without an end");
}

bool JsonReader::readNumber(absl::string_view& written) {
  next();
  const size_t begin = at_;
  const auto digits = [this] {
    const size_t from = at_;
    while (at_ < text_.size() && absl::ascii_isdigit(static_cast<unsigned char>(text_[at_]))) ++at_;
    return at_ > from;
  };
  const auto is = [this](char c) { return at_ < text_.size() && text_[at_] == c; };
  if (!ok()) return false;
  if (is('-')) ++at_;
  if (is('0')) {
    ++at_;
  } else if (!digits()) {
    return fail("no number");
  }
  if (is('.')) {
    ++at_;
    if (!digits()) return fail("no number");
  }
  if (is('e') || is('E')) {
    ++at_;
    if (is('+') || is('-')) ++at_;
    if (!digits()) return fail("no number");
  }
  written = text_.substr(begin, at_ - begin);
  return true;
}

bool JsonReader::readUnsigned(uint64_t& value) {
  absl::string_view written;
  if (!readNumber(written)) return false;
  if (written.front() == '-' || !absl::SimpleAtoi(written, &value)) {
    return fail("no whole number of 64 bits");
  }
  return true;
}

bool JsonReader::literal() {
  for (const absl::string_view word : {"true", "false", "null"}) {
    if (!absl::StartsWith(text_.substr(at_), word)) continue;
    at_ += word.size();
    return true;
  }
  return fail("no value");
}

bool JsonReader::skip(absl::string_view* written) {
  next();
  const size_t begin = at_;
  std::string open;  // brackets
  std::string text;
  absl::string_view number;
  do {
    const char c = next();
    if (c == '{' || c == '[') {
      if (open.size() >= kJsonDepthMax) return fail("nested too deep");
      open.push_back(c);
      if (!enter(c)) return false;
    } else if (c == '"') {
      if (!readString(text)) return false;
    } else if (c == '-' || absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      if (!readNumber(number)) return false;
    } else if (!literal()) {
      return false;
    }
    // On to the next value, out of what ends here.
    while (!open.empty()) {
      const bool another = open.back() == '{' ? nextMember(text) : nextElement();
      if (another) break;
      if (!ok()) return false;
      open.pop_back();
    }
  } while (!open.empty());
  if (written != nullptr) *written = text_.substr(begin, at_ - begin);
  return ok();
}

bool JsonReader::atEnd() {
  skipSpaces();
  if (!ok()) return false;
  return at_ == text_.size() || fail("something behind the end");
}

void appendJsonString(absl::string_view utf8, std::string& to) {
  to.push_back('"');
  for (size_t at = 0; at < utf8.size();) {
    const auto c = static_cast<uint8_t>(utf8[at]);
    static constexpr absl::string_view kValues = "\"\\\b\f\n\r\t";
    static constexpr absl::string_view kNames = "\"\\bfnrt";
    if (const size_t which = kValues.find(utf8[at]); which != absl::string_view::npos) {
      to.push_back('\\');
      to.push_back(kNames[which]);
      ++at;
    } else if (c >= 0x20 && c < 0x7f) {
      to.push_back(utf8[at++]);
    } else {
      // What is no UTF-8 after all is shown as what it is: not a character.
      constexpr Character kReplacement{0xfffd, 1};
      const auto [code, length] = firstCharacter(utf8.substr(at)).value_or(kReplacement);
      if (code < 0x10000) {
        appendEscaped(code, to);
      } else {
        appendEscaped(0xd800 + ((code - 0x10000) >> 10), to);
        appendEscaped(0xdc00 + ((code - 0x10000) & 0x3ff), to);
      }
      at += length;
    }
  }
  to.push_back('"');
}

}  // namespace roost
