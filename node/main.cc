// The program: wires the command line to this process, and nothing else.
#include <string>
#include <vector>

#include "node/agent.h"
#include "node/cli/cli.h"
#include "node/control_connection.h"
#include "protocol/cluster_key.h"

int main(int argc, char** argv) {
  const roost::Environment environment = roost::processEnvironment();
  roost::CliSeams seams = roost::processSeams(environment);
  seams.runAgent = roost::runAgent;
  seams.connect = roost::connectControl;
  seams.newClusterKey = [] { return roost::ClusterKey::generate().secretText(); };
  return roost::cliMain(std::vector<std::string>(argv + 1, argv + argc), environment, seams);
}
