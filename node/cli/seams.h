// Where the command line touches the world: all of it can be replaced by a test.
//
// Threads: one.
#ifndef ROOST_NODE_CLI_SEAMS_H_
#define ROOST_NODE_CLI_SEAMS_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "node/cli/text.h"
#include "node/config.h"
#include "node/control.h"
#include "node/environment.h"

namespace roost {

// Where text goes. `style` is asked anew for each picture: windows change their size.
struct Console {
  std::ostream* stream = nullptr;
  bool terminal = false;
  std::function<TextStyle()> style;
};

struct CliSeams {
  std::function<int(const AgentConfig&)> runAgent;  // returns the exit code
  ControlConnector connect;
  std::function<std::string()> newClusterKey;  // one line, without its end
  FileReader readFile;
  HostFacts host;
  Console out;  // data
  Console err;  // progress and messages
  // From now on Ctrl-C ends pause() instead of the process; a second one ends the process.
  std::function<void()> catchInterrupts;
  // Whether the agent with this node id (hex) answers at its endpoint within the time.
  std::function<bool(const std::string& url, const std::string& node, absl::Duration)> endpointIs;
  // Becomes that program, with these variables changed; returns errno if it cannot.
  std::function<int(const std::vector<std::string>& words, const Environment& changes)> execute;
  // Waits; false at once when the user has pressed Ctrl-C.
  std::function<bool(absl::Duration)> pause;
};

// The seams of a real process, without runAgent, connect and newClusterKey, which main knows.
CliSeams processSeams(const Environment& environment);

}  // namespace roost

#endif  // ROOST_NODE_CLI_SEAMS_H_
