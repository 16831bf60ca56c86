// The program: wires the command line to this process, and nothing else.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/cli/cli.h"

int main(int argc, char** argv) {
  const roost::Environment environment = roost::processEnvironment();
  roost::CliSeams seams = roost::processSeams(environment);
  seams.connect =
      [](const std::string& address) -> absl::StatusOr<std::unique_ptr<roost::ControlClient>> {
    return absl::FailedPreconditionError(absl::StrCat("nothing listens at ", address));
  };
  return roost::cliMain(std::vector<std::string>(argv + 1, argv + argc), environment, seams);
}
