#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "node/cli/commands.h"
#include "node/cli/document.h"
#include "node/cli/render.h"

namespace roost {

absl::StatusOr<ExitCode> bringWheels(const CliContext& context, ControlClient& agent,
                                     const OutputOptions& output, const nlohmann::json& arguments) {
  ROOST_ASSIGN_OR_RETURN(const nlohmann::json document, agent.call("warm", arguments));
  if (output.json) {
    context.print(dumped(document) + "\n");
  } else if (output.quiet) {
    for (const auto& wheel : listAt(document, "wheels")) {
      if (textAt(wheel, "state") != "failed") context.print(textAt(wheel, "file") + "\n");
    }
  } else {
    context.print(renderWheels(document, context.seams.out.style()));
  }
  for (const auto& wheel : listAt(document, "wheels")) {
    if (textAt(wheel, "state") != "failed") continue;
    context.message(sentence(absl::StrCat("cannot bring ", textAt(wheel, "file")),
                             textAt(wheel, "message"), ""));
  }
  return static_cast<ExitCode>(numberAt(document, "exit_code"));
}

}  // namespace roost
