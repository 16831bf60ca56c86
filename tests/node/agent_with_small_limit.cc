// `roost` in which huggingface_hub's limit for files over HTTP is 1 MB instead of 50 GB, so that
// tests with real clients need no file of that size.
#include "node/agent.h"
#include "node/cli/cli.h"
#include "node/control_connection.h"

int main(int argc, char** argv) {
  const roost::Environment environment = roost::processEnvironment();
  roost::CliSeams seams = roost::processSeams(environment);
  seams.runAgent = [](const roost::AgentConfig& config) {
    roost::AgentConfig small = config;
    small.knownSizeMax = 1'000'000;
    return roost::runAgent(small);
  };
  seams.connect = roost::connectControl;
  return roost::cliMain(std::vector<std::string>(argv + 1, argv + argc), environment, seams);
}
