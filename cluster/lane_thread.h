// A thread with an io_context and a KJ loop of its own: bulk links live here, off the `loop`
// thread.
//
// Ownership: start() makes the thread, stop() ends and joins it. Objects that live on a lane are
// made and destroyed there, by post(). Threads: post() from any; the rest from the owner.
#ifndef ROOST_CLUSTER_LANE_THREAD_H_
#define ROOST_CLUSTER_LANE_THREAD_H_

#include <functional>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace roost {

class LaneThread {
 public:
  explicit LaneThread(std::string name);
  ~LaneThread();
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;

  void post(std::function<void()> job);
  boost::asio::io_context& io();

  // Runs the job on the lane and waits for its end. Not from the lane, nor after stop().
  void run(const std::function<void()>& job);

  // Lets what was posted run out, and joins. Destroy what lives on the lane before, by run().
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace roost

#endif  // ROOST_CLUSTER_LANE_THREAD_H_
