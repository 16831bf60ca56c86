// A part of the terminal that is drawn again and again in place, without the alternate screen: when
// it ends, the last picture stays.
//
// Threads: one. Owns nothing of the console. On what is no terminal it prints each picture once
// under the other.
#ifndef ROOST_NODE_CLI_LIVE_H_
#define ROOST_NODE_CLI_LIVE_H_

#include <string>

#include "node/cli/seams.h"

namespace roost {

class LiveArea {
 public:
  explicit LiveArea(const Console& console) : console_(console) {}

  // `text`: lines that end with '\n', none wider than the terminal.
  void show(const std::string& text);
  // Removes the picture; what is printed next takes its place.
  void clear();

 private:
  const Console& console_;
  int lines_ = 0;  // of the picture on the screen
};

}  // namespace roost

#endif  // ROOST_NODE_CLI_LIVE_H_
