// Reads JSON (RFC 8259) from memory, a value at a time, where what was written matters to the
// letter: numbers stay as their text. Strict: UTF-8, no lone surrogates, no trailing commas.
//
// After the first thing that is wrong every method answers false, and why() says what it was.
// The text must outlive the reader. Threads: one. Memory: none but the strings that it gives out;
// nesting is counted, not recursed into.
#ifndef ROOST_CACHE_JSON_READER_H_
#define ROOST_CACHE_JSON_READER_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace roost {

class JsonReader {
 public:
  explicit JsonReader(absl::string_view text) : text_(text) {}

  // '{' '[' '"' or the first letter of a number, true, false, null. 0 if nothing is left.
  char next();
  // Into the object that comes next; then nextMember() until it answers false: at its end, or if
  // something is wrong. After each name its value is to be read or skipped.
  bool enterObject() { return enter('{'); }
  bool nextMember(std::string& name);
  // The same of a list.
  bool enterArray() { return enter('['); }
  bool nextElement();

  bool readString(std::string& value);          // decoded, UTF-8
  bool readNumber(absl::string_view& written);  // as it was written
  bool readUnsigned(uint64_t& value);           // digits only, within 64 bits
  bool skip(absl::string_view* written = nullptr);
  // Nothing but spaces is left.
  bool atEnd();

  bool ok() const { return why_.empty(); }
  absl::Status status() const;

 private:
  bool fail(absl::string_view why);
  void skipSpaces();
  bool enter(char open);
  bool more(char close);
  bool literal();
  bool readEscape(std::string& value);
  bool readHex4(uint32_t& code);
  bool copyUtf8(std::string& value);

  absl::string_view text_;
  size_t at_ = 0;
  bool first_ = false;  // right behind an opening bracket
  std::string why_;
};

// In quotes, as Python's json.dumps writes it: ASCII, with \uXXXX in lower case.
void appendJsonString(absl::string_view utf8, std::string& to);

}  // namespace roost

#endif  // ROOST_CACHE_JSON_READER_H_
