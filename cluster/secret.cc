#include "cluster/secret.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace roost {

Secret::~Secret() {
  clear();
}

// A short std::string moves by copying its bytes, so the source is cleared too.
Secret::Secret(Secret&& other) noexcept : text_(other.text_) {
  other.clear();
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    clear();
    text_ = other.text_;
    other.clear();
  }
  return *this;
}

bool Secret::fitsHeader() const {
  return !text_.empty() &&
         std::all_of(text_.begin(), text_.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

void Secret::clear() {
  OPENSSL_cleanse(text_.data(), text_.size());
  text_.clear();
}

}  // namespace roost
