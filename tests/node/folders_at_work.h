// Folders over real folders of a test's own, whose work threads are the test: jobs run when it says
// so, and so does the loop.
#ifndef ROOST_TESTS_NODE_FOLDERS_AT_WORK_H_
#define ROOST_TESTS_NODE_FOLDERS_AT_WORK_H_

#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "boost/asio/co_spawn.hpp"
#include "boost/asio/io_context.hpp"
#include "gtest/gtest.h"
#include "node/folders.h"
#include "tests/cache/hub_folder.h"
#include "tests/cache/temp_folder.h"

namespace roost {

// What a peer believes that follows this node.
struct Told {
  std::map<BlobId, BlobAdvert> blobs;
  std::map<RepoKey, RepoAdvert> repos;
  std::map<RefKey, RefAdvert> refs;
  size_t changes = 0;

  void follow(const std::vector<AdvertChange>& news) {
    changes += news.size();
    for (const AdvertChange& change : news)
      std::visit([&](const auto& it) { on(it); }, change.what);
  }

 private:
  void on(const Advert& advert) {
    std::visit([&](const auto& it) { add(it); }, advert);
  }
  void on(const AdvertKey& key) {
    std::visit([&](const auto& it) { remove(it); }, key);
  }
  void add(const BlobAdvert& it) { blobs.insert_or_assign(it.blob.id, it); }
  void add(const RepoAdvert& it) { repos.insert_or_assign(RepoKey{it.repo, it.commit}, it); }
  void add(const RefAdvert& it) { refs.insert_or_assign(RefKey{it.repo, it.state.ref}, it); }
  void add(const RepresentationAdvert&) {}  // not of the folders
  void remove(const RepresentationKey&) {}
  void remove(const BlobId& it) { blobs.erase(it); }
  void remove(const RepoKey& it) { repos.erase(it); }
  void remove(const RefKey& it) { refs.erase(it); }
};

class FoldersAtWork {
 public:
  // `before`: what peers were told before a restart.
  FoldersAtWork(boost::asio::io_context& loop, const std::vector<RootConfig>& roots,
                const std::vector<AdvertChange>& before = {})
      : io(loop),
        index_(
            std::make_unique<IndexQueue>(pool, std::move(Index::open(state_ / "index.db")->index))),
        folders_(std::make_unique<Folders>(
            Folders::Seams{.io = io,
                           .pool = pool,
                           .index = *index_,
                           .reservations = Reservations::create(),
                           .self = NodeId::ofNumber(1),
                           .origin = HubOrigin::huggingFace(),
                           .roots = resolveRoots(roots).roots,
                           .changed =
                               [this](std::vector<AdvertChange> changes) {
                                 told.follow(changes);
                                 events.push_back("told");
                                 if (onChanged) onChanged(changes);
                               },
                           .settled = [this] { events.push_back("settled"); },
                           .report = [this](const std::string& text) { reports.push_back(text); }},
            before)) {}
  ~FoldersAtWork() {
    folders_->stop();
    pool.stop(WorkPool::AtStop::kDrop);
    settle();
    folders_.reset();
  }
  FoldersAtWork(const FoldersAtWork&) = delete;
  FoldersAtWork& operator=(const FoldersAtWork&) = delete;

  Folders& operator*() { return *folders_; }
  Folders* operator->() { return folders_.get(); }

  // Works on until `done`: jobs first, then what the loop has, then it waits for the loop.
  void until(const std::function<bool()>& done) {
    const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done()) {
      if (pool.runNext()) continue;
      if (io.stopped()) io.restart();
      if (io.poll_one() != 0) continue;
      if (std::chrono::steady_clock::now() > latest) {
        std::cerr << "the folders wait for ever\n";
        std::abort();
      }
      io.run_one_for(std::chrono::seconds(1));
    }
  }
  void start() {
    folders_->start();
    until([this] { return folders_->isSettled(); });
  }
  // What the loop has to do without time passing and without any job.
  void settle() {
    if (io.stopped()) io.restart();
    io.poll();
  }
  // Waits with jobs unrun until one of that name is there, and runs it.
  void runJob(const std::string& name) {
    while (!pool.runNext(name)) {
      if (io.stopped()) io.restart();
      io.run_one_for(std::chrono::seconds(1));
    }
  }
  template <typename T>
  T run(boost::asio::awaitable<T> work) {
    std::optional<T> result;
    boost::asio::co_spawn(
        io,
        [](boost::asio::awaitable<T> inner, std::optional<T>& out) -> boost::asio::awaitable<void> {
          out.emplace(co_await std::move(inner));
        }(std::move(work), result),
        [](std::exception_ptr thrown) {
          if (thrown) std::rethrow_exception(thrown);
        });
    until([&] { return result.has_value(); });
    return *std::move(result);
  }

  boost::asio::io_context& io;
  WorkPool pool{0};
  Told told;
  std::vector<std::string> events;  // in order: "told", "settled", and what a test adds
  std::vector<std::string> reports;
  std::function<void(const std::vector<AdvertChange>&)> onChanged;

 private:
  TempFolder state_;
  std::unique_ptr<IndexQueue> index_;
  std::unique_ptr<Folders> folders_;
};

inline RootConfig rootAt(const std::string& path) {
  return {.path = path, .origin = "test"};
}

}  // namespace roost

#endif  // ROOST_TESTS_NODE_FOLDERS_AT_WORK_H_
