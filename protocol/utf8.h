// Code points as UTF-8.
//
// Threads: any (pure).
#ifndef ROOST_PROTOCOL_UTF8_H_
#define ROOST_PROTOCOL_UTF8_H_

#include <cstdint>
#include <string>

namespace roost {

// `code`: at most 0x10ffff, and no surrogate.
void appendUtf8(uint32_t code, std::string& to);

}  // namespace roost

#endif  // ROOST_PROTOCOL_UTF8_H_
