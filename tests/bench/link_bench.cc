// Prints how fast reads of 1 MiB go over an RpcLink, memory to memory on loopback, plain and with
// the cluster key: link_bench [MIB] [ROUNDS]. Each side runs on a thread of its own, as lanes do.
#include <kj/async.h>
#include <kj/vector.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "protocol/kj_await.h"
#include "protocol/kj_stream.h"
#include "protocol/limits.h"
#include "protocol/rpc_link.h"
#include "tests/protocol/echo_server.h"
#include "tests/protocol/loop.h"

namespace roost {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using echo::Echo;

double threadCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

asio::awaitable<absl::StatusOr<kj::Own<kj::AsyncIoStream>>> open(tcp::socket socket, LinkSide side,
                                                                 const TlsContext* tls) {
  if (tls == nullptr) co_return makeKjStream(std::move(socket));
  absl::StatusOr<TlsStream> stream = absl::UnknownError("");
  if (side == LinkSide::kDialled) {
    stream = co_await tlsConnect(std::move(socket), *tls);
  } else {
    stream = co_await tlsAccept(std::move(socket), *tls);
  }
  if (!stream.ok()) co_return stream.status();
  co_return makeKjStream(*std::move(stream));
}

double serveOne(tcp::acceptor::native_handle_type listening, const TlsContext* tls) {
  Loop loop;
  tcp::acceptor acceptor(loop.io, tcp::v4(), listening);
  auto stream = loop.run(open(acceptor.accept(), LinkSide::kAccepted, tls));
  acceptor.release();
  RpcLink link(*std::move(stream), LinkSide::kAccepted, Echo::Client(kj::heap<EchoServer>()));
  const double before = threadCpuSeconds();
  (void)loop.run(awaitPromise(link.onDisconnect()));
  return threadCpuSeconds() - before;
}

// Keeps one of the window's reads going until all are done.
kj::Promise<void> readOnAndOn(Echo::Client& peer, uint64_t& left, uint64_t& got) {
  if (left == 0) return kj::READY_NOW;
  --left;
  auto request = peer.readRequest();
  request.setSize(kPieceBytes);
  return request.send().then([&](auto&& answer) {
    got += answer.getBytes().size();
    return readOnAndOn(peer, left, got);
  });
}

void measure(const char* what, uint64_t pieces, const TlsContext* tls) {
  Loop loop;
  tcp::acceptor acceptor(loop.io, {asio::ip::make_address("127.0.0.1"), 0});
  std::future<double> serving =
      std::async(std::launch::async, serveOne, acceptor.native_handle(), tls);
  tcp::socket socket(loop.io);
  socket.connect(acceptor.local_endpoint());
  auto stream = loop.run(open(std::move(socket), LinkSide::kDialled, tls));
  auto link = std::make_unique<RpcLink>(*std::move(stream), LinkSide::kDialled, nullptr);

  Echo::Client peer = link->bootstrap().castAs<Echo>();
  uint64_t left = pieces;
  uint64_t got = 0;
  const double cpu = threadCpuSeconds();
  const auto start = std::chrono::steady_clock::now();
  kj::Vector<kj::Promise<void>> window;
  for (int i = 0; i < kReadWindow; ++i) window.add(readOnAndOn(peer, left, got));
  const absl::Status status = loop.run(awaitPromise(kj::joinPromises(window.releaseAsArray())));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double reading = threadCpuSeconds() - cpu;

  const auto pingStart = std::chrono::steady_clock::now();
  constexpr int kPings = 5000;
  for (int i = 0; i < kPings; ++i) {
    (void)loop.run(awaitPromise(peer.pingRequest().send().ignoreResult()));
  }
  const double ping =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - pingStart).count() / kPings;
  link->close();
  (void)loop.run(awaitPromise(link->onDisconnect()));
  double load = 0;
  getloadavg(&load, 1);
  std::printf("%-5s %8.0f MB/s   CPU s: reader %.2f, server %.2f   ping %.0f us   load %.1f%s\n",
              what, static_cast<double>(got) / seconds / 1e6, reading, serving.get(), ping * 1e6,
              load, status.ok() ? "" : "  FAILED");
}

}  // namespace
}  // namespace roost

int main(int argc, char** argv) {
  const uint64_t mebibytes = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2048;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 3;
  const roost::TlsContext tls(roost::ClusterKeys{roost::ClusterKey::generate(), std::nullopt});
  for (int i = 0; i < rounds; ++i) {
    roost::measure("plain", mebibytes, nullptr);
    roost::measure("TLS", mebibytes, &tls);
  }
}
