#include "protocol/kj_status.h"

#include <string>

#include "absl/strings/string_view.h"
#include "protocol/limits.h"

namespace roost {
namespace {

std::string printable(absl::string_view text) {
  std::string clean;
  for (char c : text.substr(0, kErrorTextBytesMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) clean.push_back(c);
  }
  if (text.size() > kErrorTextBytesMax) {
    // Not within a UTF-8 sequence.
    while (!clean.empty() && (static_cast<unsigned char>(clean.back()) & 0xc0) == 0x80) {
      clean.pop_back();
    }
    if (!clean.empty() && (static_cast<unsigned char>(clean.back()) & 0x80) != 0) clean.pop_back();
    clean += "…";
  }
  return clean;
}

absl::StatusCode codeOf(kj::Exception::Type type) {
  switch (type) {
    case kj::Exception::Type::DISCONNECTED:
      return absl::StatusCode::kUnavailable;
    case kj::Exception::Type::OVERLOADED:
      return absl::StatusCode::kAborted;
    case kj::Exception::Type::UNIMPLEMENTED:
      return absl::StatusCode::kUnimplemented;
    case kj::Exception::Type::FAILED:
      break;
  }
  return absl::StatusCode::kInternal;
}

kj::Exception::Type typeOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return kj::Exception::Type::DISCONNECTED;
    case absl::StatusCode::kAborted:
      return kj::Exception::Type::OVERLOADED;
    case absl::StatusCode::kUnimplemented:
      return kj::Exception::Type::UNIMPLEMENTED;
    default:
      return kj::Exception::Type::FAILED;
  }
}

}  // namespace

absl::Status statusOf(const kj::Exception& exception) {
  const kj::StringPtr text = exception.getDescription();
  return absl::Status(codeOf(exception.getType()), printable({text.begin(), text.size()}));
}

kj::Exception kjExceptionOf(const absl::Status& status) {
  return kj::Exception(typeOf(status.code()), __FILE__, __LINE__,
                       kj::heapString(std::string(status.message()).c_str()));
}

}  // namespace roost
