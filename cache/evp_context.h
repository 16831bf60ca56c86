// An OpenSSL digest at work, and the check of each of its steps.
//
// Threads: an object belongs to one at a time.
#ifndef ROOST_CACHE_EVP_CONTEXT_H_
#define ROOST_CACHE_EVP_CONTEXT_H_

#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

namespace roost {

struct EvpFree {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using EvpContext = std::unique_ptr<EVP_MD_CTX, EvpFree>;

// OpenSSL's digests fail only if the library is broken or out of memory.
inline void mustSucceed(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL could not compute a digest");
}

}  // namespace roost

#endif  // ROOST_CACHE_EVP_CONTEXT_H_
