// A Boost.Asio stream (TCP, Unix, TLS) as a kj::AsyncIoStream.
//
// How:     No Asio operation ever holds a buffer. Asio only waits until the socket is ready; bytes
//          are then moved by recvmsg and sendmsg, straight into and out of what KJ has at that
//          moment. So a promise, or the whole stream, may be dropped at any time.
// Owns:    the socket, in a shared state that pending waits hold. It is closed by: the end of the
//          stream, abortRead(), a read or write promise that is dropped before it is done (the byte
//          stream would have lost its place), any error, and a write without any progress for
//          kStalledWriteTimeout by the watchdog's clock (the steady one, unless a test brings its
//          own). Progress is what the kernel takes: it asks for more when a part of its buffer has
//          become free, not at each byte that the peer reads.
// Memory:  a read-ahead of kReadAheadBytes, or TLS's two ciphertext buffers; nothing once idle for
//          kBuffersKept. Writes are not copied, except small pieces into one TLS record.
// Threads: the socket's, which has a KjLoop.
// Errors:  kj::Exception of type DISCONNECTED.
#ifndef ROOST_PROTOCOL_KJ_STREAM_H_
#define ROOST_PROTOCOL_KJ_STREAM_H_

#include <kj/async-io.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>

#include "protocol/alarm.h"
#include "protocol/tls.h"

namespace roost {

kj::Own<kj::AsyncIoStream> makeKjStream(boost::asio::ip::tcp::socket socket,
                                        std::unique_ptr<Alarm> watchdog = nullptr);
kj::Own<kj::AsyncIoStream> makeKjStream(boost::asio::local::stream_protocol::socket socket,
                                        std::unique_ptr<Alarm> watchdog = nullptr);
kj::Own<kj::AsyncIoStream> makeKjStream(TlsStream stream,
                                        std::unique_ptr<Alarm> watchdog = nullptr);

}  // namespace roost

#endif  // ROOST_PROTOCOL_KJ_STREAM_H_
